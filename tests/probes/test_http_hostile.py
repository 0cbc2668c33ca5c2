"""The kind `http` against peers that mean harm, or do not know better."""

import asyncio
import gzip
import zlib

import pytest

from probes.conditions import compile_condition
from probes.http_exchange import HEAD_LIMIT, HEADERS_LIMIT, INTERIM_LIMIT, LINE_LIMIT
from probes.kinds.http import PROBE
from probes.model import Failure
from tests.probes.http_servers import check, chunked, endless, redirect, reply, reset, serve, slowly

pytest_plugins = ["tests.probes.http_fixtures"]

OK = b"HTTP/1.1 200 OK\r\n"

NOT_HTTP = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/0.9": b"<html><body>hello</body></html>",
    "binary": bytes(range(256)),
    "a status that is none": b"HTTP/1.1 2OO OK\r\n\r\n",
    "a version that is none": b"HTTP/9.9 200 OK\r\n\r\n",
    "a header without a colon": OK + b"no colon here\r\n\r\n",
    "a NUL in a header": OK + b"X-A: a\x00b\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length that is none": OK + b"Content-Length: -1\r\n\r\n",
    "a length beyond counting": OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "a length and chunks": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than it says": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a chunk beyond counting": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n",
    "too many header lines": OK + b"".join(b"X-%d: y\r\n" % n for n in range(HEADERS_LIMIT + 1)) + b"\r\n",
    "a header line too long": OK + b"X: " + b"y" * (LINE_LIMIT + 1) + b"\r\n\r\n",
    "a reason too long": b"HTTP/1.1 200 " + b"y" * (LINE_LIMIT + 1) + b"\r\n\r\n",
    "too long a header": OK + b"".join(b"X-%d: " % n + b"y" * 1000 + b"\r\n" for n in range(80)) + b"\r\n",
    "too many interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * (INTERIM_LIMIT + 1) + reply(200),
}


def _gzipped(data: bytes) -> bytes:
    """Compress without the time of day, so that a test is named alike in every process."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("answer", NOT_HTTP.values(), ids=NOT_HTTP.keys())
async def test_what_is_not_http_is_a_failure_of_the_protocol(answer):
    async with serve(answer) as server:
        found = await check(server.url)
    assert found.failure is Failure.PROTOCOL
    assert found.message
    assert found.message.isprintable()
    assert len(found.message) <= 300


@pytest.mark.parametrize("answer", NOT_HTTP.values(), ids=NOT_HTTP.keys())
async def test_the_same_byte_by_byte_is_the_same_failure(answer):
    async with serve(slowly(answer, max(1, len(answer) // 40))) as server:
        found = await check(server.url)
    assert found.failure is Failure.PROTOCOL


async def test_an_endless_header_is_ended_by_us():
    async with serve(endless(OK, b"X-Flood: " + b"y" * 1000 + b"\r\n")) as server:
        found = await check(server.url)
    assert found.failure is Failure.PROTOCOL


async def test_an_endless_header_line_is_ended_by_us():
    async with serve(endless(OK + b"X: ", b"y" * 65536)) as server:
        found = await check(server.url)
    assert found.failure is Failure.PROTOCOL


async def test_endless_interim_answers_are_ended_by_us():
    async with serve(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")) as server:
        found = await check(server.url)
    assert found.failure is Failure.PROTOCOL


async def test_an_endless_trailer_is_ended_by_us():
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    async with serve(endless(head, b"X-Trailer: " + b"y" * 1000 + b"\r\n")) as server:
        found = await check(server.url, body_limit="1KiB")
    assert found.failure in (Failure.PROTOCOL, Failure.BODY_TOO_LARGE)


async def test_a_header_just_within_every_limit_is_taken():
    lines = [f"X-{n}: " + "y" * 200 for n in range(HEADERS_LIMIT - 2)]
    answer = reply(200, b"x", "X: " + "y" * (LINE_LIMIT - 10 - 3000), *lines[:200])
    assert len(answer) < HEAD_LIMIT
    async with serve(answer) as server:
        assert (await check(server.url)).failure is None


CUT_OFF = {
    "in the status line": b"HTTP/1.1 20",
    "in the header": OK + b"X: y\r\n",
    "before the body": reply(200, b"", length=10),
    "in the body": reply(200, b"abc", length=10),
    "in a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "between chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "before the last line": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
}


@pytest.mark.parametrize("answer", CUT_OFF.values(), ids=CUT_OFF.keys())
@pytest.mark.parametrize("safe", [False, True], ids=["http", "https"])
async def test_an_early_close_is_a_closed_connection(answer, safe, authority):
    async with serve(answer, authority.server() if safe else None) as server:
        found = await check(server.url, ca_file=authority.file)
    assert found.failure is Failure.CONNECTION_CLOSED
    assert "bytes" in found.message
    if b"\r\n\r\n" in answer:
        assert found.samples["status"] == 200
        assert "body_bytes" in found.samples


async def test_a_reset_in_the_body_is_a_reset():
    async def half_then_reset(request, reader, writer):
        writer.write(reply(200, b"abc", length=10))
        await writer.drain()
        await asyncio.sleep(0.02)
        await reset(request, reader, writer)

    async with serve(half_then_reset) as server:
        found = await check(server.url)
    assert found.failure is Failure.CONNECTION_RESET
    assert found.samples["status"] == 200


@pytest.mark.parametrize("together", [True, False])
async def test_bytes_after_the_answer_are_not_part_of_it(together):
    answer = reply(200, b"hello") + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\ngarbage"
    async with serve(answer if together else slowly(answer, 40)) as server:
        found = await check(server.url)
    assert found.failure is None
    assert found.facts["body"] == "hello"
    assert found.samples["status"] == 200


async def test_a_wrong_status_is_told_before_a_broken_body():
    async with serve(reply(503, b"not gzip", "Content-Encoding: gzip")) as server:
        found = await check(server.url)
    assert found.failure is Failure.HTTP_STATUS


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"not gzip at all", "gzip"),
        (_gzipped(b"hello")[:-4], "gzip"),
        (_gzipped(b"hello")[:-8] + b"\0" * 8, "gzip"),
        (_gzipped(b"hello") + b"junk", "gzip"),
        (zlib.compress(b"hello")[:-2], "deflate"),
        (b"\xff\xff", "deflate"),
        (b"x", "br"),
        (b"x", "zstd"),
        (_gzipped(_gzipped(b"x")), "gzip, gzip"),
        (b"x", "a" * 500),
        (b"x", "ế"),
    ],
)
async def test_a_coding_that_cannot_be_undone_is_a_failure_to_decode(body, coding):
    async with serve(reply(200, body, f"Content-Encoding: {coding}")) as server:
        found = await check(server.url)
    assert found.failure is Failure.BODY_DECODE
    assert len(found.message) < 200


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (_gzipped(b"xin ") + _gzipped(b"chao"), "gzip"),
        (_gzipped(b"xin chao"), "X-GZIP"),
        (zlib.compress(b"xin chao"), "deflate"),
        (zlib.compress(b"xin chao", wbits=-15), " Deflate "),
        (b"xin chao", "identity"),
    ],
)
@pytest.mark.parametrize("piece", [None, 1])
async def test_the_codings_of_rfc_9110_are_undone_in_any_pieces(body, coding, piece):
    answer = reply(200, body, f"Content-Encoding: {coding}")
    async with serve(slowly(answer, piece) if piece else answer) as server:
        found = await check(server.url)
    assert found.failure is None
    assert found.facts["body"] == "xin chao"
    assert found.samples["body_bytes"] == 8


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("Hà Nội".encode(), "text/plain", "Hà Nội"),
        ("Hà Nội".encode("utf-16"), "text/plain", "Hà Nội"),
        ("Hà".encode("cp1258"), "text/plain; charset=windows-1258", "Hà"),
        (b"\xe9", 'text/plain; charset="ISO-8859-1"', "é"),
        (b"a\xffb\x00c", "text/plain; charset=utf-8", "a\ufffdb\x00c"),
        (b"abc", "text/plain; charset=no-such", "abc"),
        (b"abc", "text/plain; charset=punycode", "abc"),
        (b"YWJj", "text/plain; charset=base64", "YWJj"),
        (b"abc", "text/plain; charset=\x7f;;;=", "abc"),
        (b"abc", "text/plain; charset=" + "x" * 5000, "abc"),
        (b"\xed\xa0\x80", "text/plain", "\ufffd\ufffd\ufffd"),
    ],
)
async def test_text_is_decoded_as_it_says_and_never_refused(body, content_type, text):
    async with serve(reply(200, body, f"Content-Type: {content_type}")) as server:
        found = await check(server.url)
    assert found.failure is None
    assert found.facts["body"] == text
    assert compile_condition("body.contains('never there')", PROBE).holds(found, 0.01) == (False, "")


async def test_a_header_that_is_no_text_can_still_be_looked_at():
    async with serve(OK + b"X-Raw: a\xff\xfeb\r\nContent-Length: 0\r\n\r\n") as server:
        found = await check(server.url)
    assert found.facts["headers"]["x-raw"] == "a\ufffd\ufffdb"
    assert compile_condition("headers['x-raw'].startsWith('a')", PROBE).holds(found, 0.01)[0]


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "http://[::1",
        "http://a b/",
        "http://h:99999/",
        "http://127.0.0.1\\@evil/",
        "https://" + "x" * 9000,
    ],
)
async def test_a_redirect_to_what_is_no_web_address_goes_nowhere(location):
    async with serve(redirect(location)) as server:
        found = await check(server.url)
        assert len(server.requests) == 1
    assert found.failure is Failure.PROTOCOL
    assert "redirect" in found.message
    assert found.samples["status"] == 302


async def test_a_redirect_cannot_bring_credentials_or_forge_a_header():
    def step(request):
        if request.target == "/":
            return redirect(f"http://an:s3cret@{request.server.address}/a\tb%0d%0aX-Evil:%201?c=\xa0")
        return reply(200)

    async with serve(step) as server:
        found = await check(server.url)
        assert server.requests[1].header("Authorization") is None
        assert server.requests[1].header("X-Evil") is None
        assert server.requests[1].target.startswith("/ab%0D%0AX-Evil:%201?c=")
    assert found.failure is None
    assert "s3cret" not in found.facts["url"]


async def test_a_redirect_that_leads_to_nobody_names_what_failed(unused_tcp_port):
    async with serve(redirect(f"http://127.0.0.1:{unused_tcp_port}/")) as server:
        found = await check(server.url)
    assert found.failure is Failure.CONNECT_REFUSED
    assert found.samples["redirects"] == 1
    assert "status" not in found.samples


async def test_the_body_of_a_redirect_is_not_read():
    def step(request):
        bomb = (
            OK.replace(b"200 OK", b"302 X")
            + b"Location: /in\r\nContent-Encoding: br\r\nContent-Length: 9999999\r\n\r\n"
        )
        return bomb if request.target == "/" else reply(200)

    async with serve(step) as server:
        found = await check(server.url, body_limit=10)
    assert found.failure is None


async def test_cookies_of_a_hostile_server_are_bounded_and_never_break_a_line():
    cookies = [f"Set-Cookie: c{n}={'v' * 100}" for n in range(200)]
    odd = [
        "Set-Cookie: =x",
        "Set-Cookie: ;;;",
        "Set-Cookie: a\x01b=c",
        f"Set-Cookie: big={'v' * 5000}",
        "Set-Cookie: x",
    ]

    def step(request):
        return redirect("/in", 302, *odd, *cookies) if request.target == "/" else reply(200)

    async with serve(step) as server:
        found = await check(server.url)
        sent = server.requests[1].header("Cookie").split("; ")
    assert found.failure is None
    assert len(sent) == 50
    assert all(pair.startswith("c") for pair in sent)


async def test_a_chunked_body_of_many_chunks_is_read():
    async with serve(chunked([b"x"] * 20_000)) as server:
        found = await check(server.url)
    assert found.samples["body_bytes"] == 20_000
