"""C7. A body past the limit, also one that unfolds to it, is too large, and no more than the limit is held."""

import gzip
import tracemalloc
import zlib

import pytest

from probes.model import Failure
from tests.probes.http_servers import check, chunked, endless, reply, serve

BOMB = zlib.compress(bytes(200 << 20), 9)


@pytest.mark.parametrize(("size", "failure"), [(127, None), (128, None), (129, Failure.BODY_TOO_LARGE)])
@pytest.mark.parametrize("frame", ["length", "chunked", "end"])
async def test_c7_the_limit_is_exact(size, failure, frame):
    body = b"x" * size
    answer = {
        "length": reply(200, body),
        "chunked": chunked([body[:100], body[100:]]),
        "end": b"HTTP/1.0 200 OK\r\n\r\n" + body,
    }[frame]
    async with serve(answer) as server:
        found = await check(server.url, body_limit="128B")
    assert found.failure is failure
    assert "body_bytes" in found.samples
    if failure:
        assert found.message == "the body is larger than 128 bytes"
    else:
        assert found.facts["body"] == "x" * size


@pytest.mark.parametrize(("size", "failure"), [(128, None), (129, Failure.BODY_TOO_LARGE)])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
async def test_c7_a_compressed_body_counts_as_what_it_unfolds_to(size, failure, coding):
    raw = zlib.compressobj(wbits=-15)
    body = {
        "gzip": gzip.compress(b"x" * size),
        "deflate": zlib.compress(b"x" * size),
        "raw deflate": raw.compress(b"x" * size) + raw.flush(),
    }[coding]
    async with serve(reply(200, body, f"Content-Encoding: {coding.removeprefix('raw ')}")) as server:
        found = await check(server.url, body_limit=128)
    assert found.failure is failure
    assert found.samples["body_bytes"] == size


async def test_c7_a_bomb_is_never_unfolded():
    async with serve(reply(200, BOMB, "Content-Encoding: deflate")) as server:
        tracemalloc.start()
        found = await check(server.url, body_limit="64KiB")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.failure is Failure.BODY_TOO_LARGE
    assert found.samples["body_bytes"] == 64 * 1024 + 1
    assert peak < 8 << 20


ENDLESS = {
    "without a length": (b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536)),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + bytes(4096) + b"\r\n"),
    "of tiny chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 5000),
    "in one chunk's extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", b"x" * 65536),
    "of gzip members with nothing in them": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        gzip.compress(b"") * 500,
    ),
    "with a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", bytes(65536)),
}


@pytest.mark.parametrize("parts", ENDLESS.values(), ids=ENDLESS.keys())
async def test_c7_an_endless_body_is_ended_by_us(parts):
    async with serve(endless(*parts)) as server:
        found = await check(server.url, body_limit="64KiB")
    assert found.failure is Failure.BODY_TOO_LARGE
