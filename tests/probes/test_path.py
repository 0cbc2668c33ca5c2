"""The kind `path` through real routers: network namespaces in a row, silent, lossy, balancing, broken and rerouted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from monitor.oneshot import WrongUseError, prepare, run_once
from probes.kinds.path import PROBE
from probes.model import Context, Failure, Measurement, Resources
from probes.path_route import read_told
from tests.probes.flights import measure
from tests.responders import Answer, IcmpResponder, Request, echo_reply, icmp_error, needs_root, private_network
from tests.topologies import Network, await_answer, chain, network, set_sysctl, via

pytestmark = needs_root

V4_ROUTE = "10.0.1.2 10.0.2.2 10.0.3.2 10.0.4.2"
V6_ROUTE = "fd00:1::2 fd00:2::2 fd00:3::2 fd00:4::2"
V4, V6 = "10.0.4.2", "fd00:4::2"
BOTH = pytest.mark.parametrize("host", [V4, V6])


@pytest.fixture(scope="module")
def built_routers() -> Iterator[Network]:
    with chain(3) as made:
        yield made


@pytest.fixture
def routers(built_routers: Network) -> Iterator[Network]:
    """client ── r1 ── r2 ── r3 ── server."""
    with built_routers.visited():
        yield built_routers


@pytest.fixture(scope="module")
def built_diamond() -> Iterator[Network]:
    with network() as made:
        made.add("client", "r1", "a", "b", "r2", "server")
        for subnet, (left, right) in enumerate(
            [("client", "r1"), ("r1", "a"), ("r1", "b"), ("a", "r2"), ("b", "r2"), ("r2", "server")], 1
        ):
            made.link(left, right, subnet)
        made.route("client", "default via 10.0.1.2", "default via fd00:1::2")
        made.route("r1", "10.0.6.0/24 nexthop via 10.0.2.2 nexthop via 10.0.3.2")
        made.route("r1", "fd00:6::/64 nexthop via fd00:2::2 nexthop via fd00:3::2")
        for node, left, right in (("a", "2", "4"), ("b", "3", "5")):
            made.route(node, f"default via 10.0.{right}.2", f"default via fd00:{right}::2")
            via(made, node, 1, left, "1")
        made.route("r2", "default via 10.0.4.1", "default via fd00:4::1")
        made.route("server", "default via 10.0.6.1", "default via fd00:6::1")
        with made.inside("client"):
            await_answer("fd00:6::2")
        yield made


@pytest.fixture
def diamond(built_diamond: Network) -> Iterator[Network]:
    """client ── r1 ── a or b ── r2 ── server, both ways of equal cost."""
    with built_diamond.visited():
        yield built_diamond


async def trace(resources: Resources, check: str = "link/path", timeout_s: float = 10.0, **params) -> Measurement:
    """Run the kind as a check that has a memory, with short waits."""
    context = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources, check=check)
    async with asyncio.timeout_at(context.deadline + 0.1):
        return await PROBE.run(PROBE.params(**{"wait": "250ms", **params}), context)


# -- routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["icmp", "udp"])
@pytest.mark.parametrize(("host", "route"), [(V4, V4_ROUTE), (V6, V6_ROUTE)])
async def test_every_hop_is_found_with_its_figures(routers, resources, host, route, method):
    found = await trace(resources, address=host, method=method)
    assert (found.failure, found.message) == (None, f"the route is {route}")
    assert found.facts["route"] == [route]
    assert found.facts["last_host"] == host
    samples = found.samples
    assert (samples["hops"], samples["last_hop"], samples["flows_reached"], samples["loss_ratio"]) == (4, 4, 1, 0)
    assert all(samples[f"hop_{ttl}_loss_ratio"] == 0 < samples[f"hop_{ttl}_rtt_s"] < 0.2 for ttl in range(1, 5))
    assert 0 < samples["rtt_min_s"] <= samples["rtt_mean_s"] <= samples["rtt_max_s"]
    assert "route_changed" not in samples, "there was nothing to compare with"
    assert samples["route_hash"] == int(float(samples["route_hash"])) < 2**48
    assert {*samples} <= {*PROBE.samples}
    assert all(round(hop["loss_ratio"], 6) == 0 and hop["labels"] == [] for hop in found.facts["path"])
    assert {*found.facts} == {*PROBE.facts, "route_changed"}, "to conditions not a number yet"


async def test_a_known_length_is_asked_at_once_and_nothing_beyond_it(routers, resources):
    first = await trace(resources, address=V4)
    second = await trace(resources, address=V4)
    assert second.samples["sent"] == 3 * 4 <= first.samples["sent"] <= 3 * 4 + 5
    assert second.samples["route_changed"] == 0
    assert second.samples["route_hash"] == first.samples["route_hash"]


@pytest.mark.parametrize(("host", "method"), [("10.0.6.2", "icmp"), ("10.0.6.2", "udp"), ("fd00:6::2", "udp")])
async def test_one_flow_keeps_to_one_of_equal_routes_and_many_find_both(diamond, resources, host, method):
    one = [await trace(resources, address=host, method=method) for _ in range(4)]
    assert len({found.samples["route_hash"] for found in one}) == 1
    assert all(len(hop["hosts"]) == 1 for found in one for hop in found.facts["path"])
    many = await trace(resources, address=host, method=method, flows=16, count=2)
    assert many.samples["flows_reached"] == 16
    if (host, method) != ("10.0.6.2", "icmp"):  # Linux looks at the ports; ICMP has none
        assert many.samples["routes"] == 2
    assert {len(route.split()) for route in many.facts["route"]} == {4}
    told = read_told(many.message)
    assert told is not None
    assert len(told.routes) == many.samples["routes"]


async def test_one_broken_route_among_equal_ones_is_a_loss(diamond, resources):
    diamond.drop("b", "forward icmp type != time-exceeded drop", "forward meta l4proto udp drop")
    found = await trace(resources, address="10.0.6.2", method="udp", flows=16, count=1, loss_max="10%")
    assert found.failure is Failure.PACKET_LOSS
    assert 0 < found.samples["flows_reached"] < 16
    broken = 16 - int(found.samples["flows_reached"])
    assert found.samples["loss_ratio"] == pytest.approx(broken / 16)
    assert (
        f"{broken} of 16 flows do not arrive: no answer from 10.0.6.2; the last hop that answers is 2" in found.message
    )
    assert "10.0.3.2" in found.message
    assert (await trace(resources, address="10.0.6.2", method="udp", flows=16, count=1)).failure is None


@pytest.mark.parametrize(("on_change", "failure"), [("up", None), ("degraded", Failure.CONDITION)])
async def test_a_change_of_route_is_an_event_once(diamond, resources, on_change, failure):
    options = {"address": "10.0.6.2", "on_change": on_change}
    diamond.ip("r1", "route replace 10.0.6.0/24 via 10.0.2.2")
    before = await trace(resources, **options)
    diamond.ip("r1", "route replace 10.0.6.0/24 via 10.0.3.2")
    after = await trace(resources, **options)
    assert (after.failure, after.is_degraded) == (failure, failure is not None)
    assert after.samples["route_changed"] == 1
    assert after.samples["route_hash"] != before.samples["route_hash"]
    assert after.message == (
        "the route changed at hop 2: 10.0.2.2 → 10.0.3.2 "
        "(was 10.0.1.2 10.0.2.2 10.0.4.2 10.0.6.2; is 10.0.1.2 10.0.3.2 10.0.5.2 10.0.6.2)"
    )
    assert after.facts["route_before"] == before.facts["route"]
    other = await trace(resources, check="other/path", **options)
    assert "route_changed" not in other.samples, "every check has a memory of its own"
    again = await trace(resources, **options)
    assert (again.failure, again.samples["route_changed"]) == (None, 0)
    assert again.message == "the route is 10.0.1.2 10.0.3.2 10.0.5.2 10.0.6.2"


# -- silence and loss ------------------------------------------------------------------------------------------------


@BOTH
async def test_a_silent_router_is_no_loss_and_no_change(routers, resources, host):
    before = await trace(resources, address=host)
    routers.drop("r2", "output icmp type time-exceeded drop", "output icmpv6 type time-exceeded drop")
    silent = await trace(resources, address=host, loss_max="0%")
    assert silent.failure is None
    assert silent.facts["route"][0].split()[1] == "*"
    assert (silent.samples["hop_2_loss_ratio"], silent.samples["loss_ratio"]) == (1, 0)
    assert "hop_2_rtt_s" not in silent.samples
    assert silent.samples["route_changed"] == 0
    assert silent.samples["route_hash"] == before.samples["route_hash"]


async def test_seven_silent_routers_in_a_row_do_not_hide_the_destination(resources):
    with chain(7, awaits_ipv6=False) as made, made.visited():
        for router in range(1, 8):
            made.drop(f"r{router}", "output icmp type time-exceeded drop")
        found = await trace(resources, address="10.0.8.2")
    assert (found.failure, found.samples["hops"]) == (None, 8)


async def test_loss_is_measured_and_limited(routers, resources):
    routers.drop("r3", "forward icmp type echo-request numgen inc mod 5 < 2 drop")
    found = await trace(resources, address=V4, count=10)
    assert found.failure is None
    assert found.samples["loss_ratio"] == pytest.approx(0.4, abs=0.11)
    limited = await trace(resources, address=V4, count=10, loss_max="20%")
    assert limited.failure is Failure.PACKET_LOSS
    assert limited.message.startswith("loss 0.")
    assert "> 0.2" in limited.message


@BOTH
@pytest.mark.parametrize("is_known", [False, True])
async def test_down_names_the_last_hop_that_answers(routers, resources, host, is_known):
    if is_known:
        await trace(resources, address=host)
    routers.drop("r2", "forward drop")
    loop = asyncio.get_running_loop()
    started = loop.time()
    found = await trace(resources, address=host)
    second = V4_ROUTE.split()[:2] if host == V4 else V6_ROUTE.split()[:2]
    assert found.failure is Failure.PACKET_LOSS
    assert found.message == (
        f"no answer from {host}; the last hop that answers is 2, {second[1]} (route: {' '.join(second)})"
    )
    assert (found.samples["last_hop"], found.samples["loss_ratio"]) == (2, 1)
    assert "hops" not in found.samples
    assert not {"rtt_min_s", "rtt_mean_s"} & {*found.samples}
    assert loop.time() - started < 4
    routers.reset()
    back = await trace(resources, address=host)
    assert back.failure is None
    assert back.message == f"the route is {V4_ROUTE if host == V4 else V6_ROUTE}"


@pytest.mark.parametrize("method", ["icmp", "udp"])
async def test_a_router_that_cannot_go_on_is_named_with_its_reason(routers, resources, method):
    routers.drop("r2", f"prerouting ip daddr {V4} reject with icmp host-unreachable")
    found = await trace(resources, address=V4, method=method)
    assert found.failure is Failure.NETWORK_UNREACHABLE
    assert found.message == "ICMP host unreachable from 10.0.2.2, hop 2 (route: 10.0.1.2 10.0.2.2)"


@pytest.mark.parametrize("method", ["icmp", "udp"])
@pytest.mark.parametrize(("host", "second"), [(V4, "10.0.2.2"), (V6, "fd00:2::2")])
async def test_a_firewall_that_rejects_is_not_the_destination(routers, resources, host, second, method):
    routers.drop("r2", f"forward ip daddr {V4} reject", f"forward ip6 daddr {V6} reject")  # with port unreachable
    found = await trace(resources, address=host, method=method)
    assert found.failure is Failure.CONNECT_REFUSED
    assert found.message.startswith(f"ICMP port unreachable from {second}, hop 3 ")  # by now it would be forwarded
    assert "hops" not in found.samples
    mtu = await measure("mtu", resources, address=host, method=method)
    assert (mtu.failure, mtu.message) == (Failure.CONNECT_REFUSED, f"ICMP port unreachable from {second}")


async def test_packets_that_go_round_in_circles_say_so(routers, resources):
    routers.ip("r2", "route replace 10.0.4.0/24 via 10.0.2.1")
    found = await trace(resources, address=V4)
    assert found.failure is Failure.TTL_EXCEEDED
    assert found.message.startswith("packets go round in circles: 10.0.")


async def test_a_destination_beyond_max_hops_is_not_reached(routers, resources):
    found = await trace(resources, address=V4, max_hops=2)
    assert found.failure is Failure.TTL_EXCEEDED
    assert found.message == "10.0.4.2 is not within 2 hops (route: 10.0.1.2 10.0.2.2)"


async def test_no_route_on_this_host_is_an_unreachable_network(routers, resources):
    found = await trace(resources, address="203.0.113.1")
    assert (found.failure, found.message) == (Failure.NETWORK_UNREACHABLE, "network is unreachable")


async def test_conditions_see_hops_and_samples(routers):
    options = {"down_when": ["path.exists(hop, hop.ttl == 2 && '10.0.2.2' in hop.hosts)"], "wait": "300ms"}
    result = await run_once(prepare("path", V4, options, 5.0), "test")
    assert (result.state, result.failure) == ("down", Failure.CONDITION)


@pytest.mark.parametrize("method", ["icmp", "udp"])
async def test_many_traces_at_once_do_not_disturb_each_other(routers, resources, method):
    hosts = [V4, "10.0.3.2", V6] * 20
    traces = [
        trace(resources, check=f"link-{number}/path", timeout_s=20, address=host, method=method, wait="2s")
        for number, host in enumerate(hosts)
    ]
    truth = {V4: V4_ROUTE, V6: V6_ROUTE, "10.0.3.2": V4_ROUTE.rpartition(" ")[0]}
    for host, found in zip(hosts, await asyncio.gather(*traces), strict=True):
        assert (found.failure, found.facts["route"]) == (None, [truth[host]])
        assert found.samples["loss_ratio"] == 0


# -- without rights --------------------------------------------------------------------------------------------------

UNPRIVILEGED = """
import asyncio, json, os, sys
import probes.failures
from probes.kinds.path import PROBE
from probes.model import Context, Resources

async def main():
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    found = []
    for method, host in (argument.split("=") for argument in sys.argv[1:]):
        context = Context(5, asyncio.get_running_loop().time() + 5, Resources())
        measured = await PROBE.run(PROBE.params(address=host, method=method, wait="400ms"), context)
        samples, facts = measured.samples, measured.facts
        found.append((measured.failure, measured.message, samples.get("loss_ratio"), facts.get("route")))
    print(json.dumps(found))

asyncio.run(main())
"""


def trace_unprivileged(*arguments: str) -> list:
    command = [sys.executable, "-c", UNPRIVILEGED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_without_rights_udp_sees_the_same_and_icmp_is_a_permission(routers):
    set_sysctl("net/ipv4/ping_group_range", "1 0")
    found = trace_unprivileged(f"udp={V4}", f"udp={V6}", f"icmp={V4}")
    assert found[:2] == [[None, f"the route is {route}", 0, [route]] for route in (V4_ROUTE, V6_ROUTE)]
    assert found[2][0] == Failure.PERMISSION
    assert "CAP_NET_RAW" in found[2][1]


def test_ping_sockets_see_the_same(routers):
    set_sysctl("net/ipv4/ping_group_range", "0 2147483647")
    found = trace_unprivileged(f"icmp={V4}", f"icmp={V6}")
    assert found == [[None, f"the route is {route}", 0, [route]] for route in (V4_ROUTE, V6_ROUTE)]


# -- far ends that do as they are told -------------------------------------------------------------------------------


@pytest.fixture
async def alone() -> AsyncIterator[Resources]:
    with private_network():
        opened = Resources()
        yield opened
        await opened.aclose()


def router(number: int) -> str:
    return f"127.8.8.{number}"


async def test_round_trips_are_those_of_the_responders_log(alone):
    with IcmpResponder(lambda request: [Answer(echo_reply(request), 0.03)]) as far_end:
        found = await measure("path", alone, address="127.1.0.1", count=3, max_hops=1)
    truth = far_end.log.rtts_s("127.1.0.1")
    assert found.samples["rtt_min_s"] >= min(truth)
    assert found.samples["rtt_max_s"] == pytest.approx(max(truth), abs=0.02)


@pytest.mark.parametrize("quoted", [8, 1000])
async def test_routers_that_quote_as_little_as_they_may_are_understood(alone, quoted):
    def path(request: Request) -> list[Answer]:
        if request.order < 3:
            return [Answer(icmp_error(request, 11, 0, quoted), host=router(request.order + 1))]
        return [Answer(echo_reply(request))]

    with IcmpResponder(path):
        found = await measure("path", alone, address="127.1.0.1", count=1, wait="200ms")
    assert found.facts["route"] == [f"{router(1)} {router(2)} {router(3)} 127.1.0.1"]


FORGERIES = {
    "token": lambda request: icmp_error(request._replace(data=request.data[:8] + bytes(len(request.data) - 8)), 11, 0),
    "number": lambda request: icmp_error(request._replace(data=request.data[:6] + b"\0\1"), 11, 0),
    "flow": lambda request: icmp_error(request._replace(data=request.data[:4] + b"\0\1" + request.data[6:8]), 11, 0),
    "host": lambda request: icmp_error(request, 11, 0, 8, host="127.7.7.7"),
    "cut": lambda request: icmp_error(request, 11, 0, 4),
    "reply": lambda request: echo_reply(request, bytes(len(request.data) - 8)),
}


@pytest.mark.parametrize("what", FORGERIES)
async def test_a_forged_report_is_none(alone, what):
    with IcmpResponder(lambda request: [Answer(FORGERIES[what](request), host=router(9))]):
        found = await measure("path", alone, timeout_s=2, address="127.1.0.1", count=1, max_hops=2, wait="100ms")
    assert found.failure is Failure.PACKET_LOSS
    assert found.message == "no answer from 127.1.0.1, nor from any hop before it"
    assert found.samples["last_hop"] == 0
    assert "route_hash" not in found.samples


async def test_a_reply_from_elsewhere_is_not_the_destinations(alone):
    with IcmpResponder(lambda request: [Answer(echo_reply(request), host=router(9))]):
        found = await measure("path", alone, timeout_s=2, address="127.1.0.1", count=1, max_hops=2, wait="100ms")
    assert found.failure is Failure.PACKET_LOSS


@pytest.mark.parametrize("kind", ["path", "mtu"])
async def test_a_flood_that_this_host_cannot_read_is_not_the_paths_fault(alone, kind):
    def flood(request: Request) -> list[Answer]:
        forged = Answer(FORGERIES["reply"](request))
        return [forged] * 3000 if request.order == 0 else []

    with IcmpResponder(flood):
        found = await measure(kind, alone, timeout_s=5, address="127.1.0.1", wait="400ms")
    assert (found.failure, found.message) == (Failure.INTERNAL, "this host could not keep up with what it received")


@pytest.mark.parametrize("address", ["", "not a host", "224.0.0.1", "0.0.0.0", "http://x"])
def test_what_is_no_host_is_refused(address):
    with pytest.raises(ValueError, match=r"host"):
        PROBE.params(address=address)


@pytest.mark.parametrize("kind", ["path", "mtu"])
def test_a_number_of_the_other_version_is_refused_when_it_is_read(kind):
    with pytest.raises(WrongUseError, match="is not an IPv6 address"):
        prepare(kind, "10.20.0.1", {"ip_version": 6})
