"""One check's packets on their way: what was sent, what came back, and the figures made of it.

The figures are over the answered packets alone (a lost packet has no round-trip time, RFC 2681 section 2.4 calls
it undefined) and only over the first answer to each: a duplicate is counted, never averaged in.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from probes.model import Failure, Measurement

PATIENCE_S = 1.0
"""How long, at least, the last packet's answer is waited for once another packet has been answered."""


class Stamp(NamedTuple):
    """One instant on two clocks, in nanoseconds.

    Attributes:
        monotonic_ns: on the clock that is never set; read first.
        wall_ns: on the clock that the kernel stamps packets with; read second.

    """

    monotonic_ns: int
    wall_ns: int


CLOCK_STEP_NS = 1_000_000
"""A change between the two clocks beyond this is a clock that was set, not two readings that were torn apart."""


def round_trip_ns(sent: Stamp, received_ns: int, now: Stamp) -> int:
    """Return the time from `sent` to the kernel's receive stamp `received_ns`, read at `now`.

    The kernel stamps with the wall clock. When that was set in between (both clocks are slewed alike, so only a
    step parts them), or when there is no stamp (0), the time until the packet was read is the best that is known.
    """
    elapsed_ns = now.monotonic_ns - sent.monotonic_ns
    step_ns = (now.wall_ns - sent.wall_ns) - elapsed_ns
    round_trip = received_ns - sent.wall_ns
    if 0 <= round_trip <= elapsed_ns + CLOCK_STEP_NS and -CLOCK_STEP_NS <= step_ns <= CLOCK_STEP_NS:
        return min(round_trip, elapsed_ns)
    return elapsed_ns


class Trouble(NamedTuple):
    """Why a packet did not travel: what the network or this host said of it."""

    failure: Failure
    message: str


class Flight:
    """The packets of one run of a check.

    Attributes:
        destination: socket address; an answer must come from its host and port.
        count: how many packets are to be sent.
        size: bytes of payload (ICMP) or of the whole test packet (STAMP).
        spacing_s: time between two sends.
        wait_s: how long each packet's answer is waited for, or None for the adaptive rule of `closes_at`.
        end: the time on the loop's clock at which everything unanswered is lost.
        keys: by packet, what an answer must repeat to be one.
        numbers: by packet, its sequence number on the wire.
        stamps: by packet, when it was sent.
        rtt_s: by packet, its round-trip time, None while (or for ever if) unanswered.
        answered: how many have a round-trip time.
        duplicates: answers beyond the first, over all packets.
        troubles: by packet, what was reported of it instead of an answer.
        unsent: how many of `troubles` never left this host.
        ttl: time to live (hop limit) of the last answer, or None.
        held_ns: for how long the far end says that it held packets, of each where it said so credibly.
        extras: what the last answer told beyond its round trip, for the kind that sent it.

    """

    __slots__ = (
        "answered",
        "count",
        "destination",
        "done",
        "duplicates",
        "end",
        "extras",
        "held_ns",
        "keys",
        "numbers",
        "rtt_s",
        "send_at",
        "size",
        "spacing_s",
        "stamps",
        "tick",
        "troubles",
        "ttl",
        "unsent",
        "wait_s",
    )

    def __init__(
        self,
        destination: tuple[Any, ...],
        count: int,
        size: int,
        spacing_s: float,
        wait_s: float | None,
        end: float,
    ) -> None:
        self.destination = destination
        self.count = count
        self.size = size
        self.spacing_s = spacing_s
        self.wait_s = wait_s
        self.end = end
        self.keys: list[bytes] = []
        self.numbers: list[int] = []
        self.stamps: list[Stamp] = []
        self.rtt_s: list[float | None] = [None] * count
        self.answered = 0
        self.duplicates = 0
        self.troubles: dict[int, Trouble] = {}
        self.unsent = 0
        self.ttl: int | None = None
        self.held_ns: list[int] = []
        self.extras: Any = None
        self.send_at = 0.0
        self.tick = -1
        self.done: asyncio.Future[None] | None = None

    @property
    def launched(self) -> int:
        """How many packets have had their turn to be sent."""
        return len(self.stamps)

    @property
    def is_settled(self) -> bool:
        """Nothing more can be learnt: every packet was sent, and answered or reported as undeliverable."""
        return self.launched == self.count == self.answered + len(self.troubles)

    def closes_at(self) -> float:
        """Return when to stop waiting, once the last packet was sent (at `send_at`).

        With `wait_s`, that long after it. Otherwise at the end while nothing at all was answered; as soon as
        something was, the rest have `PATIENCE_S` or twice the longest round trip, as `ping` does.
        """
        if self.wait_s is not None:
            return min(self.end, self.send_at + self.wait_s)
        if not self.answered:
            return self.end
        longest_s = max(rtt for rtt in self.rtt_s if rtt is not None)
        return min(self.end, self.send_at + max(PATIENCE_S, 2 * longest_s))

    def take(self, index: int, rtt_s: float, ttl: int | None) -> bool:
        """Take an answer to a packet; say whether it counts (it is the first, and not too late)."""
        if self.rtt_s[index] is not None:
            self.duplicates += 1
            return False
        if self.wait_s is not None and rtt_s > self.wait_s:
            return False
        self.rtt_s[index] = rtt_s
        self.answered += 1
        self.ttl = ttl
        # A report can be forged or come from one of several paths; an answer cannot.
        self.troubles.pop(index, None)
        return True

    def report(self, index: int, trouble: Trouble) -> None:
        """Take a report that a packet did not arrive, unless it has been answered or reported before."""
        if self.rtt_s[index] is None:
            self.troubles.setdefault(index, trouble)


def samples_of(flight: Flight) -> dict[str, float]:
    """Return counts, loss and round-trip figures of a flight.

    A packet that the network refused from the start (no route) counts as lost; one that this host itself would
    not send (not allowed, no memory) says nothing about the path and counts nowhere.
    """
    sent = flight.launched - flight.unsent
    samples: dict[str, float] = {"sent": sent, "received": flight.answered, "duplicates": flight.duplicates}
    attempted = flight.launched
    if flight.troubles:
        attempted -= sum(trouble.failure in SELF_INFLICTED for trouble in flight.troubles.values())
    if attempted:
        samples["loss_ratio"] = (attempted - flight.answered) / attempted
    samples.update(rtt_figures(flight.rtt_s))
    if flight.ttl is not None:
        samples["ttl"] = flight.ttl
    return samples


def rtt_figures(rtt_s: Sequence[float | None]) -> dict[str, float]:
    """Return the round-trip figures over what was answered, nothing for nothing.

    `rtt_stddev_s` is the population's (the `mdev` that ping prints). `ipdv_s` is the mean absolute difference of
    two packets sent one after the other and both answered (RFC 3393, section 4.2; RFC 5481, section 4.1). `pdv_s`
    is the 95th percentile (nearest rank: up to 19 answers, the greatest) less the least (RFC 5481, section 4.2).
    The three need two answers.
    """
    answered = [rtt for rtt in rtt_s if rtt is not None]
    if not answered:
        return {}
    if len(answered) == 1:
        return dict.fromkeys(("rtt_min_s", "rtt_mean_s", "rtt_median_s", "rtt_max_s"), answered[0])
    ranked, count = sorted(answered), len(answered)
    mean = math.fsum(answered) / count
    figures = {
        "rtt_min_s": ranked[0],
        "rtt_mean_s": mean,
        "rtt_median_s": (ranked[(count - 1) // 2] + ranked[count // 2]) / 2,
        "rtt_max_s": ranked[-1],
        "rtt_stddev_s": math.sqrt(math.fsum((rtt - mean) ** 2 for rtt in answered) / count),
        "pdv_s": ranked[math.ceil(0.95 * count) - 1] - ranked[0],
    }
    steps = [abs(later - earlier) for earlier, later in pairwise(rtt_s) if earlier is not None and later is not None]
    if steps:
        figures["ipdv_s"] = math.fsum(steps) / len(steps)
    return figures


SELF_INFLICTED = frozenset({Failure.PERMISSION, Failure.INTERNAL})
"""Reasons of this host itself: they make the outcome unknown, not down."""


def measurement_of(flight: Flight, loss_max: float | None, samples: dict[str, float]) -> Measurement:
    """Judge a flight: the samples, and the failure that its losses and reports amount to.

    `loss_max` is the share of lost packets that is still fine; None means all but all.
    """
    trouble = _trouble_of(flight) or _loss_of(flight, loss_max)
    if trouble is None:
        return Measurement(samples)
    return Measurement(samples, trouble.failure, trouble.message)


def _trouble_of(flight: Flight) -> Trouble | None:
    if flight.launched == 0:
        return Trouble(Failure.INTERNAL, "no packet could be sent in time")
    if not flight.troubles:
        return None
    own = next((trouble for trouble in flight.troubles.values() if trouble.failure in SELF_INFLICTED), None)
    if own is not None:
        return own
    return None if flight.answered else next(iter(flight.troubles.values()))


def _loss_of(flight: Flight, loss_max: float | None) -> Trouble | None:
    lost = flight.launched - flight.answered
    ratio = lost / flight.launched
    if flight.answered and (loss_max is None or ratio <= loss_max):
        return None
    if flight.answered == 0:
        message = f"no answer to {flight.launched} packet{'s' if flight.launched > 1 else ''}"
    else:
        message = f"loss {ratio:.4g} > {loss_max:.4g} ({lost} of {flight.launched} packets lost)"
    return Trouble(Failure.PACKET_LOSS, message)
