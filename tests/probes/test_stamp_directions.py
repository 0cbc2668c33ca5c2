"""What `stamp` tells by direction: loss, delay, variation and class of service, against a truth that is known."""

from __future__ import annotations

import ipaddress
import itertools
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from probes.model import Measurement, Resources
from probes.reflector import Reflector, ReflectorOptions, serve_reflector
from probes.stamp_clock import ClockQuality
from probes.stamp_socket import PLAIN, StampSocket, open_stamp_socket
from tests.probes.flights import measure
from tests.probes.stamp_delayer import Delayer
from tests.responders import Answer, Request, UdpResponder, needs_root, reflection
from tests.topologies import Network, chain

PORT = 8862
V4 = socket.AF_INET
LAN = (ipaddress.ip_network("10.0.1.0/24"),)
FORWARD = ("server", f"input udp dport {PORT} numgen inc mod 4 0 drop")
BACKWARD = ("client", f"input udp sport {PORT} numgen inc mod 4 0 drop")


class SaidToBe(ClockQuality):
    """A clock of which we say how wrong it may be; it is this machine's, so it is not wrong at all."""

    def __init__(self, error_s: float, *, is_synchronised: bool = True) -> None:
        super().__init__()
        self._said = (is_synchronised, error_s)

    def _ask(self) -> tuple[bool, float]:
        return self._said


@pytest.fixture
async def resources() -> AsyncIterator[Resources]:
    opened = Resources()
    yield opened
    await opened.aclose()


async def with_clock(resources: Resources, clock: ClockQuality) -> None:
    """Have the checks of this test go by a clock."""

    async def open_socket() -> StampSocket:
        sock = socket.socket(V4, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        return StampSocket(sock, PLAIN, clock)

    await resources.open((open_stamp_socket, V4), open_socket)


def of(found: Measurement, *directions: str) -> list[float | None]:
    return [found.samples.get(f"loss_{direction}_ratio") for direction in directions or ("forward", "backward")]


# -- loss, in a network that drops one way ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built() -> Iterator[Network]:
    with chain(0, awaits_ipv6=False) as network:
        yield network


@pytest.fixture
async def net(built: Network) -> AsyncIterator[Network]:
    with built.visited():
        yield built


@pytest.fixture
async def far_end(net: Network) -> AsyncIterator[Reflector]:
    with net.inside("server"):
        reflector = await serve_reflector(
            ReflectorOptions(host="0.0.0.0", port=PORT, allow=LAN)  # only this network reaches it
        )
    yield reflector
    await reflector.aclose()


@needs_root
@pytest.mark.parametrize(
    ("dropping", "forward", "backward"),
    [
        ([], 0, 0),
        ([FORWARD], 5 / 20, 0),
        ([BACKWARD], 0, 5 / 20),
        ([FORWARD, BACKWARD], 5 / 20, 4 / 15),
    ],
)
async def test_loss_is_told_by_its_direction(net, far_end, resources, dropping, forward, backward):
    for node, rule in dropping:
        net.drop(node, rule)
    found = await measure(
        "stamp", resources, address=f"10.0.1.2:{PORT}", count=20, spacing="5ms", wait="300ms", loss_max="99%"
    )
    assert of(found) == [pytest.approx(forward), pytest.approx(backward)]
    assert found.samples["loss_ratio"] == pytest.approx(1 - (1 - forward) * (1 - backward))
    assert far_end.counts.answered == 20 - round(20 * forward)


@needs_root
async def test_what_remarks_on_the_way_is_seen_at_both_ends(net, far_end, resources):
    address = f"10.0.1.2:{PORT}"
    found = await measure("stamp", resources, address=address, count=2, dscp="EF")
    assert (found.samples["dscp_forward"], found.samples["dscp_backward"]) == (46, 46)
    net.drop("server", "prerouting ip dscp ef ip dscp set cs1")
    found = await measure("stamp", resources, address=address, count=2, dscp="EF")
    assert (found.samples["dscp_forward"], found.samples["dscp_backward"]) == (8, 46)
    net.drop("client", "prerouting ip dscp ef ip dscp set af11")
    found = await measure("stamp", resources, address=address, count=2, dscp=46)
    assert (found.samples["dscp_forward"], found.samples["dscp_backward"]) == (8, 10)


async def test_a_class_is_seen_over_ipv6_too(resources):
    reflector = await serve_reflector(ReflectorOptions(host="::1", port=0))
    found = await measure("stamp", resources, address=f"[::1]:{reflector.port}", count=2, dscp="AF41")
    await reflector.aclose()
    assert (found.samples["dscp_forward"], found.samples["dscp_backward"]) == (34, 34)


# -- loss, by other reflectors ---------------------------------------------------------------------------------------


async def test_a_reflector_without_state_tells_nothing_of_the_direction(resources):
    reflector = await serve_reflector(ReflectorOptions(port=0, is_stateful=False))
    with Delayer(reflector.port, lambda place: None if place == 1 else 0.0, lambda _: 0.0) as cable:
        found = await measure("stamp", resources, address=f"127.0.0.1:{cable.port}", count=5, wait="300ms")
    await reflector.aclose()
    assert found.samples["loss_ratio"] == pytest.approx(0.2)
    assert of(found) == [None, None]


async def test_a_twamp_light_reflector_that_counts_shows_it_by_its_numbers_and_is_remembered(resources):
    """Without TLVs (41 octets): it counts by SSID-less sessions, one a check here."""
    sent = itertools.count()

    def counting(request: Request) -> list[Answer]:
        if request.order in (1, 6):  # the second of the first check is lost on its way there; so is the second's
            return []
        answer = reflection(request, size=41)
        number = next(sent) if request.order < 5 else request.order - 5 - (request.order > 6)
        return [Answer(number.to_bytes(4, "big") + answer[4:])] if request.order != 8 else []

    with UdpResponder(counting) as far_end:
        address = f"127.0.0.1:{far_end.port}"
        found = await measure("stamp", resources, address=address, count=5, wait="200ms")
        assert of(found) == [pytest.approx(1 / 5), 0]
        found = await measure("stamp", resources, address=address, count=5, wait="200ms")
        assert of(found) == [pytest.approx(1 / 5), pytest.approx(1 / 4)]


@pytest.mark.parametrize("offset", [100, 2**31, -1])
async def test_numbers_that_cannot_be_this_sessions_tell_nothing(resources, offset):
    def elsewhere(request: Request) -> list[Answer]:
        return [Answer((request.order + offset & 0xFFFF_FFFF).to_bytes(4, "big") + reflection(request)[4:])]

    with UdpResponder(elsewhere) as far_end:
        found = await measure("stamp", resources, address=f"127.0.0.1:{far_end.port}", count=4, spacing="5ms")
    assert found.failure is None
    assert of(found) == [None, None]


async def test_what_the_way_there_doubles_is_not_taken_for_loss_on_the_way_back(resources):
    sent = itertools.count()

    def doubled(request: Request) -> list[Answer]:
        def answer(delay_s: float) -> Answer:
            return Answer(next(sent).to_bytes(4, "big") + reflection(request)[4:], delay_s)

        return [answer(0.0), answer(0.001)] if request.order == 1 else [answer(0.0)]

    with UdpResponder(doubled) as far_end:
        found = await measure("stamp", resources, address=f"127.0.0.1:{far_end.port}", count=4, spacing="20ms")
    assert found.samples["duplicates"] == 1
    assert of(found) == [0, 0]


# -- delay and its variation, over a cable that is known -------------------------------------------------------------


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def steps(values: list[float]) -> float:
    return mean([abs(later - earlier) for earlier, later in itertools.pairwise(values)])


async def over_a_cable(resources: Resources, ours: ClockQuality, theirs: ClockQuality, **params: object):
    """Return what was measured over 20 or 40 ms there and 80 ms back, and what these truly were."""
    await with_clock(resources, ours)
    reflector = await serve_reflector(ReflectorOptions(port=0, clock=theirs))
    with Delayer(reflector.port, lambda place: 0.04 if place % 2 else 0.02, lambda _: 0.08) as cable:
        found = await measure("stamp", resources, address=f"127.0.0.1:{cable.port}", count=5, spacing="50ms", **params)
        truth = cable.forward_s, cable.backward_s
    await reflector.aclose()
    return found.samples, *truth


async def test_delays_by_direction_between_clocks_that_are_right(resources):
    samples, forward_s, backward_s = await over_a_cable(resources, SaidToBe(1e-4), SaidToBe(2e-4))
    assert samples["clocks_error_s"] == pytest.approx(3e-4, rel=0.05)
    for direction, truth in (("forward", forward_s), ("backward", backward_s)):
        assert len(truth) == 5
        assert samples[f"delay_{direction}_min_s"] >= min(truth) - 2e-5
        assert samples[f"delay_{direction}_mean_s"] == pytest.approx(mean(truth), abs=0.01)
        assert samples[f"ipdv_{direction}_s"] == pytest.approx(steps(truth), abs=0.01)
    assert samples["ipdv_forward_s"] > samples["ipdv_backward_s"]
    assert samples["rtt_mean_s"] == pytest.approx(samples["delay_forward_mean_s"] + samples["delay_backward_mean_s"])


@pytest.mark.parametrize(
    ("ours", "theirs", "error_max", "shown"),
    [
        (SaidToBe(1e-4, is_synchronised=False), SaidToBe(1e-4), 0.1, set()),
        (SaidToBe(1e-4), SaidToBe(1e-4, is_synchronised=False), 0.1, set()),
        (SaidToBe(3e-3), SaidToBe(3e-3), 0.1, {"backward"}),  # 6 ms is too much for 20 ms, and little enough for 80
        (SaidToBe(3e-3), SaidToBe(3e-3), 0.35, {"forward", "backward"}),
        (SaidToBe(5e-2), SaidToBe(5e-2), 0.1, set()),
    ],
)
async def test_delays_are_absent_when_the_clocks_may_be_too_wrong(resources, ours, theirs, error_max, shown):
    samples, forward_s, _ = await over_a_cable(resources, ours, theirs, clock_error_max=error_max)
    assert {name.split("_")[1] for name in samples if name.startswith("delay_")} == shown
    assert samples["ipdv_forward_s"] == pytest.approx(steps(forward_s), abs=0.01), "needs no clock that is right"


@pytest.mark.parametrize("apart_s", [-1000, 3_000_000])
async def test_variation_does_not_depend_on_how_far_the_clocks_are_apart(resources, apart_s):
    def elsewhen(request: Request) -> list[Answer]:
        seconds = request.arrived_ns // 1_000_000_000 + 2_208_988_800 + apart_s
        answer = reflection(request, t2=seconds, t3=seconds, error=0x8001)
        return [Answer(answer, 0.02 if request.order % 2 else 0.05)]

    with UdpResponder(elsewhen) as far_end:
        found = await measure("stamp", resources, address=f"127.0.0.1:{far_end.port}", count=6, spacing="80ms")
        truth = far_end.log.rtts_s("")
    assert found.samples["ipdv_forward_s"] < 0.01
    assert found.samples["ipdv_backward_s"] == pytest.approx(steps(truth), abs=0.01)
    assert not [name for name in found.samples if name.startswith("delay_")]


async def test_a_clock_in_ptps_format_gives_variation_and_no_delays(resources):
    await with_clock(resources, SaidToBe(1e-6))
    with UdpResponder(lambda request: [Answer(reflection(request, error=0xC001), 0.02)]) as far_end:
        found = await measure("stamp", resources, address=f"127.0.0.1:{far_end.port}", count=3)
    assert "ipdv_forward_s" in found.samples
    assert not [name for name in found.samples if name.startswith(("delay_", "clocks_"))]
