"""C5. TLS required and a plain 200: down. Closed without an answer: not blamed on TLS."""

import asyncio

import pytest

from probes.model import Failure
from tests.probes.http_servers import check, redirect, reply, reset, serve

pytest_plugins = ["tests.probes.http_fixtures"]


async def close_at_once(_request, _reader, writer):
    writer.close()


async def test_c5_tls_required_and_a_plain_200_is_down():
    async with serve(reply(200, b"x")) as server:
        found = await check(server.url, require_tls=True)
    assert found.failure is Failure.TLS_REQUIRED
    assert found.samples["status"] == 200
    assert found.samples["body_bytes"] == 1


async def test_c5_tls_required_and_a_redirect_to_https_is_up(authority):
    async with serve(reply(200), authority.server()) as safe, serve(redirect(safe.url)) as plain:
        found = await check(plain.url, require_tls=True, ca_file=authority.file)
    assert found.failure is None


async def test_c5_tls_required_and_a_redirect_away_from_https_is_down(authority):
    async with serve(reply(200)) as plain, serve(redirect(plain.url), authority.server()) as safe:
        found = await check(safe.url, require_tls=True, ca_file=authority.file)
    assert found.failure is Failure.TLS_REQUIRED


async def test_c5_closed_without_an_answer_is_no_failure_of_tls(authority):
    async with serve(close_at_once, authority.server()) as server:
        found = await check(server.url, ca_file=authority.file)
    assert found.failure is Failure.CONNECTION_CLOSED
    assert "without an answer" in found.message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_c5_closed_before_a_word_is_no_failure_of_tls(scheme):
    async def listen_and_close(_request, reader, _writer):
        await reader.read(1)  # what it left unread would make its system send a reset (RFC 1122, 4.2.2.13)

    async with serve(listen_and_close, reads=False) as server:
        found = await check(server.url.replace("http:", f"{scheme}:"))
    assert found.failure is Failure.CONNECTION_CLOSED
    assert "without an answer" in found.message


async def test_c5_closed_in_the_middle_of_the_handshake_is_no_failure_of_tls():
    async def half_a_record(_request, reader, writer):
        await reader.read(5)
        writer.write(b"\x16\x03\x03\x00\x7a\x02")

    async with serve(half_a_record, reads=False) as server:
        found = await check(server.url.replace("http:", "https:"))
    assert found.failure is Failure.CONNECTION_CLOSED


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_c5_a_reset_is_a_reset(scheme):
    async def read_then_reset(request, reader, writer):
        await reader.read(1)
        await reset(request, reader, writer)

    async with serve(read_then_reset, reads=False) as server:
        found = await check(server.url.replace("http:", f"{scheme}:"))
    assert found.failure is Failure.CONNECTION_RESET


async def test_c5_what_is_not_tls_at_all_is_a_failure_of_the_handshake():
    async with serve(reply(400, b"plain"), reads=False) as server:
        found = await check(server.url.replace("http:", "https:"))
    assert found.failure is Failure.TLS_HANDSHAKE
    assert found.message == "TLS failed: wrong version number (what the peer said is not TLS)"


async def test_c5_plain_http_to_a_tls_port_is_not_http(authority):
    async def alert(_request, _reader, writer):
        writer.write(b"\x15\x03\x01\x00\x02\x02\x46")
        await asyncio.sleep(0)

    async with serve(alert) as server:
        found = await check(server.url)
    assert found.failure is Failure.PROTOCOL
    assert "TLS" in found.message
