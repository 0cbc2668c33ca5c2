"""The weighted history, number by number."""

from __future__ import annotations

import pytest

from alerts.flapping import OUTCOMES, change_share, is_flapping


def history(*changes_at: int) -> list[int]:
    """21 outcomes that change at these of the 20 places, 0 the oldest."""
    found, badness = [0], 0
    for place in range(20):
        badness = badness ^ 2 if place in changes_at else badness
        found.append(badness)
    return found


def test_a_change_at_every_place_is_everything():
    assert change_share(history(*range(20))) == 1


def test_no_change_is_nothing():
    assert change_share(history()) == 0


@pytest.mark.parametrize(("place", "weight"), [(0, 0.8), (19, 1.2), (10, 0.8 + 10 * 0.4 / 19)])
def test_the_weight_of_one_change(place, weight):
    assert change_share(history(place)) * 20 == pytest.approx(weight, abs=1e-12)


def test_it_begins_at_thirty_percent_exactly():
    assert change_share(history(0, 1, 2, 17, 18, 19)) == 0.3
    assert is_flapping(history(0, 1, 2, 17, 18, 19), flagged=False)
    assert not is_flapping(history(0, 1, 2, 16, 18, 19), flagged=False)


def test_it_ends_below_twenty_five_percent():
    below = history(0, 4, 10, 15, 18)
    assert round(change_share(below) * 3800) == 948
    assert not is_flapping(below, flagged=True)
    quarter = history(0, 5, 10, 15, 18)
    assert round(change_share(quarter) * 3800) == 952
    assert is_flapping(quarter, flagged=True)
    assert not is_flapping(quarter, flagged=False), "between the two limits the flag stays as it is"


def test_any_change_counts_not_only_between_good_and_bad():
    assert is_flapping([0, 1, 2] * 7, flagged=False)


@pytest.mark.parametrize("flagged", [True, False])
def test_a_history_that_is_not_full_says_nothing(flagged):
    assert is_flapping([0, 2] * 10, flagged=flagged) is flagged
    assert change_share([0, 2] * 10) == 0


def test_only_the_last_outcomes_count():
    assert not is_flapping([0, 2] * 20 + [0] * OUTCOMES, flagged=False)
