"""Moments and periods as people type them on the command line."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

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


def parse_period_ms(from_: str, to: str, timezone: str) -> tuple[int, int]:
    """Return [from, to) in milliseconds. Raises ValueError for what is no time, or ends before it begins."""
    from_ms, to_ms = parse_time_ms(from_, timezone), parse_time_ms(to, timezone)
    if from_ms >= to_ms:
        message = f"the period ends ({to}) before it begins ({from_})"
        raise ValueError(message)
    return from_ms, to_ms
