"""Availability over a period (DESIGN section 6.5), in whole milliseconds, so that parts add up to the whole.

The terms are those of ITU-T E.800 and X.641: up time and down time over the time in which the service is promised.
Every moment is counted once, in this order: outside the service hours, maintenance, unknown, the state.

An outage is a stretch of down that is not broken by the target being seen to work. What is not counted (maintenance,
unknown, outside the service hours) neither ends an outage nor makes it longer; where the target worked in it, it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any

from alerts.model import State, Window
from alerts.periods import utc_text
from alerts.service_hours import Interval, joined
from alerts.timeline import Timeline, segments


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
    def error_budget_left_ms(self) -> int | None:
        """How much more downtime the objective allows in the known time; negative when it is overspent."""
        if self.objective is None or not self.known_ms:
            return None
        return round((1 - _exact(self.objective)) * self.known_ms - self.down_ms)

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
    end_ms = min(to_ms, now_ms)
    period = [(start_ms, end_ms)] if start_ms < end_ms else []
    served = period if service is None else intersection(joined(service), period)
    planned = intersection(joined(maintenance), served)
    measured = difference(served, planned)
    stretches = segments(timeline, start_ms, end_ms)
    counted = _by_state(stretches, measured)
    inside = _by_state(stretches, planned)
    outages = list(_outages(stretches, measured))
    return Availability(
        target,
        from_ms,
        to_ms,
        service_ms=_length(served),
        up_ms=counted[State.UP],
        degraded_ms=counted[State.DEGRADED],
        down_ms=counted[State.DOWN],
        unknown_ms=counted[State.UNKNOWN],
        maintenance_ms=_length(planned),
        maintenance_working_ms=inside[State.UP] + inside[State.DEGRADED],
        maintenance_down_ms=inside[State.DOWN],
        outages=len(outages),
        longest_outage_ms=max(outages, default=0),
        objective=objective,
    )


def combine(parts: Iterable[Availability], *, target: str = "", objective: float | None = None) -> Availability:
    """Add up the counted time of several periods or targets; percentages are never averaged.

    An outage over the edge of two periods is counted in both. The objective is the one that is given.
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


def intersection(left: Sequence[Interval], right: Sequence[Interval]) -> list[Interval]:
    """Return what is in both; both are in order and disjoint."""
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        start_ms, end_ms = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start_ms < end_ms:
            found.append((start_ms, end_ms))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return found


def difference(left: Sequence[Interval], right: Sequence[Interval]) -> list[Interval]:
    """Return what is in `left` and not in `right`; both are in order and disjoint."""
    found, j = [], 0
    for start_ms, end_ms in left:
        at_ms = start_ms
        while j < len(right) and right[j][1] <= at_ms:
            j += 1
        k = j
        while k < len(right) and right[k][0] < end_ms:
            if right[k][0] > at_ms:
                found.append((at_ms, right[k][0]))
            at_ms = max(at_ms, right[k][1])
            k += 1
        if at_ms < end_ms:
            found.append((at_ms, end_ms))
    return found


def _overlaps(
    stretches: Sequence[tuple[int, int, State, str]], intervals: Sequence[Interval]
) -> Iterator[tuple[State, int]]:
    """Give for each stretch its state and how much of it is inside the intervals."""
    first = 0
    for start_ms, end_ms, state, _ in stretches:
        while first < len(intervals) and intervals[first][1] <= start_ms:
            first += 1
        overlap_ms, index = 0, first
        while index < len(intervals) and intervals[index][0] < end_ms:
            overlap_ms += min(end_ms, intervals[index][1]) - max(start_ms, intervals[index][0])
            index += 1
        yield state, overlap_ms


def _by_state(stretches: Sequence[tuple[int, int, State, str]], intervals: Sequence[Interval]) -> dict[State, int]:
    totals = dict.fromkeys(State, 0)
    for state, overlap_ms in _overlaps(stretches, intervals):
        totals[state] += overlap_ms
    return totals


def _outages(stretches: Sequence[tuple[int, int, State, str]], intervals: Sequence[Interval]) -> Iterator[int]:
    """Give the counted length of each outage."""
    current_ms = 0
    for state, overlap_ms in _overlaps(stretches, intervals):
        if state is State.DOWN:
            current_ms += overlap_ms
        elif state is not State.UNKNOWN and current_ms:
            yield current_ms
            current_ms = 0
    if current_ms:
        yield current_ms


def _length(intervals: Iterable[Interval]) -> int:
    return sum(end_ms - start_ms for start_ms, end_ms in intervals)


def _exact(ratio: float) -> Fraction:
    """Return the ratio as it was written: 0.999 is 999/1000, not the nearest binary fraction."""
    return Fraction(repr(ratio))


def _seconds(ms: int) -> float | int:
    whole, rest = divmod(ms, 1000)
    return ms / 1000 if rest else whole
