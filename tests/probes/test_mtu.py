"""The kind `mtu`: the search over every path that there may be, then over real links, reported small ones and holes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.kinds.mtu import PROBE
from probes.model import Context, Failure, Measurement, Resources
from probes.mtu_search import Search
from tests.responders import Answer, IcmpResponder, echo_reply, icmp_error, needs_root, private_network
from tests.topologies import Network, chain

V4, V6 = "10.0.4.2", "fd00:4::2"
BOTH = pytest.mark.parametrize("host", [V4, V6])
SILENCE = ("output icmp type destination-unreachable drop", "output icmpv6 type packet-too-big drop")


# -- the search ------------------------------------------------------------------------------------------------------


def search(true_mtu: int, interface: int, reports: str, expected: int = 0) -> tuple[Search, int]:
    """Search a path of that MTU whose routers report it (`says`), report without a size (`old`), or never (`hole`)."""
    made, steps = Search(min(576, interface), interface, expected), 0
    while sizes := made.next_sizes():
        steps += 1
        assert sizes == sorted(set(sizes))
        assert all(made.fits < size <= max(made.ceiling, 576) for size in sizes)
        assert len(sizes) <= 9
        for size in sizes:
            if size <= true_mtu:
                made.answered(size)
            elif reports != "hole":
                made.reported(size, true_mtu if reports == "says" else 0, "r")
        for size in reversed(sizes):
            if size > true_mtu and reports == "hole":
                made.silent(size)
    return made, steps


@given(st.integers(576, 9216), st.sampled_from([1500, 9000, 65_535]), st.sampled_from(["says", "old", "hole"]))
def test_the_search_ends_with_the_true_mtu(true_mtu, interface, reports):
    mtu = min(true_mtu, interface)
    made, steps = search(mtu, interface, reports)
    assert made.is_over
    assert made.fits == mtu
    assert steps <= {"says": 2, "old": 14, "hole": 9}[reports]
    assert made.found_silence == (reports == "hole" and mtu < interface)
    assert made.reporter == ("r" if reports != "hole" and mtu < interface else "")


@given(st.integers(576, 1500), st.integers(0, 1600))
def test_what_was_found_before_is_a_hint_and_no_more(true_mtu, expected):
    made, steps = search(true_mtu, 1500, "hole", expected)
    assert made.fits == true_mtu
    if expected == true_mtu:
        assert steps == 1


@pytest.mark.parametrize("lie", [0, 1, 68, 575, 1279, 1500, 1501, 70_000])
def test_a_report_that_cannot_be_is_worth_no_more_than_that_it_came(lie):
    made = Search(576, 1500)
    made.answered(1280)
    made.reported(1500, lie, "liar")
    assert made.ceiling == 1499
    made.answered(1500)
    assert (made.fits, made.is_over, made.reporter) == (1500, True, "")


# -- real links ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built_narrow() -> Iterator[Network]:
    with chain(3, {3: 1400}) as made:
        yield made


@pytest.fixture
def narrow(built_narrow: Network) -> Iterator[Network]:
    """client ── r1 ── r2 ═1400═ r3 ── server."""
    with built_narrow.visited():
        yield built_narrow


async def measure(resources: Resources, timeout_s: float = 10.0, **params: object) -> Measurement:
    context = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources, check="link/mtu")
    async with asyncio.timeout_at(context.deadline + 0.1):
        return await PROBE.run(PROBE.params(**params), context)


@needs_root
@pytest.mark.parametrize("method", ["icmp", "udp"])
@pytest.mark.parametrize(("host", "router"), [(V4, "10.0.2.2"), (V6, "fd00:2::2")])
async def test_a_small_link_is_found_with_the_router_that_reports_it(narrow, resources, host, router, method):
    found = await measure(resources, address=host, method=method, min=1500)
    assert (found.failure, found.is_degraded) == (Failure.CONDITION, False)
    assert found.message == f"path MTU 1400 < 1500 bytes (says {router})"
    assert found.facts["router"] == router
    samples = found.samples
    assert (samples["mtu_bytes"], samples["interface_mtu_bytes"], samples["black_hole"]) == (1400, 1500, 0)
    assert 0 < samples["rtt_s"] < 1
    assert {*samples} <= {*PROBE.samples}


@needs_root
@BOTH
async def test_a_black_hole_is_found_by_silence_and_quicker_the_second_time(narrow, resources, host):
    narrow.drop("r2", *SILENCE)
    first = await measure(resources, address=host, min=1500, below="degraded")
    assert (first.failure, first.is_degraded) == (Failure.CONDITION, True)
    assert first.message == "path MTU 1400 < 1500 bytes (larger packets vanish without a word)"
    assert (first.samples["mtu_bytes"], first.samples["black_hole"]) == (1400, 1)
    second = await measure(resources, address=host)
    assert (second.failure, second.message, second.samples["mtu_bytes"]) == (None, "", 1400)
    assert second.samples["sent"] < first.samples["sent"] / 2


@needs_root
async def test_lost_packets_are_sent_again_before_their_silence_counts(narrow, resources):
    narrow.drop("r1", "forward icmp type echo-request numgen inc mod 3 == 0 drop")
    found = await measure(resources, address=V4, count=6)
    assert (found.failure, found.samples["mtu_bytes"]) == (None, 1400)


@needs_root
@pytest.mark.parametrize(("limit", "failure"), [(1400, None), (1401, Failure.CONDITION)])
async def test_the_limit_is_the_least_that_is_enough(narrow, resources, limit, failure):
    assert (await measure(resources, address=V4, min=limit)).failure is failure


@needs_root
async def test_no_larger_than_max_is_tried(narrow, resources):
    found = await measure(resources, address=V4, max=1300, min=1350)
    assert found.samples["mtu_bytes"] == 1300
    assert found.message == "path MTU 1300 < 1350 bytes (nothing larger was tried)"


@needs_root
async def test_what_the_kernel_has_learnt_does_not_hide_that_the_path_is_larger_again(narrow, resources):
    ends = (("r2", "to-r3"), ("r3", "to-r2"))
    assert (await measure(resources, address=V4)).samples["mtu_bytes"] == 1400
    for node, end in ends:
        narrow.ip(node, f"link set {end} mtu 1500")
    found = await measure(resources, address=V4)
    for node, end in ends:
        narrow.ip(node, f"link set {end} mtu 1400")
    assert (found.samples["mtu_bytes"], found.samples["interface_mtu_bytes"]) == (1500, 1500)


@needs_root
async def test_a_silent_host_and_an_unreachable_one(narrow, resources):
    narrow.drop("server", "input drop")
    silent = await measure(resources, address=V4, wait="100ms")
    assert silent.failure is Failure.PACKET_LOSS
    assert silent.message == "no answer from 10.0.4.2 to 4 packets from 576 bytes on"
    assert "mtu_bytes" not in silent.samples
    narrow.drop("r1", f"prerouting ip daddr {V4} reject with icmp host-unreachable")
    unreachable = await measure(resources, address=V4)
    assert (unreachable.failure, unreachable.message) == (
        Failure.NETWORK_UNREACHABLE,
        "ICMP host unreachable from 10.0.1.2",
    )


@needs_root
async def test_a_search_cut_short_says_how_far_it_came(narrow, resources):
    narrow.drop("r2", *SILENCE)
    found = await measure(resources, timeout_s=0.5, address=V4)
    assert found.failure is Failure.TIMEOUT
    assert "bytes fit" in found.message
    assert "mtu_bytes" not in found.samples


# -- far ends that do as they are told -------------------------------------------------------------------------------


@pytest.fixture
async def alone() -> AsyncIterator[Resources]:
    with private_network():
        opened = Resources()
        yield opened
        await opened.aclose()


@needs_root
async def test_forged_reports_and_answers_change_nothing(alone):
    def forge(request):
        other = request._replace(data=request.data[:8] + random.randbytes(len(request.data) - 8))
        forged = [icmp_error(other, 3, 4), icmp_error(request, 3, 4, 8, host="127.7.7.7"), echo_reply(other)]
        return [*(Answer(data, host="127.8.8.8") for data in forged), Answer(echo_reply(request), 0.02)]

    with IcmpResponder(forge):
        found = await measure(alone, address="127.1.0.1", max=9000)
    assert (found.failure, found.samples["mtu_bytes"], found.samples["black_hole"]) == (None, 9000, 0)


@needs_root
async def test_a_router_of_old_that_names_no_size(alone):
    def old(request):
        fits = len(request.data) + 20 <= 1492
        return [Answer(echo_reply(request)) if fits else Answer(icmp_error(request, 3, 4, 8), host="127.8.8.8")]

    with IcmpResponder(old):
        found = await measure(alone, address="127.1.0.1", max=4000)
    assert (found.samples["mtu_bytes"], found.facts["router"]) == (1492, "127.8.8.8")
