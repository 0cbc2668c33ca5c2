"""The kind `websocket`: against a real server of the library websockets, and against peers that mean harm."""

import asyncio
import contextlib

import pytest
from pydantic import ValidationError
from websockets.asyncio.server import serve as ws_serve

from probes import websocket_frames as frames
from probes.failures import TroubleError
from probes.kinds import websocket
from probes.kinds.websocket import PROBE, WebSocketParams
from probes.model import Failure
from tests.probes.http_servers import context, redirect, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]


@contextlib.asynccontextmanager
async def running(handler, tls=None, **options):
    async with ws_serve(handler, "127.0.0.1", 0, ssl=tls, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/su-kien"


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def check(url, timeout_s=5.0, **params):
    async with context(timeout_s) as ctx, asyncio.timeout(timeout_s):
        return await websocket.run(WebSocketParams(url=url, **params), ctx)


async def test_every_documented_sample_is_measured_and_no_other(authority):
    dialogue = [{"send": "xin chào"}, {"expect": "^xin ch"}, {"send": "x" * 60_000}, {"expect": "xxx$"}]
    async with running(echo, authority.server(), subprotocols=["json.v1"]) as url:
        found = await check(url, ca_file=authority.file, dialogue=dialogue, subprotocols=["a", "json.v1"])
    assert (found.failure, found.message) == (None, "")
    assert set(found.samples) == set(PROBE.samples)
    assert found.samples["status"] == 101
    assert found.samples["messages"] == 2
    assert found.samples["ping_s"] > 0
    facts = {name: found.facts[name] for name in PROBE.facts}
    assert facts["subprotocol"] == "json.v1"
    assert facts["message"] == "x" * 60_000


async def test_ws_without_a_ping_or_a_dialogue():
    async with running(echo) as url:
        found = await check(url, ping=False)
    assert found.failure is None
    assert set(found.samples) == {"resolve_s", "connect_s", "upgrade_s", "close_s", "status"}


async def test_the_server_sees_an_orderly_goodbye_and_the_headers():
    seen = asyncio.get_running_loop().create_future()

    async def handler(connection):
        await connection.wait_closed()
        seen.set_result((connection.close_code, connection.request.headers.get("Authorization")))

    async with running(handler) as url:
        await check(url, bearer_token="tk")
        assert await seen == (1000, "Bearer tk")


async def test_a_subprotocol_that_is_required_and_not_agreed_on_is_down():
    async with running(echo) as url:
        found = await check(url, subprotocols=["json.v1"], require_subprotocol=True)
    assert found.failure is Failure.PROTOCOL
    assert "json.v1" in found.message


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (reply(200, b"hello"), Failure.HTTP_STATUS),
        (reply(503), Failure.HTTP_STATUS),
        (redirect("/x"), Failure.HTTP_STATUS),
        (reply(401), Failure.AUTH_REJECTED),
        (reply(403), Failure.AUTH_REJECTED),
        (b"SSH-2.0-x\r\n\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 101 X\r\n" + b"X: y\r\n" * 300 + b"\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 1", Failure.CONNECTION_CLOSED),
        (b"", Failure.CONNECTION_CLOSED),
    ],
)
async def test_a_handshake_that_is_none_is_down(answer, failure):
    async with serve(answer) as server:
        found = await check(server.url.replace("http", "ws"))
    assert found.failure is failure
    assert found.message.isprintable()


async def test_a_server_that_closes_is_down_with_its_code():
    async def handler(connection):
        await connection.close(1013, "try again later")

    async with running(handler) as url:
        found = await check(url, ping=False, dialogue=[{"expect": "x"}])
    assert found.failure is Failure.CONNECTION_CLOSED
    assert "1013" in found.message


async def test_another_message_than_the_expected_is_down_with_what_came():
    async with running(echo) as url:
        found = await check(url, 0.6, dialogue=[{"send": "mat-khau"}, {"expect": "no such thing"}])
    assert found.failure is Failure.PROTOCOL
    assert found.message == "expected 'no such thing', read '…'"


def upgraded(said, *lines):
    """Answer the handshake as it should be, and then say something."""

    async def script(request, reader, writer):
        accept = frames.accept_of(request.header("Sec-WebSocket-Key"))
        head = ["HTTP/1.1 101 X", "Upgrade: WebSocket", "Connection: keep-alive, upgrade", *lines]
        writer.write("\r\n".join([*head, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode() + said)
        await reader.read()

    return script


HARM = {
    "a masked frame": (b"\x81\x81\0\0\0\0a", Failure.PROTOCOL),
    "reserved bits": (b"\xc1\x01a", Failure.PROTOCOL),
    "an unknown opcode": (b"\x83\x01a", Failure.PROTOCOL),
    "a long control frame": (b"\x89\x7e\x01\x00" + bytes(256), Failure.PROTOCOL),
    "a control frame in parts": (b"\x09\x00", Failure.PROTOCOL),
    "a part without a beginning": (b"\x80\x01a", Failure.PROTOCOL),
    "a beginning inside a message": (b"\x01\x01a\x81\x01b", Failure.PROTOCOL),
    "a message beyond counting": (b"\x82\x7f\x7f" + b"\xff" * 7, Failure.BODY_TOO_LARGE),
    "a message without end": (b"\x02\x00" + (b"\x00\x7e\xff\xff" + bytes(65535)) * 6, Failure.BODY_TOO_LARGE),
    "frames without end": (b"\x8a\x00" * 11_000, Failure.PROTOCOL),
}


@pytest.mark.parametrize(("said", "failure"), HARM.values(), ids=HARM.keys())
async def test_harm_is_told_as_such(said, failure):
    async with serve(upgraded(said)) as server:
        found = await check(server.url.replace("http", "ws"))
    assert found.failure is failure


@pytest.mark.parametrize("line", ["Sec-WebSocket-Protocol: x", "Sec-WebSocket-Extensions: permessage-deflate"])
async def test_what_was_not_offered_cannot_be_agreed_on(line):
    async with serve(upgraded(b"", line)) as server:
        found = await check(server.url.replace("http", "ws"))
    assert found.failure is Failure.PROTOCOL
    assert "not offered" in found.message


async def test_a_peer_that_never_says_goodbye_does_no_harm():
    async with serve(upgraded(b"")) as server:
        found = await check(server.url.replace("http", "ws"), 0.5, ping=False)
    assert found.failure is None


async def test_a_refused_connection_is_refused(unused_tcp_port):
    assert (await check(f"ws://127.0.0.1:{unused_tcp_port}/")).failure is Failure.CONNECT_REFUSED


async def test_a_certificate_that_does_not_verify_is_down(authority):
    async with running(echo, authority.server()) as url:
        found = await check(url)
    assert found.failure is Failure.TLS_UNTRUSTED
    assert "cert_expires_s" in found.samples


def test_the_accept_is_that_of_the_standard():
    assert frames.accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_messages_in_parts_are_put_together_in_any_pieces(pieces):
    stream = b"\x01\x03Hel\x89\x01p\x80\x02lo\x82\x7e\x00\x80" + bytes(128)
    reader, found = frames.Frames(1000), []
    for start in range(0, len(stream), pieces):
        found += reader.receive(stream[start : start + pieces])
    assert found == [(frames.PING, b"p"), (frames.TEXT, b"Hello"), (frames.BINARY, bytes(128))]
    with pytest.raises(TroubleError):
        list(frames.Frames(1).receive(b"\x81\x02ab"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://a"},
        {"url": "ws://an:bi-mat@a/"},
        {"url": "ws://"},
        {"subprotocols": ["a b"]},
        {"headers": {"Sec-WebSocket-Key": "x"}},
        {"headers": {"X": "bi-mat\nY: 1"}},
        {"bearer_token": "bi-mat\nX: 1"},
        {"dialogue": [{"send": "a", "expect": "b"}]},
        {"dialogue": [{"expect": "("}]},
    ],
)
def test_what_is_wrong_is_refused_without_the_secret(wrong):
    with pytest.raises(ValidationError) as caught:
        WebSocketParams(**{"url": "ws://a/", **wrong})
    assert "bi-mat" not in str(caught.value)
