"""When a job is due: a period, or a cron expression in a time zone.

A cron expression is read as Debian's cron reads it, changes of the clock included: a job at a time of day that is
skipped runs right after the skip, one at a time that is repeated runs once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from probes.units import parse_duration

_CRON_FIELDS = 5


class Period(NamedTuple):
    """Every so many seconds, counted from the last sign of life."""

    seconds: float

    def after(self, at_ms: int) -> int:
        """Return when the next run is due, in milliseconds since the epoch."""
        return at_ms + round(self.seconds * 1000)


class Cron(NamedTuple):
    """At the moments of a cron expression, on the clock of a time zone."""

    expression: str
    zone: ZoneInfo

    def after(self, at_ms: int) -> int:
        """Return the first of its moments later than `at_ms`, in milliseconds since the epoch."""
        start = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone)
        return round(next(CronSim(self.expression, start)).timestamp() * 1000)


def parse_schedule(text: str, zone: ZoneInfo) -> Period | Cron:
    """Return the schedule of `1h30m` or `30 2 * * *`.

    Raises ValueError, saying what is expected.
    """
    if len(text.split()) != _CRON_FIELDS:
        seconds = parse_duration(text)
        if seconds <= 0:
            raise ValueError("a period is longer than nothing")
        return Period(seconds)
    cron = Cron(text, zone)
    try:
        cron.after(0)
    except (CronSimError, StopIteration):
        message = f"{text!r} is not a cron expression: write minute, hour, day, month and weekday, such as 30 2 * * 1-5"
        raise ValueError(message) from None
    return cron
