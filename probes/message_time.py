"""When a message was written, by what it says itself: a number since 1970, or a date and time with its zone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from probes.failures import TroubleError, plain_line
from probes.model import Failure

_SCALES = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""Up to which number it is seconds, milliseconds, microseconds, nanoseconds: each from 1973 to 5138."""


def time_of(value: Any) -> float:
    """Return seconds since 1970 for a number or a text with one in it, or for a time as ISO 8601 writes it.

    Raises TroubleError (`body_decode`) when it is none; a time without its zone could be any of 38.
    """
    if isinstance(value, str):
        try:
            return _of_number(float(value))
        except ValueError:
            return _of_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _of_number(float(value))
    raise TroubleError(Failure.BODY_DECODE, f"a {type(value).__name__} is no time")


def find(value: Any, path: str) -> Any:
    """Return what stands under a dotted path in a JSON value.

    Raises TroubleError (`body_decode`) when nothing does.
    """
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise TroubleError(Failure.BODY_DECODE, f"the message has no field {path}")
        value = value[name]
    return value


def _of_number(number: float) -> float:
    for limit, scale in _SCALES:
        if abs(number) < limit:
            return number / scale
    raise TroubleError(Failure.BODY_DECODE, f"{number:g} is no time since 1970")


def _of_text(text: str) -> float:
    shown = plain_line(text, 40)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TroubleError(Failure.BODY_DECODE, f"'{shown}' is no time") from None
    if moment.tzinfo is None:
        raise TroubleError(Failure.BODY_DECODE, f"the time '{shown}' has no zone")
    return moment.timestamp()
