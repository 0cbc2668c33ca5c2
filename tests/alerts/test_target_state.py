"""Targets from checks, groups from members: the whole truth table."""

from __future__ import annotations

from itertools import product

import pytest

from alerts.model import REDUNDANCY_LOST, State, TargetRule
from alerts.target_state import Part, Verdict, dated, of_checks, of_members, of_target
from tests.alerts.scenes import endpoint, group, play, results, transitions, watch

UP, DEGRADED, DOWN, UNKNOWN = State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN
WORST_FIRST = (DOWN, UNKNOWN, DEGRADED, UP)


def expected(states: tuple[State, ...], need: int) -> State:
    """DESIGN section 6.4, word by word."""
    count_up = sum(state in (UP, DEGRADED) for state in states)
    if count_up == len(states):
        return UP
    if count_up >= need:
        return DEGRADED
    if count_up + states.count(UNKNOWN) >= need:
        return UNKNOWN
    return DOWN


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_group_of_up_to_four_members(count):
    for need in range(1, count + 1):
        for states in product(State, repeat=count):
            parts = [Part(state, number, f"r{number}") for number, state in enumerate(states)]
            verdict = of_members(need, parts)
            assert verdict.state is expected(states, need), (states, need)
            if verdict.state is UP:
                assert verdict.reason == ""
            elif verdict.state is DEGRADED:
                assert verdict.reason == REDUNDANCY_LOST
            else:
                assert states[int(verdict.reason[1:])] is verdict.state


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_target_of_up_to_three_checks(count):
    for parts in product(product(State, (True, False)), repeat=count):
        effective = [DEGRADED if state is DOWN and not critical else state for state, critical in parts]
        counted = [
            state for state, (_, critical) in zip(effective, parts, strict=True) if critical or state is not UNKNOWN
        ]
        worst = min(counted or effective, key=WORST_FIRST.index)
        assert of_checks([Part(state, 0, "", critical) for state, critical in parts]).state is worst, parts


def test_a_check_that_is_not_critical_only_degrades():
    parts = [Part(UP), Part(DOWN, 1, "http_status", critical=False)]
    assert of_checks(parts) == Verdict(DEGRADED, "http_status")


def test_the_reason_is_of_what_has_been_so_the_longest():
    parts = [Part(DOWN, 20, "late"), Part(DOWN, 10, "early"), Part(UNKNOWN, 1, "no_results")]
    assert of_checks(parts) == Verdict(DOWN, "early")


def test_a_target_of_nothing_is_unknown():
    assert of_target(TargetRule("t", "endpoint"), [], []) == Verdict(UNKNOWN)


@pytest.mark.parametrize(
    ("own", "members", "verdict"),
    [
        (UP, (UP, UP), Verdict(UP)),
        (DOWN, (UP, UP), Verdict(DOWN, "own")),
        (UP, (DOWN, DOWN), Verdict(DOWN, "m0")),
        (UNKNOWN, (UP, DOWN), Verdict(UNKNOWN, "own")),
        (DEGRADED, (UP, DOWN), Verdict(DEGRADED, REDUNDANCY_LOST)),
        (DEGRADED, (UP, UP), Verdict(DEGRADED, "own")),
    ],
)
def test_checks_and_members_together_are_the_worst_of_both(own, members, verdict):
    rule = TargetRule("t", "link", members=("m0", "m1"), need=1)
    parts = [Part(state, number, f"m{number}") for number, state in enumerate(members)]
    assert of_target(rule, [Part(own, 0, "own")], parts) == verdict


def test_a_target_is_not_all_up_before_the_last_of_its_parts():
    assert dated(5, UP, 15, [Part(UP, 20), Part(UP, 15), Part(UNKNOWN, 90, critical=False)]) == 20
    assert dated(5, DOWN, 15, [Part(DOWN, 15), Part(UP, 20)]) == 15
    assert dated(18, DOWN, 15, [Part(DOWN, 15)]) == 18


def test_a_late_confirmed_recovery_does_not_date_the_target_back_over_another_s_outage():
    rules = watch(endpoint("a", checks=("quick", "slow")))
    slow = results("a/slow", "uddd", 0) + results("a/slow", "uu", 40, step_s=25)
    quick = results("a/quick", "uddddduu", 1)
    events = play(rules, slow, quick)
    assert transitions(events, "a/slow")[-1] == (40, "up", 65.03)
    assert transitions(events, "a")[-1] == (61, "up", 71.03)


def test_a_deep_tower_of_groups_follows_its_foundation():
    floors = [endpoint("t0"), endpoint("s0")]
    for floor in range(1, 60):
        below = (f"t{floor - 1}", f"s{floor - 1}")
        floors += [group(f"t{floor}", *below, need=2), group(f"s{floor}", *below, need=1)]
    events = play(watch(*floors), results("t0/http", "uuddddddd"), results("s0/http", "uuuuuuuuu", 1))
    assert transitions(events, "t59")[-1] == (20, "down", 40.03)
    assert [state for _, state, _ in transitions(events, "s59")][-1] == "degraded"
