"""HTTP/2: against a real nginx, and against peers that mean harm."""

import asyncio
import random
import struct
from pathlib import Path
from typing import NamedTuple

import hpack
import pytest

from probes.http2_stream import FRAMES_LIMIT
from probes.kinds.http import HttpParams, run
from probes.model import Failure
from tests.postgres import free_port
from tests.probes.http_programs import nginx
from tests.probes.http_servers import check, context, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]

HTTP2 = {"http_version": 2}
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1


class Nginx(NamedTuple):
    safe: str
    plain: str
    old: str
    wants_certificate: str


@pytest.fixture(scope="module")
def server(authority, tmp_path_factory) -> Nginx:
    folder: Path = tmp_path_factory.mktemp("nginx")
    certificate, key = authority.files(folder)
    (folder / "big").write_bytes(b"x" * 300_000)
    safe, plain, old, client = (free_port() for _ in range(4))
    tls = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
    places = """
        location = / { default_type application/json; return 200 '{"status": "UP"}'; }
        location = /503 { return 503 'no'; }
        location = /hop { add_header Set-Cookie 'a=b'; return 302 /cookie; }
        location = /cookie { return 200 '$http_cookie'; }
        location = /big { root .; }
        location = /echo { return 200 '$request_method $content_length $http_x_key $host $server_protocol'; }
        location = /who { return 200 '$ssl_client_verify'; }
    """
    places = places.replace("root .", f"root {folder}")
    servers = f"""
        server {{ listen 127.0.0.1:{safe} ssl http2; {tls} {places} }}
        server {{ listen 127.0.0.1:{plain} http2; {places} }}
        server {{ listen 127.0.0.1:{old} ssl; {tls} {places} }}
        server {{ listen 127.0.0.1:{client} ssl http2; {tls} {places}
                  ssl_client_certificate {authority.file}; ssl_verify_client on; }}
    """
    with nginx(folder, servers, safe):
        yield Nginx(
            f"https://127.0.0.1:{safe}", f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{old}",
            f"https://127.0.0.1:{client}",
        )  # fmt: skip


async def test_http_2_is_spoken_where_tls_agrees(server, authority):
    found = await check(f"{server.safe}/", ca_file=authority.file, http_version="auto")
    assert (found.failure, found.message) == (None, "")
    assert found.samples["http_version"] == 2.0
    assert found.facts["json"] == {"status": "UP"}
    assert found.facts["headers"]["content-type"] == "application/json"
    assert {"tls_s", "first_byte_s", "transfer_s"} <= set(found.samples)


async def test_http_1_1_stays_the_default(server, authority):
    found = await check(f"{server.safe}/", ca_file=authority.file)
    assert found.samples["http_version"] == 1.1


async def test_auto_takes_http_1_1_where_that_is_all_there_is(server, authority):
    found = await check(f"{server.old}/", ca_file=authority.file, http_version="auto")
    assert (found.failure, found.samples["http_version"]) == (None, 1.1)


async def test_who_insists_on_http_2_is_down_without_it(server, authority):
    found = await check(f"{server.old}/", ca_file=authority.file, **HTTP2)
    assert found.failure is Failure.PROTOCOL
    assert "does not agree to HTTP/2" in found.message
    async with serve(reply(200), authority.server()) as silent_on_it:
        found = await check(silent_on_it.url, ca_file=authority.file, **HTTP2)
    assert found.failure is Failure.PROTOCOL
    assert "does not agree to HTTP/2" in found.message


async def test_http_2_without_tls_is_spoken_with_prior_knowledge(server):
    found = await check(f"{server.plain}/echo", method="POST", body="x" * 200_000, headers={"X-Key": "k"}, **HTTP2)
    assert (found.failure, found.samples["http_version"]) == (None, 2.0)
    assert found.facts["body"] == "POST 200000 k 127.0.0.1 HTTP/2.0"


async def test_a_wrong_status_over_http_2_is_down(server):
    found = await check(f"{server.plain}/503", **HTTP2)
    assert found.failure is Failure.HTTP_STATUS
    assert "503" in found.message


async def test_redirects_and_cookies_work_as_over_http_1(server):
    found = await check(f"{server.plain}/hop", **HTTP2)
    assert (found.failure, found.samples["redirects"], found.facts["body"]) == (None, 1, "a=b")


async def test_a_body_larger_than_the_windows_arrives_whole(server):
    found = await check(f"{server.plain}/big", **HTTP2)
    assert (found.failure, found.samples["body_bytes"]) == (None, 300_000)


async def test_a_body_past_its_limit_is_too_large(server):
    found = await check(f"{server.plain}/big", body_limit="100KiB", **HTTP2)
    assert found.failure is Failure.BODY_TOO_LARGE


async def test_a_head_has_no_body(server):
    found = await check(f"{server.plain}/big", method="HEAD", **HTTP2)
    assert (found.failure, found.samples["body_bytes"]) == (None, 0)


async def test_our_certificate_is_shown_to_nginx(server, authority, tmp_path):
    own = authority.client(tmp_path)
    found = await check(f"{server.wants_certificate}/who", ca_file=authority.file, client_cert_file=own, **HTTP2)
    assert (found.failure, found.facts["body"]) == (None, "SUCCESS")
    without = await check(f"{server.wants_certificate}/who", ca_file=authority.file)
    assert without.failure is Failure.HTTP_STATUS
    assert without.samples["status"] == 400


async def test_http_2_asked_of_an_http_1_server_says_so():
    async with serve(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", reads=False) as old:
        found = await check(old.url, **HTTP2)
    assert found.failure is Failure.PROTOCOL
    assert "HTTP/1.1 400" in found.message


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def header(*lines: tuple[str, str], flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, hpack.Encoder().encode([(":status", "200"), *lines], huffman=False), flags, 1)


BEGIN = frame(SETTINGS)
BOMB = hpack.Encoder().encode([(":status", "200"), ("x", "y" * 4000)]) + b"\xbe" * 15_000
HARM = {
    "settings without end": frame(SETTINGS) * 9000,
    "pings without end": BEGIN + frame(PING, bytes(8)) * 9000,
    "windows without end": BEGIN + frame(WINDOW, b"\0\0\0\1") * 9000,
    "priorities without end": BEGIN + frame(PRIORITY, b"\0\0\0\3\1", stream=5) * 9000,
    "empty data without end": BEGIN + header() + frame(DATA, stream=1) * 9000,
    "unknown frames without end": BEGIN + frame(0xBE, b"x", stream=1) * 9000,
    "continuations without end": BEGIN + header(flags=0) + frame(CONTINUATION, stream=1) * 9000,
    "long continuations": BEGIN + header(flags=0) + frame(CONTINUATION, b"\x40\x01x\x01y" * 3000, stream=1) * 70,
    "a header bomb": BEGIN + frame(HEADERS, BOMB, END_HEADERS, 1),
    "a header of many lines": BEGIN + header(*((f"x-{n}", "y") for n in range(300))),
    "interim answers without end": BEGIN
    + frame(HEADERS, hpack.Encoder().encode([(":status", "103")]), END_HEADERS, 1) * 40,
    "a push": BEGIN + frame(PUSH, b"\0\0\0\2" + hpack.Encoder().encode([(":method", "GET")]), END_HEADERS, 1),
    "a window beyond counting": BEGIN + frame(WINDOW, b"\x7f\xff\xff\xff") * 2,
    "a frame too long": BEGIN + frame(DATA, bytes(20_000), stream=1),
    "no status": BEGIN + frame(HEADERS, hpack.Encoder().encode([("a", "b")]), END_HEADERS, 1),
    "a status that is none": BEGIN + frame(HEADERS, hpack.Encoder().encode([(":status", "2x0")]), END_HEADERS, 1),
    "capital letters": BEGIN + header(("X-A", "b")),
    "a header of a connection": BEGIN + header(("connection", "close")),
    "more than was announced": BEGIN + header(("content-length", "1")) + frame(DATA, b"xx", END_STREAM, 1),
    "data before a header": BEGIN + frame(DATA, b"x", stream=1),
    "a stream that nobody opened": BEGIN + header() + frame(DATA, b"x", stream=3),
    "garbage": bytes(range(256)) * 40,
    "zeros": bytes(9000),
}


def script(answer: bytes):
    async def talk(_request, reader, writer):
        await reader.readexactly(len(PREFACE))
        writer.write(answer)
        await writer.drain()
        await reader.read()

    return talk


@pytest.mark.parametrize("answer", HARM.values(), ids=HARM.keys())
async def test_harm_is_a_failure_of_the_protocol(answer):
    async with serve(script(answer), reads=False) as hostile:
        found = await check(hostile.url, body_limit="64KiB", **HTTP2)
    assert found.failure in (Failure.PROTOCOL, Failure.CONNECTION_CLOSED)
    assert found.message.isprintable()
    assert len(found.message) <= 300


def test_a_flood_is_longer_than_the_limit():
    assert FRAMES_LIMIT + 64 < 9000


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (BEGIN + header() + frame(RST, struct.pack(">I", 2), stream=1), "INTERNAL_ERROR"),
        (BEGIN + frame(GOAWAY, struct.pack(">II", 0, 11)), "ENHANCE_YOUR_CALM"),
        (BEGIN + header(("content-length", "9")), "bytes"),
        (b"", "without an answer"),
    ],
)
async def test_an_exchange_that_is_broken_off_is_a_closed_connection(answer, says):
    async def talk(_request, reader, writer):
        await reader.readexactly(len(PREFACE))
        writer.write(answer)

    async with serve(talk, reads=False) as hostile:
        found = await check(hostile.url, **HTTP2)
    assert found.failure in (Failure.CONNECTION_CLOSED, Failure.CONNECTION_RESET)
    if found.failure is Failure.CONNECTION_CLOSED:
        assert says in found.message


async def test_a_goodbye_before_the_answer_lets_it_come():
    answer = BEGIN + frame(GOAWAY, struct.pack(">II", 1, 0)) + header(flags=END_HEADERS | END_STREAM)
    async with serve(script(answer), reads=False) as server:
        assert (await check(server.url, **HTTP2)).failure is None


@pytest.mark.parametrize("seed", range(40))
async def test_bytes_that_were_changed_never_raise(seed):
    chance = random.Random(seed)
    answer = bytearray(BEGIN + header(("content-type", "text/plain")) + frame(DATA, b"xin chao", END_STREAM, 1))
    for _ in range(chance.randint(1, 6)):
        answer[chance.randrange(len(answer))] = chance.randrange(256)

    async def talk(_request, reader, writer):
        await reader.readexactly(len(PREFACE))
        writer.write(bytes(answer))

    async with serve(talk, reads=False) as hostile:
        found = await check(hostile.url, **HTTP2)
    assert found.failure is None or found.failure is not Failure.INTERNAL


@pytest.mark.parametrize(
    ("answer", "phase"), [(b"", "first_byte"), (BEGIN, "first_byte"), (BEGIN + header(), "transfer")]
)
async def test_c10_silence_over_http_2_is_in_its_phase(answer, phase):
    async with serve(script(answer), reads=False) as server, context(0.3) as ctx:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(HttpParams(url=server.url, body="x" * 100_000, **HTTP2), ctx)
        assert ctx.phases.current == phase
        assert asyncio.get_running_loop().time() - ctx.deadline < 0.1


def test_a_version_that_is_none_is_refused():
    with pytest.raises(ValueError, match="http_version"):
        HttpParams(url="http://a.vn", http_version=3)
