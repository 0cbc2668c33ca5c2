"""The kind `throughput` between two ends of ours: on loopback, over a link with a limit, and what is not tested."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop
from pydantic import ValidationError

from monitor.oneshot import prepare, run_once
from probes.kinds.throughput import PROBE, ThroughputParams
from probes.model import Context, Failure, Measurement, Resources
from probes.throughput_lane import DAY_S, Budget, Lane
from probes.throughput_server import ServerOptions, ThroughputServer, serve_throughput
from tests.responders import needs_root
from tests.shaper import SERVER, Shape, cable

KEY = "what both ends know"
PORT = 8620
Serve = Callable[..., Awaitable[ThroughputServer]]


@pytest.fixture
async def resources() -> AsyncIterator[Resources]:
    opened = Resources()
    yield opened
    await opened.aclose()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[ThroughputServer] = []

    async def start(**options: object) -> ThroughputServer:
        running.append(await serve_throughput(ServerOptions(**{"secret": KEY.encode(), "port": 0, **options})))
        return running[-1]

    yield start
    for server in running:
        await server.aclose()


async def try_out(
    resources: Resources, address: str, timeout_s: float = 20.0, check: str = "link/throughput", **params: object
) -> Measurement:
    written = {"key": KEY, "duration": "200ms", "budget": "1TB", **params}
    ctx = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources, check=check)
    async with asyncio.timeout_at(ctx.deadline + 0.1):
        return await PROBE.run(ThroughputParams(address=address, **written), ctx)


def of(server: ThroughputServer) -> str:
    return f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"


# -- what is measured ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_directions_on_loopback(resources, serve, host):
    server = await serve(host=host)
    found = await try_out(resources, of(server), bandwidth="10Gbit/s")
    assert (found.failure, found.message) == (None, "")
    samples = found.samples
    assert samples.keys() <= PROBE.samples.keys()
    assert samples.keys() >= PROBE.samples.keys() - {"resolve_s"}
    used = 0
    for way in ("forward", "backward"):
        assert samples[f"rate_{way}_bps"] > 1e8
        assert samples[f"transfer_time_{way}_ratio"] == pytest.approx(
            samples["ideal_bps"] / samples[f"rate_{way}_bps"], rel=0.01
        )
        assert 0.9 < samples[f"efficiency_{way}_ratio"] <= 1
        assert samples[f"rtt_loaded_{way}_s"] >= samples["rtt_base_s"] > 0
        assert samples[f"transferred_{way}_bytes"] > 1e6
        assert 0.2 <= samples[f"{way}_s"] < 5
        used += samples[f"transferred_{way}_bytes"] + samples[f"resent_{way}_bytes"]
    assert samples["budget_left_bytes"] == pytest.approx(1e12 - used, abs=2e6)
    assert server.counts.tested == 1


def test_under_uvloop_too():
    async def both() -> tuple[Measurement, ThroughputServer]:
        opened = Resources()
        server = await serve_throughput(ServerOptions(secret=KEY.encode(), port=0))
        broken_off = asyncio.create_task(try_out(opened, of(server), direction="backward", duration="5s"))
        while not server.busy:
            await asyncio.sleep(0.005)
        broken_off.cancel()
        await asyncio.gather(broken_off, return_exceptions=True)
        found = await try_out(opened, of(server))
        await opened.aclose()
        await server.aclose()
        return found, server

    found, server = uvloop.run(both())
    assert found.failure is None
    assert server.counts.tested == 1


@pytest.mark.parametrize(("direction", "other"), [("forward", "backward"), ("backward", "forward")])
async def test_one_direction_and_so_many_bytes(resources, serve, direction, other):
    server = await serve()
    found = await try_out(resources, of(server), direction=direction, size="3MB", duration="10s")
    assert found.failure is None
    assert found.samples[f"transferred_{direction}_bytes"] == 3_000_000
    assert not [name for name in found.samples if other in name]
    assert found.samples[f"{direction}_s"] < 9


async def test_a_rate_below_what_is_wanted_is_down(resources, serve):
    server = await serve()
    found = await try_out(resources, of(server), size="200kB", rate_min="900Gbit/s")
    assert found.failure is Failure.CONDITION
    assert found.message.startswith("forward ")
    assert found.message.endswith(" Mbit/s < 9e+05 Mbit/s")


async def test_the_server_bounds_time_and_bytes(resources, serve):
    server = await serve(bytes_max=1_000_000, duration_max_s=0.3)
    found = await try_out(resources, of(server), duration="3s", direction="backward")
    assert found.samples["transferred_backward_bytes"] == 1_000_000
    server = await serve(duration_max_s=0.2)
    found = await try_out(resources, of(server), duration="5s")
    assert max(found.samples["forward_s"], found.samples["backward_s"]) < 4


@needs_root
async def test_a_link_with_a_rate_and_a_queue_shows_the_rate_what_was_sent_again_and_the_queue(serve, resources):
    """8 Mbit/s with too short a queue there, 16 Mbit/s with a deep one back, 10 ms each way."""
    with cable(Shape(8e6, 8_000, 0.01), Shape(16e6, 400_000, 0.01)) as (network, truth):
        with network.inside("server"):
            await serve(host=SERVER, port=PORT, allow=(ipaddress.ip_network("10.9.0.0/24"),))
        with network.inside("client"):
            found = await try_out(resources, f"{SERVER}:{PORT}", duration="1s", bandwidth="8Mbit/s", timeout_s=10)
    assert found.failure is None
    samples = found.samples
    assert truth.forward.dropped > 0
    assert 1e6 < samples["rate_forward_bps"] < 8e6
    assert samples["rate_forward_bps"] < samples["rate_backward_bps"] < 16e6
    assert samples["ideal_bps"] == pytest.approx(8e6 * 1448 / 1500)
    assert samples["transfer_time_forward_ratio"] > 0.99
    assert samples["resent_forward_bytes"] >= truth.forward.dropped * 1000
    assert samples["efficiency_forward_ratio"] < 1
    assert samples["rtt_base_s"] >= 0.02
    assert samples["rtt_loaded_backward_s"] > samples["rtt_base_s"]
    assert samples["buffer_delay_backward_ratio"] > samples["buffer_delay_forward_ratio"] > 0
    # What is told of the bytes is what the cable carried, but for headers and handshakes.
    assert samples["transferred_forward_bytes"] == pytest.approx(truth.forward.delivered_bytes, rel=0.15)


# -- what is not tested ----------------------------------------------------------------------------------------------


async def test_beyond_the_days_budget_nothing_is_tested(resources, serve):
    server = await serve()
    params = {"budget": "5MB", "size": "2MB", "direction": "forward"}
    for left in (3_000_000, 1_000_000):
        found = await try_out(resources, of(server), **params)
        assert found.failure is None
        assert found.samples["budget_left_bytes"] == pytest.approx(left, abs=200)  # of our protocol
    found = await try_out(resources, of(server), **params)
    assert found.failure is Failure.INTERNAL
    assert re.fullmatch(
        r"not tested: of the day's budget of 5000000 bytes 999\d{3} are left; the last test took 2000\d{3} bytes",
        found.message,
    )
    assert found.samples.keys() == {"wait_s", "budget_left_bytes", "budget_used_bytes"}
    assert server.counts.tested == 2
    assert (await try_out(resources, of(server), check="another/throughput", **params)).failure is None


async def test_a_test_never_takes_more_than_is_left(resources, serve):
    server = await serve()
    found = await try_out(resources, of(server), budget="1MB", duration="5s")
    assert found.samples["transferred_forward_bytes"] == found.samples["transferred_backward_bytes"] == 500_000
    assert found.samples["budget_left_bytes"] == 0


async def test_the_day_goes_on_after_a_restart(serve):
    server = await serve()
    params = {"budget": "3MB", "size": "2MB", "direction": "forward"}
    before, after, later = Resources(), Resources(), Resources()
    try:
        found = await try_out(before, of(server), **params)
        assert found.samples["budget_used_bytes"] == pytest.approx(2_000_000, abs=200)
        now_ms = time.time_ns() // 1_000_000
        PROBE.recall(after, "link/throughput", now_ms, found.samples)
        found = await try_out(after, of(server), **params)
        assert found.samples["budget_used_bytes"] == pytest.approx(3_000_000, abs=200)
        PROBE.recall(later, "link/throughput", now_ms - 86_400_000, found.samples)
        assert (await try_out(later, of(server), **params)).samples["budget_left_bytes"] == pytest.approx(1e6, abs=200)
    finally:
        for resources in (before, after, later):
            await resources.aclose()


def test_a_budget_is_of_a_day():
    budget = Budget()
    assert budget.left(10, 5 * DAY_S) == 10
    budget.spend(7)
    assert budget.left(10, 6 * DAY_S - 1) == 3
    budget.spend(7)
    assert budget.left(10, 6 * DAY_S - 1) == 0
    assert budget.left(10, 6 * DAY_S) == 10


async def test_tests_of_an_agent_wait_for_each_other(resources, serve):
    server = await serve(tests_max=4)
    found = await asyncio.gather(*(try_out(resources, of(server), direction="forward") for _ in range(3)))
    assert [measurement.failure for measurement in found] == [None] * 3
    assert server.counts.busy == 0


async def test_a_lane_that_stays_taken_is_our_own_trouble(resources, serve):
    server = await serve()
    lane = resources.get(Lane, Lane)
    async with lane.taken(asyncio.get_running_loop().time() + 1):
        found = await try_out(resources, of(server), timeout_s=3.1)
    assert found.failure is Failure.INTERNAL
    assert found.message == "another throughput test of this agent takes all the time that there is"
    assert server.counts.tested == 0


async def test_a_busy_server_is_waited_for(resources, serve):
    server = await serve()
    other = Resources()
    long, short = await asyncio.gather(
        try_out(other, of(server), duration="400ms", direction="forward"),
        try_out(resources, of(server), direction="forward"),
    )
    await other.aclose()
    assert (long.failure, short.failure) == (None, None)
    assert server.counts.tested == 2
    assert server.counts.busy >= 1


async def test_a_server_that_stays_busy_is_nobodys_fault(resources, serve):
    server = await serve()
    other = Resources()
    long = asyncio.create_task(try_out(other, of(server), duration="1500ms", direction="forward"))
    while not server.busy:
        await asyncio.sleep(0.005)
    found = await try_out(resources, of(server), timeout_s=2.0, direction="forward")
    assert (found.failure, found.message) == (Failure.INTERNAL, "the far end is busy with another test")
    await long
    await other.aclose()


async def test_a_wrong_key_is_rejected_and_never_shown(serve):
    server = await serve()
    job = prepare("throughput", of(server), {"key": "another key", "duration": "200ms"}, 5.0)
    result = await run_once(job, "test")
    assert result.failure is Failure.AUTH_REJECTED
    assert result.message == "the far end does not take this key"
    assert "another" not in repr(job.params)
    assert (server.counts.denied, server.counts.tested) == (1, 0)


async def test_only_allowed_networks_are_spoken_to(resources, serve):
    server = await serve(allow=(ipaddress.ip_network("192.0.2.0/24"),))
    found = await try_out(resources, of(server))
    assert found.failure in (Failure.CONNECTION_CLOSED, Failure.CONNECTION_RESET)
    assert server.counts.refused == 1


async def test_nothing_listening_is_refused(resources, serve):
    server = await serve()
    await server.aclose()
    assert (await try_out(resources, of(server))).failure is Failure.CONNECT_REFUSED


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "short"},
        {},
        {"key": KEY, "duration": "2m"},
        {"key": KEY, "size": "1kB"},
        {"key": KEY, "direction": "up"},
    ],
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        ThroughputParams(address="10.0.0.1", **wrong)


def test_a_run_needs_the_time_of_its_directions():
    assert ThroughputParams(address="10.0.0.1", key=KEY, duration="5s").least_s() == 12.5
    assert ThroughputParams(address="10.0.0.1", key=KEY, duration="5s", direction="forward").least_s() == 6.5
