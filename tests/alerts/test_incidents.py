"""Links, groups, chains and what an incident remembers; the numbered cases are under tests/conformance."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alerts.core import Core
from alerts.model import Event, Incident, IncidentEvent, IncidentPhase, Result, Route, RunNow, State
from alerts.register import TIMELINE_ENTRIES
from tests.alerts.scenes import at, endpoint, group, kinds, link, opened, play, resolved, results, told, watch

CHANNELS = (endpoint("m1", type_="link"), endpoint("m2", type_="link"))


def incidents(events: list[Event], target: str) -> list[Incident]:
    return [event.incident for event in events if isinstance(event, IncidentEvent) and event.incident.target == target]


def story(incident: Incident) -> list[str]:
    return [entry.what for entry in incident.timeline]


def test_a_link_short_of_a_channel_opens_one_level_less_severe():
    rules = watch(*CHANNELS, link("l", "m1", "m2", criticality=2))
    events = play(rules, results("m1/http", "udddd"), results("m2/http", "uuuuu", 1))
    assert opened(events) == [("l", 30.03, ("m1",))]
    (incident,) = incidents(events, "l")
    assert (incident.severity, incident.reason, incident.started_ms) == (3, "redundancy_lost", at(10))
    assert incident.message == "message d"


@pytest.mark.parametrize(("criticality", "short"), [(1, 2), (3, 4), (4, 4)])
def test_severity_is_between_one_and_four(criticality, short):
    rules = watch(*CHANNELS, link("l", "m1", "m2", criticality=criticality))
    found = incidents(play(rules, results("m1/http", "uddddddd"), results("m2/http", "uuuudddd", 1)), "l")
    assert [incident.severity for incident in found] == [short, criticality]


def test_one_incident_from_the_first_channel_lost_to_the_last_one_back():
    rules = watch(*CHANNELS, link("l", "m1", "m2", criticality=2))
    events = play(rules, results("m1/http", "udddddddduuuuuu"), results("m2/http", "uuuudddduuuuuuu", 1))
    assert [cause for cause, _, _ in opened(events)] == ["l"]
    last = incidents(events, "l")[-1]
    assert story(last) == ["opened", "impact", "notified", "impact", "worsened", "notified", "eased", "resolved"]
    assert (last.phase, last.severity, last.reason) == (IncidentPhase.RESOLVED, 2, "http_status")
    assert kinds(events) == [("opened", "l"), ("worsened", "l"), ("resolved", "l")]


def test_worse_again_after_it_had_eased_is_said_again():
    rules = watch(*CHANNELS, link("l", "m1", "m2"))
    events = play(rules, results("m1/http", "u" + "d" * 20), results("m2/http", "uuuudddduudddd", 1))
    assert [kind for kind, _ in kinds(events)] == ["opened", "worsened", "worsened"]


def test_channels_never_open_incidents_of_their_own():
    rules = watch(*CHANNELS, link("l", "m1", "m2"))
    events = play(rules, results("m1/http", "udddddd"), results("m2/http", "uuudddd", 1))
    assert {cause for cause, _, _ in opened(events)} == {"l"}


def test_a_channel_not_measured_yet_is_no_lost_redundancy():
    rules = watch(*CHANNELS, link("l", "m1", "m2"))
    events = play(rules, results("m1/http", "uuuuuuu"), results("m2/http", "......u", 1))
    assert opened(events) == []


def test_a_link_whose_members_are_degraded_has_no_incident():
    rules = watch(*CHANNELS, link("l", "m1", "m2"))
    assert opened(play(rules, results("m1/http", "ugggg"), results("m2/http", "uuuuu", 1))) == []


def test_a_link_that_fails_by_its_own_check_opens_its_own():
    rules = watch(*CHANNELS, group("l", "m1", "m2", need=1, type_="link", checks=("far",)))
    events = play(rules, results("m1/http", "u" * 8), results("m2/http", "u" * 8, 1), results("l/far", "udddd", 2))
    assert opened(events) == [("l", 32.03, ())]


def test_a_channel_lost_on_its_own_after_another_was_explained_opens_the_link_s_own():
    rules = watch(
        endpoint("core"), endpoint("a", "core", type_="link"), endpoint("b", type_="link"), link("l", "a", "b")
    )
    events = play(
        rules,
        results("core/http", "u" + "d" * 15),
        results("a/http", "uu" + "d" * 14, 1),
        results("b/http", "u" * 9 + "d" * 6, 2),
    )
    assert opened(events) == [("core", 30.03, ()), ("l", 112.03, ("b",))]
    assert incidents(events, "core")[-1].impact == ("a", "l")
    assert kinds(events) == [("opened", "core"), ("opened", "l")]


def test_a_link_in_a_link_that_is_only_short_of_members_stands_for_itself():
    rules = watch(*CHANNELS, link("inner", "m1", "m2"), endpoint("b"), link("outer", "inner", "b"))
    letters = results("m2/http", "u" * 12, 1) + results("b/http", "u" * 12, 2)
    events = play(rules, results("m1/http", "u" + "d" * 11), letters)
    assert opened(events) == [("inner", 30.03, ("m1",))]


def test_a_channel_of_several_links_is_trouble_of_each():
    rules = watch(endpoint("a", type_="link"), link("x", "a"), link("y", "a"))
    assert opened(play(rules, results("a/http", "udddd"))) == [("x", 30.03, ("a",)), ("y", 30.03, ("a",))]


def test_a_link_of_links_hears_of_an_answer_deep_below_it():
    rules = watch(endpoint("p"), endpoint("a", "p", type_="link"), link("inner", "a"), link("outer", "inner"))
    events = play(rules, results("p/http", "u" * 9, 5), results("a/http", "udddddddd"))
    assert opened(events) == [("outer", 35.03, ("inner", "a"))]


def test_a_group_joins_the_incidents_of_its_members():
    rules = watch(endpoint("a"), endpoint("b"), group("g", "a", "b", need=1))
    events = play(rules, results("a/http", "uddddd"), results("b/http", "uuuddd", 1))
    assert opened(events) == [("a", 30.03, ()), ("b", 51.03, ("g",))]
    assert incidents(events, "a")[-1].impact == ("g",)


def test_a_group_waits_for_the_answer_about_its_members():
    rules = watch(endpoint("p"), endpoint("a", "p"), group("g", "a", need=1))
    before = play(rules, results("a/http", "uddddd"), until_s=49)
    assert opened(before) == []
    assert opened(play(rules, results("a/http", "uddddd"), until_s=60)) == [("a", 50.03, ("g",))]


def test_a_group_that_stays_down_when_its_member_s_incident_is_over_settles_first():
    rules = watch(endpoint("a"), group("g", "a", need=1, checks=("own",)))
    events = play(rules, results("a/http", "udddduuuuuuu"), results("g/own", "uudddddddddd", 1))
    assert opened(events) == [("a", 30.03, ("g",)), ("g", 80.03, ())]


def test_a_child_of_a_parent_that_is_only_short_of_members_stands_for_itself():
    rules = watch(*CHANNELS, link("l", "m1", "m2"), endpoint("c", "l"))
    events = play(
        rules,
        results("m1/http", "u" + "d" * 14),
        results("m2/http", "u" * 15, 1),
        results("c/http", "uuuuuddddddddd", 2),
    )
    assert [cause for cause, _, _ in opened(events)] == ["l", "c"]


def test_children_settle_when_a_link_carries_traffic_again():
    rules = watch(*CHANNELS, link("l", "m1", "m2"), endpoint("c", "l"))
    events = play(
        rules,
        results("m1/http", "u" + "d" * 20),
        results("m2/http", "udddddduuuuuuuuuuuuuu", 1),
        results("c/http", "uuddd" + "d" * 16, 2),
    )
    assert opened(events) == [("l", 30.03, ("m1",)), ("c", 101.03, ())]


def test_a_parent_that_turns_unknown_neither_fails_nor_clears():
    rules = watch(endpoint("p"), endpoint("c", "p"))
    events = play(rules, results("p/http", "uuu"), results("c/http", "uuuuuudddddd"), until_s=200)
    assert opened(events) == [("c", 100.03, ())]


def test_a_parent_unknown_since_its_incident_still_explains():
    rules = watch(endpoint("p"), endpoint("c", "p"))
    events = play(rules, results("p/http", "udddd"), results("c/http", "u" * 9 + "d" * 20), until_s=280)
    assert opened(events) == [("p", 30.03, ())]
    assert incidents(events, "p")[-1].impact == ("c",)


def test_dependencies_in_a_circle_do_not_silence_each_other():
    rules = watch(endpoint("a", "b"), endpoint("b", "a"))
    events = play(rules, results("a/http", "uddddd"), results("b/http", "uddddd", 1))
    assert sorted(cause for cause, _, _ in opened(events)) == ["a", "b"]


def test_groups_that_contain_each_other_are_refused():
    with pytest.raises(ValueError, match="cycle"):
        Core(watch(group("a", "b", need=1), group("b", "a", need=1)))


def test_numbers_begin_again_with_the_year_in_the_configured_zone():
    def moments(text: str) -> list[Result]:
        start_ms = round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
        return [one._replace(at_ms=one.at_ms - at(0) + start_ms) for one in results("a/http", "udddduuu")]

    core = Core(watch(endpoint("a")))
    before = play(watch(), moments("2026-12-31T16:58:00"), core=core)
    after = play(watch(), moments("2026-12-31T17:01:00"), core=core)
    again = play(watch(), moments("2026-12-31T17:05:00"), core=core)
    ids = [event.incident.id for event in before + after + again if isinstance(event, IncidentEvent)]
    assert list(dict.fromkeys(ids)) == ["SC-2026-0001", "SC-2027-0001", "SC-2027-0002"]


def test_routes_are_tried_in_order_until_one_says_stop():
    routes = (
        Route(("tax",), agencies=frozenset({"BTC"}), stop=True),
        Route(("links",), types=frozenset({"link"})),
        Route(("noc", "links")),
    )
    rules = watch(endpoint("a", agency="BTC"), endpoint("b", type_="link"), routes=routes)
    events = play(rules, results("a/http", "uddd"), results("b/http", "uddd", 1))
    assert [(receiver, targets) for _, receiver, _, targets in told(events)] == [
        ("tax", ("a",)),
        ("links", ("b",)),
        ("noc", ("b",)),
    ]


def test_without_routes_there_is_an_incident_and_nobody_to_tell():
    events = play(watch(endpoint("a"), routes=()), results("a/http", "udddduuuu"))
    assert len(opened(events)) == len(resolved(events)) == 1
    assert told(events) == []


def test_impact_that_joins_later_is_named_at_the_end_without_a_message_of_its_own():
    rules = watch(endpoint("p"), endpoint("c", "p"))
    events = play(rules, results("p/http", "uddddddduuu"), results("c/http", "uuudddddduu", 1))
    assert told(events) == [("opened", "noc", 30.03, ("p",)), ("resolved", "noc", 90.03, ("p", "c"))]


def test_an_incident_s_timeline_is_bounded():
    rules = watch(*CHANNELS, link("l", "m1", "m2"))
    core = Core(rules)
    letters = "dddddddddduuuuuuuuuu" * 340
    play(rules, results("m1/http", "u" + "d" * len(letters)), results("m2/http", "u" + letters, 1), core=core)
    (incident,) = core.memory.incidents.values()
    assert len(incident.timeline) == TIMELINE_ENTRIES
    assert incident.timeline[0].what == "opened"


def test_parents_are_asked_once_for_each_failing_child():
    rules = watch(endpoint("p"), endpoint("c", "p"))
    events = play(rules, results("p/http", "uuuuuuuuuu", 1), results("c/http", "udddduudddd"))
    assert [event.at_ms for event in events if isinstance(event, RunNow)] == [at(30.03), at(90.03)]


def test_the_core_says_what_changed_until_it_is_cleared():
    core = Core(watch(endpoint("a"), endpoint("b")))
    play(watch(), results("a/http", "uuu"), core=core)
    assert (core.changed_checks, core.changed_targets) == ({"a/http"}, {"a"})
    core.changed_checks.clear()
    core.changed_targets.clear()
    play(watch(), results("a/http", "uuu", 30), core=core)
    assert (core.changed_checks, core.changed_targets) == (set(), set())


def test_next_is_when_time_alone_may_change_something():
    core = Core(watch(endpoint("a")))
    assert core.next_ms() is None
    core.feed(results("a/http", "u")[0])
    assert core.next_ms() == at(30)
    core.feed(results("a/http", "u", 10)[0])
    assert core.advance(at(39.999)) == []
    assert core.next_ms() == at(40)
    assert [event.after for event in core.advance(at(40))] == [State.UNKNOWN] * 2
    assert core.next_ms() is None


def test_results_of_unknown_checks_are_ignored():
    assert Core(watch(endpoint("a"))).feed(results("b/http", "u")[0]) == []
