"""Throughput: how much TCP gets through a link, in each direction, by a bounded test between two of our agents.

Standard: RFC 6349. The other end is `thongsuot reflector --throughput ADDRESS:PORT`, which knows the same key.

    - probe: throughput
      address: 10.1.0.1
      key: ${env:THROUGHPUT_KEY}
      bandwidth: 200Mbit/s                # what the contract says
      rate_min: 160Mbit/s
      duration: 5s
      budget: 2GB                         # a day, at the most
      interval: 6h
      timeout: 60s
      degraded_when: ["efficiency_forward_ratio < 0.99", "buffer_delay_backward_ratio > 1.0"]

One TCP connection sends for `duration`, or `size` bytes if that is less, forward (to the far end), then backward. The
rate is what the receiver got, payload alone. Beside it stand RFC 6349's figures, from the kernels of both ends
(TCP_INFO): the **base RTT**, without load; **TCP efficiency**, the share of what was sent that was not sent again;
**buffer delay**, by how much of the base RTT the load made it longer; and, where `bandwidth` says what the link should
carry, the ideal rate (that bandwidth less the headers of TCP and IP) and the **transfer time ratio**, how many times
longer the transfer took than the ideal one. How long the sender had to wait for the receiver or for its own buffer
says when it was not the link that bounded the rate.

**A test uses the link that it measures.** One runs at a time on an agent, and on a server (unless its operator says
otherwise): the next one waits, as long as its timeout lets it, and is then `internal` (unknown, neither up nor down).
The same holds when the day's budget (UTC) has not enough left for a test like the last one; a test never takes more
than is left. What is counted is what TCP sent, both ways, what was sent again included. A monitor that is started
again goes on with the day that its store remembers.

The check is down below `rate_min` in any measured direction (`condition`), or when the far end cannot be reached;
`auth_rejected` when the keys differ. Neither end ever sends the key: each proves that it knows it. The payload is
random and goes in clear.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema, field_validator

from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import Context, Failure, Measurement, Params, Probe, Resources
from probes.resolver import IpVersion, resolve
from probes.shared_key import key_bytes
from probes.tcp_address import HostPort, parse_address
from probes.throughput_client import Way, open_session
from probes.throughput_lane import LEAST_BYTES, Lane
from probes.throughput_transfer import DRAIN_S, Course
from probes.throughput_wire import PORT, WAYS, Terms
from probes.units import Duration, Rate, Size

SETTING_UP_S = 0.5
DURATION_MAX_S = 60.0
SIZE_MAX = 100_000_000_000


def _parse(value: object) -> object:
    return parse_address(value, PORT) if isinstance(value, str) else value


class ThroughputParams(Params):
    """Parameters of a throughput check."""

    model_config = ConfigDict(hide_input_in_errors=True)  # the key stands in it

    address: Annotated[
        HostPort,
        BeforeValidator(_parse),
        WithJsonSchema({"type": "string", "examples": ["10.1.0.1", "10.1.0.1:8620", "[2001:db8::1]:8620"]}),
    ] = Field(description=f"host or host:port of the far end; the port is {PORT} unless given")
    key: SecretStr = Field(description="what both ends know: a text, or octets as `hex:…`")
    direction: Literal["forward", "backward", "both"] = Field("both", description="forward is to the far end")
    duration: Duration = Field(5.0, ge=0.1, le=DURATION_MAX_S, description="of each direction")
    size: Size | None = Field(None, ge=LEAST_BYTES, le=SIZE_MAX, description="bytes of each direction at the most")
    budget: Size = Field(1 << 30, ge=LEAST_BYTES, description="bytes a day at the most, both directions together")
    bandwidth: Rate | None = Field(None, gt=0, description="what the link should carry; for the ideal rate")
    rate_min: Rate | None = Field(None, gt=0, description="below it, in any direction, the check is down")
    ip_version: IpVersion | None = Field(None, description="4 or 6, where a name has both")

    @field_validator("key")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        key_bytes(value)
        return value

    def least_s(self) -> float:
        """Return the time of setting up and of each direction with its end."""
        return SETTING_UP_S + len(WAYS[self.direction]) * (self.duration + DRAIN_S)


async def run(params: ThroughputParams, ctx: Context) -> Measurement:
    """Test what TCP gets through, once the lane is free, and say what it gave."""
    lane = ctx.resources.get(Lane, Lane)
    budget = lane.budget(ctx.check)
    test = _Test(params)
    failure, message = None, ""
    latest_start = ctx.deadline - params.least_s()
    ctx.phases.begin("wait")
    try:
        async with lane.taken(latest_start):
            left = budget.left(params.budget, time.time())
            if left < max(LEAST_BYTES, budget.last_bytes):
                raise TroubleError(Failure.INTERNAL, _used_up(params.budget, left, budget.last_bytes))
            await test.carry_out(ctx, lane, left, latest_start)
            budget.last_bytes = test.spent_bytes()
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    finally:
        budget.spend(test.spent_bytes())
    ctx.phases.end()
    found = _figures(params, test.ways, test.rtt_base_s)
    found["budget_left_bytes"] = budget.left(params.budget, time.time())
    found["budget_used_bytes"] = budget.used_bytes
    if failure is None:
        failure, message = _judge(params, found)
    return Measurement({**ctx.phases.samples, **found}, failure, message)


def recall(resources: Resources, check: str, at_ms: int, samples: Mapping[str, float]) -> None:
    """Go on with the day's budget where the process before this one left it."""
    used = samples.get("budget_used_bytes")
    if used is not None:
        resources.get(Lane, Lane).budget(check).restore(at_ms / 1000, int(used))


class _Test:
    """One test under way.

    Attributes:
        rtt_base_s: least round-trip time before there was any load.
        ways: what each direction gave, once it has.
        courses: how far each has come.

    """

    def __init__(self, params: ThroughputParams) -> None:
        self._params = params
        self.rtt_base_s = 0.0
        self.ways: dict[str, Way] = {}
        self.courses: dict[str, Course] = {}

    def spent_bytes(self) -> int:
        """Return what the test has used of the link, also when it was broken off."""
        return sum(
            max(self.ways[way].sent.sent_bytes, course.moved_bytes) if way in self.ways else course.moved_bytes
            for way, course in self.courses.items()
        )

    async def carry_out(self, ctx: Context, lane: Lane, left: int, latest_start: float) -> None:
        """Do it, with so many bytes at the most; raises of `NETWORK_ERRORS`."""
        params, directions = self._params, WAYS[self._params.direction]
        addresses = await resolve(params.address.host, ctx, params.ip_version)
        bytes_max = min(params.size or SIZE_MAX, left // len(directions))
        terms = Terms(params.direction, round(params.duration * 1000), bytes_max)
        secret = key_bytes(params.key)
        session = await open_session(addresses, params.address.port, secret, terms, latest_start, ctx)
        try:
            self.rtt_base_s = session.rtt_min_s
            for direction in directions:
                ctx.phases.begin(direction)
                course = self.courses[direction] = Course()
                self.ways[direction] = await session.transfer(direction, lane.threads, course)
        finally:
            session.close()


def _used_up(budget: int, left: int, wanted: int) -> str:
    needs = f"; the last test took {wanted} bytes" if wanted > left else ""
    return f"not tested: of the day's budget of {budget} bytes {left} are left{needs}"


def _figures(params: ThroughputParams, ways: Mapping[str, Way], rtt_base_s: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    least_s = [rtt_base_s, *(way.sent.rtt_min_us / 1e6 for way in ways.values())]
    base_s = min((rtt_s for rtt_s in least_s if rtt_s), default=0.0)
    if base_s:
        figures["rtt_base_s"] = base_s
    for direction, (sent, received) in ways.items():
        figures[f"transferred_{direction}_bytes"] = received.total_bytes
        rate_bps = received.rate_bps
        if rate_bps is not None:
            figures[f"rate_{direction}_bps"] = rate_bps
        if params.bandwidth is not None and sent.mtu_bytes:
            figures["ideal_bps"] = ideal_bps = params.bandwidth * sent.mss_bytes / sent.mtu_bytes
            if rate_bps:
                figures[f"transfer_time_{direction}_ratio"] = ideal_bps / rate_bps
        if sent.sent_bytes:
            figures[f"resent_{direction}_bytes"] = sent.resent_bytes
            figures[f"efficiency_{direction}_ratio"] = (sent.sent_bytes - sent.resent_bytes) / sent.sent_bytes
        if base_s:
            figures[f"rtt_loaded_{direction}_s"] = sent.rtt_loaded_us / 1e6
            figures[f"buffer_delay_{direction}_ratio"] = max(0.0, sent.rtt_loaded_us / 1e6 / base_s - 1)
        if sent.busy_us:
            figures[f"receiver_limited_{direction}_ratio"] = min(1.0, sent.receiver_limited_us / sent.busy_us)
            figures[f"sender_limited_{direction}_ratio"] = min(1.0, sent.sender_limited_us / sent.busy_us)
        figures[f"delivery_{direction}_bps"] = sent.delivery_bps
    return figures


def _judge(params: ThroughputParams, found: Mapping[str, float]) -> tuple[Failure | None, str]:
    for direction in WAYS[params.direction]:
        rate_bps = found.get(f"rate_{direction}_bps")
        if rate_bps is None:
            return Failure.INTERNAL, f"too little arrived {direction} to tell a rate"
        if params.rate_min is not None and rate_bps < params.rate_min:
            return Failure.CONDITION, f"{direction} {_mbit(rate_bps)} Mbit/s < {_mbit(params.rate_min)} Mbit/s"
    return None, ""


def _mbit(rate_bps: float) -> str:
    return f"{rate_bps / 1e6:.4g}"


def _both(name: str, meaning: str) -> dict[str, str]:
    return {
        name.format("forward"): meaning.format("to the far end"),
        name.format("backward"): meaning.format("from the far end"),
    }


PROBE = Probe(
    kind="throughput",
    params=ThroughputParams,
    address="address",
    run=run,
    samples={
        **_both("rate_{}_bps", "payload {}, as it was received, bits per second"),
        "ideal_bps": "rate that `bandwidth` leaves to the payload, bits per second",
        **_both("transfer_time_{}_ratio", "how many times longer than ideally it took {}; needs `bandwidth`"),
        **_both("efficiency_{}_ratio", "share of the bytes sent {} that were not sent again"),
        "rtt_base_s": "least round-trip time, seconds",
        **_both("rtt_loaded_{}_s", "mean round-trip time while sending {}, seconds"),
        **_both("buffer_delay_{}_ratio", "by which share of the base RTT the load made it longer {}"),
        **_both("transferred_{}_bytes", "payload that was received {}"),
        **_both("resent_{}_bytes", "bytes that were sent again {}"),
        **_both("delivery_{}_bps", "greatest rate that the sender's TCP measured {}, bits per second"),
        **_both("receiver_limited_{}_ratio", "share of the time in which the receiver had no room {}"),
        **_both("sender_limited_{}_ratio", "share of the time in which the send buffer was too small {}"),
        "budget_left_bytes": "what is left of the day's budget",
        "budget_used_bytes": "what the check's tests have used of it",
        "resolve_s": "name lookup, seconds",
        "wait_s": "waiting for other tests of this agent to end, seconds",
        "connect_s": "connecting, seconds",
        "agree_s": "agreeing on the test, waiting for the far end included, seconds",
        "forward_s": "the whole test to the far end, seconds",
        "backward_s": "the whole test from the far end, seconds",
    },
    latency="rtt_base_s",
    recall=recall,
)
