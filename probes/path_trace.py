"""One trace: which probes are sent when, what came back of them, and when enough is known.

The rules:

1. Hops are asked side by side, nearest first, at a bounded rate. As long as the destination has not answered, probes
   go no more than `WINDOW` hops beyond the farthest that has: few reach the destination in vain, which may limit how
   often it says anything. A path whose length is known from before is asked up to that length at once.
2. When nothing new has come for a while, the window moves on over the silent hops, until `GAP_LIMIT` hops in a row
   have said nothing.
3. The first round is ahead of the others: these stay within what is known to be there.
4. Nothing is asked beyond the destination, or beyond a router that says that it is unreachable.
5. When all is answered it is over. Otherwise the rest is waited for: `wait` long after the last probe, less long for
   routers once the destination has answered all of its own.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from probes.failures import OS_FAILURES
from probes.model import Failure
from probes.packet_flight import Stamp, Trouble, round_trip_ns
from probes.packet_socket import OVERRUN
from probes.path_codec import NUMBERS, Kind, new_token
from probes.path_socket import Arrival, PathSocket

WINDOW: Final = 5
GAP_LIMIT: Final = 10
TICK_S: Final = 0.005
PROBES_PER_TICK: Final = 4
QUIET_TICK_S: Final = 0.01
"""Round-trip times do not depend on ticks, the kernel stamps the packets; a trace ends up to one tick late."""
STALL_S: Final = 0.25
ROUTERS_WAIT_S: Final = 0.5
HOSTS_LIMIT: Final = 8
"""How many addresses one hop may have: a router that balances packet by packet shows several."""

_LATER: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.EINTR})


class Plan(NamedTuple):
    """What a trace is to do.

    Attributes:
        host: the destination's address.
        rounds: probes per hop and flow.
        hops_max: how far to go.
        size: payload of a probe, in bytes.
        wait_s: how long the last probes are waited for.
        lengths: by flow, how many hops there were before; 0 where that is not known.

    """

    host: str
    rounds: int
    hops_max: int
    size: int
    wait_s: float
    lengths: tuple[int, ...]


@dataclass(slots=True)
class Hop:
    """What is known of one hop of one flow.

    Attributes:
        sent: probes sent; rtt_s: round-trip times of those answered.
        hosts: who answered, in the order in which they did.
        labels: MPLS labels that the last probe had there.

    """

    sent: int = 0
    rtt_s: list[float] = field(default_factory=list)
    hosts: dict[str, None] = field(default_factory=dict)
    labels: tuple[int, ...] = ()


class Stop(NamedTuple):
    """A router's word that it goes no further: at which hop, who, and why."""

    ttl: int
    host: str
    trouble: Trouble


class Flow:
    """One flow's hops.

    Attributes:
        hops: by TTL less one.
        reached: the hop at which the destination answered, None while it did not.
        stop: a router's word that it goes no further, while the destination has not answered.
        heard: the farthest hop that answered.

    """

    __slots__ = ("_hops_max", "_known", "_opened", "_turns", "heard", "hops", "reached", "stop")

    def __init__(self, plan: Plan, known: int) -> None:
        self.hops = [Hop() for _ in range(plan.hops_max)]
        self.reached: int | None = None
        self.stop: Stop | None = None
        self.heard = 0
        self._known = min(known, plan.hops_max)
        self._opened = 0
        self._hops_max = plan.hops_max
        self._turns = [1] * plan.rounds

    @property
    def length(self) -> int:
        """How many hops are known: to the destination, or as far as anybody answers."""
        if self.reached is not None:
            return self.reached
        return self.stop.ttl if self.stop is not None else self.heard

    @property
    def horizon(self) -> int:
        """How far the first round may go by now."""
        if self.reached is not None:
            return self.reached
        if self.stop is not None:
            return self.stop.ttl
        window = self.heard + WINDOW if self.heard >= self._known else 0
        return min(self._hops_max, max(self._known, window, self._opened))

    @property
    def is_ended(self) -> bool:
        """Whether it is known how far this flow goes."""
        return self.reached is not None or self.stop is not None

    def open_further(self) -> bool:
        """Move the window on over silent hops; say whether there is anything left to look for."""
        farthest = min(self._hops_max, max(self.heard, self._known) + GAP_LIMIT)
        if self.is_ended or self.horizon >= farthest:
            return False
        self._opened = min(farthest, self.horizon + WINDOW)
        return True

    def next_ttl(self, turn: int) -> int | None:
        """Return the next hop of a round, None when there is none for now."""
        ttl, limit = self._turns[turn], self.horizon
        if turn and not self.is_ended:
            limit = max(self._known, self.heard)
        return ttl if ttl <= limit else None

    def has_sent(self, turn: int) -> None:
        """Go on to the round's next hop."""
        self.hops[self._turns[turn] - 1].sent += 1
        self._turns[turn] += 1


class _Probe(NamedTuple):
    flow: int
    ttl: int
    token: bytes
    stamp: Stamp


class Trace:
    """One trace over the flows of a socket.

    Attributes:
        flows: what is known of each.
        sent: probes sent.
        trouble: why this host could not measure, None when it could.

    """

    def __init__(self, sock: PathSocket, plan: Plan) -> None:
        self._sock = sock
        self._plan = plan
        self._by_token: dict[bytes, _Probe] = {}
        self._by_number: dict[tuple[int, int], _Probe] = {}
        self._first_number = int.from_bytes(os.urandom(2), "big")
        self._longest_s = 0.0
        self._news_at = 0.0
        self._sent_at = 0.0
        self.flows = [Flow(plan, length) for length in plan.lengths]
        self.sent = 0
        self.trouble: Trouble | None = None

    async def run(self, end: float) -> None:
        """Trace until all is known, or until `end` on the loop's clock."""
        await self._trace(end)
        if self.trouble is None and self._sock.dropped and not all(flow.reached for flow in self.flows):
            self.trouble = Trouble(Failure.INTERNAL, OVERRUN)

    async def _trace(self, end: float) -> None:
        loop = asyncio.get_running_loop()
        self._news_at = self._sent_at = loop.time()
        while True:
            now = loop.time()
            for arrival in self._sock.read():
                self._take(arrival, now)
            has_sent = self._send(now)
            if self.trouble is not None or now >= end or (not has_sent and self._is_over(now)):
                return
            await asyncio.sleep(min(TICK_S if has_sent else QUIET_TICK_S, max(0.0, end - now)))

    # -- sending -------------------------------------------------------------------------------------------------

    def _send(self, now: float) -> bool:
        """Send what is due at this tick; say whether there was anything."""
        for count in range(PROBES_PER_TICK):
            due = self._next()
            if due is None:
                return count > 0
            turn, index, ttl = due
            if not self._send_one(turn, index, ttl, now):
                return True
        return True

    def _next(self) -> tuple[int, int, int] | None:
        """Return round, flow and TTL of the next probe: the earliest round's nearest hop."""
        for turn in range(self._plan.rounds):
            due = [(ttl, index) for index, flow in enumerate(self.flows) if (ttl := flow.next_ttl(turn)) is not None]
            if due:
                ttl, index = min(due)
                return turn, index, ttl
        return None

    def _send_one(self, turn: int, index: int, ttl: int, now: float) -> bool:
        number = (self._first_number + self.sent) % NUMBERS + 1
        token = new_token()
        stamp, error = self._sock.send(index, ttl, number, token, self._plan.size)
        if error is not None:
            if error.errno not in _LATER:
                code = error.errno or 0
                failure = OS_FAILURES.get(code, Failure.INTERNAL)
                self.trouble = Trouble(failure, f"could not send: {os.strerror(code).lower()}")
            return False
        probe = _Probe(index, ttl, token, stamp)
        self._by_token[token] = self._by_number[index, number] = probe
        self.flows[index].has_sent(turn)
        self.sent += 1
        self._sent_at = now
        return True

    # -- receiving -----------------------------------------------------------------------------------------------

    def _take(self, arrival: Arrival, now: float) -> None:
        probe = self._probe_of(arrival)
        if probe is None:
            return
        del self._by_token[probe.token]
        flow = self.flows[probe.flow]
        stamp = Stamp(time.monotonic_ns(), time.time_ns())
        rtt_s = round_trip_ns(probe.stamp, arrival.received_ns, stamp) / 1e9
        self._longest_s = max(self._longest_s, rtt_s)
        self._news_at = now
        hop = flow.hops[probe.ttl - 1]
        kind, trouble = arrival.report.kind, arrival.report.trouble
        arrived = self._sock.has_arrived(arrival)
        if arrived:
            flow.reached = min(probe.ttl, flow.reached or probe.ttl)
        elif kind is not Kind.EXCEEDED and trouble is not None and (flow.stop is None or probe.ttl < flow.stop.ttl):
            flow.stop = Stop(probe.ttl, arrival.host, trouble)
        if len(hop.hosts) < HOSTS_LIMIT:
            hop.hosts[self._plan.host if arrived else arrival.host] = None
        hop.rtt_s.append(rtt_s)
        hop.labels = arrival.report.labels or hop.labels
        flow.heard = max(flow.heard, probe.ttl)

    def _probe_of(self, arrival: Arrival) -> _Probe | None:
        """Return the unanswered probe that a report is about, None when it is about none, or forged."""
        report, index = arrival.report, self._sock.flow_index(arrival)
        if report.kind is Kind.REPLY and arrival.host != self._plan.host:
            return None
        if report.token:
            probe = self._by_token.get(report.token)
        else:
            probe = self._by_number.get((index, report.number)) if index is not None else None
            if report.host != self._plan.host or (probe is not None and probe.token not in self._by_token):
                return None
        return probe if probe is not None and probe.flow == index else None

    # -- the end -------------------------------------------------------------------------------------------------

    def _is_over(self, now: float) -> bool:
        """Say whether to stop waiting; opens the window further while there is something left to look for."""
        waiting = [probe for probe in self._by_token.values() if probe.ttl <= self.flows[probe.flow].horizon]
        all_ended = all(flow.is_ended for flow in self.flows)
        if all_ended and not waiting:
            return True
        quiet_s = now - max(self._news_at, self._sent_at)
        stalled = quiet_s >= max(STALL_S, 2 * self._longest_s)
        if stalled and not all_ended:
            opened = [flow.open_further() for flow in self.flows]
            if any(opened):
                return False
        wait_s = self._plan.wait_s
        if all_ended and all(probe.ttl < self.flows[probe.flow].horizon for probe in waiting):
            wait_s = min(wait_s, max(ROUTERS_WAIT_S, 2 * self._longest_s))
        return now - self._sent_at >= wait_s
