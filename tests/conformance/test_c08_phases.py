"""C8. HTTPS 200: all five phases, which sum to the duration within 5 %."""

import asyncio
import json
import sys

import pytest

from monitor.jobs import Job
from monitor.runner import measure
from probes.model import Phases, Resources
from tests.probes.http_servers import http, redirect, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]

PHASES = ("resolve_s", "connect_s", "tls_s", "first_byte_s", "transfer_s")


async def measured(url, authority):
    """Return the result of one run, as the monitor has it."""
    params = http.HttpParams(url=url, ca_file=authority.file)
    resources = Resources()
    try:
        result = await measure(Job("ndxp/http", http.run, params, 5.0, 60.0, 20.0), resources, "hn-1")
    finally:
        await resources.aclose()
    assert result.failure is None
    return result


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_c8_five_phases_sum_to_the_duration(authority, host):
    async with serve(reply(200, b"x" * 5000), authority.server()) as server:
        result = await measured(server.url.replace("127.0.0.1", host), authority)
    assert all(result.samples[phase] > 0 for phase in PHASES)
    assert sum(result.samples[phase] for phase in PHASES) == pytest.approx(result.duration_s, rel=0.05)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_c8_also_in_a_process_that_has_just_begun(authority, host):
    """What is loaded for the first time (authorities, c-ares) is neither in a phase nor in the duration."""
    async with serve(reply(200, b"x" * 5000), authority.server()) as server:
        url = server.url.replace("127.0.0.1", host)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", "probe", "http", url, "-p", f"ca_file={authority.file}", "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    result = json.loads(out)
    assert result["state"] == "up"
    assert all(result["samples"][phase] > 0 for phase in PHASES)
    assert sum(result["samples"][phase] for phase in PHASES) == pytest.approx(result["duration_s"], rel=0.05)


async def test_c8_phases_add_up_over_redirects(authority):
    def twice(request):
        return redirect("/2") if request.target == "/" else reply(200, b"x")

    async with serve(twice, authority.server()) as server:
        result = await measured(server.url, authority)
        assert server.connections == 2
    assert sum(result.samples[phase] for phase in PHASES) == pytest.approx(result.duration_s, rel=0.05)


async def test_c8_a_server_that_thinks_is_seen_in_first_byte_and_one_that_dawdles_in_transfer(authority):
    async def think_then_dawdle(_request, _reader, writer):
        await asyncio.sleep(0.12)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        await writer.drain()
        await asyncio.sleep(0.24)
        writer.write(b"b")

    async with serve(think_then_dawdle, authority.server()) as server:
        result = await measured(server.url, authority)
    assert result.samples["first_byte_s"] >= 0.119
    assert result.samples["transfer_s"] >= 0.239
    assert result.samples["first_byte_s"] < result.samples["transfer_s"]
    assert result.duration_s >= 0.36


def test_c8_what_is_done_aside_is_in_no_phase(monkeypatch):
    now = 100.0
    monkeypatch.setattr("probes.model.perf_counter", lambda: now)

    def spend(seconds):
        nonlocal now
        now += seconds

    phases = Phases()
    spend(1.0)
    phases.begin("connect")
    spend(0.25)
    phases.begin("tls")
    phases.aside(lambda: spend(40.0))
    spend(0.5)
    assert phases.span_s(100.0) == 0.75
    phases.end()
    spend(3.0)
    assert phases.samples == {"connect_s": 0.25, "tls_s": 0.5}
    assert phases.span_s(100.0) == 0.75
