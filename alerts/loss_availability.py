"""Availability of a link by its loss, as ITU-T Y.1540 judges an IP service: interval by interval.

An interval is unavailable when the share of packets lost in it exceeds a threshold. Both are settings, and stand with
the figure: the recommendation's own numbers are provisional, and figures of different ones cannot be compared. Only
intervals that lie wholly in the time that is measured (service hours without maintenance) and in which packets were
sent are counted.

A link of several channels is judged as its state is: an interval is lost when so many of the members lost it that
fewer than the policy asks for carried anything. Where what is known of some members does not settle it, because others
sent no packets, the interval says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from alerts.availability import format_availability
from alerts.intervals import Interval


class Lost(NamedTuple):
    """The loss of one interval: the sum of the loss ratios of its results, and how many these were."""

    at_ms: int
    loss_sum: float
    loss_count: int


@dataclass(frozen=True, slots=True)
class LossAvailability:
    """What was counted of one check of a link, or of its members together.

    Attributes:
        check: the check's id, "" for members.
        interval_s, threshold: what an interval is, and the loss ratio beyond which it is unavailable.
        intervals: how many were counted; unavailable: how many of them were lost.
        members: their ids; need: how many of them must carry.

    """

    check: str
    interval_s: float
    threshold: float
    intervals: int
    unavailable: int
    members: tuple[str, ...] = ()
    need: int = 0

    @property
    def availability(self) -> float | None:
        """Available intervals over all that were counted; None where there were none."""
        return (self.intervals - self.unavailable) / self.intervals if self.intervals else None

    def as_json(self) -> dict[str, Any]:
        """Return it as an object."""
        return {
            **({"members": list(self.members), "need": self.need} if self.members else {"check": self.check}),
            "interval_s": self.interval_s,
            "threshold": self.threshold,
            "intervals": self.intervals,
            "unavailable": self.unavailable,
            "availability": self.availability,
        }

    def line(self, language: str) -> str:
        """Return it as a line for people, rounded down."""
        shown = format_availability(self.availability, outage=self.unavailable > 0, language=language)
        rule = f"loss above {self.threshold * 100:g} % in {self.interval_s:g} s (in the manner of ITU-T Y.1540)"
        what = f"{self.need} of {', '.join(self.members)}" if self.members else self.check
        return f"{what}: {shown} by loss, {self.unavailable} of {self.intervals} intervals unavailable: {rule}"


Judged = Mapping[int, bool]
"""Whether an interval was lost, by its start and in order of time; those that say nothing are not there."""


def judge(lost: Iterable[Lost], threshold: float) -> Judged:
    """Judge the intervals of one check, given in order of time."""
    return {at_ms: loss_sum > threshold * loss_count for at_ms, loss_sum, loss_count in lost if loss_count}


def needed(need: int, parts: Sequence[Judged]) -> Judged:
    """Judge intervals in which so many of the parts must carry packets."""
    found: dict[int, bool] = {}
    for at_ms in sorted(set[int]().union(*parts)):
        known = [part[at_ms] for part in parts if at_ms in part]
        carrying = known.count(False)
        if carrying >= need or carrying + len(parts) - len(known) < need:
            found[at_ms] = carrying < need
    return found


def worst(parts: Sequence[Judged]) -> Judged:
    """Judge intervals that are lost when any of the parts has lost them, as far as these say something."""
    if len(parts) == 1:
        return parts[0]
    moments = sorted(set[int]().union(*parts))
    return {at_ms: any(part.get(at_ms, False) for part in parts) for at_ms in moments}


def by_loss(
    check: str,
    judged: Judged,
    measured: Sequence[Interval],
    interval_s: float,
    threshold: float,
    *,
    members: tuple[str, ...] = (),
    need: int = 0,
) -> LossAvailability:
    """Count intervals; `measured` are in order and disjoint."""
    span_ms, place, intervals, unavailable = round(interval_s * 1000), 0, 0, 0
    for at_ms, is_lost in judged.items():
        while place < len(measured) and measured[place][1] < at_ms + span_ms:
            place += 1
        if place == len(measured):
            break
        if measured[place][0] <= at_ms:
            intervals += 1
            unavailable += is_lost
    return LossAvailability(check, interval_s, threshold, intervals, unavailable, members, need)
