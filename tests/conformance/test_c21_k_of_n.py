"""C21: "3 of 5": bad results need not be in a row; it clears by results in a row."""

from __future__ import annotations

from alerts.model import Confirm
from tests.alerts.scenes import endpoint, play, results, transitions, watch

RULES = watch(endpoint("a"), down=Confirm(3, 5))


def changes(letters: str) -> list[tuple[float, str, float]]:
    return transitions(play(RULES, results("a/http", letters)), "a/http")[1:]


def test_one_none_and_two_bad_within_five_are_down_since_the_first():
    assert changes("ududd") == [(10, "down", 40.03)]


def test_three_bad_spread_over_six_are_not():
    assert changes("ududuuduu") == []


def test_it_clears_by_results_in_a_row():
    assert changes("udududuu") == [(10, "down", 50.03), (60, "up", 70.03)]
    assert changes("udududud") == [(10, "down", 50.03)]


def test_what_was_bad_before_it_cleared_does_not_count_again():
    assert changes("udddduud") == [(10, "down", 30.03), (50, "up", 60.03)]
    assert changes("udddduudd") == [(10, "down", 30.03), (50, "up", 60.03)]
    assert changes("udddduuddd") == [(10, "down", 30.03), (50, "up", 60.03), (70, "down", 90.03)]


def test_the_worst_state_with_enough_results_wins():
    assert changes("ugdgu") == [(10, "degraded", 30.03)]
    assert changes("ugdgd") == [(10, "degraded", 30.03)]
    assert changes("ugdgdd") == [(10, "degraded", 30.03), (20, "down", 50.03)]


def test_an_unmeasured_result_takes_no_place_in_the_window():
    assert changes("udxxuxxdxd") == [(10, "down", 90.03)]
