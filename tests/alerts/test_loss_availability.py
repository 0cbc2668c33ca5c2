"""Availability by loss: intervals judged one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.intervals import joined
from alerts.loss_availability import LossAvailability, Lost, by_loss, judge, needed, worst
from alerts.model import State
from alerts.target_state import Part, of_members

SPAN_MS = 300_000


def judged(*ratios: float | None, measured=((0, 100 * SPAN_MS),), threshold: float = 0.2) -> LossAvailability:
    lost = [Lost(place * SPAN_MS, ratio * 30, 30) for place, ratio in enumerate(ratios) if ratio is not None]
    return by_loss("a/stamp", judge(lost, threshold), measured, 300.0, threshold)


def test_an_interval_is_unavailable_when_its_loss_exceeds_the_threshold():
    found = judged(0.0, 0.2, 0.21, 1.0)
    assert (found.intervals, found.unavailable, found.availability) == (4, 2, 0.5)


def test_an_interval_without_packets_says_nothing():
    assert judged(0.0, None, None, 1.0).intervals == 2
    assert by_loss("a/icmp", judge([Lost(0, 0.0, 0)], 0.2), [(0, SPAN_MS)], 300.0, 0.2).availability is None
    assert judged().availability is None


def test_only_intervals_that_lie_wholly_in_measured_time_count():
    edge = judged(1.0, 1.0, 1.0, 1.0, measured=[(1, 2 * SPAN_MS), (3 * SPAN_MS, 4 * SPAN_MS - 1)])
    assert (edge.intervals, edge.unavailable) == (1, 1)


def test_the_figure_says_by_what_it_was_judged_and_is_rounded_down():
    found = judged(*[0.0] * 99_999, 1.0, measured=[(0, 100_000 * SPAN_MS)])
    assert found.line("vi").startswith("a/stamp: 99,99 % by loss, 1 of 100000 intervals unavailable")
    assert "loss above 20 % in 300 s" in found.line("en")
    assert found.as_json()["threshold"] == 0.2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.none() | st.sampled_from([0.0, 0.5]), max_size=20),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4),
)
def test_it_is_what_looking_at_each_interval_gives(ratios, spans):
    measured = joined((start * SPAN_MS // 2, end * SPAN_MS // 2) for start, end in spans)
    found = judged(*ratios, measured=measured)
    inside = [
        ratio
        for place, ratio in enumerate(ratios)
        if ratio is not None
        and any(start <= place * SPAN_MS and (place + 1) * SPAN_MS <= end for start, end in measured)
    ]
    assert found.intervals == len(inside)
    assert found.unavailable == sum(ratio == pytest.approx(0.5) for ratio in inside)


JUDGED = st.dictionaries(st.integers(0, 6).map(SPAN_MS.__mul__), st.booleans())


@settings(max_examples=200, deadline=None)
@given(st.lists(JUDGED, min_size=1, max_size=4), st.integers(1, 4))
def test_an_interval_of_members_is_judged_as_a_link_s_state_is(parts, need):
    """Lost is down, carried is up, no packets is unknown: the table of the states, interval by interval."""
    need = min(need, len(parts))
    found = needed(need, parts)
    states = {None: State.UNKNOWN, True: State.DOWN, False: State.UP}
    for at_ms in range(0, 7 * SPAN_MS, SPAN_MS):
        state = of_members(need, [Part(states[part.get(at_ms)]) for part in parts]).state
        expected = {State.DOWN: True, State.UNKNOWN: None}.get(state, False)
        assert found.get(at_ms) is expected
    assert list(found) == sorted(found)


def test_of_several_checks_of_a_member_the_worst_one_counts():
    assert worst([{0: False, 2: False}, {1: True, 2: True}]) == {0: False, 1: True, 2: True}
    assert worst([]) == {}


def test_members_are_named_with_how_many_of_them_must_carry():
    found = by_loss("", {0: True}, [(0, SPAN_MS)], 300.0, 0.2, members=("a", "b"), need=1)
    assert found.line("vi").startswith("1 of a, b: 0,00 % by loss, 1 of 1 intervals unavailable")
    assert found.as_json() == {
        "members": ["a", "b"],
        "need": 1,
        "interval_s": 300.0,
        "threshold": 0.2,
        "intervals": 1,
        "unavailable": 1,
        "availability": 0.0,
    }
