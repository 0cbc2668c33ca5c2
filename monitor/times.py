"""Moments and periods as people type them on the command line."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.periods import start_of_month_ms

_MONTH = re.compile(r"\d{4}-\d{2}\Z")


def parse_time_ms(text: str, timezone: str) -> int:
    """Return milliseconds since the epoch for an ISO 8601 time, date or month.

    `2026-11` and `2026-11-01` are their first instant. What has no offset is read in `timezone` (IANA name).
    Raises ValueError, saying what is expected.
    """
    whole = f"{text}-01" if _MONTH.match(text) else text
    try:
        moment = datetime.fromisoformat(whole)
    except ValueError:
        message = f"{text!r} is not a time: write 2026-11, 2026-11-01 or 2026-11-01T08:00:00+07:00"
        raise ValueError(message) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(timezone))
    return round(moment.timestamp() * 1000)


def parse_month_ms(text: str, timezone: str) -> tuple[int, int]:
    """Return [from, to) of a month such as `2026-10`, cut in `timezone`. Raises ValueError for what is none."""
    if not _MONTH.match(text) or not 1 <= int(text[5:]) <= 12:
        message = f"{text!r} is not a month: write such as 2026-10"
        raise ValueError(message)
    year, month = int(text[:4]), int(text[5:])
    if not 1970 <= year < 9999:
        message = f"{text!r} is not a month that anything could be known of"
        raise ValueError(message)
    zone = ZoneInfo(timezone)
    return start_of_month_ms(year, month, zone), start_of_month_ms(year, month + 1, zone)


def parse_period_ms(from_: str, to: str, timezone: str) -> tuple[int, int]:
    """Return [from, to) in milliseconds. Raises ValueError for what is no time, or ends before it begins."""
    from_ms, to_ms = parse_time_ms(from_, timezone), parse_time_ms(to, timezone)
    if from_ms >= to_ms:
        message = f"the period ends ({to}) before it begins ({from_})"
        raise ValueError(message)
    return from_ms, to_ms


def parse_span_ms(from_: str | None, to: str | None, month: str | None, timezone: str) -> tuple[int, int]:
    """Return [from, to) of a period that is given either by its ends or as a month. Raises ValueError."""
    if month is not None and from_ is None and to is None:
        return parse_month_ms(month, timezone)
    if month is not None or from_ is None or to is None:
        raise ValueError("say which period: --from and --to, or --month")
    return parse_period_ms(from_, to, timezone)
