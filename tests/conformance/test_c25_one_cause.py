"""C25: the child fails a moment before its parent is known to be down: one incident, the parent's."""

from __future__ import annotations

import pytest

from alerts.model import IncidentEvent, RunNow
from tests.alerts.scenes import at, endpoint, group, kinds, link, opened, play, resolved, results, told, watch

RULES = watch(endpoint("p"), endpoint("c", "p"))


@pytest.mark.parametrize("later_s", [0.001, 0.5, 1, 5, 10, 15, 19.5, 20])
def test_one_incident_of_the_parent_with_the_child_as_impact(later_s):
    events = play(RULES, results("p/http", "uuddddd", later_s), results("c/http", "uudddddddd"), until_s=200)
    assert opened(events) == [("p", 40.03 + later_s, ("c",))]
    assert told(events) == [("opened", "noc", 40.03 + later_s, ("p", "c"))]


@pytest.mark.parametrize("parent_first", [True, False])
def test_known_in_the_same_millisecond_either_way_round(parent_first):
    runs = [results("p/http", "uuddddd"), results("c/http", "uuddddddd")]
    events = play(RULES, *(runs if parent_first else runs[::-1]), until_s=200)
    assert [cause for cause, _, _ in opened(events)] == ["p"]
    last = [event.incident for event in events if isinstance(event, IncidentEvent)][-1]
    assert last.impact == ("c",)


def test_its_parents_are_asked_at_once():
    rules = watch(endpoint("p", checks=("http", "icmp")), endpoint("c", "p"))
    events = play(rules, results("c/http", "uuddd"))
    assert RunNow(at(40.03), ("p/http", "p/icmp")) in events


def test_members_of_a_parent_are_asked_too():
    rules = watch(endpoint("m1"), endpoint("m2"), group("p", "m1", "m2", need=1), endpoint("c", "p"))
    events = play(rules, results("c/http", "uuddd"))
    assert RunNow(at(40.03), ("m1/http", "m2/http")) in events


def test_a_good_answer_ends_the_wait_at_once():
    events = play(RULES, results("p/http", "u" * 9, 5), results("c/http", "uuddddddd"), until_s=200)
    assert opened(events) == [("c", 45.03, ())]


def test_a_result_that_started_before_the_failure_was_known_is_no_answer():
    early = [*results("p/http", "uuuu", 10), *results("p/http", "u", 40.02)]
    events = play(RULES, early, results("c/http", "uuddddddd"), until_s=59)
    assert opened(events) == []


def test_a_bad_first_result_of_the_parent_is_no_answer_either():
    events = play(RULES, results("p/http", "uuuudu", 5), results("c/http", "uuddddddd"), until_s=200)
    assert opened(events) == [("c", 55.03, ())]


def test_without_an_answer_it_opens_after_settle():
    events = play(RULES, results("p/http", "uuuu", 5), results("c/http", "uuddddddd"), until_s=200)
    assert opened(events) == [("c", 60.03, ())]


def test_a_child_that_recovers_during_the_wait_opens_nothing():
    events = play(RULES, results("p/http", "uuuu", 5), results("c/http", "uuddduuuu"), until_s=200)
    assert opened(events) == []


def test_each_needed_entry_has_to_answer():
    rules = watch(endpoint("p"), endpoint("q"), endpoint("c", "p", "q"))
    events = play(rules, results("p/http", "u" * 9, 5), results("q/http", "u" * 9, 8), results("c/http", "uuddddddd"))
    assert opened(events) == [("c", 48.03, ())]


def test_of_alternatives_one_good_answer_is_enough():
    rules = watch(endpoint("p"), endpoint("q"), endpoint("c", ("p", "q")))
    events = play(rules, results("q/http", "u" * 9, 8), results("c/http", "uuddddddd"))
    assert opened(events) == [("c", 48.03, ())]


def test_a_parent_that_is_confirmed_down_after_settle_takes_the_incident_over():
    events = play(RULES, results("p/http", "uuuu" + "dddd", 8), results("c/http", "uudddddddddd"), until_s=200)
    assert [cause for cause, _, _ in opened(events)] == ["c", "p"]
    assert resolved(events) == [("c", 68.03)]
    last = {event.incident.target: event.incident for event in events if isinstance(event, IncidentEvent)}
    assert last["p"].impact == ("c",)
    assert last["c"].timeline[-1] == (at(68.03), "merged", last["p"].id)
    assert kinds(events) == [("opened", "c"), ("resolved", "c"), ("opened", "p")]


def test_channels_that_fail_with_the_core_behind_them_are_one_cause():
    rules = watch(
        endpoint("core"),
        endpoint("a", "core", type_="link"),
        endpoint("b", "core", type_="link"),
        link("l", "a", "b"),
        endpoint("c", "l"),
    )
    events = play(
        rules,
        results("a/http", "uuddddddd", 1),
        results("b/http", "uuddddddd", 2),
        results("c/http", "uuddddddd", 3),
        results("core/http", "uuddddddd", 9),
        until_s=300,
    )
    assert [cause for cause, _, _ in opened(events)] == ["core"]
    assert sorted(opened(events)[0][2]) == ["a", "b", "c", "l"]
    assert kinds(events) == [("opened", "core")]
