"""C10. A server that accepts and never answers: `timeout` naming the phase, within the time-out + 0.1 s."""

import asyncio
from time import perf_counter

import pytest

from probes.failures import failure_of_timeout
from probes.model import Failure
from tests.probes.http_servers import context, http, reply, serve, then_wait, tls

pytest_plugins = ["tests.probes.http_fixtures"]

TIMEOUT_S = 0.3
SLACK_S = 0.1

SILENT = {
    "says nothing": (then_wait(b""), "first_byte"),
    "stops in the header": (then_wait(b"HTTP/1.1 200 OK\r\nX: "), "transfer"),
    "stops in the body": (then_wait(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), "transfer"),
    "stops in a chunk": (then_wait(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx"), "transfer"),
    "promises an answer and gives none": (then_wait(b"HTTP/1.1 100 Continue\r\n\r\n"), "transfer"),
}


async def dies_in(run, params):
    """Run until the deadline, and return the phase and how much later than the deadline it ended."""
    async with context(TIMEOUT_S) as ctx:
        started = perf_counter()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(ctx.deadline):
                await run(params, ctx)
        late_s = perf_counter() - started - TIMEOUT_S
        return ctx.phases.current, late_s


@pytest.mark.parametrize(("script", "phase"), SILENT.values(), ids=SILENT.keys())
async def test_c10_http_names_the_phase_and_lets_go(script, phase):
    async with serve(script) as server:
        died_in, late_s = await dies_in(http.run, http.HttpParams(url=server.url))
        await server.drained()
    assert died_in == phase
    assert late_s < SLACK_S
    assert failure_of_timeout(died_in) is Failure.TIMEOUT


async def test_c10_http_dawdling_in_its_header_is_ended():
    async def drip(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serve(drip) as server:
        died_in, late_s = await dies_in(http.run, http.HttpParams(url=server.url))
    assert died_in == "transfer"
    assert late_s < SLACK_S


async def test_c10_https_silence_after_the_handshake_is_in_first_byte(authority):
    async with serve(then_wait(b""), authority.server()) as server:
        died_in, late_s = await dies_in(http.run, http.HttpParams(url=server.url, ca_file=authority.file))
    assert died_in == "first_byte"
    assert late_s < SLACK_S


@pytest.mark.parametrize("kind", ["http", "tls"])
async def test_c10_silence_in_the_handshake_is_in_tls(kind):
    async with serve(then_wait(b""), reads=False) as server:
        if kind == "http":
            run, params = http.run, http.HttpParams(url=f"https://{server.address}/")
        else:
            run, params = tls.run, tls.TlsParams(address=server.address)
        died_in, late_s = await dies_in(run, params)
        await server.drained()
    assert died_in == "tls"
    assert late_s < SLACK_S
    assert failure_of_timeout(died_in) is Failure.TIMEOUT


@pytest.mark.parametrize("kind", ["http", "tls"])
async def test_c10_a_full_backlog_is_a_connect_timeout(kind, full_backlog):
    if kind == "http":
        run, params = http.run, http.HttpParams(url=f"http://{full_backlog}/")
    else:
        run, params = tls.run, tls.TlsParams(address=full_backlog)
    died_in, late_s = await dies_in(run, params)
    assert died_in == "connect"
    assert late_s < SLACK_S
    assert failure_of_timeout(died_in) is Failure.CONNECT_TIMEOUT


async def test_c10_the_same_server_is_measured_when_it_answers():
    async with serve(reply(200)) as server, context(TIMEOUT_S) as ctx:
        assert (await http.run(http.HttpParams(url=server.url), ctx)).failure is None
