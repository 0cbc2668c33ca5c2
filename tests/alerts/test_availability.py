"""What must hold of every figure; the numbered cases are under tests/conformance."""

from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.availability import Availability, combine, measure, windows_on
from alerts.intervals import difference, intersection, joined
from alerts.model import State
from alerts.timeline import Change
from tests.alerts.scenes import window
from tests.alerts.test_timeline import state_at, timelines

END = 60
INTERVALS = st.lists(st.tuples(st.integers(-5, END), st.integers(-5, END + 5)), max_size=4)
UP, DEGRADED, DOWN, UNKNOWN = State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN
MANY = settings(max_examples=200, deadline=None)


@st.composite
def measured(draw):
    return {
        "timeline": draw(timelines()),
        "first_result_ms": draw(st.none() | st.integers(0, END)),
        "now_ms": draw(st.integers(0, END + 10)),
        "service": draw(st.none() | INTERVALS),
        "maintenance": draw(INTERVALS),
        "objective": draw(st.none() | st.floats(0, 1)),
    }


def inside(at_ms: int, intervals) -> bool:
    return any(start <= at_ms < end for start, end in intervals)


@MANY
@given(measured(), st.integers(0, END), st.integers(0, END))
def test_every_moment_is_counted_once_and_as_what_it_was(what, from_ms, to_ms):
    """Against a count of milliseconds one by one."""
    counts = dict.fromkeys(["service", "maintenance", *State], 0)
    both = dict.fromkeys(State, 0)
    first = what["first_result_ms"]
    for at_ms in range(from_ms, to_ms):
        if first is None or not first <= at_ms < what["now_ms"]:
            continue
        if what["service"] is not None and not inside(at_ms, what["service"]):
            continue
        counts["service"] += 1
        state = state_at(what["timeline"], at_ms)
        both[state] += 1
        counts["maintenance" if inside(at_ms, what["maintenance"]) else state] += 1
    figures = measure(from_ms=from_ms, to_ms=to_ms, **what)
    assert figures.service_ms == counts["service"]
    assert figures.maintenance_ms == counts["maintenance"]
    assert (figures.up_ms, figures.degraded_ms) == (counts[UP], counts[DEGRADED])
    assert (figures.down_ms, figures.unknown_ms) == (counts[DOWN], counts[UNKNOWN])
    known = both[UP] + both[DEGRADED] + both[DOWN]
    expected = (both[UP] + both[DEGRADED]) / known if known else None
    assert figures.availability_with_maintenance == expected


@MANY
@given(measured(), st.integers(0, END), st.integers(0, END))
def test_figures_agree_with_each_other(what, from_ms, to_ms):
    figures = measure(from_ms=from_ms, to_ms=to_ms, **what)
    parts = (figures.up_ms, figures.degraded_ms, figures.down_ms, figures.unknown_ms, figures.maintenance_ms)
    assert sum(parts) == figures.service_ms
    for ratio in (figures.availability, figures.availability_with_maintenance, figures.coverage):
        assert ratio is None or 0 <= ratio <= 1
    assert (figures.outages > 0) is (figures.down_ms > 0)
    assert figures.longest_outage_ms <= figures.down_ms <= figures.longest_outage_ms * max(figures.outages, 1)
    if figures.met is not None:
        budget = (1 - Fraction(repr(what["objective"]))) * figures.known_ms - figures.down_ms
        assert figures.met is (budget >= 0)
        assert figures.error_budget_left_ms == round(budget)


@MANY
@given(measured(), st.lists(st.integers(0, END), min_size=2, max_size=5))
def test_a_period_cut_into_parts_adds_up_to_the_whole(what, edges):
    edges.sort()
    whole = measure(from_ms=edges[0], to_ms=edges[-1], **what)
    pieces = [measure(from_ms=start, to_ms=end, **what) for start, end in itertools.pairwise(edges)]
    together = combine(pieces, objective=what["objective"])
    for name in ("service_ms", "up_ms", "degraded_ms", "down_ms", "unknown_ms", "maintenance_ms"):
        assert getattr(together, name) == getattr(whole, name)
    for name in ("availability", "availability_with_maintenance", "coverage", "met", "error_budget_left_ms"):
        assert getattr(together, name) == getattr(whole, name)
    assert (together.from_ms, together.to_ms) == (whole.from_ms, whole.to_ms)
    assert together.outages >= whole.outages


@MANY
@given(INTERVALS, INTERVALS)
def test_intervals_are_sets_of_moments(left, right):
    one, other = joined(left), joined(right)
    for at_ms in range(-6, END + 6):
        assert inside(at_ms, one) is inside(at_ms, left)
        assert inside(at_ms, intersection(one, other)) is (inside(at_ms, left) and inside(at_ms, right))
        assert inside(at_ms, difference(one, other)) is (inside(at_ms, left) and not inside(at_ms, right))
    assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(one))


def test_nothing_together_is_nothing():
    assert combine([]) == Availability("", 0, 0)
    assert combine([]).availability is None


def test_seconds_are_exact_to_the_millisecond_and_whole_ones_are_integers():
    figures = measure((Change(0, UP), Change(1500, DOWN)), 0, 4000, first_result_ms=0, now_ms=4000, target="a")
    shown = figures.as_json()
    assert (shown["up_s"], shown["down_s"], shown["service_s"]) == (1.5, 2.5, 4)
    assert type(shown["service_s"]) is int
    assert (shown["target"], shown["to"]) == ("a", "1970-01-01T00:00:04.000Z")


def test_windows_are_those_that_name_the_target():
    windows = [window(0, 10, "a", "b"), window(5, 20, "b")]
    assert windows_on("a", windows) == [(windows[0].from_ms, windows[0].to_ms)]
    assert len(windows_on("b", windows)) == 2
