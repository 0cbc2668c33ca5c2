"""C20: a change is confirmed by results in a row, and dated at the first of them."""

from __future__ import annotations

import pytest

from tests.alerts.scenes import endpoint, kinds, play, results, transitions, watch

RULES = watch(endpoint("a"))


def changes(letters: str) -> list[tuple[float, str, float]]:
    events = play(RULES, results("a/http", letters))
    assert transitions(events, "a") == transitions(events, "a/http"), "a target of one check is that check"
    return transitions(events, "a/http")[1:]


@pytest.mark.parametrize("letters", ["uddu", "udduddudd", "uddxu", "uduudduu"])
def test_two_bad_results_change_nothing(letters):
    assert changes(letters) == []


def test_three_bad_results_are_down_since_the_first():
    assert changes("uddd") == [(10, "down", 30.03)]


def test_more_bad_results_make_no_second_change():
    assert changes("udddddd") == [(10, "down", 30.03)]


def test_one_good_result_between_bad_ones_leaves_it_down():
    assert changes("udddudud") == [(10, "down", 30.03)]


def test_two_good_results_are_up_since_the_first():
    assert changes("udddduu") == [(10, "down", 30.03), (50, "up", 60.03)]


def test_a_contrary_result_starts_the_count_again():
    assert changes("udduddd") == [(40, "down", 60.03)]


def test_an_unmeasured_result_neither_counts_nor_resets():
    assert changes("udxdxd") == [(10, "down", 50.03)]
    assert changes("udddxuxu") == [(10, "down", 30.03), (50, "up", 70.03)]


def test_degraded_and_down_mixed_are_degraded_then_down():
    assert changes("ugdggg") == [(10, "degraded", 30.03)]
    assert changes("ugdddd") == [(10, "degraded", 30.03), (20, "down", 40.03)]


def test_better_goes_as_far_as_the_worst_of_the_run():
    assert changes("udddgu") == [(10, "down", 30.03), (40, "degraded", 50.03)]
    assert changes("udddguu") == [(10, "down", 30.03), (40, "degraded", 50.03), (50, "up", 60.03)]


def test_it_is_announced_once_and_resolved_once():
    assert kinds(play(RULES, results("a/http", "uddddduuuu"))) == [("opened", "a"), ("resolved", "a")]
