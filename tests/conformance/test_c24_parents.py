"""C24: a child whose needed parent is down opens no incident; with `any` all alternatives have to be down."""

from __future__ import annotations

import pytest

from alerts.model import IncidentEvent, State
from tests.alerts.scenes import endpoint, kinds, opened, play, results, transitions, watch

WELL, DOWN = "u" * 14, "uudddddddddddd"
CHILD = "uuuuuuuddddddd"


def parents_and_child(*depends_on):
    rules = watch(endpoint("p1"), endpoint("p2"), endpoint("c", *depends_on))

    def scene(first: str, second: str):
        return play(
            rules,
            results("p1/http", first, 1),
            results("p2/http", second, 2),
            results("c/http", CHILD, 3),
            until_s=200,
        )

    return scene


def causes(events) -> list[str]:
    return [cause for cause, _, _ in opened(events)]


@pytest.mark.parametrize(("first", "second"), [(DOWN, WELL), (WELL, DOWN), (DOWN, DOWN)])
def test_two_needed_and_one_down_suppresses_the_child(first, second):
    assert "c" not in causes(parents_and_child("p1", "p2")(first, second))


@pytest.mark.parametrize(("first", "second"), [(DOWN, WELL), (WELL, DOWN), (WELL, WELL)])
def test_under_any_one_that_holds_is_enough(first, second):
    assert "c" in causes(parents_and_child(("p1", "p2"))(first, second))


def test_under_any_both_down_suppress_the_child_and_both_name_it():
    events = parents_and_child(("p1", "p2"))(DOWN, DOWN)
    assert causes(events) == ["p1", "p2"]
    last = {event.incident.target: event.incident for event in events if isinstance(event, IncidentEvent)}
    assert last["p1"].impact == last["p2"].impact == ("c",)


def test_the_child_is_measured_and_recorded_all_the_same():
    events = parents_and_child("p1", "p2")(DOWN, WELL)
    assert (73, State.DOWN, 93.03) in transitions(events, "c")


def test_joining_sends_nothing_more():
    assert kinds(parents_and_child("p1")(DOWN, WELL)) == [("opened", "p1")]


def test_a_child_down_before_its_parent_and_announced_stays_an_incident():
    rules = watch(endpoint("p"), endpoint("c", "p"))
    events = play(rules, results("p/http", "u" * 9 + "d" * 6), results("c/http", "u" + "d" * 14, 5))
    assert [cause for cause, _, _ in opened(events)] == ["c", "p"]
    assert kinds(events) == [("opened", "c"), ("opened", "p")]


def test_of_three_generations_the_eldest_is_the_one_cause():
    rules = watch(endpoint("g"), endpoint("p", "g"), endpoint("c", "p"))
    events = play(
        rules, results("g/http", "uuddddd", 3), results("p/http", "uuddddd", 2), results("c/http", "uuddddd", 1)
    )
    assert opened(events) == [("g", 43.03, ("p", "c"))]
    assert kinds(events) == [("opened", "g")]
