"""C45: daylight saving, month and leap-day edges, exact to the second."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import reduce
from zoneinfo import ZoneInfo

import pytest

from alerts.availability import measure
from alerts.counted import Counted, count
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
        for parts, number in ((months(from_ms, to_ms, zone), 12), (days(from_ms, to_ms, zone), 366)):
            assert len(parts) == number
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


def test_holidays_and_moved_working_days_are_days_in_the_zone():
    """Quốc khánh 2026: Monday 31 August was moved to Saturday 22 August."""
    from_ms, to_ms = start_of_day_ms(date(2026, 8, 17), HANOI), start_of_day_ms(date(2026, 9, 7), HANOI)
    off = {date(2026, 8, 31), date(2026, 9, 1), date(2026, 9, 2)}
    served = service_intervals(WORKDAYS, [(480, 720)], HANOI, from_ms, to_ms, days_off=off, days_on={date(2026, 8, 22)})
    expected = [17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 34, 35]
    assert served == [
        (ms("2026-08-01T01:00:00") + (day - 1) * 24 * HOUR_MS, ms("2026-08-01T05:00:00") + (day - 1) * 24 * HOUR_MS)
        for day in expected
    ]


def test_a_day_that_is_worked_is_worked_even_on_a_holiday():
    day = date(2026, 9, 2)
    from_ms, to_ms = start_of_day_ms(day, HANOI), start_of_day_ms(date(2026, 9, 3), HANOI)
    served = service_intervals(EVERY_DAY, [(0, 1440)], HANOI, from_ms, to_ms, days_off={day}, days_on={day})
    assert served == [(from_ms, to_ms)]


@pytest.mark.parametrize(("zone", "hours"), [(RIGA, (743 - 23, 745 - 25)), (HANOI, (744 - 24, 744 - 24))])
def test_a_holiday_takes_out_the_day_as_long_as_it_is(zone, hours):
    off = {date(2026, 3, 29), date(2026, 10, 25)}
    for number, expected in zip((3, 10), hours, strict=True):
        served = service_intervals(EVERY_DAY, [(0, 1440)], zone, *month(2026, number, zone), days_off=off)
        assert sum(end - start for start, end in served) == expected * HOUR_MS


@pytest.mark.parametrize("zone", [RIGA, HANOI])
def test_the_leap_day_can_be_a_holiday_and_there_is_none_in_other_years(zone):
    from_ms, to_ms = month(2028, 2, zone)
    served = service_intervals(EVERY_DAY, [(0, 1440)], zone, from_ms, to_ms, days_off={date(2028, 2, 29)})
    assert served == [(from_ms, to_ms - 24 * HOUR_MS)]


@pytest.mark.parametrize("zone", [RIGA, HANOI])
def test_a_year_counted_by_months_in_the_zone_is_the_year(zone):
    """An outage over the change of clocks, one over the leap day and its month's end, one over New Year."""
    from_ms, to_ms = start_of_month_ms(2028, 1, zone), start_of_month_ms(2029, 1, zone)
    down = [("2028-02-28T23:59:59", "2028-03-01T00:00:01"), ("2028-03-25T20:00:00", "2028-03-26T05:00:00")]
    down += [("2028-10-28T20:00:00", "2028-10-29T03:30:00"), ("2028-12-31T12:00:00", "2029-01-01T12:00:00")]
    timeline = [Change(from_ms - HOUR_MS, State.UP)]
    for start, end in down:
        timeline += [Change(ms(start), State.DOWN, "timeout"), Change(ms(end), State.UP)]
    served = service_intervals(EVERY_DAY, [(60, 1380)], zone, from_ms, to_ms)
    whole = count(tuple(timeline), from_ms, to_ms, service=served)
    parts = [count(tuple(timeline), start, end, service=served) for start, end in months(from_ms, to_ms, zone)]
    assert len(parts) == 12
    assert reduce(Counted.then, parts) == whole
    assert whole.all_outages == 4
    assert whole.service_ms == 366 * 22 * HOUR_MS


def test_the_leap_day_belongs_to_february():
    from_ms, to_ms = month(2028, 2, HANOI)
    timeline = (Change(from_ms, State.UP), Change(ms("2028-02-28T17:00:00"), State.DOWN), Change(to_ms, State.UP))
    figures = measure(timeline, from_ms, to_ms, first_result_ms=from_ms, now_ms=to_ms + 1)
    assert figures.availability == 28 / 29
