"""The kind `http` against servers that mean well."""

import asyncio
import base64
import gc

import pytest
import uvloop

from probes.conditions import AbsentError, compile_condition, declared_names
from probes.kinds.http import PROBE
from probes.model import Failure
from tests.probes.http_servers import check, chunked, context, http, redirect, reply, serve, slowly

pytest_plugins = ["tests.probes.http_fixtures"]

ON_REQUEST = {"proxy_s", "token_s", "steps", "ocsp_s", "ocsp_expires_s", "ocsp.status", "ocsp.reason"}
"""Names that are there only where a parameter asks for them; their own tests look at them."""


async def test_every_sample_that_is_documented_is_measured_and_no_other(authority):
    async with serve(reply(200, b"x"), authority.server()) as server:
        found = await check(server.url, ca_file=authority.file)
    assert set(found.samples) == set(PROBE.samples) - ON_REQUEST
    assert found.samples["http_version"] == 1.1
    assert found.samples["redirects"] == 0


async def test_every_fact_that_is_documented_is_there(authority):
    answer = reply(200, b'{"a": [1, "hai"]}', "Content-Type: application/json", "X-Node: n1", "x-node: n2")
    async with serve(answer, authority.server()) as server:
        found = await check(server.url, ca_file=authority.file)
    facts = dict(found.facts)
    assert set(facts) == set(PROBE.facts) - (ON_REQUEST - {"steps"})
    assert facts["json"] == {"a": [1, "hai"]}
    assert facts["body"] == '{"a": [1, "hai"]}'
    assert facts["headers"]["x-node"] == "n1, n2"
    assert facts["url"] == server.url
    assert facts["tls.version"] == "TLSv1.3"
    assert "trustme" in facts["cert.issuer"]
    assert len(found.facts) == len(facts)


async def test_conditions_on_every_name_compile_and_are_answered(authority):
    async with serve(reply(200, b"{}", "Content-Type: application/json"), authority.server()) as server:
        found = await check(server.url, ca_file=authority.file)
    for name, kind in declared_names(PROBE).items():
        if name in ON_REQUEST:
            continue
        operand = {"string": "''", "duration": "duration('0s')", "timestamp": "timestamp('2020-01-01T00:00:00Z')"}
        source = f"size({name}) == 0" if kind == "map" or name == "certs" else f"{name} == {operand.get(kind, '-1')}"
        assert compile_condition(source, PROBE).holds(found, 0.01) == (False, ""), source


async def test_without_tls_certificate_facts_say_so():
    async with serve(reply(200)) as server:
        found = await check(server.url)
    for name in ("cert.expires_in", "tls.version"):
        with pytest.raises(AbsentError, match=r"no certificate|no TLS"):
            found.facts[name]
    assert "cert_expires_s" not in found.samples
    assert "tls_s" not in found.samples


async def test_a_refused_connection_has_no_answer_to_look_at(unused_tcp_port):
    found = await check(f"http://127.0.0.1:{unused_tcp_port}/")
    assert found.failure is Failure.CONNECT_REFUSED
    assert found.message == "connection refused in connect"
    assert "status" not in found.samples
    assert found.samples["connect_s"] > 0
    for name in ("body", "json", "headers"):
        with pytest.raises(AbsentError):
            found.facts[name]


async def test_a_refused_connection_spent_no_time_on_tls(unused_tcp_port):
    found = await check(f"https://127.0.0.1:{unused_tcp_port}/")
    assert set(found.samples) == {"resolve_s", "connect_s", "redirects"}


async def test_the_request_is_what_was_asked_for():
    async with serve(reply(200)) as server:
        await check(
            f"{server.url}đường/dẫn?q=một hai#mảnh",
            method="put",
            headers={"X-Trace": "v1", "Content-Type": "text/xml"},
            body=" <a/>\n",
        )
        (request,) = server.requests
    assert request.method == "PUT"
    assert request.target == "/%C4%91%C6%B0%E1%BB%9Dng/d%E1%BA%ABn?q=m%E1%BB%99t+hai"
    assert request.body == b" <a/>\n"
    assert request.header("Host") == server.address
    assert request.header("Connection") == "close"
    assert request.header("X-Trace") == "v1"
    assert request.header("User-Agent") == "thongsuot"
    assert request.header("Accept-Encoding") is None


@pytest.mark.parametrize("target", ["/a%2Fb/%7euser?sig=a%20b+c%2B=", "/x;v=1", "/a//b/%c3%a9"])
async def test_a_url_that_is_one_already_is_sent_as_it_is_written(target):
    async with serve(reply(200)) as server:
        await check(server.url + target[1:])
        assert server.requests[0].target == target


@pytest.mark.parametrize(
    ("params", "method", "length"),
    [
        ({}, "GET", None),
        ({"body": "ế"}, "POST", "3"),
        ({"method": "POST"}, "POST", "0"),
        ({"method": "HEAD"}, "HEAD", None),
    ],
)
async def test_the_method_follows_the_body_unless_it_is_named(params, method, length):
    async with serve(reply(200)) as server:
        found = await check(server.url, **params)
        assert server.requests[0].method == method
        assert server.requests[0].header("Content-Length") == length
    assert found.failure is None


async def test_basic_credentials_are_sent_as_rfc_7617_says():
    async with serve(reply(200)) as server:
        await check(server.url, basic_auth={"username": "Nguyễn An", "password": "mật:khẩu"})
        value = server.requests[0].header("Authorization")
    assert base64.b64decode(value.removeprefix("Basic ")).decode() == "Nguyễn An:mật:khẩu"


async def test_a_bearer_token_is_sent_without_what_surrounded_it_in_its_file():
    async with serve(reply(200)) as server:
        await check(server.url, bearer_token=" abc.def-_~+/==\n")
        assert server.requests[0].header("Authorization") == "Bearer abc.def-_~+/=="


async def test_a_host_header_can_be_set():
    async with serve(reply(200)) as server:
        await check(server.url, headers={"Host": "cong.example.vn"})
        assert server.requests[0].header("Host") == "cong.example.vn"


async def test_every_check_opens_a_new_connection_and_closes_it():
    async with serve(reply(200, b"x")) as server, context() as ctx:
        params = http.HttpParams(url=server.url)
        for _ in range(3):
            await http.run(params, ctx)
        await server.drained()
        assert server.connections == 3


async def test_the_environment_is_not_asked(monkeypatch, unused_tcp_port):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_tcp_port}")
    async with serve(reply(200)) as server:
        assert (await check(server.url)).failure is None


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (301, "POST", ("GET", b"", None)),
        (302, "POST", ("GET", b"", None)),
        (303, "POST", ("GET", b"", None)),
        (303, "PUT", ("GET", b"", None)),
        (303, "HEAD", ("HEAD", b"", None)),
        (301, "PUT", ("PUT", b"data", "text/plain")),
        (307, "POST", ("POST", b"data", "text/plain")),
        (308, "POST", ("POST", b"data", "text/plain")),
        (302, "GET", ("GET", b"", None)),
    ],
)
async def test_a_redirect_rewrites_the_method_as_browsers_do(status, method, expected):
    def step(request):
        return redirect("/next", status) if request.target == "/" else reply(200)

    params = {"body": "data", "headers": {"Content-Type": "text/plain"}} if method in ("POST", "PUT") else {}
    async with serve(step) as server:
        found = await check(server.url, method=method, **params)
        request = server.requests[1]
    assert found.failure is None
    assert (request.method, request.body, request.header("Content-Type")) == expected


@pytest.mark.parametrize("location", ["next?a=1", "/next?a=1", "?a=1", "//{address}/next?a=1", "{url}next?a=1#x"])
async def test_a_redirect_is_resolved_against_where_it_was_met(location):
    def step(request):
        if "a=1" in request.target:
            return reply(200)
        return redirect(location.format(address=request.server.address, url=request.server.url))

    async with serve(step) as server:
        found = await check(server.url)
    assert found.failure is None
    assert found.samples["redirects"] == 1


async def test_a_redirect_without_a_location_is_an_answer():
    async with serve(reply(302, b"x")) as server:
        found = await check(server.url, status=["3xx"])
    assert found.failure is None
    assert found.samples["body_bytes"] == 1


async def test_a_redirect_to_an_ipv6_number_is_followed():
    async with serve(reply(200), host="::1") as six, serve(redirect(six.url)) as server:
        found = await check(server.url)
        assert six.requests[0].header("Host") == six.address
    assert found.failure is None
    assert found.facts["url"] == six.url


@pytest.mark.parametrize("piece", [1, 7])
async def test_an_answer_in_pieces_is_the_same_answer(piece):
    async with serve(slowly(chunked([b"xin ", "chào".encode()]), piece)) as server:
        found = await check(server.url)
    assert found.facts["body"] == "xin chào"


async def test_interim_answers_are_passed_over():
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with serve(b"HTTP/1.1 100 Continue\r\n\r\n" + early + reply(200, b"x")) as server:
        found = await check(server.url)
    assert found.failure is None
    assert found.samples["status"] == 200


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_ends_with_its_header(status):
    async with serve(f"HTTP/1.1 {status} X\r\n\r\n".encode()) as server:
        found = await check(server.url, status=[status])
    assert found.failure is None
    assert found.samples["body_bytes"] == 0
    assert found.facts["body"] == ""


async def test_a_head_request_takes_no_body_though_one_is_announced():
    async with serve(reply(200, b"", length=5000)) as server:
        found = await check(server.url, method="HEAD", body_limit=10)
    assert found.failure is None
    assert found.samples["body_bytes"] == 0


async def test_http_1_0_is_named():
    async with serve(b"HTTP/1.0 200 OK\r\n\r\nold") as server:
        found = await check(server.url)
    assert found.samples["http_version"] == 1.0
    assert found.facts["body"] == "old"


async def test_switching_protocols_is_an_answer_that_was_not_asked_for():
    async with serve(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x00\x01") as server:
        found = await check(server.url)
    assert found.failure is Failure.HTTP_STATUS
    assert found.samples["status"] == 101


async def test_the_second_address_of_a_name_is_tried_when_the_first_refuses():
    async with serve(reply(200)) as server:  # localhost is ::1 first, where nobody listens
        found = await check(f"http://localhost:{server.port}/")
    assert found.failure is None


async def test_an_address_of_the_other_version_is_not_used():
    async with serve(reply(200)) as server:
        found = await check(server.url, ip_version=6)
    assert found.failure is Failure.DNS_ANSWER


def test_it_runs_on_uvloop_as_on_asyncio(authority):
    async def visit():
        async with serve(redirect("/x"), authority.server()) as server:
            return await check(server.url, ca_file=authority.file, max_redirects=3)

    for runner in (asyncio.run, uvloop.run):
        found = runner(visit())
        assert found.failure is Failure.TOO_MANY_REDIRECTS
        assert found.samples["redirects"] == 3


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_nothing_is_left_behind_when_it_is_cancelled_anywhere(runner, authority):
    """Cancel at ever later moments: no connection stays open, and no future's exception is lost."""
    lost = []

    async def visits():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, what: lost.append(what))
        async with serve(reply(200, b"x"), authority.server()) as server, context() as ctx:
            params = http.HttpParams(url=server.url, ca_file=authority.file)
            await http.run(params, ctx)
            for turns in range(40):
                task = asyncio.ensure_future(http.run(params, ctx))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            await server.drained()
        gc.collect()
        await asyncio.sleep(0)

    runner(visits())
    assert not lost
