"""How a result is packed into a row: few bytes, and nothing lost.

Samples become a *shape* (their names in order, and how each value is coded) and a *body* (the values). Results
of one check nearly always share a shape, so shapes are stored once and rows carry its number. Codes:

| code | Python value | in the body |
|---|---|---|
| `i` | int ≥ 0 | LEB128 varint |
| `j` | int < 0 | LEB128 varint of −1 − value |
| `m` | float ≥ 0 that is a number of millionths (times to the µs, ratios to 10⁻⁶) | varint of millionths |
| `n` | float < 0, likewise | varint of −millionths |
| `w` | float ≥ 0 that is whole | varint |
| `d` | any other float | IEEE 754 binary64, little-endian |

LEB128 is the variable-length integer of DWARF 5, section 7.6. A float is coded as `m`, `n` or `w` only where
decoding gives the very same float back. What is not finite was not measured, and is left out.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Mapping
from math import copysign, isfinite, isnan, nan

from alerts.model import State
from probes.model import Failure

MILLION = 1_000_000
_WHOLE = float(1 << 53)
"""Beyond this not every whole number is a float."""
_SPAN_S = 3600.0
"""Floats below this are nearly always spans of time: they take the short way."""

_DOUBLE = struct.Struct("<d")
_BITS = struct.Struct("<Q")
_MISFIT = "a stored body of {} bytes does not fit its shape {!r}"
_STATES = tuple(State)
_FAILURES = tuple(Failure)
_STATE_NO = {state: number for number, state in enumerate(_STATES)}
_FAILURE_NO = {failure: number for number, failure in enumerate(_FAILURES, 1)} | {None: 0}


Shape = tuple[tuple[str, ...], str]
"""Names of samples in order, and one code letter for each."""


class CorruptError(ValueError):
    """A stored body does not fit its shape."""


def varint(value: int) -> bytes:
    """Return a LEB128 varint."""
    if 0x4000 <= value < 0x200000:  # times from 16 ms to 2 s in microseconds
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SHORT = tuple(varint(value) for value in range(1 << 14))
"""All varints of one and two bytes, which most values are."""
_SHORT_LIMIT = len(_SHORT)


def encode_samples(samples: Mapping[str, float]) -> tuple[Shape, bytes]:
    """Return the shape and the body of samples; see the module for the format."""
    codes = ""
    parts: list[bytes] = []
    for value in samples.values():
        if type(value) is int:
            code, number = ("i", value) if value >= 0 else ("j", -1 - value)
        elif type(value) is float and 0.0 < value < _SPAN_S and (number := round(value * MILLION)) / MILLION == value:
            code = "m"
        else:
            code, number = _code_of(value)
        codes += code
        if code == "d":
            if not isfinite(value):
                return encode_samples({name: value for name, value in samples.items() if isfinite(value)})
            parts.append(_DOUBLE.pack(value))
        else:
            parts.append(_SHORT[number] if number < _SHORT_LIMIT else varint(number))
    return (tuple(samples), codes), b"".join(parts)


def _code_of(value: float) -> tuple[str, int]:
    if isinstance(value, int):
        return ("i", int(value)) if value >= 0 else ("j", -1 - int(value))
    if not -_WHOLE < value * MILLION < _WHOLE:
        whole = 0 <= value < _WHOLE and value.is_integer()
        return ("w", int(value)) if whole else ("d", 0)
    number = round(value * MILLION)
    if number / MILLION != value:
        return "d", 0
    if number > 0:
        return ("w", int(value)) if value.is_integer() else ("m", number)
    if number < 0:
        return "n", -number
    # Zero has a sign, which a varint cannot carry.
    return ("m", 0) if copysign(1.0, value) > 0 else ("d", 0)


def decode_samples(shape: Shape, body: bytes) -> dict[str, float]:
    """Return the samples of a body.

    Raises CorruptError where the body does not fit the shape.
    """
    samples: dict[str, float] = {}
    position = 0
    try:
        for name, code in zip(*shape, strict=True):
            if code == "d":
                samples[name] = _DOUBLE.unpack_from(body, position)[0]
                position += 8
                continue
            number = body[position]
            position += 1
            if number > 0x7F:
                number, position = _rest_of_varint(number & 0x7F, body, position)
            samples[name] = value_of(code, number)
    except (IndexError, struct.error, KeyError, ValueError):
        position = -1
    if position != len(body):
        raise CorruptError(_MISFIT.format(len(body), shape[1]))
    return samples


def read_varint(body: bytes, position: int) -> tuple[int, int]:
    """Return the varint at a position, and the position after it."""
    number = body[position]
    return (number, position + 1) if number <= 0x7F else _rest_of_varint(number & 0x7F, body, position + 1)


def _rest_of_varint(number: int, body: bytes, position: int) -> tuple[int, int]:
    shift = 7
    while (byte := body[position]) > 0x7F:
        number |= (byte & 0x7F) << shift
        shift += 7
        position += 1
    return number | byte << shift, position + 1


def value_of(code: str, number: int) -> float:
    """Return the value that a number of a body stands for; `d` has none."""
    if code == "m":
        return number / MILLION
    if code == "i":
        return number
    if code == "w":
        return float(number)
    if code == "n":
        return -number / MILLION
    if code == "j":
        return -1 - number
    raise KeyError(code)


def numbers_of(shape: Shape, body: bytes) -> tuple[int, ...]:
    """Return the numbers of a body, as its shape's codes say; for code `d`, the float's bits.

    Raises CorruptError where the body does not fit the shape.
    """
    numbers: list[int] = []
    position = 0
    try:
        for code in shape[1]:
            if code == "d":
                numbers.append(_BITS.unpack_from(body, position)[0])
                position += 8
                continue
            number = body[position]
            position += 1
            if number > 0x7F:
                number, position = _rest_of_varint(number & 0x7F, body, position)
            numbers.append(number)
    except (IndexError, struct.error):
        position = -1
    if position != len(body):
        raise CorruptError(_MISFIT.format(len(body), shape[1]))
    return tuple(numbers)


def pack_outcome(state: State, failure: Failure | None) -> int:
    """Return a result's outcome as one small number: 0 for a plain `up`."""
    return _FAILURE_NO[failure] << 2 | _STATE_NO[state]


_OUTCOMES = {pack_outcome(state, failure): (state, failure) for state in _STATES for failure in (None, *_FAILURES)}


def unpack_outcome(number: int) -> tuple[State, Failure | None]:
    """Return the state and failure of a packed outcome.

    Raises CorruptError for a number that stands for nothing.
    """
    try:
        return _OUTCOMES[number]
    except KeyError:
        message = f"{number} is not a stored outcome"
        raise CorruptError(message) from None


def state_no(state: State) -> int:
    """Return the small number that a state is stored as."""
    return _STATE_NO[state]


def state_of(number: int) -> State:
    """Return the state that is stored as that number."""
    return _STATES[number]


def encode_spark(spark: Iterable[float | None] | array[float]) -> bytes:
    """Return latencies as IEEE 754 binary32 (seven digits: enough to draw), NaN for None."""
    if isinstance(spark, array) and spark.typecode == "f" and sys.byteorder == "little":
        return spark.tobytes()  # it is them already
    values = [nan if value is None else value for value in spark]
    return struct.pack(f"<{len(values)}f", *values)


def decode_spark(body: bytes) -> tuple[float | None, ...]:
    """Return the latencies of `encode_spark`."""
    values = struct.unpack(f"<{len(body) // 4}f", body)
    if isnan(sum(values)):  # one NaN makes the sum one
        return tuple(None if isnan(value) else value for value in values)
    return values
