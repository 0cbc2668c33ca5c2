"""The kind `icmp` on real sockets: the kernel's own answers, and far ends that lose, delay, forge and repeat."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest

from probes.icmp_socket import IcmpSocket, open_icmp_socket
from probes.model import Failure, Resources
from tests.probes.flights import measure, shared_socket
from tests.responders import (
    Answer,
    Icmp6Responder,
    IcmpResponder,
    Request,
    echo_reply,
    icmp6_error,
    icmp_error,
    needs_root,
    private_network,
    set_sysctl,
)

pytestmark = needs_root

V4, V6 = socket.AF_INET, socket.AF_INET6
RTT_NAMES = {"rtt_min_s", "rtt_mean_s", "rtt_median_s", "rtt_max_s"}


@pytest.fixture
def network() -> Iterator[None]:
    with private_network("fd00::1", "fd00::2"):
        yield


@pytest.fixture
async def resources(network: None) -> AsyncIterator[Resources]:
    opened = Resources()
    yield opened
    await opened.aclose()


@pytest.fixture(params=["raw", "ping"])
async def either(request: pytest.FixtureRequest, network: None) -> AsyncIterator[Resources]:
    """Resources whose ICMP sockets are raw, or Linux's ping sockets as where raw ones are not allowed."""
    opened = Resources()
    if request.param == "ping":
        set_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        for family, protocol in ((V4, socket.IPPROTO_ICMP), (V6, socket.IPPROTO_ICMPV6)):
            ping = IcmpSocket(socket.socket(family, socket.SOCK_DGRAM, protocol))
            assert not ping.is_raw
            opened.get((open_icmp_socket, family), lambda ping=ping: ping)
    yield opened
    await opened.aclose()


def true_reply(request: Request) -> list[Answer]:
    return [Answer(echo_reply(request))]


# -- the kernel's own answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", V4), ("::1", V6)])
async def test_the_kernel_answers_over_both_families_and_both_kinds_of_socket(either, host, family):
    set_sysctl("net/ipv4/icmp_echo_ignore_all", "0")
    set_sysctl("net/ipv6/icmp/echo_ignore_all", "0")
    found = await measure("icmp", either, address=host, count=3, spacing="5ms")
    assert found.failure is None
    assert found.message == ""
    assert (found.samples["sent"], found.samples["received"], found.samples["loss_ratio"]) == (3, 3, 0)
    assert found.samples["ttl"] == 64
    assert 0 < found.samples["rtt_min_s"] <= found.samples["rtt_median_s"] <= found.samples["rtt_max_s"]
    assert {"rtt_stddev_s", "ipdv_s", "pdv_s"} <= found.samples.keys()
    assert "resolve_s" not in found.samples
    # Our own requests reach a raw socket on loopback too: the filter keeps them out.
    assert shared_socket(either, open_icmp_socket, family).ignored == 0


async def test_a_name_is_looked_up_and_that_takes_time(resources):
    set_sysctl("net/ipv4/icmp_echo_ignore_all", "0")
    found = await measure("icmp", resources, address="localhost", count=1, ip_version=4)
    assert found.failure is None
    assert found.samples["resolve_s"] > 0


async def test_a_name_that_cannot_exist_is_the_names_failure(resources):
    found = await measure("icmp", resources, address="a..b", count=1)
    assert found.failure is Failure.DNS_NXDOMAIN
    assert "loss_ratio" not in found.samples


@pytest.mark.parametrize("size", [8, 9, 1500, 65_507])
async def test_payloads_from_the_least_to_the_largest(resources, size):
    with IcmpResponder(true_reply) as far_end:
        found = await measure("icmp", resources, address="127.1.1.1", count=1, size=size)
    assert found.failure is None
    assert len(far_end.log.requests[0].data) == 8 + size


# -- loss and waiting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "make"), [("127.1.0.1", IcmpResponder), ("fd00::1", Icmp6Responder)])
async def test_round_trips_are_those_of_the_responders_log(resources, host, make):
    with make(lambda request: [Answer(echo_reply(request), 0.1 * (request.order % 3))]) as far_end:
        found = await measure("icmp", resources, address=host, count=9, spacing="5ms")
    truth = far_end.log.rtts_s(host)
    assert found.samples["received"] == 9
    assert found.samples["rtt_min_s"] >= min(truth)
    assert found.samples["rtt_max_s"] >= max(truth)
    assert found.samples["rtt_median_s"] == pytest.approx(sorted(truth)[4], abs=0.04)


@pytest.mark.parametrize("timeout_s", [0.1, 0.6])
async def test_a_silent_host_is_a_loss_reported_within_the_time_out(resources, timeout_s):
    loop = asyncio.get_running_loop()
    started = loop.time()
    found = await measure("icmp", resources, timeout_s=timeout_s, address="127.1.0.1", count=2, spacing="5ms")
    assert found.failure is Failure.PACKET_LOSS
    assert found.samples["loss_ratio"] == 1
    assert timeout_s * 0.8 <= loop.time() - started <= timeout_s + 0.1


@pytest.mark.parametrize(
    ("loss_max", "failure"), [(None, None), ("50%", None), ("0.4", None), ("39%", "packet_loss"), ("0%", "packet_loss")]
)
async def test_the_allowed_share_of_loss(resources, loss_max, failure):
    with IcmpResponder(lambda request: true_reply(request) if request.order not in (0, 4) else []):
        found = await measure("icmp", resources, address="127.1.0.1", spacing="5ms", wait="150ms", loss_max=loss_max)
    assert found.failure == failure
    assert found.samples["loss_ratio"] == pytest.approx(0.4)
    assert found.message == ("" if failure is None else f"loss 0.4 > {found_limit(loss_max)} (2 of 5 packets lost)")


def found_limit(loss_max: str) -> str:
    return {"39%": "0.39", "0%": "0"}[loss_max]


async def test_all_lost_is_down_even_where_all_may_be_lost(resources):
    found = await measure("icmp", resources, timeout_s=0.2, address="127.1.0.1", count=1, loss_max="100%")
    assert found.failure is Failure.PACKET_LOSS


async def test_once_something_was_answered_the_rest_is_not_waited_for_to_the_end(resources):
    loop = asyncio.get_running_loop()
    started = loop.time()
    with IcmpResponder(lambda request: true_reply(request) if request.order else []):
        found = await measure("icmp", resources, timeout_s=8, address="127.1.0.1", count=2)
    assert found.samples["received"] == 1
    assert 1.0 <= loop.time() - started < 4


async def test_an_answer_later_than_the_wait_is_a_lost_packet(resources):
    with IcmpResponder(lambda request: [Answer(echo_reply(request), 0.25 if request.order == 0 else 0)]):
        found = await measure("icmp", resources, address="127.1.0.1", count=3, spacing="100ms", wait="150ms")
    assert found.samples["received"] == 2
    assert found.samples["rtt_max_s"] < 0.15
    assert found.samples["duplicates"] == 0


async def test_answers_after_the_check_are_ignored_and_do_not_reach_the_next_one(resources):
    with IcmpResponder(lambda request: [Answer(echo_reply(request), 0.15)] if request.order == 0 else []):
        first = await measure("icmp", resources, timeout_s=0.1, address="127.1.0.1", count=1)
        second = await measure("icmp", resources, timeout_s=0.4, address="127.1.0.1", count=1)
    assert first.failure is second.failure is Failure.PACKET_LOSS
    assert shared_socket(resources, open_icmp_socket, V4).ignored == 1


async def test_packets_that_do_not_fit_into_the_time_out_are_a_mistake_of_ours(resources):
    found = await measure("icmp", resources, timeout_s=1, address="127.1.0.1", count=11, spacing="100ms")
    assert found.failure is Failure.INTERNAL
    assert found.message == "11 packets, 0.1 s apart, do not fit into a timeout of 1 s"


async def test_packets_leave_apart(resources):
    with IcmpResponder(true_reply) as far_end:
        await measure("icmp", resources, address="127.1.0.1", count=4, spacing="30ms")
    arrivals = [request.arrived_ns for request in far_end.log.requests]
    # Half of it, for a process may be held up between reading the clock and sending.
    assert all(later - earlier > 15e6 for earlier, later in pairwise(arrivals))


# -- hostile answers -------------------------------------------------------------------------------------------------


def other_token(request: Request) -> Answer:
    return Answer(echo_reply(request, os.urandom(8) + request.data[16:]))


FORGERIES = {
    "token": other_token,
    "payload": lambda request: Answer(echo_reply(request, request.data[8:-1] + b"\xff")),
    "shorter": lambda request: Answer(echo_reply(request, request.data[8:-1])),
    "longer": lambda request: Answer(echo_reply(request, request.data[8:] + b"\0")),
    "number": lambda request: Answer(echo_reply(request, number=int.from_bytes(request.data[6:8], "big") ^ 1)),
    "identifier": lambda request: Answer(echo_reply(request, identifier=int.from_bytes(request.data[4:6], "big") ^ 1)),
    "source": lambda request: Answer(echo_reply(request), host="127.9.9.9"),
    "checksum": lambda request: Answer(echo_reply(request, checksum=0x1234)),
    "empty": lambda request: Answer(echo_reply(request, b"")),
    "header": lambda request: Answer(echo_reply(request)[:5]),
}


@pytest.mark.parametrize("what", FORGERIES)
async def test_a_forged_answer_is_none(resources, what):
    with IcmpResponder(lambda request: [FORGERIES[what](request)]):
        found = await measure("icmp", resources, timeout_s=0.2, address="127.1.0.1", count=2, spacing="5ms")
    assert found.failure is Failure.PACKET_LOSS
    assert found.samples == {"sent": 2, "received": 0, "duplicates": 0, "loss_ratio": 1}


async def test_a_forgery_before_the_answer_does_not_displace_it(resources):
    with IcmpResponder(
        lambda request: [*(make(request) for make in FORGERIES.values()), Answer(echo_reply(request), 0.05)]
    ):
        found = await measure("icmp", resources, address="127.1.0.1", count=2, spacing="5ms")
    assert found.failure is None
    assert found.samples["received"] == 2
    assert found.samples["rtt_min_s"] >= 0.05
    assert found.samples["duplicates"] == 0


async def test_duplicates_are_counted_and_never_make_up_for_a_loss(resources):
    def thrice_or_never(request: Request) -> list[Answer]:
        return [Answer(echo_reply(request), delay_s) for delay_s in (0, 0.1, 0.12)] if request.order == 0 else []

    with IcmpResponder(thrice_or_never):
        found = await measure("icmp", resources, address="127.1.0.1", count=2, spacing="5ms", wait="300ms")
    assert (found.samples["received"], found.samples["duplicates"]) == (1, 2)
    assert found.samples["loss_ratio"] == 0.5
    assert found.samples["rtt_max_s"] < 0.1


async def test_answers_out_of_order_are_matched_to_their_packets(resources):
    with IcmpResponder(lambda request: [Answer(echo_reply(request), 0.2 - 0.04 * request.order)]) as far_end:
        found = await measure("icmp", resources, address="127.1.0.1", count=5, spacing="5ms")
    truth = far_end.log.rtts_s("127.1.0.1")
    assert [sent.request.order for sent in far_end.log.sent] == [4, 3, 2, 1, 0]
    assert found.samples["received"] == 5
    assert min(truth) <= found.samples["rtt_min_s"] < 0.1
    assert max(truth) <= found.samples["rtt_max_s"] < 0.3


async def test_a_flood_of_garbage_keeps_nobody_waiting(resources):
    async def quiet() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await measure("icmp", resources, address="127.1.0.2", count=1)
        return loop.time() - started

    def flood(request: Request) -> list[Answer]:
        return [other_token(request)] * (3000 if request.host == "127.1.0.1" else 0) + true_reply(request)

    with IcmpResponder(flood):
        noisy, waited_s = await asyncio.gather(measure("icmp", resources, address="127.1.0.1", count=1), quiet())
    assert noisy.samples["received"] == 1
    assert waited_s < 2
    assert shared_socket(resources, open_icmp_socket, V4).ignored == 3000


# -- reports instead of answers --------------------------------------------------------------------------------------

REPORTS = [
    (3, 1, 1000, Failure.NETWORK_UNREACHABLE, "ICMP host unreachable"),
    (3, 0, 8, Failure.NETWORK_UNREACHABLE, "ICMP network unreachable"),  # a router that quotes as little as it may
    (3, 13, 1000, Failure.NETWORK_UNREACHABLE, "ICMP administratively prohibited"),
    (11, 0, 1000, Failure.TTL_EXCEEDED, "ICMP time exceeded"),
    (12, 0, 1000, Failure.NETWORK_UNREACHABLE, "ICMP parameter problem"),
]


@pytest.mark.parametrize(("kind", "code", "quoted", "failure", "message"), REPORTS)
async def test_a_router_says_why(either, kind, code, quoted, failure, message):
    loop = asyncio.get_running_loop()
    started = loop.time()
    with IcmpResponder(lambda asked: [Answer(icmp_error(asked, kind, code, quoted), host="127.8.8.8")]):
        found = await measure("icmp", either, timeout_s=5, address="127.1.0.1", count=3, spacing="5ms")
    assert (found.failure, found.message) == (failure, message)
    assert (found.samples["sent"], found.samples["loss_ratio"]) == (3, 1)
    assert not RTT_NAMES & found.samples.keys()
    assert loop.time() - started < 2.5  # all is said: nothing to wait for


@pytest.mark.parametrize(
    ("kind", "code", "failure", "message"),
    [
        (1, 3, Failure.NETWORK_UNREACHABLE, "ICMP address unreachable"),
        (2, 0, Failure.NETWORK_UNREACHABLE, "ICMP packet too big"),
        (3, 0, Failure.TTL_EXCEEDED, "ICMP time exceeded"),
    ],
)
async def test_an_ipv6_router_says_why(either, kind, code, failure, message):
    with Icmp6Responder(lambda asked: [Answer(icmp6_error(asked, kind, code), host="fd00::2")]):
        found = await measure("icmp", either, timeout_s=5, address="fd00::1", count=2, spacing="5ms")
    assert (found.failure, found.message) == (failure, message)


async def test_a_report_about_another_host_or_number_is_forged(resources):
    def about_others(request: Request) -> list[Answer]:
        altered = request._replace(data=request.data[:6] + b"\0\0" + os.urandom(8))
        reports = [icmp_error(request, 3, 1, host="127.7.7.7"), icmp_error(altered, 3, 1), icmp_error(altered, 3, 1, 8)]
        return [Answer(report) for report in reports]

    with IcmpResponder(about_others):
        found = await measure("icmp", resources, timeout_s=0.2, address="127.1.0.1", count=1)
    assert found.failure is Failure.PACKET_LOSS
    assert shared_socket(resources, open_icmp_socket, V4).ignored == 3


async def test_an_answer_overrules_a_report(resources):
    def report_then_answer(request: Request) -> list[Answer]:
        reports = [Answer(icmp_error(request, 3, 1))] if request.order == 0 else []
        return [*reports, Answer(echo_reply(request), 0.02)]

    with IcmpResponder(report_then_answer):
        found = await measure("icmp", resources, address="127.1.0.1", count=2, spacing="100ms")
    assert found.failure is None
    assert found.samples["received"] == 2


# -- packets that cannot be sent -------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["203.0.113.1", "2001:db8::1"])
async def test_no_route_is_an_unreachable_network_and_never_a_loss_of_nothing(resources, host):
    found = await measure("icmp", resources, address=host, count=2, spacing="5ms")
    assert found.failure is Failure.NETWORK_UNREACHABLE
    assert found.message == "could not send: network is unreachable"
    assert found.samples == {"sent": 0, "received": 0, "duplicates": 0, "loss_ratio": 1}


async def test_what_this_host_forbids_is_unknown_not_down(resources):
    # The broadcast address of 127/8, to which a socket may not send without asking for it.
    found = await measure("icmp", resources, address="127.255.255.255", count=2, spacing="5ms")
    assert found.failure is Failure.PERMISSION
    assert found.message == f"could not send: {os.strerror(errno.EACCES).lower()}"
    assert found.samples == {"sent": 0, "received": 0, "duplicates": 0}


# -- many at once ----------------------------------------------------------------------------------------------------


async def test_hundreds_of_checks_share_the_socket_without_a_mistake(either):
    dice = random.Random(20)
    hosts = [f"127.2.{number // 200}.{number % 200 + 1}" for number in range(400)]
    losses = {host: dice.sample(range(3), dice.randrange(3)) for host in hosts}
    delays_s = {host: dice.choice((0, 0.02, 0.05, 0.08)) for host in hosts}
    turns = dict.fromkeys(hosts, 0)

    def plan(asked: Request) -> list[Answer]:
        turn, turns[asked.host] = turns[asked.host], turns[asked.host] + 1
        return [] if turn in losses[asked.host] else [Answer(echo_reply(asked), delays_s[asked.host])]

    with IcmpResponder(plan) as far_end:
        checks = [measure("icmp", either, 20, address=host, count=3, spacing="10ms", wait="2s") for host in hosts]
        found = dict(zip(hosts, await asyncio.gather(*checks), strict=True))
    for host, measurement in found.items():
        truth = far_end.log.rtts_s(host)
        assert measurement.samples["received"] == 3 - len(losses[host]) == len(truth)
        assert measurement.samples["rtt_min_s"] >= min(truth)
        assert measurement.samples["rtt_max_s"] >= max(truth)
    errors_s = [found[host].samples["rtt_min_s"] - min(far_end.log.rtts_s(host)) for host in hosts]
    assert sorted(errors_s)[len(errors_s) // 2] < 0.002
