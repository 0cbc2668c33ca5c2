"""Service hours: what may be written, and which intervals of UTC it means."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.hours import parse_days, parse_hours, service_intervals

HANOI, RIGA = ZoneInfo("Asia/Ho_Chi_Minh"), ZoneInfo("Europe/Riga")
HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


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


def test_an_office_week_in_hanoi() -> None:
    found = list(service_intervals("mon-fri", "08:00-17:00", HANOI, ms("2026-10-02T00:00"), ms("2026-10-06T00:00")))
    # Friday and Monday, 08:00 to 17:00 at UTC+7.
    assert found == [
        (ms("2026-10-02T01:00"), ms("2026-10-02T10:00")),
        (ms("2026-10-05T01:00"), ms("2026-10-05T10:00")),
    ]


def test_always_is_one_interval_clipped_to_what_was_asked() -> None:
    start, end = ms("2026-02-27T12:34"), ms("2026-03-05T01:02")
    assert list(service_intervals("mon-sun", "00:00-24:00", HANOI, start, end)) == [(start, end)]


def test_days_when_clocks_change_have_23_and_25_hours() -> None:
    march = list(service_intervals("sun", "00:00-24:00", RIGA, ms("2026-03-28T00:00"), ms("2026-03-31T00:00")))
    october = list(service_intervals("sun", "00:00-24:00", RIGA, ms("2026-10-24T00:00"), ms("2026-10-27T00:00")))
    assert [end - start for start, end in march] == [23 * HOUR_MS]
    assert [end - start for start, end in october] == [25 * HOUR_MS]


@given(
    st.integers(ms("2026-03-25T00:00"), ms("2026-04-02T00:00")),
    st.integers(1, 10 * 24 * HOUR_MS),
    st.sampled_from(["mon-sun", "mon-fri", "sun", "sat-mon"]),
    st.sampled_from(["00:00-24:00", "08:00-17:00", "00:00-06:00,22:00-24:00", "02:30-03:30"]),
    st.sampled_from([HANOI, RIGA]),
)
def test_intervals_are_in_order_apart_and_inside(
    start: int, length: int, days: str, hours: str, zone: ZoneInfo
) -> None:
    found = list(service_intervals(days, hours, zone, start, start + length))
    flat = [edge for interval in found for edge in interval]
    assert flat == sorted(set(flat))
    assert all(start <= edge <= start + length for edge in flat)
    cut = start + length // 2
    halves = [
        *service_intervals(days, hours, zone, start, cut),
        *service_intervals(days, hours, zone, cut, start + length),
    ]
    assert sum(end - begin for begin, end in halves) == sum(end - begin for begin, end in found)
