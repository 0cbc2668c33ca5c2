"""State lines against timelines with reasons, and against what can be read off moment by moment."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from alerts.model import State, Subject, Transition
from alerts.state_lines import STATE, STATE_BITS, TargetLines, line_of, lines_of, silenced
from alerts.target_state import ORDER, Part, of_target
from alerts.timeline import TargetTimelines, check_timeline
from tests.alerts.scenes import endpoint, group, watch
from tests.alerts.test_availability import MANY
from tests.alerts.test_timeline import END, STATES, state_at, timelines

BY_RANK = {rank: state for state, rank in ORDER.items()}
KNOWN = st.lists(st.tuples(st.sampled_from(["a/http", "b/http"]), st.integers(0, END), STATES), max_size=12)


def read(line) -> list[tuple[int, State]]:
    return [(change >> STATE_BITS, BY_RANK[change & STATE]) for change in line]


def state_on(line, at_ms: int) -> State:
    return next((state for since_ms, state in reversed(read(line)) if since_ms <= at_ms), State.UNKNOWN)


def has_no_two_states_alike_in_a_row(line) -> bool:
    states = [State.UNKNOWN, *(state for _, state in read(line))]
    return all(one is not other for one, other in itertools.pairwise(states))


@MANY
@given(KNOWN)
def test_lines_are_the_timelines_of_checks_without_their_reasons(known):
    told = sorted(known, key=lambda one: one[0])
    lines = lines_of((check, at_ms, ORDER[state]) for check, at_ms, state in told)
    assert set(lines) == {check for check, _, _ in known}
    for check, line in lines.items():
        transitions = [
            Transition(Subject.CHECK, check, State.UNKNOWN, state, at_ms, place, "why")
            for place, (one, at_ms, state) in enumerate(told)
            if one == check
        ]
        timeline = check_timeline(transitions)
        assert [state_on(line, at_ms) for at_ms in range(END + 2)] == [
            state_at(timeline, at_ms) for at_ms in range(END + 2)
        ]
        assert has_no_two_states_alike_in_a_row(line)


@MANY
@given(timelines(), st.integers(0, END))
def test_silence_makes_everything_after_it_unknown(timeline, at_ms):
    line = line_of(timeline)
    found = silenced(line, at_ms)
    for moment_ms in range(END + 2):
        expected = State.UNKNOWN if moment_ms >= at_ms else state_at(timeline, moment_ms)
        assert state_on(found, moment_ms) is expected
    assert has_no_two_states_alike_in_a_row(found)
    assert line == line_of(timeline)


@MANY
@given(
    st.lists(st.tuples(timelines(), st.booleans()), max_size=4), st.lists(timelines(), max_size=4), st.integers(0, 4)
)
def test_a_target_is_at_every_moment_what_its_parts_are_then(checks, members, need):
    leaves = [endpoint(f"m{number}") for number in range(len(members))]
    names = [f"c{number}" for number in range(len(checks))]
    top = group("t", *(leaf.id for leaf in leaves), need=min(need, len(leaves)), checks=names)
    above = group("g", "t", *(leaf.id for leaf in leaves[:1]), need=1)
    uncritical = [f"t/{name}" for name, (_, critical) in zip(names, checks, strict=True) if not critical]
    rules = watch(*leaves, top, above, uncritical=uncritical)
    by_check = {f"t/{name}": timeline for name, (timeline, _) in zip(names, checks, strict=True)}
    by_check |= {f"m{number}/http": timeline for number, timeline in enumerate(members)}
    lines = TargetLines(rules, {check: line_of(timeline) for check, timeline in by_check.items()})
    for at_ms in range(END + 2):
        own = [Part(state_at(timeline, at_ms), critical=critical) for timeline, critical in checks]
        below = [Part(state_at(timeline, at_ms)) for timeline in members]
        assert state_on(lines.of("t"), at_ms) is of_target(top, own, below).state, at_ms
    by_reason = TargetTimelines(rules, by_check)
    for target in rules.targets:
        assert lines.of(target) == line_of(by_reason.of(target))
        assert has_no_two_states_alike_in_a_row(lines.of(target))
