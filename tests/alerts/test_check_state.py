"""A check's state against a plain reading of the rules, and what is remembered between two results."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.check_state import confirming, evaluate, expire, stale_at_ms
from alerts.model import BADNESS, NO_RESULTS, CheckRule, CheckState, Confirm, State
from tests.alerts.scenes import at, result

UP, DOWN, UNKNOWN = State.UP, State.DOWN, State.UNKNOWN
STATES = {badness: state for state, badness in BADNESS.items()}


def rule(needed: int = 3, window: int = 3, up: int = 2) -> CheckRule:
    return CheckRule("a/http", "a", 10, 30, Confirm(needed, window), up)


def fed(letters: str, using: CheckRule | None = None) -> CheckState:
    state = CheckState()
    for number, letter in enumerate(letters):
        if letter != ".":
            state, _, _ = evaluate(using or rule(), state, result("a/http", letter, number * 10))
    return state


def plainly(letters: str, down: int, up: int) -> list[tuple[int, State]]:
    """DESIGN section 6.4 for results in a row, read from the whole history each time."""
    known: list[tuple[int, int]] = []
    state, found, begin = None, [], 0
    for number, letter in enumerate(letters):
        known.append((number, "ugd".index(letter)))
        change = None
        if state is None and known[-1][1] == 0:
            change = known[-1:]
        for run in (known[begin:][-down:],):
            if len(run) == down and min(b for _, b in run) > (state or 0):
                change = run
                target = min(b for _, b in run)
        if change is None and state is not None:
            run = known[-up:]
            if len(run) == up and max(b for _, b in run) < state:
                change, target = run, max(b for _, b in run)
        elif change is not None and len(change) == 1 and change[0][1] == 0:
            target = 0
        if change is not None:
            state = target
            found.append((change[0][0], STATES[target]))
    return found


@settings(max_examples=300, deadline=None)
@given(st.text("uugdd", min_size=1, max_size=30), st.integers(1, 4), st.integers(1, 4))
def test_results_in_a_row_by_a_plain_reading(letters, down, up):
    state, found = CheckState(), []
    for number, letter in enumerate(letters):
        state, change, _ = evaluate(rule(down, down, up), state, result("a/http", letter, (number + 1) * 10))
        if change is not None:
            found.append(((change.at_ms - at(10)) // 10_000, change.after))
    assert found == plainly(letters, down, up)


@settings(max_examples=200, deadline=None)
@given(st.text("uugddx", min_size=1, max_size=40), st.integers(1, 3), st.integers(0, 3), st.integers(1, 4))
def test_what_is_remembered_is_bounded_and_unmeasured_outcomes_come_last(letters, needed, more, up):
    using = rule(needed, needed + more, up)
    state = CheckState()
    for number, letter in enumerate(letters):
        state, _, _ = evaluate(using, state, result("a/http", letter, number * 10))
        known = [badness for _, badness, _ in state.recent if badness >= 0]
        assert len(known) <= max(using.down.window, up)
        assert len(state.recent) - len(known) < needed
        assert [badness for _, badness, _ in state.recent][: len(known)] == known
        assert len(state.history) <= 21


def test_a_late_or_repeated_result_changes_nothing():
    before = fed("uu")
    for seconds in (10, 5):
        assert evaluate(rule(), before, result("a/http", "d", seconds)) == (before, None, None)


def test_reason_and_message_are_of_the_last_result_behind_the_state():
    state = fed("uddd")
    assert (state.reason, state.message) == ("http_status", "message d")
    assert (fed("udddd").reason, fed("udddduu").reason, fed("udddduu").message) == ("http_status", "", "")
    assert fed("udddgg").reason == "condition"


def test_confirming_is_when_the_last_outcome_contradicts_the_state():
    cases = {"": 0, "u": 0, "ud": 1, "udd": 1, "uddd": 0, "udddu": 1, "udddg": 1, "udddd": 0, "udddduu": 0}
    cases |= {"d": 1, "dd": 1, "ddd": 0, "x": 0, "ux": 0, "udx": 1, "udu": 0, "ug": 1}
    for letters, answer in cases.items():
        assert confirming(fed(letters)) is bool(answer), letters


def test_silence_is_dated_at_the_next_turn_and_forgets_the_run():
    state = fed("uudd")
    assert stale_at_ms(rule(), state) == at(60)
    assert expire(rule(), state, at(59.999)) == (state, None)
    after, change = expire(rule(), state, at(60))
    assert (after.state, after.since_ms, after.reason, after.recent) == (UNKNOWN, at(40), NO_RESULTS, ())
    assert (change.at_ms, change.detected_at_ms) == (at(40), at(60))
    assert after.history == state.history


def test_silence_is_never_dated_before_the_last_change():
    state = CheckState(DOWN, at(15), last_at_ms=at(0))
    assert expire(rule(), state, at(30))[0].since_ms == at(15)


def test_no_silence_before_the_first_result():
    assert expire(rule(), CheckState(), at(1_000_000)) == (CheckState(), None)


def test_unmeasured_results_after_unknown_say_why():
    state = fed("xx")
    assert (state.state, state.reason, state.since_ms) == (UNKNOWN, "permission", 0)
