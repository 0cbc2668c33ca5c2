"""Service hours: what may be written."""

import pytest

from config.hours import parse_days, parse_hours


@pytest.mark.parametrize(
    ("text", "days"),
    [("mon-fri", {0, 1, 2, 3, 4}), ("sat, sun", {5, 6}), ("Fri-Mon", {4, 5, 6, 0}), ("wed", {2}), ("sun-sun", {6})],
)
def test_days(text: str, days: set[int]) -> None:
    assert parse_days(text) == days


@pytest.mark.parametrize("text", ["", "mon-", "monday", "mon;tue", "mon-fri-sun", "1-5"])
def test_what_is_not_days(text: str) -> None:
    with pytest.raises(ValueError, match="is not days of the week"):
        parse_days(text)


def test_hours_are_in_order_whatever_was_written() -> None:
    assert parse_hours("13:00-24:00, 07:30-11:30") == ((450, 690), (780, 1440))


@pytest.mark.parametrize("text", ["", "8:00-9:00", "08:00", "08:00-24:01", "08:60-09:00", "09:00-09:00", "10:00-09:00"])
def test_what_is_not_hours(text: str) -> None:
    with pytest.raises(ValueError, match=r"times of the day|ends before"):
        parse_hours(text)
