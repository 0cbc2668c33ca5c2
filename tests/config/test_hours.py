"""Service hours: what may be written."""

from datetime import date

import pytest

from config.calendars import Holidays
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


def test_holidays_are_days_and_ranges_with_both_ends() -> None:
    days = [{"day": "2026-01-01"}, {"from": "2026-02-28", "to": "2026-03-02", "name": "Tết"}]
    calendar = Holidays(id="vn", days=days, works_on=["2026-01-10"])
    assert calendar.days_off == {date(2026, 1, 1), date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 2)}
    assert calendar.works_on == (date(2026, 1, 10),)
