"""Moments, days and months: milliseconds of UTC, as text and as a calendar on the wall cuts them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def utc_text(at_ms: int) -> str:
    """Return a moment as `2026-10-01T00:00:10.000Z` (RFC 3339)."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds")[:-6] + "Z"


def start_of_day_ms(day: date, zone: ZoneInfo) -> int:
    """Return the first moment at which it is that day in the zone; midnight, unless clocks skip it just then."""
    midnight = datetime.combine(day, time(), zone)
    at_ms = (midnight - _EPOCH) // _MILLISECOND
    if local_day(at_ms, zone) == day and local_day(at_ms - 1, zone) < day:
        return at_ms
    low_ms, high_ms = at_ms - 86_400_000, at_ms + 86_400_000
    while high_ms - low_ms > 1:
        middle_ms = (low_ms + high_ms) // 2
        if local_day(middle_ms, zone) < day:
            low_ms = middle_ms
        else:
            high_ms = middle_ms
    return high_ms


def start_of_month_ms(year: int, month: int, zone: ZoneInfo) -> int:
    """Return the first moment of a month in the zone; a month of 13 is the January after, 0 the December before."""
    years, index = divmod(month - 1, 12)
    return start_of_day_ms(date(year + years, index + 1, 1), zone)


def local_day(at_ms: int, zone: ZoneInfo) -> date:
    """Return the day that it is in the zone."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone).date()


def months(from_ms: int, to_ms: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Cut [from_ms, to_ms) at the starts of months."""
    first = local_day(from_ms, zone)
    return _cut(from_ms, to_ms, lambda number: start_of_month_ms(first.year, first.month + number, zone))


def days(from_ms: int, to_ms: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Cut [from_ms, to_ms) at the starts of days."""
    first = local_day(from_ms, zone)
    return _cut(from_ms, to_ms, lambda number: start_of_day_ms(first + timedelta(days=number), zone))


def _cut(from_ms: int, to_ms: int, edge: Callable[[int], int]) -> list[tuple[int, int]]:
    """Cut at edge(1), edge(2), …, which rise; edge(1) is after from_ms."""
    found, start_ms, number = [], from_ms, 1
    while start_ms < to_ms:
        end_ms = min(edge(number), to_ms)
        if end_ms > start_ms:  # a zone may leave out a whole day
            found.append((start_ms, end_ms))
        start_ms, number = end_ms, number + 1
    return found
