"""Availability of a link by its loss, as ITU-T Y.1540 judges an IP service: interval by interval.

An interval is unavailable when the share of packets lost in it exceeds a threshold. Both are settings, and stand with
the figure: the recommendation's own numbers are provisional, and figures of different ones cannot be compared. Only
intervals that lie wholly in the time that is measured (service hours without maintenance) and in which packets were
sent are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """What was counted of one check of a link.

    Attributes:
        check: its id.
        interval_s, threshold: what an interval is, and the loss ratio beyond which it is unavailable.
        intervals: how many were counted; unavailable: how many of them were lost.

    """

    check: str
    interval_s: float
    threshold: float
    intervals: int
    unavailable: int

    @property
    def availability(self) -> float | None:
        """Available intervals over all that were counted; None where there were none."""
        return (self.intervals - self.unavailable) / self.intervals if self.intervals else None

    def as_json(self) -> dict[str, Any]:
        """Return it as an object."""
        return {
            "check": self.check,
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
        return f"{self.check}: {shown} by loss, {self.unavailable} of {self.intervals} intervals unavailable: {rule}"


def by_loss(
    check: str, lost: Iterable[Lost], measured: Sequence[Interval], interval_s: float, threshold: float
) -> LossAvailability:
    """Judge intervals, given in order of time; `measured` are in order and disjoint."""
    span_ms, place, intervals, unavailable = round(interval_s * 1000), 0, 0, 0
    for at_ms, loss_sum, loss_count in lost:
        while place < len(measured) and measured[place][1] < at_ms + span_ms:
            place += 1
        if place == len(measured):
            break
        if loss_count and measured[place][0] <= at_ms:
            intervals += 1
            unavailable += loss_sum > threshold * loss_count
    return LossAvailability(check, interval_s, threshold, intervals, unavailable)
