"""Availability over a period (DESIGN section 6.5), in whole milliseconds, so that parts add up to the whole.

The terms are those of ITU-T E.800 and X.641: up time and down time over the time in which the service is promised.
How each moment is counted, and what an outage is, stands in `alerts.counted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from math import floor
from typing import Any

from alerts.counted import Counted, Outage, count
from alerts.intervals import Interval
from alerts.model import Window
from alerts.periods import utc_text
from alerts.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Availability:
    """What was counted over a period, and what follows from it.

    Attributes:
        target: its id, or "" for several together.
        from_ms, to_ms: the period as asked for; it is clipped to [first result, now] before anything is counted.
        service_ms: time inside the service hours; it is the sum of the next five.
        up_ms, degraded_ms, down_ms, unknown_ms: by state, outside maintenance.
        maintenance_ms: time inside maintenance, whatever the state.
        maintenance_working_ms, maintenance_down_ms: of that, up or degraded, and down.
        outages: how many there were outside maintenance.
        longest_outage_ms: counted time of the longest one.
        objective: the availability that was promised, as a ratio, or None.

    """

    target: str
    from_ms: int
    to_ms: int
    service_ms: int = 0
    up_ms: int = 0
    degraded_ms: int = 0
    down_ms: int = 0
    unknown_ms: int = 0
    maintenance_ms: int = 0
    maintenance_working_ms: int = 0
    maintenance_down_ms: int = 0
    outages: int = 0
    longest_outage_ms: int = 0
    objective: float | None = None

    @property
    def working_ms(self) -> int:
        """Time up or degraded, outside maintenance."""
        return self.up_ms + self.degraded_ms

    @property
    def known_ms(self) -> int:
        """Time up, degraded or down, outside maintenance."""
        return self.working_ms + self.down_ms

    @property
    def availability(self) -> float | None:
        """(up + degraded) / (up + degraded + down); None where nothing was known."""
        return self.working_ms / self.known_ms if self.known_ms else None

    @property
    def availability_with_maintenance(self) -> float | None:
        """The same with what was up or down inside maintenance counted as well."""
        working_ms = self.working_ms + self.maintenance_working_ms
        known_ms = working_ms + self.down_ms + self.maintenance_down_ms
        return working_ms / known_ms if known_ms else None

    @property
    def coverage(self) -> float | None:
        """Known time over the time that should have been measured; None where there was none."""
        measured_ms = self.service_ms - self.maintenance_ms
        return self.known_ms / measured_ms if measured_ms else None

    @property
    def met(self) -> bool | None:
        """Whether the objective was met, compared exactly; None without an objective or without data."""
        if self.objective is None or not self.known_ms:
            return None
        return Fraction(self.working_ms, self.known_ms) >= _exact(self.objective)

    @property
    def error_budget_ms(self) -> int | None:
        """How much downtime the objective allows in the known time, rounded down."""
        if self.objective is None or not self.known_ms:
            return None
        return floor((1 - _exact(self.objective)) * self.known_ms)

    @property
    def error_budget_left_ms(self) -> int | None:
        """How much more downtime the objective allows in the known time; negative when it is overspent."""
        if self.objective is None or not self.known_ms:
            return None
        return round((1 - _exact(self.objective)) * self.known_ms - self.down_ms)

    def budget_share(self, down_ms: int) -> float | None:
        """Return which share of the error budget that much downtime spends; None where there is no budget."""
        return down_ms / self.error_budget_ms if self.error_budget_ms else None

    def outage_as_json(self, outage: Outage) -> dict[str, Any]:
        """Return one of its outages as an object: its edges, how much of it counts, and what it cost."""
        return {
            "from": utc_text(outage.from_ms),
            "to": utc_text(outage.to_ms),
            "counted_s": _seconds(outage.counted_ms),
            "reason": outage.reason,
            "error_budget_share": self.budget_share(outage.counted_ms),
        }

    def as_json(self) -> dict[str, Any]:
        """Return the object of DESIGN section 6.5; seconds are exact to the millisecond, whole ones are integers."""
        return {
            "target": self.target,
            "from": utc_text(self.from_ms),
            "to": utc_text(self.to_ms),
            "service_s": _seconds(self.service_ms),
            "up_s": _seconds(self.up_ms),
            "degraded_s": _seconds(self.degraded_ms),
            "down_s": _seconds(self.down_ms),
            "unknown_s": _seconds(self.unknown_ms),
            "maintenance_s": _seconds(self.maintenance_ms),
            "availability": self.availability,
            "availability_with_maintenance": self.availability_with_maintenance,
            "coverage": self.coverage,
            "outages": self.outages,
            "longest_outage_s": _seconds(self.longest_outage_ms),
            "mttr_s": _seconds(round(self.down_ms / self.outages)) if self.outages else None,
            "mtbf_s": _seconds(round(self.working_ms / self.outages)) if self.outages else None,
            "objective": self.objective,
            "met": self.met,
            "error_budget_left_s": None if self.error_budget_left_ms is None else _seconds(self.error_budget_left_ms),
        }


def measure(
    timeline: Timeline,
    from_ms: int,
    to_ms: int,
    *,
    first_result_ms: int | None,
    now_ms: int,
    service: Sequence[Interval] | None = None,
    maintenance: Iterable[Interval] = (),
    objective: float | None = None,
    target: str = "",
) -> Availability:
    """Count a target's time over [from_ms, to_ms), clipped to [its first result, now].

    `service` are the promised intervals (None: always), `maintenance` the windows; both may overlap as they like.
    A target without a result has nothing to count.
    """
    start_ms = to_ms if first_result_ms is None else max(from_ms, first_result_ms)
    counted = count(timeline, start_ms, min(to_ms, now_ms), service=service, maintenance=maintenance)
    return of_counted(counted, from_ms, to_ms, objective=objective, target=target)


def of_counted(
    counted: Counted, from_ms: int, to_ms: int, *, objective: float | None = None, target: str = ""
) -> Availability:
    """Return the figures of what was counted over [from_ms, to_ms), in one piece or in several."""
    return Availability(
        target,
        from_ms,
        to_ms,
        service_ms=counted.service_ms,
        up_ms=counted.up_ms,
        degraded_ms=counted.degraded_ms,
        down_ms=counted.down_ms,
        unknown_ms=counted.unknown_ms,
        maintenance_ms=counted.maintenance_ms,
        maintenance_working_ms=counted.maintenance_working_ms,
        maintenance_down_ms=counted.maintenance_down_ms,
        outages=counted.all_outages,
        longest_outage_ms=counted.longest_outage_ms,
        objective=objective,
    )


def combine(parts: Iterable[Availability], *, target: str = "", objective: float | None = None) -> Availability:
    """Add up the counted time of several targets; percentages are never averaged.

    Of one target's periods, an outage over the edge of two is counted in both: `Counted.then` knows better. The
    objective is the one that is given.
    """
    items = list(parts)
    return Availability(
        target,
        min((item.from_ms for item in items), default=0),
        max((item.to_ms for item in items), default=0),
        service_ms=sum(item.service_ms for item in items),
        up_ms=sum(item.up_ms for item in items),
        degraded_ms=sum(item.degraded_ms for item in items),
        down_ms=sum(item.down_ms for item in items),
        unknown_ms=sum(item.unknown_ms for item in items),
        maintenance_ms=sum(item.maintenance_ms for item in items),
        maintenance_working_ms=sum(item.maintenance_working_ms for item in items),
        maintenance_down_ms=sum(item.maintenance_down_ms for item in items),
        outages=sum(item.outages for item in items),
        longest_outage_ms=max((item.longest_outage_ms for item in items), default=0),
        objective=objective,
    )


def windows_on(target: str, windows: Iterable[Window]) -> list[Interval]:
    """Return the intervals of the windows that cover the target."""
    return [(window.from_ms, window.to_ms) for window in windows if target in window.targets]


def format_availability(ratio: float | None, *, outage: bool, language: str = "vi", digits: int = 2) -> str:
    """Return a ratio as a percentage for people, rounded down; `—` where there is none.

    100 % is only ever shown when there was no outage: whatever rounds to it is shown as the figure just below.
    """
    if ratio is None:
        return "—"
    step = Decimal(1).scaleb(-digits)
    percent = (Decimal(repr(ratio)) * 100).quantize(step, ROUND_FLOOR)
    if percent >= 100:
        percent = 100 - step if outage or ratio < 1 else Decimal(100)
    return f"{percent} %".replace(".", "," if language == "vi" else ".")


def _exact(ratio: float) -> Fraction:
    """Return the ratio as it was written: 0.999 is 999/1000, not the nearest binary fraction."""
    return Fraction(repr(ratio))


def _seconds(ms: int) -> float | int:
    whole, rest = divmod(ms, 1000)
    return ms / 1000 if rest else whole
