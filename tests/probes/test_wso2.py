"""The kind `wso2`, against listeners that answer as WSO2's documentation shows: no installation is to be had here."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from monitor.oneshot import prepare, run_once
from probes.kinds import wso2
from probes.kinds.wso2 import PROBE
from probes.model import Failure, Resources
from probes.wso2_params import Wso2Params
from tests.probes.http_servers import context, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]

JSON = "Content-Type: application/json"
LOGIN = {"basic_auth": {"username": "giam-sat", "password": "mat-khau"}}


async def check(url, resources=None, timeout_s=5.0, **params):
    async with context(timeout_s, resources) as ctx, asyncio.timeout(timeout_s):
        return await wso2.run(Wso2Params(url=url, **params), ctx)


@dataclass
class Integrator:
    """A Micro Integrator's management API: it forgets its tokens when `tokens` is emptied."""

    running: bool = True
    tokens: list[str] = field(default_factory=list)
    endpoints: list[dict[str, object]] = field(default_factory=lambda: [{"name": "Kho", "isActive": True}])

    def __call__(self, request):
        parts = urlsplit(request.target)
        if parts.path == "/management/login":
            pair = base64.b64encode(b"giam-sat:mat-khau").decode()
            if request.header("Authorization") != f"Basic {pair}":
                return reply(401)
            self.tokens.append(f"token-{len(self.tokens)}-{id(self)}")
            return reply(200, json.dumps({"AccessToken": self.tokens[-1]}).encode(), JSON)
        if (request.header("Authorization") or "").removeprefix("Bearer ") not in self.tokens:
            return reply(401)
        query = parse_qs(parts.query)
        name = parts.path.rpartition("/")[2]
        if name == "proxy-services" and query:
            told = {"name": query["proxyServiceName"][0], "isRunning": self.running, "wsdl1_1": "http://x"}
            return reply(200, json.dumps(told).encode(), JSON)
        listed = {
            "apis": [{"tracing": "disabled", "name": "DanCuAPI", "url": "http://localhost:8290/dan-cu"}],
            "proxy-services": [{"name": "TraCuu", "wsdl1_1": "http://x?wsdl"}],
            "endpoints": self.endpoints,
            "data-services": [{"name": "HoTich", "wsdl1_1": "http://x?wsdl"}],
        }[name]
        return reply(200, json.dumps({"count": len(listed), "list": listed}).encode(), JSON)


EXPECTED = {
    "mode": "management",
    **LOGIN,
    "apis": ["DanCuAPI"],
    "proxy_services": ["TraCuu"],
    "endpoints": ["Kho"],
    "data_services": ["HoTich"],
}


async def test_an_integrator_that_has_all_that_is_expected_is_up(authority):
    async with serve(Integrator(), authority.server()) as server:
        found = await check(server.url, ca_file=authority.file, **EXPECTED)
    assert (found.failure, found.message) == (None, "")
    assert [found.samples[name] for name in ("apis", "proxy_services", "endpoints", "data_services")] == [1, 1, 1, 1]
    assert set(found.samples) <= set(PROBE.samples)
    assert found.samples["cert_expires_s"] > 0


async def test_what_is_missing_or_inactive_is_named():
    integrator = Integrator(running=False, endpoints=[{"name": "Kho", "isActive": False}])
    async with serve(integrator) as server:
        found = await check(server.url, **{**EXPECTED, "apis": ["DanCuAPI", "KhacAPI"]})
    assert found.failure is Failure.QUERY_FAILED
    assert found.message == ("API 'KhacAPI' is missing; proxy service 'TraCuu' is inactive; endpoint 'Kho' is inactive")


async def test_a_token_is_kept_and_a_new_one_got_when_the_server_forgets_it():
    integrator, resources = Integrator(), Resources()
    async with serve(integrator) as server:
        for _ in range(2):
            assert (await check(server.url, resources, **EXPECTED)).failure is None
        assert [request.target for request in server.requests].count("/management/login") == 1
        integrator.tokens.clear()
        integrator.tokens.append("another")
        assert (await check(server.url, resources, **EXPECTED)).failure is None
        assert [request.target for request in server.requests].count("/management/login") == 2
    await resources.aclose()


async def test_a_login_that_is_refused_is_its_own_failure_without_the_password():
    async with serve(Integrator()) as server:
        wrong = {**EXPECTED, "basic_auth": {"username": "giam-sat", "password": "sai-mat-khau"}}
        found = await check(server.url, **wrong)
    assert found.failure is Failure.AUTH_TOKEN
    assert "status = 401" in found.message
    assert "sai-mat-khau" not in found.message + repr(Wso2Params(url=server.url, **wrong))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"AccessToken": 3}', b'{"AccessToken": "a\\r\\nX: y"}', b'{"AccessToken": ""}']
)
async def test_what_is_no_token_is_none(body):
    async with serve(reply(200, body, JSON)) as server:
        assert (await check(server.url, **EXPECTED)).failure is Failure.AUTH_TOKEN


# --- gateway


async def test_a_gateway_is_up_once_all_its_apis_are_deployed():
    async with serve(reply(200)) as server:
        found = await check(server.url)
        assert server.requests[0].target == "/api/am/gateway/v2/server-startup-healthcheck"
    assert found.failure is None
    async with serve(reply(500)) as server:
        found = await check(server.url)
    assert found.failure is Failure.HTTP_STATUS
    assert found.message == "the gateway is not ready: status not in [200] (status = 500)"


async def test_an_older_gateway_is_asked_for_its_version():
    body = (
        b'<ns:getVersionResponse xmlns:ns="http://version.services.core.carbon.wso2.org">'
        b"<return>WSO2 API Manager-3.2.0</return></ns:getVersionResponse>"
    )

    def answer(request):
        return reply(200, body) if request.target == "/services/Version" else reply(404)

    async with serve(answer) as server:
        found = await check(server.url)
    assert found.failure is None
    assert found.facts["version"] == "WSO2 API Manager-3.2.0"


async def test_an_api_that_is_not_deployed_is_told_by_its_call_which_bears_no_credentials():
    def answer(request):
        return reply({"/co": 401, "/khong": 404}.get(request.target, 200))

    async with serve(reply(200)) as server, serve(answer) as gateway:
        there = {"url": f"{gateway.url}co", "status": ["2xx", 401]}
        fine = await check(server.url, **LOGIN, calls=[there])
        gone = await check(server.url, **LOGIN, calls=[there, {"url": f"{gateway.url}khong"}])
    assert fine.failure is None
    assert fine.samples["calls_s"] > 0
    assert gone.failure is Failure.HTTP_STATUS
    assert f"the call of {gateway.url}khong" in gone.message
    assert all(request.header("Authorization") is None for request in gateway.requests)
    assert server.requests[0].header("Authorization")


# --- integrator


@pytest.mark.parametrize(
    ("health", "liveness", "failure", "words"),
    [
        (reply(200, b'{"status":"ready"}', JSON), reply(200), None, ""),
        (
            reply(503, b'{"status":"not ready","Faulty CApps: ":"HoTichCApp"}', JSON),
            reply(200),
            Failure.HTTP_STATUS,
            "it has started",
        ),
        (reply(200, b'{"status":"not ready"}', JSON), reply(503), Failure.QUERY_FAILED, "it has not even started"),
        (reply(200, b"<html>"), reply(200), Failure.PROTOCOL, "not a JSON object"),
    ],
)
async def test_an_integrator_is_ready_or_says_why_not(health, liveness, failure, words):
    async with serve(lambda request: liveness if request.target == "/liveness" else health) as server:
        found = await check(server.url, mode="integrator")
    assert found.failure is failure
    assert words in found.message


# --- publisher and devportal

APIS = {
    "count": 3,
    "list": [
        {"name": "DanCu", "version": "v1", "context": "/dan-cu", "lifeCycleStatus": "PUBLISHED"},
        {"name": "DanCu", "version": "v0", "context": "/dan-cu", "lifeCycleStatus": "DEPRECATED"},
        {"name": "Nhap", "version": "v1", "context": "/nhap", "lifeCycleStatus": "CREATED"},
    ],
}


async def test_an_api_has_to_be_published():
    async with serve(reply(200, json.dumps(APIS).encode(), JSON)) as server:
        fine = await check(server.url, mode="publisher", bearer_token="abc", apis=["DanCu", "DanCu:v1"])
        found = await check(server.url, mode="devportal", apis=["DanCu:v0", "Nhap", "Khac"])
    assert fine.failure is None
    assert server.requests[0].target == "/api/am/publisher/v4/apis?limit=1000"
    assert server.requests[0].header("Authorization") == "Bearer abc"
    assert found.failure is Failure.QUERY_FAILED
    assert found.message == "API 'DanCu:v0' is deprecated; API 'Nhap' is not published; API 'Khac' is missing"


async def test_a_token_by_client_credentials_is_got_first():
    def answer(request):
        if request.target == "/oauth2/token":
            return reply(200, b'{"access_token": "moi", "token_type": "Bearer", "expires_in": 60}', JSON)
        assert request.header("Authorization") == "Bearer moi"
        return reply(200, json.dumps(APIS).encode(), JSON)

    async with serve(answer) as server:
        who = {"token_url": f"{server.url}oauth2/token", "client_id": "a", "client_secret": "b"}
        found = await check(server.url, mode="publisher", oauth2=who, apis=["DanCu"])
    assert found.failure is None, found.message


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (reply(401), Failure.AUTH_REJECTED),
        (reply(200, b"{}"), Failure.PROTOCOL),
        (reply(200, b'{"list": [1, null]}'), None),
        (reply(302, b"", "Location: /login"), Failure.HTTP_STATUS),
    ],
)
async def test_a_portal_that_answers_otherwise_is_down(answer, failure):
    async with serve(answer) as server:
        assert (await check(server.url, mode="devportal")).failure is failure


async def test_conditions_see_what_is_counted():
    async with serve(reply(200, json.dumps(APIS).encode(), JSON)) as server:
        job = prepare("wso2", server.url, {"mode": "devportal", "down_when": ["apis < 4", "json.count != 3"]})
        result = await run_once(job, "test")
    assert result.message == "apis < 4 (apis = 3)"


@pytest.mark.parametrize(
    "params",
    [
        {"mode": "management"},
        {"mode": "publisher"},
        {"apis": ["x"]},
        {"mode": "devportal", "endpoints": ["x"]},
        {"calls": [{"url": "http://u:p@x/"}]},
        {"mode": "nothing"},
    ],
)
def test_what_makes_no_sense_is_refused(params):
    with pytest.raises(ValidationError):
        Wso2Params(url="http://127.0.0.1/", **params)
