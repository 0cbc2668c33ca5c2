"""How long things are kept, as people write it: `14d`, `12 months`, `3y`, `forever`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from probes.units import parse_duration

FOREVER_S = float("inf")
DAY_S = 86_400.0
_FORM = re.compile(r"\s*([0-9]{1,4})\s*(months?|y|years?|days?|weeks?)\s*\Z")
# A span is never shorter than what was meant: the longest month, the longest year.
_UNITS_S = {"day": DAY_S, "week": 7 * DAY_S, "month": 31 * DAY_S, "y": 366 * DAY_S, "year": 366 * DAY_S}


def parse_kept(text: str) -> float:
    """Return seconds, infinity for `forever`.

    Raises ValueError, saying what is expected.
    """
    if text.strip().lower() == "forever":
        return FOREVER_S
    match = _FORM.match(text)
    if match is not None:
        return int(match[1]) * _UNITS_S[match[2].removesuffix("s")]
    try:
        return parse_duration(text)
    except ValueError:
        message = f"{text!r} is not how long something is kept: write 14d, 12 months, 3y or forever"
        raise ValueError(message) from None


def _kept(value: Any) -> Any:
    if isinstance(value, str):
        return parse_kept(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value != FOREVER_S:
        message = f"{value!r} has no unit: write {value}d, {value} months or forever"
        raise ValueError(message)
    return value


Kept = Annotated[
    float,
    BeforeValidator(_kept),
    WithJsonSchema({"type": "string", "examples": ["14d", "12 months", "3y", "forever"]}, mode="validation"),
]
"""How long something is kept, in seconds; infinity for ever."""


def at_least(limit_s: float, words: str) -> AfterValidator:
    """Return a validator that refuses to keep something for a shorter time."""

    def check(value: float) -> float:
        if value < limit_s:
            message = f"keep it for {words} at least"
            raise ValueError(message)
        return value

    return AfterValidator(check)


KeptADay = Annotated[Kept, at_least(DAY_S, "1d")]
KeptAMonth = Annotated[Kept, at_least(30 * DAY_S, "30d")]
KeptAYear = Annotated[Kept, at_least(365 * DAY_S, "12 months")]
