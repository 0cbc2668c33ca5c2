"""The path to a host, hop by hop: who forwards, with what loss and delay, and whether the route is still the same.

Standards: time to live and ICMP time exceeded (RFC 792, RFC 4443); probes of one flow as in Paris traceroute
(Augustin et al., IMC 2006), so that routers which balance load send them all the same way; MPLS labels from RFC 4950.

    - probe: path
      address: 10.20.0.1
      method: udp                 # default: icmp
      flows: 4                    # as many routes among equal ones (ECMP) as may be found
      interval: 5m
      on_change: degraded         # a change of route is an event; default: up
      degraded_when: ["hops > 8", "path.exists(hop, hop.loss_ratio > 0.5)"]

The check is down when the destination does not answer (`packet_loss`): the message names the last hop that did,
which is where to look. Where a router says that it cannot go on, that is the failure (`network_unreachable`, with the
router), and where packets go round in circles, `ttl_exceeded`. With `loss_max`, more loss than that at the destination
is down too. A flow that does not arrive counts as lost: with several flows, one broken route among equal ones shows.

**Evidence.** A check of this kind also runs at once when another check of its target turns bad, beside its own
interval, so that the route at that moment is on record; at a bounded rate when many targets fail together.

**Route.** Each flow's hops are remembered while the monitor runs. A hop without a common address with that of the run
before, or another length, is a change: `route_changed` is 1, the message has what was and what is, and `on_change`
says what it is worth. A silent hop is no change. The message of any other run that is up has the route as it is known,
which is where pages have the addresses from. The first run after a start has nothing to compare with: it has no
`route_changed` (to conditions not a number: neither 0 nor 1); `route_hash` is the same as before, if the route is and
each hop answers.

**Hops.** Loss at a hop that is not loss at the destination is a router that answers seldom (many limit that to a few a
second), not a fault. Figures of the first 32 hops are samples, over all flows; addresses are in the fact `path`.

**Method.** `icmp` sends echo requests; it needs the capability CAP_NET_RAW, or a group within the sysctl
`net.ipv4.ping_group_range`, and is `unknown` (`permission`) without both. `udp` sends to a port where nobody listens,
and is answered with port unreachable, which many hosts limit and many firewalls drop; it needs no right. Where there
are equal routes, most routers choose by the ports, so that several flows of `icmp` may all take the same one. With
CAP_NET_RAW both also understand routers that quote no more than eight octets of a probe, and both see MPLS labels.
"""

from __future__ import annotations

from typing import Any, Literal
from zlib import crc32

from pydantic import Field

from probes.failures import NETWORK_ERRORS, classify
from probes.model import INCOMPARABLE, Context, Failure, Measurement, Probe
from probes.packet_address import HostParams, destination_of, resolve_s
from probes.packet_flight import SELF_INFLICTED, Trouble, rtt_figures
from probes.path_codec import PAYLOAD_MIN_BYTES
from probes.path_route import Route, change_between, circle_in, hash_of, merged, told, told_change
from probes.path_socket import FIRST_FLOW, FLOW_SPAN, Method, PathSocket, kernel_stamps
from probes.path_trace import Flow, Plan, Trace
from probes.run_memory import LastRun, last_run
from probes.tcp_stream import last_moment
from probes.units import Duration, Share, Size

HOPS_MAX = 32
FLOWS_MAX = 16
COUNT_MAX = 10
PORT = 33_434
"""The first port of traceroute, where nobody listens."""


class PathParams(HostParams):
    """Parameters of a path check."""

    method: Method = Field("icmp", description="icmp (echo requests) or udp")
    port: int = Field(PORT, ge=1, le=65_535, description="of udp: a port where nobody listens")
    count: int = Field(3, ge=1, le=COUNT_MAX, description="probes per hop and flow")
    flows: int = Field(1, ge=1, le=FLOWS_MAX, description="flows, each of which may take another of several routes")
    max_hops: int = Field(30, ge=1, le=HOPS_MAX, description="how far to go")
    size: Size = Field(32, ge=PAYLOAD_MIN_BYTES, le=1400, description="bytes of payload")
    wait: Duration = Field(1.0, gt=0, le=60, description="how long the last probes are waited for")
    loss_max: Share | None = Field(None, description="share of lost probes that is still up; default: any short of all")
    on_change: Literal["up", "degraded"] = Field("up", description="what a change of route is worth")


async def run(params: PathParams, ctx: Context) -> Measurement:
    """Trace the path and compare it with the last one."""
    end = last_moment(ctx)
    try:
        await ctx.resources.open(kernel_stamps, kernel_stamps)
        destination = await destination_of(params.address, params.port, params.ip_version, ctx)
        sockaddr = destination.sockaddr
        if params.method == "icmp":
            sockaddr = (sockaddr[0], 0, *sockaddr[2:])
        known = _last_routes(params, ctx).recall() or ()
        lengths = tuple(len(route.hops) if route.is_whole else 0 for route in known) or (0,) * params.flows
        # The same flows in every run: others might take other routes, which would not be a change.
        first_flow = FIRST_FLOW + crc32(f"{ctx.check} {params.address}".encode()) % FLOW_SPAN
        sock = PathSocket(destination.family, params.method, sockaddr, first_flow, params.flows)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
        ctx.phases.end()
        return Measurement(resolve_s(ctx), failure, message)
    ctx.phases.begin("trace")
    host = str(sockaddr[0]).partition("%")[0]
    trace = Trace(sock, Plan(host, params.count, params.max_hops, params.size, params.wait, lengths))
    try:
        await trace.run(end)
    finally:
        sock.close()
    return _measurement(params, ctx, trace, known, host)


def _measurement(params: PathParams, ctx: Context, trace: Trace, known: tuple[Route, ...], host: str) -> Measurement:
    if trace.trouble is not None and trace.trouble.failure in SELF_INFLICTED:
        return Measurement(resolve_s(ctx), trace.trouble.failure, trace.trouble.message)
    routes = tuple(_route_of(flow) for flow in trace.flows)
    changes = [change for old, new in zip(known, routes, strict=False) if (change := change_between(old, new))]
    now_known = tuple(merged(old, new) for old, new in zip(known, routes, strict=True)) if known else routes
    if any(route.hops for route in routes):
        _last_routes(params, ctx).keep(now_known)
    samples = {**resolve_s(ctx), **_samples(params, trace)}
    if any(flow.heard for flow in trace.flows):
        samples["routes"] = len({route.text for route in now_known})
        samples["route_hash"] = hash_of(now_known)
        if known:
            samples["route_changed"] = int(bool(changes))
    samples.update(_hop_samples(trace.flows))
    facts = _facts(trace.flows, routes, known)
    if not known:
        facts["route_changed"] = INCOMPARABLE
    news = told(now_known) if any(route.hops for route in routes) else ""
    if changes:
        index = next(index for index, old in enumerate(known) if change_between(old, routes[index]))
        news = told_change(changes[0], known[index], routes[index])
    trouble = trace.trouble or _trouble_of(params, trace, routes, host)
    if trouble is not None:
        message = f"{trouble.message}; {news}" if changes else trouble.message
        return Measurement(samples, trouble.failure, message, facts)
    if changes and params.on_change == "degraded":
        return Measurement(samples, Failure.CONDITION, news, facts, is_degraded=True)
    return Measurement(samples, None, news, facts)


def _last_routes(params: PathParams, ctx: Context) -> LastRun[tuple[Route, ...]]:
    return last_run(ctx, "path", params.address, params.ip_version, params.method, params.port, params.flows)


def _route_of(flow: Flow) -> Route:
    return Route(tuple(tuple(sorted(hop.hosts)) for hop in flow.hops[: flow.length]), flow.reached is not None)


def _arrivals(params: PathParams, trace: Trace) -> tuple[int, list[float]]:
    """Return how many probes were meant for the destination, and the round-trip times of those answered."""
    expected, rtt_s = 0, []
    for flow in trace.flows:
        hop = flow.hops[flow.reached - 1] if flow.reached else None
        expected += hop.sent if hop else params.count
        rtt_s += hop.rtt_s if hop else []
    return expected, rtt_s


def _samples(params: PathParams, trace: Trace) -> dict[str, float]:
    reached = [flow.reached for flow in trace.flows if flow.reached]
    expected, rtt_s = _arrivals(params, trace)
    samples: dict[str, float] = {
        "sent": trace.sent,
        "flows_reached": len(reached),
        "loss_ratio": 1 - len(rtt_s) / expected,
        "last_hop": max(flow.length for flow in trace.flows),
    }
    if reached:
        samples["hops"] = max(reached)
    figures = rtt_figures(rtt_s)
    return samples | {name: figures[name] for name in ("rtt_min_s", "rtt_mean_s", "rtt_max_s") if name in figures}


def _hop_samples(flows: list[Flow]) -> dict[str, float]:
    samples: dict[str, float] = {}
    for ttl in range(1, max(flow.length for flow in flows) + 1):
        hops = [flow.hops[ttl - 1] for flow in flows if ttl <= flow.length]
        rtt_s = [rtt for hop in hops for rtt in hop.rtt_s]
        sent = sum(hop.sent for hop in hops)
        if sent:
            samples[f"hop_{ttl}_loss_ratio"] = 1 - len(rtt_s) / sent
        if rtt_s:
            samples[f"hop_{ttl}_rtt_s"] = min(rtt_s)
    return samples


def _facts(flows: list[Flow], routes: tuple[Route, ...], known: tuple[Route, ...]) -> dict[str, Any]:
    hops = []
    for index, flow in enumerate(flows):
        for ttl, hosts in enumerate(routes[index].hops, 1):
            hop = flow.hops[ttl - 1]
            fact: dict[str, Any] = {
                "flow": index,
                "ttl": ttl,
                "hosts": list(hosts),
                "loss_ratio": 1 - len(hop.rtt_s) / hop.sent if hop.sent else 0.0,
                "labels": list(hop.labels),
            }
            if hop.rtt_s:
                fact["rtt_s"] = min(hop.rtt_s)
            hops.append(fact)
    last = max(routes, key=lambda route: len(route.hops))
    return {
        "path": hops,
        "route": [route.text for route in routes],
        "route_before": [route.text for route in known],
        "last_host": "|".join(last.hops[-1]) if last.hops else "",
    }


def _trouble_of(params: PathParams, trace: Trace, routes: tuple[Route, ...], host: str) -> Trouble | None:
    lost = [index for index, flow in enumerate(trace.flows) if flow.reached is None]
    if len(lost) == len(trace.flows):
        worst = max(lost, key=lambda index: trace.flows[index].heard)
        return _end_of(params, trace.flows[worst], routes[worst], host)
    expected, rtt_s = _arrivals(params, trace)
    loss_ratio = 1 - len(rtt_s) / expected
    if params.loss_max is None or loss_ratio <= params.loss_max:
        return None
    message = f"loss {loss_ratio:.4g} > {params.loss_max:.4g} ({expected - len(rtt_s)} of {expected} probes lost)"
    if lost:
        reason = _end_of(params, trace.flows[lost[0]], routes[lost[0]], host)
        message += f"; {len(lost)} of {len(trace.flows)} flows do not arrive: {reason.message}"
    return Trouble(Failure.PACKET_LOSS, message)


def _end_of(params: PathParams, flow: Flow, route: Route, host: str) -> Trouble:
    """Return why a flow did not reach the destination, and where it ended."""
    if flow.stop is not None:
        failure, what = flow.stop.trouble
        return Trouble(failure, f"{what} from {flow.stop.host}, hop {flow.stop.ttl} (route: {route.text})")
    if not flow.heard:
        return Trouble(Failure.PACKET_LOSS, f"no answer from {host}, nor from any hop before it")
    circle = circle_in(route)
    if circle:
        return Trouble(Failure.TTL_EXCEEDED, f"packets go round in circles: {' → '.join((*circle, circle[0]))}")
    if flow.heard >= params.max_hops:
        return Trouble(Failure.TTL_EXCEEDED, f"{host} is not within {params.max_hops} hops (route: {route.text})")
    last = "|".join(route.hops[-1])
    message = f"no answer from {host}; the last hop that answers is {flow.heard}, {last} (route: {route.text})"
    return Trouble(Failure.PACKET_LOSS, message)


_HOPS = {
    name: text
    for ttl in range(1, HOPS_MAX + 1)
    for name, text in (
        (f"hop_{ttl}_loss_ratio", f"share of probes that hop {ttl} did not answer"),
        (f"hop_{ttl}_rtt_s", f"least round-trip time to hop {ttl}, seconds; only if it answers"),
    )
}

PROBE = Probe(
    kind="path",
    params=PathParams,
    address="address",
    run=run,
    samples={
        "sent": "probes sent, to all hops",
        "flows_reached": "flows that arrive at the destination",
        "loss_ratio": "share of the probes for the destination without an answer",
        "last_hop": "the farthest hop that answers: the destination, or where the path ends; 0 when none does",
        "hops": "hops to the destination, itself included; only if it answers",
        "rtt_min_s": "least round-trip time to the destination, seconds",
        "rtt_mean_s": "mean round-trip time to the destination, seconds",
        "rtt_max_s": "greatest round-trip time to the destination, seconds",
        "routes": "how many different routes the flows take",
        "route_hash": "48 bits that stand for the hops of all flows, silent ones as they were known before",
        "route_changed": "1 when a flow takes another route than in the last run, else 0; not in the first run",
        "resolve_s": "name lookup, seconds; only for a name",
        **_HOPS,
    },
    facts={
        "path": "dyn",
        "route": "dyn",
        "route_before": "dyn",
        "last_host": "string",
    },
    latency="rtt_mean_s",
    is_evidence=True,
)
