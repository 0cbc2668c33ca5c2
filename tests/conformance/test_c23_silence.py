"""C23: results stop: unknown from when the next one was due."""

from __future__ import annotations

from tests.alerts.scenes import endpoint, kinds, play, results, transitions, watch

RULES = watch(endpoint("a"))


def test_unknown_since_the_next_result_was_due():
    events = play(RULES, results("a/http", "uuu"), until_s=100)
    assert transitions(events, "a/http")[1:] == [(30, "unknown", 50)]
    assert transitions(events, "a")[1:] == [(30, "unknown", 50)]
    assert kinds(events) == []


def test_not_before_the_silence_is_long_enough():
    assert transitions(play(RULES, results("a/http", "uuu"), until_s=49.999), "a")[1:] == []
    assert len(transitions(play(RULES, results("a/http", "uuu"), until_s=50), "a")) == 2


def test_one_good_result_ends_it_and_a_bad_one_has_to_be_confirmed():
    events = play(RULES, results("a/http", "uuu.....u"))
    assert transitions(events, "a")[1:] == [(30, "unknown", 50), (80, "up", 80.03)]
    events = play(RULES, results("a/http", "uuu.....ddd"))
    assert transitions(events, "a")[1:] == [(30, "unknown", 50), (80, "down", 100.03)]


def test_no_run_is_confirmed_across_a_gap():
    events = play(RULES, results("a/http", "uudd.....d"))
    assert transitions(events, "a")[1:] == [(40, "unknown", 60)]


def test_a_check_that_never_had_a_result_is_not_silent():
    assert play(RULES, [], until_s=1000) == []


def test_what_cannot_be_measured_is_not_up():
    events = play(RULES, results("a/http", "uuxxxxx"))
    assert transitions(events, "a")[1:] == [(20, "unknown", 40.03)]
