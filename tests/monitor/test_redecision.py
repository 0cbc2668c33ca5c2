"""Deciding again: whatever comes late, the past becomes what it would have been."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.core import Core
from alerts.model import CheckRule, CheckState, Confirm, Result, Rules, Transition
from alerts.timeline import Timeline, check_timeline
from monitor.redecision import Redecision
from tests.alerts.scenes import at, results

CHECK = "a/http"
LETTERS = st.text("uuuuuuuudddgxx.....", min_size=1, max_size=160)
CONFIRMS = st.sampled_from([Confirm(1, 1), Confirm(3, 3), Confirm(2, 4)])


def rule_of(confirm: Confirm, up: int) -> CheckRule:
    return CheckRule(CHECK, "a", 10.0, 30.0, confirm, up)


def decided(rule: CheckRule, told: list[Result]) -> tuple[list[Transition], CheckState]:
    """Return what the core does with results in order, and what it remembers in the end."""
    core = Core(Rules({CHECK: rule}, {}))
    events = [event for result in sorted(told, key=known_at) for event in core.feed(result)]
    return [event for event in events if isinstance(event, Transition)], core.memory.checks[CHECK]


def known_at(result: Result) -> int:
    return result.known_at_ms


def decided_again(rule: CheckRule, told: list[Result], late: list[Result]) -> tuple[list[Transition], Redecision]:
    """Return the transitions after some of the results have come late."""
    stored, _ = decided(rule, [result for result in told if result not in late])
    again = Redecision(rule, min(one.at_ms for one in late), max(one.at_ms for one in late), stored)
    for result in told:
        if result.at_ms >= again.read_from_ms:
            again.feed(result)
    again.finish()
    kept = [one for one in stored if one not in again.replaced]
    return sorted([*kept, *again.transitions], key=lambda one: one.detected_at_ms), again


def timeline(transitions: list[Transition]) -> Timeline:
    return check_timeline(transitions)


@settings(deadline=None, max_examples=300)
@given(LETTERS, CONFIRMS, st.integers(1, 3), st.data())
def test_late_results_give_the_timeline_of_results_in_time(letters, confirm, up, data) -> None:
    told = results(CHECK, letters)
    if not told:
        return
    first = data.draw(st.integers(0, len(told) - 1))
    block = told[first : first + data.draw(st.integers(1, 40))]
    late = [one for one in block if data.draw(st.booleans())] or block
    rule = rule_of(confirm, up)
    expected, state = decided(rule, told)
    found, again = decided_again(rule, told, late)
    assert timeline(found) == timeline(expected)
    if not again.is_over:
        assert again.state._replace(history=(), flapping=False, message="") == state._replace(
            history=(), flapping=False, message=""
        )


def test_it_stops_where_nothing_can_be_different_any_more() -> None:
    told = results(CHECK, "u" * 50 + "d" * 5 + "u" * 5_000)
    _, again = decided_again(rule_of(Confirm(3, 3), 2), told, told[50:55])
    assert again.is_over
    assert again.end_ms < told[100].at_ms


def test_silence_that_was_none_is_taken_back() -> None:
    told = results(CHECK, "u" * 200)
    rule = rule_of(Confirm(3, 3), 2)
    found, again = decided_again(rule, told, told[50:100])
    assert [one.after.value for one in found] == ["up"]
    assert [one.after.value for one in again.replaced] == ["unknown", "up"]


def test_a_past_that_nobody_knew_ends_in_silence() -> None:
    told = results(CHECK, "u" * 50)
    again = Redecision(rule_of(Confirm(3, 3), 2), told[0].at_ms, told[-1].at_ms, ())
    for result in told:
        again.feed(result)
    again.pass_time(at(10_000))
    assert again.is_over
    assert [one.after.value for one in again.transitions] == ["up", "unknown"]
