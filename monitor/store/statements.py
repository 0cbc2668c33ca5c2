"""Statements that both databases understand, built the same way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.tables import meta


def insert_into(connection: AsyncConnection, table: Table) -> Any:
    """Return the dialect's own INSERT, which knows ON CONFLICT."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_new(connection: AsyncConnection, table: Table) -> Insert:
    """Return an INSERT that leaves a row alone that is there already."""
    statement: Insert = insert_into(connection, table).on_conflict_do_nothing()
    return statement


def insert_or_replace(connection: AsyncConnection, table: Table, columns: Iterable[str], key: Sequence[str]) -> Insert:
    """Return an INSERT of those columns that replaces all of them but the key where the row is there already."""
    insert = insert_into(connection, table)
    replaced = {name: insert.excluded[name] for name in columns if name not in key}
    statement: Insert = insert.on_conflict_do_update(index_elements=list(key), set_=replaced)
    return statement


async def upsert(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]], key: Sequence[str]
) -> None:
    """Insert rows, all with the same columns, or replace them by their key."""
    if rows:
        await connection.execute(insert_or_replace(connection, table, rows[0], key), rows)


async def add(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, leaving alone those that are there already."""
    if rows:
        await connection.execute(insert_new(connection, table), rows)


async def put_meta(connection: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Store single values as JSON."""
    await upsert(
        connection, meta, [{"name": name, "value": to_json(value)} for name, value in values.items()], ["name"]
    )


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
