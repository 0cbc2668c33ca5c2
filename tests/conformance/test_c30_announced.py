"""C30, as far as the core decides it: nothing is said twice, and no end is announced without its beginning."""

from __future__ import annotations

from alerts.model import Route
from tests.alerts.scenes import endpoint, kinds, link, play, results, told, watch, window


def test_a_lasting_outage_is_said_once():
    assert kinds(play(watch(endpoint("a")), results("a/http", "u" + "d" * 200))) == [("opened", "a")]


def test_resolved_that_was_never_announced_is_silent():
    rules = watch(endpoint("a"), silences=[window(0, 65, "a")])
    assert kinds(play(rules, results("a/http", "udddduuuuuu"))) == []


def test_resolved_goes_to_those_who_were_told():
    routes = [Route(("noc", "duty"), targets=frozenset({"a"})), Route(("boss",), severity_max=1)]
    rules = watch(endpoint("a", criticality=2), routes=routes)
    events = play(rules, results("a/http", "uddddduuu"))
    assert [(kind, receiver) for kind, receiver, _, _ in told(events)] == [
        ("opened", "noc"),
        ("opened", "duty"),
        ("resolved", "noc"),
        ("resolved", "duty"),
    ]


def test_what_makes_it_worse_is_said_to_those_who_know_and_opened_to_those_who_do_not():
    routes = [Route(("noc",)), Route(("boss",), severity_max=2)]
    rules = watch(endpoint("m1"), endpoint("m2"), link("l", "m1", "m2", criticality=2), routes=routes)
    events = play(rules, results("m1/http", "uddddddddd"), results("m2/http", "uuuuuddddd", 1))
    assert [(kind, receiver) for kind, receiver, _, _ in told(events)] == [
        ("opened", "noc"),
        ("worsened", "noc"),
        ("opened", "boss"),
    ]
    assert told(events)[-1][3] == ("l", "m1", "m2")
