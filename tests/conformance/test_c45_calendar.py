"""C45: daylight saving, month and leap-day edges, exact to the second."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from alerts.availability import measure
from alerts.model import State
from alerts.periods import days, months, start_of_day_ms, start_of_month_ms
from alerts.service_hours import service_intervals
from alerts.timeline import Change

RIGA, HANOI = ZoneInfo("Europe/Riga"), ZoneInfo("Asia/Ho_Chi_Minh")
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
EVERY_DAY, WORKDAYS = range(7), range(5)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def month(year: int, number: int, zone: ZoneInfo) -> tuple[int, int]:
    return start_of_month_ms(year, number, zone), start_of_month_ms(year, number + 1, zone)


def hours_served(spans, zone, day: date, wanted=EVERY_DAY) -> float:
    from_ms, to_ms = start_of_day_ms(day, zone), start_of_day_ms(date.fromordinal(day.toordinal() + 1), zone)
    return sum(end - start for start, end in service_intervals(wanted, spans, zone, from_ms, to_ms)) / HOUR_MS


@pytest.mark.parametrize(
    ("year", "number", "zone", "hours"),
    [
        (2026, 3, RIGA, 743),
        (2026, 10, RIGA, 745),
        (2026, 11, RIGA, 720),
        (2026, 3, HANOI, 744),
        (2026, 10, HANOI, 744),
        (2026, 2, HANOI, 672),
        (2028, 2, HANOI, 696),
        (2028, 2, RIGA, 696),
        (2026, 12, HANOI, 744),
    ],
)
def test_the_length_of_a_month(year, number, zone, hours):
    from_ms, to_ms = month(year, number, zone)
    assert to_ms - from_ms == hours * HOUR_MS


def test_months_begin_at_midnight_in_the_zone():
    assert start_of_month_ms(2026, 11, HANOI) == ms("2026-10-31T17:00:00")
    assert start_of_month_ms(2026, 11, RIGA) == ms("2026-10-31T22:00:00")
    assert start_of_month_ms(2026, 7, RIGA) == ms("2026-06-30T21:00:00")
    assert start_of_month_ms(2026, 13, HANOI) == start_of_month_ms(2027, 1, HANOI)


def test_a_year_cut_into_months_and_days_has_no_gaps():
    for zone in (RIGA, HANOI):
        from_ms, to_ms = start_of_month_ms(2028, 1, zone), start_of_month_ms(2029, 1, zone)
        for parts, count in ((months(from_ms, to_ms, zone), 12), (days(from_ms, to_ms, zone), 366)):
            assert len(parts) == count
            assert [parts[0][0], *(end for _, end in parts)] == [*(start for start, _ in parts), to_ms]


def test_periods_begin_and_end_inside_days_and_months():
    from_ms, to_ms = ms("2026-01-31T12:00:00"), ms("2026-03-01T12:00:00")
    assert months(from_ms, to_ms, HANOI) == [
        (from_ms, ms("2026-01-31T17:00:00")),
        (ms("2026-01-31T17:00:00"), ms("2026-02-28T17:00:00")),
        (ms("2026-02-28T17:00:00"), to_ms),
    ]


def test_where_midnight_or_a_whole_day_is_left_out():
    beirut = ZoneInfo("Asia/Beirut")
    assert start_of_day_ms(date(2026, 3, 29), beirut) == ms("2026-03-28T22:00:00")
    apia = ZoneInfo("Pacific/Apia")
    from_ms, to_ms = ms("2011-12-29T10:00:00"), ms("2012-01-01T10:00:00")
    assert [end - start for start, end in days(from_ms, to_ms, apia)] == [24 * HOUR_MS] * 3


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 28), 24), (date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 10, 26), 24)],
)
def test_a_whole_day_of_service_is_as_long_as_the_day(day, hours):
    assert hours_served([(0, 1440)], RIGA, day) == hours


def test_office_hours_are_the_same_on_every_day():
    for day in (date(2026, 3, 29), date(2026, 10, 25), date(2026, 7, 1)):
        assert hours_served([(480, 1020)], RIGA, day) == 9


@pytest.mark.parametrize(
    ("span", "spring", "autumn"),
    [
        ((120, 300), 2, 4),  # over the change
        ((150, 210), 0.5, 1.5),  # ends in the hour that is left out, or comes twice
        ((210, 300), 1, 2),  # begins in it
        ((195, 225), 0, 1),  # inside it
    ],
)
def test_service_hours_at_the_change_of_clocks_go_by_the_clock_on_the_wall(span, spring, autumn):
    assert hours_served([span], RIGA, date(2026, 3, 29)) == spring
    assert hours_served([span], RIGA, date(2026, 10, 25)) == autumn


def test_service_hours_exact_to_the_second():
    from_ms, to_ms = ms("2026-03-28T00:00:00"), ms("2026-03-29T12:00:00")
    assert service_intervals(EVERY_DAY, [(150, 240)], RIGA, from_ms, to_ms) == [
        (ms("2026-03-28T00:30:00"), ms("2026-03-28T02:00:00")),
        (ms("2026-03-29T00:30:00"), ms("2026-03-29T01:00:00")),
    ]


def test_workdays_are_days_in_the_zone_not_in_utc():
    friday_evening, monday_morning = ms("2026-10-02T16:00:00"), ms("2026-10-04T18:00:00")
    assert service_intervals(WORKDAYS, [(0, 1440)], HANOI, friday_evening, monday_morning) == [
        (ms("2026-10-02T16:00:00"), ms("2026-10-02T17:00:00")),
        (ms("2026-10-04T17:00:00"), ms("2026-10-04T18:00:00")),
    ]


def test_days_that_adjoin_are_one_interval():
    from_ms, to_ms = month(2026, 10, RIGA)
    assert service_intervals(EVERY_DAY, [(0, 720), (720, 1440)], RIGA, from_ms, to_ms) == [(from_ms, to_ms)]


def test_an_outage_over_the_change_of_clocks_has_its_real_length():
    from_ms, to_ms = month(2026, 10, RIGA)
    timeline = (
        Change(from_ms, State.UP),
        Change(ms("2026-10-24T23:30:00"), State.DOWN, "http_status"),
        Change(ms("2026-10-25T01:30:01"), State.UP),
    )
    figures = measure(timeline, from_ms, to_ms, first_result_ms=from_ms, now_ms=to_ms)
    assert figures.down_ms == 2 * HOUR_MS + 1_000
    assert figures.service_ms == 745 * HOUR_MS


def test_the_leap_day_belongs_to_february():
    from_ms, to_ms = month(2028, 2, HANOI)
    timeline = (Change(from_ms, State.UP), Change(ms("2028-02-28T17:00:00"), State.DOWN), Change(to_ms, State.UP))
    figures = measure(timeline, from_ms, to_ms, first_result_ms=from_ms, now_ms=to_ms + 1)
    assert figures.availability == 28 / 29
