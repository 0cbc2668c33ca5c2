"""The kind `http` through a real tinyproxy, and through proxies that mean harm."""

import asyncio
import base64

import pytest
from pydantic import ValidationError

from probes.kinds.http import HttpParams, run
from probes.model import Failure
from tests.probes.http_programs import tinyproxy
from tests.probes.http_servers import check, context, reply, serve, then_wait

pytest_plugins = ["tests.probes.http_fixtures"]

SECRET = "mat-khau/#"
LOGIN = "an:mat-khau%2F%23"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    with tinyproxy(tmp_path_factory.mktemp("proxy")) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with tinyproxy(tmp_path_factory.mktemp("proxy"), login="an mat-khau", tunnels="1") as port:
        yield port


async def test_http_goes_through_the_proxy_in_the_absolute_form(proxy):
    async with serve(reply(200, b"hello")) as server:
        found = await check(server.url + "x?y=1", proxy=proxy)
        assert server.requests[0].target == "/x?y=1"
        assert "tinyproxy" in (server.requests[0].header("Via") or "")
    assert (found.failure, found.facts["body"]) == (None, "hello")
    assert found.samples["proxy_s"] > 0
    assert "connect_s" not in found.samples


@pytest.mark.parametrize("version", ["1.1", "auto"])
async def test_https_goes_through_a_tunnel_and_sees_the_servers_own_certificate(proxy, authority, version):
    async with serve(reply(200, b"hello"), authority.server()) as server:
        found = await check(server.url, proxy=proxy, ca_file=authority.file, http_version=version)
        assert server.requests[0].header("Via") is None
    assert (found.failure, found.facts["body"]) == (None, "hello")
    assert {"proxy_s", "tls_s", "first_byte_s", "transfer_s", "cert_expires_s"} <= set(found.samples)


async def test_a_proxy_that_wants_credentials_is_told_apart_from_the_service(guarded):
    async with serve(reply(200)) as server:
        without = await check(server.url, proxy=f"http://127.0.0.1:{guarded}")
        within = await check(server.url, proxy=f"http://an:mat-khau@127.0.0.1:{guarded}")
        assert server.requests[0].header("Proxy-Authorization") is None
    assert without.failure is Failure.AUTH_REJECTED
    assert without.message == f"proxy 127.0.0.1:{guarded}: it does not take our credentials (status = 407)"
    assert within.failure is None


async def test_a_proxy_that_opens_no_tunnel_says_so(guarded, authority):
    async with serve(reply(200), authority.server()) as server:
        found = await check(server.url, proxy=f"http://an:mat-khau@127.0.0.1:{guarded}")
    assert found.failure is Failure.HTTP_STATUS
    assert found.message == f"proxy 127.0.0.1:{guarded}: it opens no tunnel to {server.address} (status = 403)"


async def test_a_proxy_that_refuses_the_connection_is_named(unused_tcp_port):
    found = await check("https://cong.example.vn/", proxy=f"http://127.0.0.1:{unused_tcp_port}")
    assert found.failure is Failure.CONNECT_REFUSED
    assert found.message == f"proxy 127.0.0.1:{unused_tcp_port}: connection refused in connect"


async def test_the_name_of_the_target_is_the_proxys_to_look_up():
    async with serve(reply(200, b"x")) as fake:
        found = await check("http://khong-co.invalid/a", proxy=fake.url)
        assert fake.requests[0].target == "http://khong-co.invalid/a"
        assert fake.requests[0].header("Host") == "khong-co.invalid"
    assert found.failure is None


HARM = {
    "no HTTP": (b"SSH-2.0-x\r\n\r\n", Failure.PROTOCOL),
    "an endless header": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 9000, Failure.PROTOCOL),
    "a failure": (b"HTTP/1.1 502 Bad\r\n\r\n", Failure.HTTP_STATUS),
    "a goodbye": (b"HTTP/1.1 200", Failure.CONNECTION_CLOSED),
    "nothing": (b"", Failure.CONNECTION_CLOSED),
}


@pytest.mark.parametrize(("answer", "failure"), HARM.values(), ids=HARM.keys())
async def test_a_proxy_that_means_harm_is_named(answer, failure):
    async with serve(answer) as fake:
        found = await check("https://cong.example.vn/", proxy=f"http://{LOGIN}@{fake.address}")
        given = fake.requests[0].header("Proxy-Authorization")
    assert base64.b64decode(given.removeprefix("Basic ")).decode() == f"an:{SECRET}"
    assert found.failure is failure
    assert found.message.startswith(f"proxy {fake.address}: ")
    assert "mat-khau" not in found.message


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n"])
async def test_c10_a_silent_proxy_is_a_timeout_in_its_own_phase(answer):
    async with serve(then_wait(answer)) as fake, context(0.3) as ctx:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(HttpParams(url="https://cong.example.vn/", proxy=fake.url), ctx)
        assert ctx.phases.current == "proxy"
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1


@pytest.mark.parametrize("wrong", ["https://a:1", "socks5://a:1", "http://a:1/path", "a:1", f"http://an:{SECRET}@a:1"])
def test_what_is_no_proxy_is_refused_without_its_password(wrong):
    with pytest.raises(ValidationError) as caught:
        HttpParams(url="http://a.vn", proxy=wrong)
    assert "mat-khau" not in str(caught.value)


def test_a_proxys_password_is_never_shown():
    params = HttpParams(url="http://a.vn", proxy=f"http://{LOGIN}@10.0.0.1:3128")
    for shown in (repr(params), repr(params._plan), str(params.model_dump()), params.model_dump_json()):
        assert "mat-khau" not in shown
        assert "YW46" not in shown
