"""Durations, sizes, rates and shares as people write them: `800ms`, `1 MiB`, `200Mbit/s`, `1%`.

Each has a parser from text to a plain float or int in the base unit (seconds, bytes, bits per second, ratio)
and a pydantic type that accepts the text. A bare number is refused where a unit is needed: "5" of what?
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_DURATION_UNITS_S = {
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_SIZE_UNITS_BYTES = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "tb": 1000**4,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
    "tib": 1024**4,
}
_RATE_UNITS_BPS = {"bit/s": 1, "kbit/s": 1e3, "mbit/s": 1e6, "gbit/s": 1e9, "tbit/s": 1e12}

_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Zµ]+)")
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*\Z")
_RATE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]+/s)\s*\Z")


def parse_duration(text: str) -> float:
    """Return seconds for `1h30m`, `800ms`, `5 s`, `0s`.

    Raises ValueError, saying what is expected.
    """
    total, position = 0.0, 0
    while position < len(text.rstrip()):
        part = _PART.match(text, position)
        if part is None or part[2] not in _DURATION_UNITS_S:
            break
        total += float(part[1]) * _DURATION_UNITS_S[part[2]]
        position = part.end()
    if position == 0 or text[position:].strip():
        message = f"{text!r} is not a duration: write a number with a unit, such as 800ms, 5s, 10m, 1h30m, 2d"
        raise ValueError(message)
    # 800 × 0.001 carries a rounding error that nobody wrote: durations are meant to the microsecond.
    return round(total, 6)


def parse_size(text: str) -> int:
    """Return bytes for `1 MiB`, `128B`, `64 kB`; a bare number is bytes.

    Raises ValueError, saying what is expected.
    """
    match = _SIZE.match(text)
    unit = match[2].lower() or "b" if match else ""
    if match is None or unit not in _SIZE_UNITS_BYTES:
        message = f"{text!r} is not a size: write a number of bytes or with a unit, such as 128B, 64KiB, 1MiB"
        raise ValueError(message)
    return int(float(match[1]) * _SIZE_UNITS_BYTES[unit])


def parse_rate(text: str) -> float:
    """Return bits per second for `200Mbit/s`.

    Raises ValueError, saying what is expected.
    """
    match = _RATE.match(text)
    if match is None or match[2].lower() not in _RATE_UNITS_BPS:
        message = f"{text!r} is not a rate: write a number with a unit, such as 200Mbit/s, 1Gbit/s"
        raise ValueError(message)
    return float(match[1]) * _RATE_UNITS_BPS[match[2].lower()]


def parse_share(text: str) -> float:
    """Return a ratio from 0 to 1 for `1%` or `0.01`.

    Raises ValueError, saying what is expected.
    """
    stripped = text.strip()
    try:
        # 99.99 / 100 is 0.9998999999999999: the exponent gives the nearest number to what was written.
        ratio = float(f"{stripped[:-1].rstrip()}e-2" if stripped.endswith("%") else stripped)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        message = f"{text!r} is not a share: write a percentage such as 1%, or a ratio from 0 to 1"
        raise ValueError(message)
    return ratio


def _refuse_truth(value: Any) -> None:
    if isinstance(value, bool):  # to Python true is 1
        message = f"{str(value).lower()} is not an amount"
        raise ValueError(message)


def _duration(value: Any) -> Any:
    _refuse_truth(value)
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float):
        message = f"{value!r} has no unit: write a duration such as {value}s"
        raise ValueError(message)
    return value


def _size(value: Any) -> Any:
    _refuse_truth(value)
    return parse_size(value) if isinstance(value, str) else value


def _rate(value: Any) -> Any:
    _refuse_truth(value)
    if isinstance(value, int | float):
        message = f"{value!r} has no unit: write a rate such as {value}Mbit/s"
        raise ValueError(message)
    return parse_rate(value) if isinstance(value, str) else value


def _share(value: Any) -> Any:
    _refuse_truth(value)
    if isinstance(value, int | float):
        return parse_share(repr(value))
    return parse_share(value) if isinstance(value, str) else value


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "examples": ["800ms", "5s", "1h30m"], "description": "a duration with its unit"}),
]
"""Seconds, written with a unit."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["1MiB", 128], "description": "bytes"}),
]
"""Bytes, written with a unit or as a bare number."""

Rate = Annotated[
    float,
    BeforeValidator(_rate),
    WithJsonSchema({"type": "string", "examples": ["200Mbit/s"], "description": "bits per second"}),
]
"""Bits per second, written with a unit."""

Share = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema({"type": ["string", "number"], "examples": ["1%", 0.01], "description": "a share"}),
]
"""A ratio from 0 to 1, written as a percentage or as a ratio."""
