"""What the answers of one STAMP session tell beyond round trips: loss, delay and its variation in each direction.

**Loss** takes a reflector that keeps state: its numbers count what it sent, so that what is missing before an answer
was lost on the way there or on the way back. It is known of the packets up to the last answered one. A reflector shows
that it keeps state by numbers that are not ours, or by counters (RFC 8972, Direct Measurement). Numbers that cannot be
those of this session (a reflector that counts by port alone, or tells tales) tell nothing.

**Delay** takes two clocks that say that they follow UTC, and an error of both together that is small against it.
**Variation** (RFC 3393) takes neither: the clocks' distance stands in both of the delays whose difference is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from probes.packet_flight import CLOCK_STEP_NS, Flight
from probes.stamp_codec import ErrorEstimate, Reflection, decode_error
from probes.stamp_tlv import NOTHING_TOLD, Told

FURTHER_MAX = 300
"""How many answers beyond the first to their packets are looked at."""

_SECOND_NS = 1e9


class Answer(NamedTuple):
    """One answer, the first to its packet or a further one.

    Attributes:
        place: of the packet that it answers.
        number: the reflector's own.
        forward_ns, backward_ns: T2 − T1 and T4 − T3, the clocks' distance included; None where it does not say.
        received: how many packets of the session the reflector had received by then, or None.

    """

    place: int
    number: int
    forward_ns: int | None
    backward_ns: int | None
    received: int | None


class Readings:
    """What one flight's answers said.

    Attributes:
        ssid: the session's number.
        is_stateful: the reflector has shown that it keeps state, now or before.
        own_error: the 16 bits of our clock's estimate, of the last packet.
        answers: in the order in which they came.
        estimate: of the reflector's clock, from the last answer; None before one.
        is_utc: every answer's clock was synchronised and in NTP's format.
        unauthentic: answers that did not have the HMAC that they must have.
        dscp_forward, dscp_backward: DSCP with which questions arrived there and answers here; where they were not all
            alike, one that is not what was asked.
        is_dscp_refused: the reflector would not answer with the DSCP that was asked.

    """

    __slots__ = (
        "_further",
        "answers",
        "dscp_backward",
        "dscp_forward",
        "estimate",
        "is_dscp_refused",
        "is_stateful",
        "is_utc",
        "own_error",
        "ssid",
        "unauthentic",
    )

    def __init__(self, ssid: int, *, is_stateful: bool) -> None:
        self.ssid = ssid
        self.is_stateful = is_stateful
        self.own_error = 0
        self.answers: list[Answer] = []
        self._further = 0
        self.estimate: ErrorEstimate | None = None
        self.is_utc = True
        self.unauthentic = 0
        self.dscp_forward: int | None = None
        self.dscp_backward: int | None = None
        self.is_dscp_refused = False

    def take(
        self,
        index: int,
        reflection: Reflection,
        sent_ns: int,
        round_trip_ns: int | None,
        told: Told = NOTHING_TOLD,
        *,
        is_first: bool = True,
    ) -> None:
        """Take an answer; `round_trip_ns` is T4 − T1, None when its other times are not to be believed."""
        if not is_first:
            self._further += 1
            if self._further > FURTHER_MAX:
                return
        self.estimate = estimate = reflection.estimate
        if estimate.is_ptp or not estimate.is_synchronised:
            self.is_utc = False
        forward_ns = backward_ns = None
        if round_trip_ns is not None:
            forward_ns, backward_ns = reflection.t2_ns - sent_ns, sent_ns + round_trip_ns - reflection.t3_ns
        # Counters are this session's when they agree with its numbers; others count they alone know what.
        received = told.received if told.sent == reflection.number + 1 else None
        if received is not None or reflection.number != index:
            self.is_stateful = True
        self.answers.append(Answer(index, reflection.number, forward_ns, backward_ns, received))

    def take_classes(self, asked: int, told: Told, arrived: int | None) -> None:
        """Take with which DSCP a question came there (as told) and its answer arrived here."""
        if told.dscp is not None and self.dscp_forward in (None, asked):
            self.dscp_forward = told.dscp
        if arrived is not None and self.dscp_backward in (None, asked):
            self.dscp_backward = arrived
        self.is_dscp_refused = self.is_dscp_refused or told.is_refused is True


def loss_figures(readings: Readings) -> dict[str, float]:
    """Return the losses by direction; nothing when the reflector is not known to keep state."""
    answers = readings.answers
    if not answers or not readings.is_stateful:
        return {}
    asked = max(answer.place for answer in answers) + 1
    reflected = max(answer.number for answer in answers) + 1
    # A packet that the network doubled on the way there was received twice, and its answers have two numbers.
    arrived = len({answer.number for answer in answers})
    doubled = arrived - len({answer.place for answer in answers})
    received = max([reflected, *(answer.received for answer in answers if answer.received is not None)])
    if doubled < 0 or received > asked + doubled:
        return {}
    return {
        "loss_forward_ratio": (asked + doubled - received) / asked,
        "loss_backward_ratio": (reflected - arrived) / reflected,
    }


def delay_figures(readings: Readings, error_max: float) -> dict[str, float]:
    """Return the one-way delays of which the error of both clocks is at most the share `error_max`."""
    estimate = readings.estimate
    if estimate is None or not readings.is_utc:
        return {}
    own = decode_error(readings.own_error)
    if not own.is_synchronised:
        return {}
    if own.error_s is None or estimate.error_s is None:
        return {}
    error_s = own.error_s + estimate.error_s
    figures = {"clocks_error_s": error_s}
    for direction, delays_ns in (
        ("forward", [answer.forward_ns for answer in _firsts(readings.answers) if answer.forward_ns is not None]),
        ("backward", [answer.backward_ns for answer in _firsts(readings.answers) if answer.backward_ns is not None]),
    ):
        if delays_ns and error_s <= error_max * min(delays_ns) / _SECOND_NS:
            figures[f"delay_{direction}_min_s"] = min(delays_ns) / _SECOND_NS
            figures[f"delay_{direction}_mean_s"] = math.fsum(delays_ns) / len(delays_ns) / _SECOND_NS
    return figures


def variation_figures(readings: Readings, flight: Flight) -> dict[str, float]:
    """Return the mean difference of neighbouring packets' delays, each way (RFC 3393, section 4.2)."""
    if len(readings.answers) < 2:
        return {}
    known = {answer.place: answer for answer in _firsts(readings.answers) if answer.forward_ns is not None}
    forward_ns, backward_ns = [], []
    for index, later in known.items():
        earlier = known.get(index - 1)
        if earlier is None or _was_set(flight, index):
            continue
        forward_ns.append(abs((later.forward_ns or 0) - (earlier.forward_ns or 0)))
        backward_ns.append(abs((later.backward_ns or 0) - (earlier.backward_ns or 0)))
    if not forward_ns:
        return {}
    return {
        "ipdv_forward_s": sum(forward_ns) / len(forward_ns) / _SECOND_NS,
        "ipdv_backward_s": sum(backward_ns) / len(backward_ns) / _SECOND_NS,
    }


def _was_set(flight: Flight, index: int) -> bool:
    """Say whether our clock was set between a packet and the one before it."""
    earlier, later = flight.stamps[index - 1], flight.stamps[index]
    step_ns = (later.wall_ns - earlier.wall_ns) - (later.monotonic_ns - earlier.monotonic_ns)
    return abs(step_ns) > CLOCK_STEP_NS


def _firsts(answers: Iterable[Answer]) -> Iterable[Answer]:
    """Return the first answer to each packet."""
    return {answer.place: answer for answer in reversed(list(answers))}.values()
