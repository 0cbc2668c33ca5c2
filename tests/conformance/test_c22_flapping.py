"""C22: alternating results are flapping: flagged, quiet, and recorded."""

from __future__ import annotations

from alerts.model import Confirm
from tests.alerts.scenes import endpoint, flaps, kinds, opened, play, resolved, results, transitions, watch

PLAIN = watch(endpoint("a"))
NERVOUS = watch(endpoint("a"), down=Confirm(1, 1), up=1)


def test_alternating_results_are_flagged_and_quiet():
    events = play(PLAIN, results("a/http", "ud" * 20))
    assert flaps(events, "a/http") == [True]
    assert flaps(events, "a") == [True]
    assert kinds(events) == []


def test_while_it_flaps_transitions_are_recorded_and_nothing_is_announced():
    calm = play(NERVOUS, results("a/http", "u" * 21 + "du" * 3))
    assert flaps(calm, "a") == [True]
    noisy = play(NERVOUS, results("a/http", "u" * 21 + "du" * 20))
    assert len(transitions(noisy, "a")) == 41
    assert kinds(noisy) == kinds(calm)


def test_when_it_ends_it_is_announced_if_it_stays_down():
    events = play(NERVOUS, results("a/http", "u" * 14 + "dududud" + "d" * 25))
    assert flaps(events, "a") == [True, False]
    assert transitions(events, "a")[-1] == (200, "down", 200.03)
    assert [at_s for _, at_s in resolved(events)] == [150.03, 170.03, 190.03]
    assert opened(events)[-1][1] > 300, "only when it no longer flaps"
    assert kinds(events)[-1] == ("opened", "a")


def test_when_it_ends_an_open_incident_is_resolved_if_it_stays_up():
    events = play(NERVOUS, results("a/http", "u" * 18 + "dududu" + "u" * 25))
    assert flaps(events, "a") == [True, False]
    assert [cause for cause, _, _ in opened(events)] == ["a"] * 3
    assert [at_s for _, at_s in resolved(events)] == [190.03, 210.03, 380.03]
    assert transitions(events, "a")[-1] == (230, "up", 230.03)


def test_one_solid_failure_beside_a_flapping_check_is_not_kept_quiet():
    rules = watch(endpoint("a", checks=("http", "tcp")), down=Confirm(2, 2), up=2)
    events = play(rules, results("a/http", "ud" * 14), results("a/tcp", "u" * 24 + "d" * 4, start_s=1))
    assert flaps(events, "a") == [True]
    assert [(cause, at_s) for cause, at_s, _ in opened(events)] == [("a", 251.03)]
