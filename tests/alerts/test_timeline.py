"""Timelines against what can be read off moment by moment."""

from __future__ import annotations

import itertools
from bisect import bisect_right

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.model import Result, State, Subject, Transition
from alerts.target_state import Part, of_target
from alerts.timeline import Change, TargetTimelines, check_timeline, cut, segments, target_timeline
from monitor.availability import check_timelines
from tests.alerts.scenes import at, endpoint, group, link, play, results, transitions, watch

UP, DEGRADED, DOWN, UNKNOWN = State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN
STATES = st.sampled_from(list(State))
END = 60


@st.composite
def timelines(draw):
    moments = sorted(draw(st.sets(st.integers(1, END), max_size=8)))
    found = []
    for at_ms in moments:
        state = draw(STATES)
        if state is not (found[-1].state if found else UNKNOWN):
            found.append(Change(at_ms, state, state.value))
    return tuple(found)


def state_at(timeline, at_ms: int) -> State:
    index = bisect_right(timeline, at_ms, key=lambda change: change.at_ms)
    return timeline[index - 1].state if index else UNKNOWN


def change(after: State, at_s: float, detected_s: float, reason: str = "") -> Transition:
    return Transition(Subject.CHECK, "a/http", UNKNOWN, after, at(at_s), at(detected_s), reason)


def test_a_check_s_timeline_is_its_transitions_in_the_order_in_which_they_were_known():
    changes = [change(DOWN, 50, 70, "http_status"), change(UP, 10, 10)]
    assert check_timeline(changes) == (Change(at(10), UP), Change(at(50), DOWN, "http_status"))


def test_what_is_known_later_overrules_what_was_known_of_the_same_time():
    changes = [change(UP, 10, 10), change(UNKNOWN, 40, 60, "no_results"), change(DOWN, 30, 80)]
    assert check_timeline(changes) == (Change(at(10), UP), Change(at(30), DOWN))
    assert check_timeline([*changes[:2], change(UP, 40, 80)]) == (Change(at(10), UP),)


@settings(max_examples=100, deadline=None)
@given(st.lists(timelines(), min_size=1, max_size=3), st.lists(timelines(), max_size=3), st.integers(1, 3))
def test_a_target_is_at_every_moment_what_its_parts_are_then(checks, members, need):
    leaves = [endpoint(f"m{number}") for number in range(len(members))]
    top = group(
        "t", *(leaf.id for leaf in leaves), need=min(need, len(leaves)), checks=[f"c{n}" for n in range(len(checks))]
    )
    rules = watch(*leaves, top, uncritical=["t/c1"])
    by_check = {f"t/c{number}": timeline for number, timeline in enumerate(checks)}
    by_check |= {f"m{number}/http": timeline for number, timeline in enumerate(members)}
    found = target_timeline(rules, "t", by_check)
    for at_ms in range(END + 2):
        own = [Part(state_at(timeline, at_ms), critical=number != 1) for number, timeline in enumerate(checks)]
        below = [Part(state_at(timeline, at_ms)) for timeline in members]
        assert state_at(found, at_ms) is of_target(top, own, below).state, at_ms
    assert all(one[1:] != other[1:] for one, other in itertools.pairwise(found))


@settings(max_examples=100, deadline=None)
@given(timelines(), st.integers(0, END), st.integers(0, END))
def test_segments_are_gapless_and_in_order(timeline, from_ms, to_ms):
    found = segments(timeline, from_ms, to_ms)
    edges = [from_ms, *(end for _, end, _, _ in found)]
    assert edges[:-1] == [start for start, _, _, _ in found] if found else from_ms >= to_ms
    assert edges[-1] == to_ms or not found
    for start, end, state, _ in found:
        assert start < end
        assert {state_at(timeline, at_ms) for at_ms in range(start, end)} == {state}


def test_the_last_state_of_a_timeline_is_the_state_that_the_core_remembers():
    rules = watch(endpoint("a"), endpoint("b"), link("l", "a", "b"), group("g", "l", "a", need=1))
    letters = {"a/http": "uudddddduuuugggg", "b/http": "uuuuddddddxxxxuu"}
    events = play(rules, *(results(check, told) for check, told in letters.items()))
    by_check = check_timelines(event for event in events if isinstance(event, Transition))
    found = TargetTimelines(rules, by_check)
    for target in rules.targets:
        assert found.of(target)[-1].state.value == transitions(events, target)[-1][1]


def test_a_recovery_confirmed_late_is_dated_back_in_the_timeline_as_well():
    rules = watch(endpoint("a", checks=("quick", "slow")))
    slow = [*results("a/slow", "uddd"), *results("a/slow", "uu", 40, step_s=25)]
    events = play(rules, slow, results("a/quick", "uddddduu", 1))
    by_check = check_timelines(event for event in events if isinstance(event, Transition))
    assert target_timeline(rules, "a", by_check)[-1] == Change(at(61), UP)


def test_a_group_worked_out_over_many_ways_is_worked_out_once():
    floors = [endpoint("t0"), endpoint("s0")]
    for floor in range(1, 200):
        floors += [group(f"{x}{floor}", f"t{floor - 1}", f"s{floor - 1}", need=1) for x in "ts"]
    rules = watch(*floors)
    by_check = {"t0/http": (Change(1, UP), Change(5, DOWN)), "s0/http": (Change(2, UP),)}
    # One of two is degraded on the first floor; above it, every member counts as up.
    first = [(change.at_ms, change.state) for change in target_timeline(rules, "t1", by_check)]
    assert first == [(1, DEGRADED), (2, UP), (5, DEGRADED)]
    assert [(change.at_ms, change.state) for change in target_timeline(rules, "t199", by_check)] == [(1, UP)]


def test_a_timeline_can_be_cut_off():
    timeline = (Change(1, UP), Change(5, DOWN))
    assert cut(timeline, 5) == (Change(1, UP),)
    assert cut(timeline, None) == timeline


def test_results_without_a_failure_have_no_reason():
    plain = [Result("a/http", "a", at(10 * n), 0.0, DOWN, None, "", {}) for n in range(3)]
    assert [event.reason for event in play(watch(endpoint("a")), plain) if isinstance(event, Transition)] == ["", ""]
