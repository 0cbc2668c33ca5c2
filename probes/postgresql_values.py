"""PostgreSQL's values in text form as conditions compare them: numbers, booleans, times, JSON, else text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from probes.postgresql_wire import Column

INT64 = range(-(1 << 63), 1 << 63)

TIMESTAMPTZ, TIMESTAMP, DATE, INTERVAL = 1184, 1114, 1082, 1186
NUMBERS = frozenset({20, 21, 23, 26, 700, 701, 1700})
"""int8, int2, int4, oid, float4, float8, numeric (pg_type.dat: built-in object ids never change)."""

AGE_CASTS: Mapping[int, str] = {
    TIMESTAMPTZ: "clock_timestamp() - $1::timestamptz",
    TIMESTAMP: "clock_timestamp() - $1::timestamp",
    DATE: "clock_timestamp() - $1::date",
    INTERVAL: "$1::interval",
}
"""How the server itself turns a value into an age, by its clock and in its time zone."""


def value_of(column: Column, raw: bytes | None) -> Any:
    """Return a value; one that is not what its type promises stays text."""
    if raw is None:
        return None
    text = raw.decode("utf-8", "replace")
    convert = _CONVERT.get(column.type)
    if convert is None:
        return text
    try:
        return convert(text)
    except ValueError:
        return text


def row_of(columns: tuple[Column, ...], values: tuple[bytes | None, ...]) -> dict[str, Any]:
    """Return a row as column → value."""
    return {column.name: value_of(column, raw) for column, raw in zip(columns, values, strict=False)}


def _integer(text: str) -> Any:
    number = int(text)
    return number if number in INT64 else float(number)


def _bool(text: str) -> bool:
    if text not in ("t", "f"):
        raise ValueError(text)
    return text == "t"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)


_CONVERT: Mapping[int, Callable[[str], Any]] = {
    16: _bool,
    20: _integer,
    21: _integer,
    23: _integer,
    26: _integer,
    700: float,
    701: float,
    1700: float,
    114: orjson.loads,
    3802: orjson.loads,
    TIMESTAMPTZ: _moment,
}
