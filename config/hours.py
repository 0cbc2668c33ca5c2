"""Service hours as people write them: days of the week and times of the day."""

from __future__ import annotations

import re
from itertools import pairwise

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})\Z")
_DAY_MINUTES = 24 * 60


def parse_days(text: str) -> frozenset[int]:
    """Return days of the week, Monday 0, for `mon-fri`, `sat,sun`, `fri-mon`.

    Raises ValueError, saying what is expected.
    """
    found: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            message = f"{text!r} is not days of the week: write such as mon-fri or mon,wed,sat"
            raise ValueError(message)
        start = DAYS.index(first)
        length = (DAYS.index(last) - start) % 7 if dash else 0
        found.update((start + number) % 7 for number in range(length + 1))
    return frozenset(found)


def parse_hours(text: str) -> tuple[tuple[int, int], ...]:
    """Return (from, to) in minutes of the day, in order, for `08:00-17:00`, `07:30-11:30,13:00-24:00`.

    Raises ValueError, saying what is expected; so it does for spans that overlap or run past midnight.
    """
    spans = []
    for part in text.replace(" ", "").split(","):
        match = _SPAN.match(part)
        start, end = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) if match else (0, 0)
        if match is None or int(match[2]) > 59 or int(match[4]) > 59 or end > _DAY_MINUTES:
            message = f"{text!r} is not times of the day: write such as 08:00-17:00 or 07:30-11:30,13:00-16:30"
            raise ValueError(message)
        if start >= end:
            message = f"{part} ends before it begins: split what runs past midnight, such as 22:00-24:00,00:00-06:00"
            raise ValueError(message)
        spans.append((start, end))
    spans.sort()
    if any(later[0] < earlier[1] for earlier, later in pairwise(spans)):
        message = f"the times in {text!r} overlap"
        raise ValueError(message)
    return tuple(spans)
