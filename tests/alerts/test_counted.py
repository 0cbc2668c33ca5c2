"""What is counted piece by piece is what is counted in one piece, however it is cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from alerts.counted import NOTHING, Counted, count, outages
from alerts.model import State
from alerts.timeline import Change
from tests.alerts.test_availability import END, INTERVALS, MANY
from tests.alerts.test_timeline import timelines

UP, DEGRADED, DOWN, UNKNOWN = State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN
EDGES = st.lists(st.integers(0, END), min_size=2, max_size=6).map(sorted)


@st.composite
def parts(draw):
    return {"service": draw(st.none() | INTERVALS), "maintenance": draw(INTERVALS)}


def together(pieces) -> Counted:
    whole = NOTHING
    for piece in pieces:
        whole = whole.then(piece)
    return whole


@MANY
@given(timelines(), parts(), EDGES)
def test_any_split_into_parts_adds_up_to_the_whole(timeline, what, edges):
    pieces = [count(timeline, start, end, **what) for start, end in itertools.pairwise(edges)]
    assert together(pieces) == count(timeline, edges[0], edges[-1], **what)


@MANY
@given(timelines(), parts(), EDGES)
def test_it_does_not_matter_which_parts_are_put_together_first(timeline, what, edges):
    pieces = [count(timeline, start, end, **what) for start, end in itertools.pairwise(edges)]
    from_behind = NOTHING
    for piece in reversed(pieces):
        from_behind = piece.then(from_behind)
    assert from_behind == together(pieces)


@MANY
@given(timelines(), parts(), st.integers(0, END), st.integers(0, END))
def test_outages_one_by_one_are_those_that_are_counted(timeline, what, from_ms, to_ms):
    counted = count(timeline, from_ms, to_ms, **what)
    found = outages(timeline, from_ms, to_ms, **what)
    assert len(found) == counted.all_outages
    assert sum(outage.counted_ms for outage in found) == counted.down_ms
    assert max((outage.counted_ms for outage in found), default=0) == counted.longest_outage_ms
    assert all(0 < outage.counted_ms <= outage.to_ms - outage.from_ms for outage in found)
    assert all(earlier.to_ms < later.from_ms for earlier, later in itertools.pairwise(found))


def test_an_outage_over_the_edge_of_two_months_is_one_in_the_year():
    timeline = (Change(0, UP), Change(90, DOWN, "http_status"), Change(130, UP), Change(150, DOWN), Change(151, UP))
    first, second = count(timeline, 0, 100), count(timeline, 100, 200)
    assert (first.all_outages, second.all_outages) == (1, 2)
    year = first.then(second)
    assert (year.all_outages, year.longest_outage_ms, year.down_ms) == (2, 40, 41)
    assert [tuple(outage) for outage in outages(timeline, 0, 200)] == [
        (90, 130, 40, "http_status"),
        (150, 151, 1, ""),
    ]


def test_an_outage_over_a_whole_month_joins_what_is_on_both_sides():
    timeline = (Change(0, UP), Change(90, DOWN), Change(250, UP))
    assert together(count(timeline, start, start + 100) for start in (0, 100, 200)) == count(timeline, 0, 300)
    months = [count(timeline, start, start + 100) for start in (0, 100, 200)]
    assert [month.all_outages for month in months] == [1, 1, 1]
    assert together(months).longest_outage_ms == 160


def test_an_outage_by_day_of_a_service_by_day_is_one_however_the_days_are_cut():
    days = [(0, 10), (20, 30), (40, 50)]
    timeline = (Change(0, UP), Change(5, DOWN), Change(45, UP))
    (outage,) = outages(timeline, 0, 60, service=days)
    assert (outage.from_ms, outage.to_ms, outage.counted_ms) == (5, 45, 20)
    pieces = [count(timeline, start, end, service=days) for start, end in itertools.pairwise((0, 15, 25, 60))]
    assert together(pieces).longest_outage_ms == 20


def test_work_seen_outside_the_service_hours_ends_an_outage():
    days = [(0, 10), (20, 30)]
    timeline = (Change(5, DOWN), Change(12, UP), Change(18, DOWN), Change(25, UP))
    assert len(outages(timeline, 0, 30, service=days)) == 2
    pieces = count(timeline, 0, 15, service=days).then(count(timeline, 15, 30, service=days))
    assert (pieces.all_outages, pieces.longest_outage_ms) == (2, 5)
