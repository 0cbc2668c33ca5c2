"""The kind `xroad`, against listeners that speak as X-Road's documents say, and against ones that do not."""

import asyncio
import contextlib
import gzip
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.oneshot import prepare, run_once
from probes.kinds import xroad
from probes.kinds.xroad import PROBE
from probes.model import Failure
from probes.multipart import MultipartError, parts_of
from probes.xroad_fault import Side, side_of
from probes.xroad_identity import parse_identity
from probes.xroad_operational import records_in, split
from probes.xroad_params import XroadParams
from tests.probes.http_servers import context, reply, serve
from tests.probes.soap_servers import envelope
from tests.probes.tcp_servers import refusing_port
from tests.probes.xroad_servers import SecurityServer, directory

pytest_plugins = ["tests.probes.http_fixtures"]

WHO = {"client": "VN/GOV/BTC/THUE"}
WATCHED = {**WHO, "service": "VN/GOV/BCA/DANCU/tra-cuu/v1"}
REST = {**WHO, "service": "VN/GOV/BCA/DANCU/tra-cuu", "protocol": "rest"}
NOW = datetime.now(UTC)


async def check(url, timeout_s=5.0, **params):
    async with context(timeout_s) as ctx, asyncio.timeout(timeout_s):
        return await xroad.run(XroadParams(url=url, **params), ctx)


# --- one service, end to end


@pytest.mark.parametrize("params", [WATCHED, REST])
async def test_a_service_that_is_open_to_the_client_is_up(params):
    own = SecurityServer()
    async with serve(own) as server:
        found = await check(server.url, **params)
        whole = await check(server.url, **{**params, "service": "VN/GOV/BCA/DANCU"})
        exists = await check(server.url, **{**params, "service": "VN/GOV/BCA/DANCU/cap-nhat"}, access=False)
    assert (found.failure, found.message) == (None, "")
    assert found.samples["services"] == 1
    assert "fault_side" not in found.samples
    assert whole.failure is None
    assert exists.failure is None
    assert own.asked == ["allowedMethods", "allowedMethods", "listMethods"]


async def test_over_tls_with_its_certificate(authority):
    async with serve(SecurityServer(), authority.server()) as server:
        found = await check(server.url, ca_file=authority.file, **WATCHED)
    assert found.failure is None
    assert found.samples["cert_expires_s"] > 0
    assert found.facts["listed"] == ["VN/GOV/BCA/DANCU/tra-cuu/v1"]
    assert set(found.samples) <= set(PROBE.samples)


async def test_a_service_that_is_not_open_is_told_from_one_that_is_gone():
    async with serve(SecurityServer()) as server:
        closed = await check(server.url, **WHO, service="VN/GOV/BCA/DANCU/cap-nhat")
        gone = await check(server.url, **WHO, service="VN/GOV/BCA/DANCU/khac")
        version = await check(server.url, **WHO, service="VN/GOV/BCA/DANCU/tra-cuu/v2", access=False)
    assert closed.failure is Failure.AUTH_REJECTED
    assert "VN/GOV/BCA/DANCU/cap-nhat is there, but not open to VN/GOV/BTC/THUE" in closed.message
    assert gone.failure is Failure.QUERY_FAILED
    assert "there is no service VN/GOV/BCA/DANCU/khac" in gone.message
    assert version.failure is Failure.QUERY_FAILED
    assert gone.samples["fault_side"] == Side.PROVIDER_SERVER


FAULTS = [
    ("Client.ClientProxy.MissingHeaderField", Side.REQUEST),
    ("Server.ClientProxy.UnknownMember", Side.REQUEST),
    ("Server.ClientProxy.CannotCreateSignature.Signer.TokenNotActive", Side.OWN_SERVER),
    ("Server.ClientProxy.OutdatedGlobalConf", Side.OWN_SERVER),
    ("Server.ClientProxy.SslAuthenticationFailed", Side.OWN_SERVER),
    ("Server.ClientProxy.NetworkError", Side.NETWORK),
    ("Server.ServerProxy.LoggingFailed.TimestamperFailed", Side.PROVIDER_SERVER),
    ("Server.ServerProxy.ServiceFailed.CannotCreateSignature", Side.PROVIDER_SERVER),
    ("Server.ServerProxy.ServiceFailed.InternalError", Side.PROVIDER_SERVER),
    ("Server.ServerProxy.UnknownService", Side.PROVIDER_SERVER),
    ("Server.ServerProxy.AccessDenied", Side.PROVIDER_SERVER),
    ("Client.BadRequest", Side.REQUEST),
    ("Server.ServerProxy.DatabaseError", Side.PROVIDER_SERVER),
    ("Server.ServerProxy.NetworkError", Side.ADAPTER),
    ("Server.ServerProxy.ServiceFailed", Side.ADAPTER),
    ("Server.ServerProxy.ServiceFailed.HttpError", Side.ADAPTER),
    ("Server.ServerProxy.ServiceFailed.InvalidSoap", Side.ADAPTER),
]


@pytest.mark.parametrize(("code", "side"), FAULTS)
@pytest.mark.parametrize("params", [WATCHED, REST])
async def test_the_message_says_which_side_is_at_fault(code, side, params):
    async with serve(SecurityServer(fault=(code, "vì sao"))) as server:
        found = await check(server.url, **params)
    soap = Failure.SOAP_FAULT if params is WATCHED else Failure.QUERY_FAILED
    assert found.failure is (Failure.AUTH_REJECTED if "AccessDenied" in code else soap)
    assert found.message == f"{side.words}: {code}: vì sao"
    assert found.samples["fault_side"] == side
    assert found.facts["fault.code"] == code


def test_a_fault_without_a_code_of_x_road_is_the_information_systems_own():
    assert side_of("Server") is Side.ADAPTER
    assert side_of("TamDung") is Side.ADAPTER
    assert side_of("") is Side.ADAPTER


@given(st.text(max_size=60))
def test_every_code_has_a_side(code):
    assert side_of(code) in Side


async def test_an_own_server_that_is_not_there_is_at_fault_itself():
    found = await check(f"http://127.0.0.1:{refusing_port()}/", **WATCHED)
    assert found.failure is Failure.CONNECT_REFUSED
    assert found.message.startswith("the own security server: ")
    assert found.samples["fault_side"] == Side.OWN_SERVER


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (reply(200, b"<html>"), Failure.PROTOCOL),
        (reply(502, b"bad gateway"), Failure.HTTP_STATUS),
        (reply(200, envelope("<a/>"), "Content-Type: text/xml"), Failure.PROTOCOL),
        (reply(200, envelope(""), "Content-Type: text/xml"), Failure.PROTOCOL),
        (reply(200, b"{}"), Failure.PROTOCOL),
    ],
)
@pytest.mark.parametrize("params", [WATCHED, REST])
async def test_what_is_no_answer_of_x_road_is_down(answer, failure, params):
    async with serve(answer) as server:
        found = await check(server.url, **params)
    assert found.failure is failure


# --- what a server tells of itself


async def test_a_member_that_is_not_registered_is_named():
    async with serve(SecurityServer()) as server:
        fine = await check(server.url, mode="clients", expected=["VN/GOV/BCA/DANCU", "VN/GOV/BCA"])
        gone = await check(server.url, mode="clients", expected=["VN/GOV/BTP/HOTICH"], instance="VN")
    assert fine.failure is None
    assert fine.samples["clients"] == 3
    assert gone.failure is Failure.QUERY_FAILED
    assert gone.message == "not registered any more: VN/GOV/BTP/HOTICH (3 are)"
    assert server.requests[1].target == "/listClients?xRoadInstance=VN"


async def test_the_health_port_says_why_it_is_not_well():
    own = SecurityServer()
    async with serve(own) as server:
        assert (await check(server.url, mode="health")).failure is None
        assert (await check(server.url)).failure is None, "it is what is asked where nobody is named"
        own.health = (500, b"Authentication key OCSP status\n")
        found = await check(server.url, mode="health")
    assert found.failure is Failure.HTTP_STATUS
    assert found.message == "the own security server: status = 500: Authentication key OCSP status"


@pytest.mark.parametrize("end_of_line", ["\r\n", "\n"])
async def test_a_configuration_is_fresh_until_it_expires(end_of_line):
    soon = (NOW + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    async with serve(directory(soon, end_of_line)) as server:
        found = await check(server.url, mode="configuration")
    assert found.failure is None, found.message
    assert 500 < found.samples["configuration_expires_s"] <= 600
    assert found.samples["configuration_parts"] == 2
    assert found.facts["configuration.version"] == "3"
    assert found.facts["configuration.parts"][0].startswith("PRIVATE-PARAMETERS")
    async with serve(directory("2020-05-20T17:42:55Z", end_of_line)) as server:
        found = await check(server.url, mode="configuration")
    assert found.failure is Failure.STALE
    assert "2020-05-20 17:42:55 UTC" in found.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n\r\n",
        b"--b\r\n\r\nx\r\n--b--",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nExpire-date: mai\r\n\r\n--c--\r\n--b--",
    ],
)
async def test_what_is_no_configuration_is_down(body):
    async with serve(reply(200, body, "Content-Type: multipart/related; boundary=b")) as server:
        found = await check(server.url, mode="configuration")
    assert found.failure is Failure.PROTOCOL


def diagnostics(ocsp="OK", conf="OK", upcoming=NOW + timedelta(hours=1)):
    return {
        "globalconf": {"status_class": conf, "status_code": "SUCCESS", "next_update_at": "2026-01-01T00:00:00Z"},
        "ocsp-responders": [
            {
                "distinguished_name": "CN=CA",
                "ocsp_responders": [
                    {
                        "url": "http://ocsp.example",
                        "status_class": ocsp,
                        "status_code": "ERROR_CODE_OCSP_CONNECTION_ERROR",
                        "next_update_at": upcoming.isoformat(),
                    }
                ],
            }
        ],
        "timestamping-services": [{"url": "http://tsa.example", "status_class": "OK", "status_code": "SUCCESS"}],
    }


@pytest.mark.parametrize(
    ("told", "failure", "degraded", "words"),
    [
        (diagnostics(), None, False, ""),
        (diagnostics(ocsp="FAIL"), Failure.QUERY_FAILED, False, "OCSP of http://ocsp.example (ERROR_CODE_OCSP"),
        (diagnostics(conf="WAITING"), Failure.QUERY_FAILED, True, "waits for global configuration (SUCCESS)"),
        (diagnostics(upcoming=NOW - timedelta(hours=1)), Failure.STALE, False, "OCSP of http://ocsp.example"),
    ],
)
async def test_the_management_api_tells_of_ocsp_time_stamping_and_configuration(told, failure, degraded, words):
    async with serve(SecurityServer(diagnostics=told)) as server:
        found = await check(server.url, mode="diagnostics", api_key="khoa-bi-mat")
    assert (found.failure, found.is_degraded) == (failure, degraded)
    assert words in found.message
    assert "ocsp_expires_s" in found.samples


def token(*, logged_in=True, ocsp="OCSP_RESPONSE_GOOD", active=True):
    certificate = {
        "active": active,
        "status": "REGISTERED",
        "ocsp_status": ocsp,
        "owner_id": "VN:GOV:BTC",
        "certificate_details": {"not_after": (NOW + timedelta(days=30)).isoformat()},
    }
    keys = [{"usage": "SIGNING", "certificates": [certificate]}, {"usage": "AUTHENTICATION", "certificates": []}]
    return {"name": "softToken-0", "logged_in": logged_in, "available": True, "keys": keys}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (token(), ""),
        (token(logged_in=False), "token 'softToken-0' is not logged in"),
        (token(ocsp="OCSP_RESPONSE_UNKNOWN"), "signing certificate of VN:GOV:BTC (OCSP_RESPONSE_UNKNOWN)"),
        (token(ocsp="DISABLED", active=False), ""),
        ("no token", ""),
    ],
)
async def test_a_token_that_is_not_logged_in_and_a_certificate_without_ocsp_are_named(told, words):
    async with serve(SecurityServer(diagnostics={**diagnostics(), "tokens": [told]})) as server:
        found = await check(server.url, mode="diagnostics", api_key="khoa-bi-mat")
    assert found.failure is (Failure.QUERY_FAILED if words else None), found.message
    assert words in found.message
    if told == token():
        assert 29 * 86400 < found.samples["server_certs_expire_s"] < 31 * 86400
    assert set(found.samples) <= set(PROBE.samples)


async def test_a_wrong_key_is_rejected_and_stands_nowhere():
    async with serve(SecurityServer()) as server:
        params = XroadParams(url=server.url, mode="diagnostics", api_key="sai-khoa")
        found = await check(server.url, mode="diagnostics", api_key="sai-khoa")
    assert found.failure is Failure.AUTH_REJECTED
    assert "sai-khoa" not in found.message + repr(params)


# --- operational monitoring


def record(kind, number, moments, *, succeeded=True, code="tra-cuu", fault=None):
    names = ("requestInTs", "requestOutTs", "responseInTs", "responseOutTs")
    return {
        **dict(zip(names, moments, strict=True)),
        **{"securityServerType": kind, "messageId": f"m{number}", "succeeded": succeeded, "serviceCode": code},
        **{"serviceXRoadInstance": "VN", "serviceMemberClass": "GOV", "serviceMemberCode": "BCA"},
        **({"serviceSubsystemCode": "DANCU"}),
        **({"faultCode": fault} if fault else {}),
    }


async def test_records_of_both_servers_split_the_way_into_its_places():
    own = [record("Client", n, (1000, 1010, 1210, 1230)) for n in range(9)]
    own.append(record("Client", 9, (0, 1, 2, 3), succeeded=False, fault="Server.ClientProxy.NetworkError"))
    own.append(record("Client", 10, (0, 1, 2, 3), code="khac"))
    # The other server's clock is an hour ahead: that says nothing about the network.
    far = [record("Producer", n, (3_601_000, 3_601_005, 3_601_105, 3_601_120)) for n in range(9)]
    params = {**WHO, "mode": "operational", "servers": ["VN/GOV/BTC/ss1", "VN/GOV/BTC/ss2"]}
    async with serve(SecurityServer(records={"ss1": own, "ss2": far})) as server:
        found = await check(server.url, **params, service="VN/GOV/BCA/DANCU/tra-cuu")
    assert found.failure is None, found.message
    expected = {"total": 0.23, "own_server": 0.03, "beyond": 0.2, "provider_server": 0.02, "adapter": 0.1}
    for name, time_s in {**expected, "network": 0.08}.items():
        assert found.samples[f"{name}_p95_s"] == pytest.approx(time_s)
    assert found.samples["records"] == 10
    assert found.samples["success_ratio"] == pytest.approx(0.9)
    assert found.samples["faults_network"] == 1
    assert found.samples["faults_adapter"] == 0
    assert found.facts["faults"] == {"Server.ClientProxy.NetworkError": 1}


async def test_a_window_without_messages_has_no_ratio_and_no_times():
    params = {**WHO, "mode": "operational", "servers": ["VN/GOV/BTC/ss1"]}
    async with serve(SecurityServer(records={"ss1": []})) as server:
        found = await check(server.url, **params)
    assert found.failure is None
    assert found.samples["records"] == 0
    assert "success_ratio" not in found.samples


TIMES = st.integers(min_value=0, max_value=2**40) | st.none() | st.text(max_size=3) | st.booleans()


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["requestInTs", "requestOutTs", "responseInTs", "responseOutTs", "succeeded", "messageId"]),
            TIMES,
        ),
        max_size=20,
    )
)
def test_hostile_records_never_break_the_sums(records):
    samples = split(records, None).samples()
    assert samples["records"] <= len(records)
    assert all(value >= 0 for value in samples.values())


def test_a_bomb_of_records_is_refused():
    from probes.failures import TroubleError
    from probes.soap_message import read_answer

    inside = (
        "<getSecurityServerOperationalDataResponse><recordsCount>1</recordsCount><records>cid:r</records>"
        "</getSecurityServerOperationalDataResponse>"
    )
    packed = gzip.compress(b" " * (40 << 20))
    kind = "multipart/related; boundary=b"
    body = b"--b\r\nContent-Type: text/xml\r\n\r\n" + envelope(inside) + b"\r\n--b\r\nContent-Id: r\r\n\r\n" + packed
    body += b"\r\n--b--"
    with pytest.raises(TroubleError) as refused:
        records_in(read_answer(body, kind), body, kind)
    assert refused.value.failure is Failure.BODY_TOO_LARGE


@given(st.binary(max_size=200))
def test_a_multipart_body_is_read_or_refused(body):
    with contextlib.suppress(MultipartError):
        assert parts_of(b"--b" + body, "multipart/mixed; boundary=b")


# --- parameters


async def test_conditions_see_what_was_counted():
    async with serve(SecurityServer()) as server:
        options = {**WATCHED, "down_when": ["services < 5", "!listed.exists(s, s.endsWith('v1'))"]}
        result = await run_once(prepare("xroad", server.url, options), "test")
    assert result.failure is Failure.CONDITION
    assert result.message.startswith("services < 5 (services = 1")


@pytest.mark.parametrize(
    "params",
    [
        {"mode": "service"},
        {"service": "VN/GOV/BCA/DANCU"},
        {"client": "VN", "service": "VN/GOV/BCA/DANCU"},
        {**WHO, "service": "VN/GOV/BCA/../x"},
        {**WHO, "service": "VN/GOV/BCA/a%b"},
        {**REST, "service": "VN/GOV/BCA/DANCU/tra-cuu/v1"},
        {"mode": "health", **WHO},
        {"mode": "diagnostics"},
        {"mode": "operational", **WHO},
        {"mode": "clients", "window": "5m"},
    ],
)
def test_what_makes_no_sense_is_refused(params):
    with pytest.raises(ValidationError):
        XroadParams(url="http://127.0.0.1/", **params)


def test_an_identity_is_shown_as_it_is_written():
    assert str(parse_identity("VN/GOV/BCA/DÂN CƯ/tra-cuu", 4, 6)) == "VN/GOV/BCA/DÂN CƯ/tra-cuu"


def test_a_name_of_the_country_goes_into_a_header_as_it_may():
    params = XroadParams(url="http://127.0.0.1/", client="VN/GOV/BCA/DÂN", service="VN/GOV/BCA/DÂN", protocol="rest")
    request = params.rest(params.service._replace(service="listMethods"))
    assert str(request.url).isascii()
    assert dict(request.private)["X-Road-Client"] == "VN/GOV/BCA/D%C3%82N"
