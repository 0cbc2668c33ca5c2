"""Counts a target's time, in whole milliseconds, so that what is counted piece by piece adds up to the whole.

Every moment is counted once, in this order: outside the service hours, maintenance, unknown, the state.

An outage is a stretch of down that is not broken by the target being seen to work. What is not counted (maintenance,
unknown, outside the service hours) neither ends an outage nor makes it longer; where the target worked in it, it ends.
So a piece remembers how much of an outage stands open at either edge: joined with its neighbour, an outage over the
edge is one again, as long as it was.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from alerts.intervals import Interval, difference, intersection, joined, length_ms
from alerts.model import State
from alerts.state_lines import DEGRADED, DOWN, STATE, STATE_BITS, UNKNOWN, UP, Line, line_of
from alerts.target_state import ORDER
from alerts.timeline import Timeline, segments


class Counted(NamedTuple):
    """What was counted of a piece of a target's time.

    Attributes:
        service_ms: time inside the service hours; it is the sum of the next five.
        up_ms, degraded_ms, down_ms, unknown_ms: by state, outside maintenance.
        maintenance_ms: time inside maintenance, whatever the state.
        maintenance_working_ms, maintenance_down_ms: of that, up or degraded, and down.
        worked: the target was seen to work, be it outside the service hours or in maintenance.
        head_ms: counted downtime before it was first seen to work; all of it where it never was.
        tail_ms: counted downtime since it was last seen to work.
        outages, longest_ms: of those that lie between two moments at which it worked.

    """

    service_ms: int = 0
    up_ms: int = 0
    degraded_ms: int = 0
    down_ms: int = 0
    unknown_ms: int = 0
    maintenance_ms: int = 0
    maintenance_working_ms: int = 0
    maintenance_down_ms: int = 0
    worked: bool = False
    head_ms: int = 0
    tail_ms: int = 0
    outages: int = 0
    longest_ms: int = 0

    def then(self, later: Counted) -> Counted:
        """Return this piece and the one that follows it as one. It is associative, and nothing counted changes it."""
        head_ms, tail_ms, outages = self.head_ms, later.tail_ms, self.outages + later.outages
        longest_ms = max(self.longest_ms, later.longest_ms)
        if not self.worked:
            head_ms += later.head_ms
        elif not later.worked:
            tail_ms = self.tail_ms + later.head_ms
        elif over_the_edge_ms := self.tail_ms + later.head_ms:
            outages, longest_ms = outages + 1, max(longest_ms, over_the_edge_ms)
        return Counted(
            self.service_ms + later.service_ms,
            self.up_ms + later.up_ms,
            self.degraded_ms + later.degraded_ms,
            self.down_ms + later.down_ms,
            self.unknown_ms + later.unknown_ms,
            self.maintenance_ms + later.maintenance_ms,
            self.maintenance_working_ms + later.maintenance_working_ms,
            self.maintenance_down_ms + later.maintenance_down_ms,
            self.worked or later.worked,
            head_ms,
            tail_ms,
            outages,
            longest_ms,
        )

    @property
    def all_outages(self) -> int:
        """How many outages there were, those at the edges too."""
        return self.outages + (self.head_ms > 0) + (self.tail_ms > 0)

    @property
    def longest_outage_ms(self) -> int:
        """Counted time of the longest outage."""
        return max(self.longest_ms, self.head_ms, self.tail_ms)


NOTHING = Counted()
"""What a piece without any time amounts to."""


class Outage(NamedTuple):
    """One outage, as far as it counts.

    Attributes:
        from_ms, to_ms: its first and its last counted moment; what lies between need not all be counted.
        counted_ms: how much of it counts as downtime.
        reason: why it was down at first.

    """

    from_ms: int
    to_ms: int
    counted_ms: int
    reason: str


def count(
    timeline: Timeline,
    from_ms: int,
    to_ms: int,
    *,
    service: Sequence[Interval] | None = None,
    maintenance: Iterable[Interval] = (),
) -> Counted:
    """Count the time of [from_ms, to_ms), which lies between the target's first result and now.

    `service` are the promised intervals (None: always), `maintenance` the windows; both may overlap as they like.
    """
    return count_line(line_of(timeline), from_ms, to_ms, service=service, maintenance=maintenance)


def count_line(
    line: Line,
    from_ms: int,
    to_ms: int,
    *,
    service: Sequence[Interval] | None = None,
    maintenance: Iterable[Interval] = (),
) -> Counted:
    """Count the time of a line, as `count` does that of a timeline."""
    if from_ms >= to_ms:
        return NOTHING
    served, planned, measured = _parts(from_ms, to_ms, service, maintenance)
    first = bisect_right(line, from_ms << STATE_BITS | STATE)
    changes = line[first : bisect_left(line, to_ms << STATE_BITS, first)]
    states = [line[first - 1] & STATE if first else UNKNOWN, *(change & STATE for change in changes)]
    moments = [from_ms, *(change >> STATE_BITS for change in changes), to_ms]
    is_whole = len(measured) == 1 and measured[0] == (from_ms, to_ms)
    passed = moments if is_whole else _passed(measured, moments)
    totals = [0] * len(ORDER)
    worked, head_ms, run_ms, outages, longest_ms = False, 0, 0, 0, 0
    for state, (begun_ms, ended_ms) in zip(states, pairwise(passed), strict=True):
        counted_ms = ended_ms - begun_ms
        totals[state] += counted_ms
        if state == DOWN:
            run_ms += counted_ms
        elif state != UNKNOWN:
            if not worked:
                worked, head_ms = True, run_ms
            elif run_ms:
                outages += 1
                longest_ms = max(longest_ms, run_ms)
            run_ms = 0
    inside = _by_state(states, _passed(planned, moments)) if planned else _NO_TIME
    return Counted(
        length_ms(served),
        totals[UP],
        totals[DEGRADED],
        totals[DOWN],
        totals[UNKNOWN],
        length_ms(planned),
        inside[UP] + inside[DEGRADED],
        inside[DOWN],
        worked,
        head_ms if worked else run_ms,
        run_ms if worked else 0,
        outages,
        longest_ms,
    )


def outages(
    timeline: Timeline,
    from_ms: int,
    to_ms: int,
    *,
    service: Sequence[Interval] | None = None,
    maintenance: Iterable[Interval] = (),
) -> list[Outage]:
    """Return the outages that `count` counts, in order of time."""
    if from_ms >= to_ms:
        return []
    measured = _parts(from_ms, to_ms, service, maintenance)[2]
    found: list[Outage] = []
    current: Outage | None = None
    place = 0
    for start_ms, end_ms, state, reason in segments(timeline, from_ms, to_ms):
        while place < len(measured) and measured[place][1] <= start_ms:
            place += 1
        if state is State.DOWN:
            last = bisect_left(measured, (end_ms, end_ms), place)
            for counted in intersection(measured[place:last], [(start_ms, end_ms)]):
                current = _longer(current, counted, reason)
        elif state is not State.UNKNOWN and current is not None:
            found.append(current)
            current = None
    return found if current is None else [*found, current]


def _longer(outage: Outage | None, counted: Interval, reason: str) -> Outage:
    start_ms, end_ms = counted
    if outage is None:
        return Outage(start_ms, end_ms, end_ms - start_ms, reason)
    return outage._replace(to_ms=end_ms, counted_ms=outage.counted_ms + end_ms - start_ms)


def measured_intervals(
    from_ms: int,
    to_ms: int,
    *,
    service: Sequence[Interval] | None = None,
    maintenance: Iterable[Interval] = (),
) -> list[Interval]:
    """Return what is measured of [from_ms, to_ms): served, and not in maintenance."""
    return _parts(from_ms, to_ms, service, maintenance)[2] if from_ms < to_ms else []


def _parts(
    from_ms: int, to_ms: int, service: Sequence[Interval] | None, maintenance: Iterable[Interval]
) -> tuple[list[Interval], list[Interval], list[Interval]]:
    """Return what is served of a period, what of that is planned work, and what is to be measured."""
    period = [(from_ms, to_ms)]
    served = period if service is None else intersection(joined(service), period)
    planned = intersection(joined(maintenance), served)
    return served, planned, difference(served, planned) if planned else served


def _passed(intervals: Sequence[Interval], moments: Iterable[int]) -> list[int]:
    """Return how much of the intervals, in order and disjoint, has passed at each moment, in order of time."""
    found, place, passed_ms = [], 0, 0
    for at_ms in moments:
        while place < len(intervals) and intervals[place][1] <= at_ms:
            passed_ms += intervals[place][1] - intervals[place][0]
            place += 1
        begun_ms = max(0, at_ms - intervals[place][0]) if place < len(intervals) else 0
        found.append(passed_ms + begun_ms)
    return found


def _by_state(states: Iterable[int], passed: Sequence[int]) -> Sequence[int]:
    totals = [0] * len(ORDER)
    for state, (begun_ms, ended_ms) in zip(states, pairwise(passed), strict=True):
        totals[state] += ended_ms - begun_ms
    return totals


_NO_TIME = (0,) * len(ORDER)
