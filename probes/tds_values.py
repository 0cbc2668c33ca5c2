"""SQL Server's types and their values in rows ([MS-TDS], sections 2.2.5.4 to 2.2.5.6), without I/O and bounded."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

from probes.failures import TroubleError
from probes.model import Failure

_UNKNOWN = 0xFFFFFFFFFFFFFFFE
"""A long value whose length is not told; 0xFF… is NULL."""


class Type(NamedTuple):
    """A column's type: its number, its length where it has one, its scale."""

    number: int
    length: int = 0
    scale: int = 0


class Cursor:
    """A place in a message. Every read beyond its end raises TroubleError (`protocol`)."""

    __slots__ = ("_data", "place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    @property
    def is_at_end(self) -> bool:
        """Say whether nothing is left."""
        return self.place >= len(self._data)

    def take(self, count: int) -> bytes:
        """Return that many octets."""
        end = self.place + count
        if end > len(self._data):
            raise TroubleError(Failure.PROTOCOL, "the server's answer breaks off")
        piece = self._data[self.place : end]
        self.place = end
        return piece

    def number(self, octets: int) -> int:
        """Return an unsigned number."""
        return int.from_bytes(self.take(octets), "little")

    def text(self, length_octets: int) -> str:
        """Return text that has its length in characters before it."""
        return self.take(2 * self.number(length_octets)).decode("utf-16-le", "replace")


def read_type(cursor: Cursor) -> Type:
    """Return a TYPE_INFO. Raises TroubleError: `query_failed` for a type that is not looked at."""
    number = cursor.number(1)
    if number in _FIXED:
        return Type(number, _FIXED[number][0])
    if number in (0x24, 0x26, 0x68, 0x6D, 0x6E, 0x6F):
        return Type(number, cursor.number(1))
    if number in (0x6A, 0x6C):
        cursor.take(2)
        return Type(number, 0, cursor.number(1))
    if number == 0x28:
        return Type(number)
    if number in (0x29, 0x2A, 0x2B):
        return Type(number, 0, min(cursor.number(1), 7))
    if number in _STRINGS:
        length = cursor.number(2)
        if number not in (0xA5, 0xAD):
            cursor.take(5)  # the collation
        return Type(number, length)
    message = f"a column has a type that is not looked at (0x{number:02x}): CAST it to nvarchar"
    raise TroubleError(Failure.QUERY_FAILED, message)


def read_value(type_: Type, cursor: Cursor) -> Any:
    """Return a value of a row, None for NULL. Raises TroubleError."""
    if type_.number in _FIXED:
        return _FIXED[type_.number][1](cursor.take(type_.length))
    if type_.number in _STRINGS:
        raw = _long(cursor) if type_.length == 0xFFFF else _short(cursor)
        if raw is None:
            return None
        kind = _STRINGS[type_.number]
        return raw.hex() if not kind else raw.decode(kind, "replace")
    raw = cursor.take(cursor.number(1))
    if not raw:
        return None
    try:
        return _VARIABLE[type_.number](raw, type_.scale)
    except (ValueError, OverflowError, KeyError, struct.error, ArithmeticError):
        raise TroubleError(Failure.PROTOCOL, "the server's value is not what its type promises") from None


def _short(cursor: Cursor) -> bytes | None:
    length = cursor.number(2)
    return None if length == 0xFFFF else cursor.take(length)


def _long(cursor: Cursor) -> bytes | None:
    """Return a value in pieces (section 2.2.5.2.3)."""
    if cursor.number(8) == 0xFFFFFFFFFFFFFFFF:
        return None
    pieces = []
    while length := cursor.number(4):
        pieces.append(cursor.take(length))
    return b"".join(pieces)


def _signed(raw: bytes, _scale: int = 0) -> int:
    return int.from_bytes(raw, "little", signed=len(raw) > 1)  # tinyint has no sign


def _float(raw: bytes, _scale: int = 0) -> float:
    (value,) = struct.unpack("<f" if len(raw) == 4 else "<d", raw)
    return float(value)


def _money(raw: bytes, _scale: int = 0) -> float:
    if len(raw) == 8:  # the high half first
        raw = raw[4:] + raw[:4]
    return int.from_bytes(raw, "little", signed=True) / 10_000


def _datetime(raw: bytes, _scale: int = 0) -> datetime:
    if len(raw) == 4:
        days, minutes = struct.unpack("<HH", raw)
        return datetime(1900, 1, 1) + timedelta(days=days, minutes=minutes)  # noqa: DTZ001 - it has no zone
    days, ticks = struct.unpack("<iI", raw)
    return datetime(1900, 1, 1) + timedelta(days=days, seconds=ticks / 300)  # noqa: DTZ001


def _decimal(raw: bytes, scale: int) -> float:
    value = int.from_bytes(raw[1:], "little")
    return float(Decimal(value if raw[0] else -value).scaleb(-scale))


def _date(raw: bytes, _scale: int = 0) -> date:
    return date(1, 1, 1) + timedelta(days=int.from_bytes(raw, "little"))


def _time(raw: bytes, scale: int) -> time:
    return (datetime(1, 1, 1) + _since_midnight(raw, scale)).time()  # noqa: DTZ001


def _datetime2(raw: bytes, scale: int) -> datetime:
    day = _date(raw[-3:])
    return datetime(day.year, day.month, day.day) + _since_midnight(raw[:-3], scale)  # noqa: DTZ001 - it has no zone


def _datetimeoffset(raw: bytes, scale: int) -> datetime:
    minutes = int.from_bytes(raw[-2:], "little", signed=True)
    zone = timezone(timedelta(minutes=minutes))
    return _datetime2(raw[:-2], scale).replace(tzinfo=UTC).astimezone(zone)


def _since_midnight(raw: bytes, scale: int) -> timedelta:
    return timedelta(microseconds=int.from_bytes(raw, "little") * 10 ** (7 - scale) // 10)


def _truth(raw: bytes, _scale: int = 0) -> bool:
    return raw != b"\0"


def _guid(raw: bytes, _scale: int = 0) -> str:
    return str(uuid.UUID(bytes_le=raw))


_FIXED: Mapping[int, tuple[int, Callable[[bytes], Any]]] = {
    0x1F: (0, lambda _raw: None),
    0x30: (1, _signed),
    0x32: (1, _truth),
    0x34: (2, _signed),
    0x38: (4, _signed),
    0x7F: (8, _signed),
    0x3A: (4, _datetime),
    0x3D: (8, _datetime),
    0x3B: (4, _float),
    0x3E: (8, _float),
    0x7A: (4, _money),
    0x3C: (8, _money),
}
_VARIABLE: Mapping[int, Callable[[bytes, int], Any]] = {
    0x24: _guid,
    0x26: _signed,
    0x68: _truth,
    0x6D: _float,
    0x6E: _money,
    0x6F: _datetime,
    0x6A: _decimal,
    0x6C: _decimal,
    0x28: _date,
    0x29: _time,
    0x2A: _datetime2,
    0x2B: _datetimeoffset,
}
_STRINGS: Mapping[int, str] = {
    0xA7: "cp1252",
    0xAF: "cp1252",
    0xE7: "utf-16-le",
    0xEF: "utf-16-le",
    0xA5: "",
    0xAD: "",
}
"""Type of a string → its encoding; varchar's depends on its collation, and is read as Windows-1252."""
