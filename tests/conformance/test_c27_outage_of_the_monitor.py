"""C27: the monitor stops for an hour: an hour of unknown, and no notification for what did not change."""

from __future__ import annotations

import copy

from alerts.core import Core
from alerts.model import Event, IncidentChange, IncidentEvent, Memory, Notification, Transition
from tests.alerts.scenes import at, endpoint, link, opened, play, resolved, results, transitions, watch

RULES = watch(endpoint("a"), endpoint("b"), endpoint("m1"), endpoint("m2"), link("l", "m1", "m2"), endpoint("c", "a"))
CHECKS = ("a/http", "b/http", "m1/http", "m2/http", "c/http")
HOUR_S = 3600
BEFORE = {
    "a/http": "uudddddd",
    "b/http": "uuuuuuuu",
    "m1/http": "uuuuuuuu",
    "m2/http": "uudddddd",
    "c/http": "uudddddd",
}


def stop_and_start(after: dict[str, str]) -> tuple[list[Event], Memory]:
    """Run before the stop, lose the process and what need not be saved, and run for some time after the start."""
    first = Core(RULES)
    play(
        RULES, *(results(check, letters, number) for number, (check, letters) in enumerate(BEFORE.items())), core=first
    )
    memory = copy.deepcopy(first.memory)
    memory.waiting.clear()
    core = Core(RULES, memory)
    events = core.advance(at(HOUR_S))
    runs = [results(check, letters, HOUR_S + 1 + number) for number, (check, letters) in enumerate(after.items())]
    return events + play(RULES, *runs, core=core), core.memory


def test_every_check_is_unknown_for_the_hour():
    events, _ = stop_and_start(dict.fromkeys(CHECKS, ""))
    for number, check in enumerate(CHECKS):
        assert transitions(events, check) == [(80 + number, "unknown", HOUR_S)]


def test_what_did_not_change_is_not_announced():
    events, memory = stop_and_start({check: letters[-1] * 8 for check, letters in BEFORE.items()})
    assert [event for event in events if isinstance(event, IncidentEvent | Notification)] == []
    assert sorted(incident.target for incident in memory.incidents.values()) == ["a", "l"]


def test_states_come_back_with_the_first_results():
    events, _ = stop_and_start({check: letters[-1] * 8 for check, letters in BEFORE.items()})
    assert transitions(events, "b")[-1] == (HOUR_S + 2, "up", HOUR_S + 2.03)
    assert transitions(events, "a")[-1] == (HOUR_S + 1, "down", HOUR_S + 21.03)


def test_a_group_falls_silent_in_one_step():
    events, _ = stop_and_start(dict.fromkeys(CHECKS, ""))
    assert [state for _, state, _ in transitions(events, "l")] == ["unknown"]


def test_what_recovered_meanwhile_is_resolved_and_announced():
    events, memory = stop_and_start(dict.fromkeys(CHECKS, "uuuu"))
    assert [cause for cause, _ in resolved(events)] == ["a", "l"]
    assert [event.kind for event in events if isinstance(event, Notification)] == ["resolved", "resolved"]
    assert memory.incidents == {}


def test_what_failed_meanwhile_opens_when_confirmed():
    after = {check: letters[-1] * 8 for check, letters in BEFORE.items()} | {"b/http": "dddddddd"}
    events, _ = stop_and_start(after)
    assert opened(events) == [("b", HOUR_S + 22.03, ())]


def test_silence_opens_and_resolves_nothing():
    events, memory = stop_and_start(dict.fromkeys(CHECKS, ""))
    changes = [event.change for event in events if isinstance(event, IncidentEvent)]
    assert IncidentChange.OPENED not in changes
    assert IncidentChange.RESOLVED not in changes
    assert len(memory.incidents) == 2


def test_a_core_that_was_told_when_it_begins_lets_time_pass_exactly_from_then_on():
    core = Core(RULES, Memory())
    core.feed(results("a/http", "u")[0])
    resumed = Core(RULES, copy.deepcopy(core.memory))
    assert resumed.advance(at(5)) == []
    late = [event for event in resumed.advance(at(500)) if isinstance(event, Transition)]
    assert {event.detected_at_ms for event in late} == {at(30)}
