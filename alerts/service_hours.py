"""Service hours as exact intervals of UTC.

A moment is inside the hours when a clock on the wall in that zone then shows a day and a time that are. So on the
day when clocks go forward the hour that does not exist is not served, and when they go back the hour that comes
twice is served twice; an interval may fall in two by that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from alerts.intervals import Interval, joined

_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_LOOK_MS = _DAY_MS // 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WEEKDAY = 3
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def service_intervals(
    days: Collection[int],
    spans: Sequence[tuple[int, int]],
    zone: ZoneInfo,
    from_ms: int,
    to_ms: int,
    *,
    days_off: Collection[date] = (),
    days_on: Collection[date] = (),
) -> list[Interval]:
    """Return the served intervals inside [from_ms, to_ms), in order, disjoint, adjoining ones joined.

    `days` are days of the week, Monday 0; `spans` are (from, to) in minutes of the day, 1440 at most. `days_off` are
    holidays; `days_on` are served whatever day of the week they are, and even when they are holidays.
    """
    off, on = ({day.toordinal() - _EPOCH_DAY for day in some} for some in (days_off, days_on))
    found: list[Interval] = []
    for start_ms, end_ms, offset_ms in _same_offset(zone, from_ms, to_ms):
        for day in range((start_ms + offset_ms) // _DAY_MS, (end_ms - 1 + offset_ms) // _DAY_MS + 1):
            if day not in on and (day in off or (day + _EPOCH_WEEKDAY) % 7 not in days):
                continue
            midnight_ms = day * _DAY_MS - offset_ms
            found += (
                (max(start_ms, midnight_ms + first * _MINUTE_MS), min(end_ms, midnight_ms + last * _MINUTE_MS))
                for first, last in spans
            )
    return joined(found)


def _same_offset(zone: ZoneInfo, from_ms: int, to_ms: int) -> Iterator[tuple[int, int, int]]:
    """Give (from, to, offset from UTC) for the stretches of [from_ms, to_ms) with one offset each."""
    start_ms = from_ms
    while start_ms < to_ms:
        offset_ms = _offset_ms(zone, start_ms)
        end_ms = start_ms
        while end_ms < to_ms and _offset_ms(zone, min(end_ms + _LOOK_MS, to_ms)) == offset_ms:
            end_ms += _LOOK_MS
        if end_ms < to_ms:
            end_ms = _first_other(zone, end_ms, min(end_ms + _LOOK_MS, to_ms), offset_ms)
        yield start_ms, min(end_ms, to_ms), offset_ms
        start_ms = end_ms


def _first_other(zone: ZoneInfo, low_ms: int, high_ms: int, offset_ms: int) -> int:
    """Return the first moment in (low_ms, high_ms] whose offset is another one."""
    while high_ms - low_ms > 1:
        middle_ms = (low_ms + high_ms) // 2
        if _offset_ms(zone, middle_ms) == offset_ms:
            low_ms = middle_ms
        else:
            high_ms = middle_ms
    return high_ms


def _offset_ms(zone: ZoneInfo, at_ms: int) -> int:
    moment = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    offset = moment.utcoffset()
    return 0 if offset is None else offset // timedelta(milliseconds=1)
