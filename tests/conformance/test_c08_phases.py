"""C8. HTTPS 200: all five phases, which sum to the duration within 5 %."""

from time import perf_counter

import pytest

from tests.probes.http_servers import context, http, redirect, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]

PHASES = ("resolve_s", "connect_s", "tls_s", "first_byte_s", "transfer_s")


async def measured(url, authority):
    """Run once for each of a few times and return the samples and duration of the last."""
    params = http.HttpParams(url=url, ca_file=authority.file)
    async with context() as ctx:
        started = perf_counter()
        found = await http.run(params, ctx)
        duration_s = perf_counter() - started
    assert found.failure is None
    return found.samples, duration_s


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_c8_five_phases_sum_to_the_duration(authority, host):
    async with serve(reply(200, b"x" * 5000), authority.server()) as server:
        samples, duration_s = await measured(server.url.replace("127.0.0.1", host), authority)
    assert all(samples[phase] > 0 for phase in PHASES)
    assert sum(samples[phase] for phase in PHASES) == pytest.approx(duration_s, rel=0.05)


async def test_c8_phases_add_up_over_redirects(authority):
    def twice(request):
        return redirect("/2") if request.target == "/" else reply(200, b"x")

    async with serve(twice, authority.server()) as server:
        samples, duration_s = await measured(server.url, authority)
        assert server.connections == 2
    assert sum(samples[phase] for phase in PHASES) == pytest.approx(duration_s, rel=0.05)


async def test_c8_a_server_that_thinks_is_seen_in_first_byte_and_one_that_dawdles_in_transfer(authority):
    import asyncio

    async def think_then_dawdle(_request, _reader, writer):
        await asyncio.sleep(0.12)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        await writer.drain()
        await asyncio.sleep(0.24)
        writer.write(b"b")

    async with serve(think_then_dawdle, authority.server()) as server:
        samples, _ = await measured(server.url, authority)
    assert samples["first_byte_s"] >= 0.119
    assert samples["transfer_s"] >= 0.239
    assert samples["first_byte_s"] < samples["transfer_s"]
