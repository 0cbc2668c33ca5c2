"""Statements over many rows, in the quickest form of each database.

SQLite takes a prepared statement of ROWS_AT_ONCE rows; PostgreSQL takes whole columns as arrays in one statement, where
one statement per row costs ten times as much. Texts are made of the names in `tables` and of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.tables import meta

if TYPE_CHECKING:
    import asyncpg  # a store in SQLite need not have it in memory

ROWS_AT_ONCE = 100
"""Rows of one INSERT into SQLite. The driver gives up the interpreter's lock in every step of a statement, and has to
get it back from the event loop: a statement of one row has as many steps as there are rows."""

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]

Rows = Sequence[Mapping[str, Any]]
"""Rows that all have the same columns in the same order."""


async def upsert(connection: AsyncConnection, table: Table, rows: Rows, key: tuple[str, ...]) -> None:
    """Insert rows, or replace them by their key; of rows with the same key the last one stays."""
    latest = {tuple(row[name] for name in key): tuple(row.values()) for row in rows}
    if latest:
        await _insert(connection, table, tuple(rows[0]), list(latest.values()), key)


async def upsert_tuples(
    connection: AsyncConnection,
    table: Table,
    columns: tuple[str, ...],
    rows: list[tuple[Any, ...]],
    key: tuple[str, ...],
) -> None:
    """Insert rows, or replace them by their key, which no two of them share: `upsert` for many rows."""
    if rows:
        await _insert(connection, table, columns, rows, key)


async def add(connection: AsyncConnection, table: Table, rows: Rows) -> None:
    """Insert rows, leaving alone those that are there already."""
    if rows:
        await _insert(connection, table, tuple(rows[0]), [tuple(row.values()) for row in rows], ())


async def _insert(
    connection: AsyncConnection,
    table: Table,
    columns: tuple[str, ...],
    rows: list[tuple[Any, ...]],
    key: tuple[str, ...],
) -> None:
    if connection.dialect.name == "postgresql":
        driver = await driver_of(connection)
        await driver.execute(_postgresql_text(table, columns, key), *map(list, zip(*rows, strict=True)))
    else:
        await insert_into_sqlite(connection, partial(_sqlite_text, table, columns, key), rows)


async def insert_into_sqlite(
    connection: AsyncConnection, text_for: Callable[[int], str], rows: list[tuple[Any, ...]]
) -> int:
    """Insert rows by a statement that `text_for` gives for a number of rows; return how many rows it touched."""
    whole = len(rows) - len(rows) % ROWS_AT_ONCE
    touched = 0
    if whole:
        starts = range(0, whole, ROWS_AT_ONCE)
        flat = [tuple(chain.from_iterable(rows[start : start + ROWS_AT_ONCE])) for start in starts]
        touched = (await connection.exec_driver_sql(text_for(ROWS_AT_ONCE), flat)).rowcount
    if rest := rows[whole:]:
        touched += (await connection.exec_driver_sql(text_for(1), rest)).rowcount
    return touched


async def driver_of(connection: AsyncConnection) -> asyncpg.Connection[Any]:
    """Return the driver's own connection, in the transaction of this one.

    The transaction begins with SQLAlchemy's first statement, which must not be left to chance.
    """
    await connection.exec_driver_sql("SELECT 1")
    driver: asyncpg.Connection[Any] | None = (await connection.get_raw_connection()).driver_connection
    assert driver is not None  # noqa: S101 - an open connection has one
    return driver


@cache
def _sqlite_text(table: Table, columns: tuple[str, ...], key: tuple[str, ...], rows: int) -> str:
    return f"{_insert_into(table, columns)} VALUES {marks(len(columns), rows)} {_on_conflict(columns, key)}"


def marks(columns: int, rows: int) -> str:
    """Return the placeholders of that many rows."""
    row = f"({', '.join('?' * columns)})"
    return ", ".join([row] * rows)


@cache
def _postgresql_text(table: Table, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    types = (table.c[name].type.compile(dialect=_POSTGRESQL) for name in columns)
    arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, 1))
    rows = f"SELECT * FROM unnest({arrays})"  # noqa: S608 - names of our own tables and types
    return f"{_insert_into(table, columns)} {rows} {_on_conflict(columns, key)}"


def _insert_into(table: Table, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(map(_quoted, columns))})"


def _on_conflict(columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    replaced = ", ".join(f"{_quoted(name)} = excluded.{_quoted(name)}" for name in columns if name not in key)
    return f"ON CONFLICT ({', '.join(map(_quoted, key))}) DO UPDATE SET {replaced}" if key else "ON CONFLICT DO NOTHING"


def _quoted(name: str) -> str:
    return f'"{name}"'


async def put_meta(connection: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Store single values as JSON."""
    rows = [{"name": name, "value": to_json(value)} for name, value in values.items()]
    await upsert(connection, meta, rows, ("name",))


async def get_meta(connection: AsyncConnection, name: str) -> Any:
    """Return a single value, None where there is none."""
    found = await connection.scalar(select(meta.c.value).where(meta.c.name == name))
    return None if found is None else orjson.loads(found)


def to_json(value: Any) -> str:
    """Return JSON text; sets become sorted arrays, named tuples arrays."""
    return orjson.dumps(value, default=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return tuple(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def storable(text: str) -> str:
    """Return text that every database takes: PostgreSQL refuses NUL, and no encoding has lone surrogates."""
    if text.isprintable():
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
