"""Deletes what is older than it is to be kept, in steps that never hold the writer for long.

Results go by the hour, and in PostgreSQL by the day's partition. Tables of rollups go check by check, along their keys;
one that PostgreSQL holds in partitions loses whole partitions. A table that this store does not have is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from sqlalchemy import func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from config.model import Retention
from config.retention import FOREVER_S
from monitor.redecision import FOREVER_MS
from monitor.store import late, results
from monitor.store.blocks import HOUR_MS
from monitor.store.tables import outdated

Write = Callable[[Callable[[AsyncConnection], Coroutine[Any, Any, Any]]], Coroutine[Any, Any, Any]]

_CHECKS = 100
"""Of how many checks rollups are deleted in one transaction."""
_UPPER_BOUND = re.compile(r"TO \('?(-?[0-9]+)'?\)")

_TRANSITIONS = text(
    "DELETE FROM transitions WHERE detected_ms < :before AND EXISTS (SELECT 1 FROM transitions later "
    "WHERE later.kind = transitions.kind AND later.subject = transitions.subject "
    "AND later.detected_ms > transitions.detected_ms AND later.detected_ms < :before)"
)
"""The last one before the limit stays: it says what the state was from then on."""
_OLD_INCIDENTS = "SELECT id FROM incidents WHERE resolved_ms < :before ORDER BY resolved_ms LIMIT 100"
_INCIDENTS = (
    text(f"DELETE FROM notifications WHERE incident IN ({_OLD_INCIDENTS})"),  # noqa: S608 - our own text
    text(f"DELETE FROM incident_targets WHERE incident IN ({_OLD_INCIDENTS})"),  # noqa: S608
    text(f"DELETE FROM incidents WHERE id IN ({_OLD_INCIDENTS})"),  # noqa: S608
)
_AUDIT = text("DELETE FROM audit WHERE at_ms < :before")


async def retain(write: Write, kept: Retention, now_ms: int) -> dict[str, int]:
    """Delete what is too old, and return how many rows of each kind (partitions of rollups count as one row).

    `write` runs work in a transaction of the store's one writer, which others use in between.
    """
    gone: dict[str, int] = {}
    for kind, limit_ms in _limits(kept, now_ms):
        before_ms = limit_ms
        if kind == "raw":
            before_ms = await write(partial(late.note_forgotten, before_ms=limit_ms))
            gone[kind] = await _repeat(write, partial(results.forget, before_ms=before_ms))
        elif kind.startswith("rollups"):
            # What is yet to be worked out from finer rows needs them.
            before_ms = min(before_ms, await write(_oldest_outdated_ms))
            gone[kind] = await _forget_rollups(write, kind, before_ms)
        else:
            forget = {"transitions": _forget_transitions, "incidents": _forget_incidents, "audit": _forget_audit}[kind]
            gone[kind] = await _repeat(write, partial(forget, before_ms=before_ms))
    return gone


def _limits(kept: Retention, now_ms: int) -> Iterator[tuple[str, int]]:
    for kind, kept_s in kept.model_dump().items():
        if kept_s != FOREVER_S:
            # Whole hours: what is sealed need not be opened to take a part of it away.
            before_ms = now_ms - round(kept_s * 1000)
            yield kind, before_ms - before_ms % HOUR_MS


async def _oldest_outdated_ms(connection: AsyncConnection) -> int:
    oldest_ms = await connection.scalar(select(func.min(outdated.c.from_ms)))
    return FOREVER_MS if oldest_ms is None else int(oldest_ms)


async def _repeat(write: Write, step: Callable[[AsyncConnection], Coroutine[Any, Any, tuple[int, bool]]]) -> int:
    total, is_more = 0, True
    while is_more:
        count, is_more = await write(step)
        total += count
    return total


async def _forget_rollups(write: Write, table: str, before_ms: int) -> int:
    partitioned, numbers = await write(lambda connection: _look_at(connection, table))
    if partitioned:
        return await _repeat(write, lambda connection: _drop_partition(connection, table, before_ms))
    total = 0
    for at in range(0, len(numbers), _CHECKS):
        some = numbers[at : at + _CHECKS]
        total += await write(partial(_forget_rollups_of, table=table, check_nos=some, before_ms=before_ms))
    return total


async def _look_at(connection: AsyncConnection, table: str) -> tuple[bool, list[int]]:
    """Say whether a table is partitioned, and which checks it may know: none when it is not there."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(table)):
        return False, []
    if connection.dialect.name == "postgresql":
        kind = text("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(:name)")
        if await connection.scalar(kind, {"name": table}) == "p":
            return True, []
    return False, list(await connection.scalars(text("SELECT no FROM checks ORDER BY no")))


async def _forget_rollups_of(connection: AsyncConnection, table: str, check_nos: list[int], before_ms: int) -> int:
    if connection.dialect.name == "postgresql":
        statement = f"DELETE FROM {table} WHERE check_no = ANY(:some) AND start_ms < :before"  # noqa: S608 - our own
        done = await connection.execute(text(statement), {"some": check_nos, "before": before_ms})
        return done.rowcount
    statement = f"DELETE FROM {table} WHERE check_no = ? AND start_ms < ?"  # noqa: S608 - our own names
    done = await connection.exec_driver_sql(statement, [(number, before_ms) for number in check_nos])
    return done.rowcount


async def _drop_partition(connection: AsyncConnection, table: str, before_ms: int) -> tuple[int, bool]:
    """Drop one partition all of which is older."""
    found = await connection.execute(
        text(
            "SELECT c.oid::regclass::text AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:name)"
        ),
        {"name": table},
    )
    for row in found:
        bound = _UPPER_BOUND.search(row.bounds)
        if bound is not None and int(bound[1]) <= before_ms:
            await connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            await connection.exec_driver_sql(f"DROP TABLE {row.name}")
            return 1, True
    return 0, False


async def _forget_transitions(connection: AsyncConnection, before_ms: int) -> tuple[int, bool]:
    oldest_ms = await connection.scalar(text("SELECT min(detected_ms) FROM transitions"))
    if oldest_ms is None or oldest_ms >= before_ms:
        return 0, False
    done = await connection.execute(_TRANSITIONS, {"before": before_ms})
    return done.rowcount, False


async def _forget_incidents(connection: AsyncConnection, before_ms: int) -> tuple[int, bool]:
    for statement in _INCIDENTS:
        done = await connection.execute(statement, {"before": before_ms})
    return done.rowcount, done.rowcount > 0


async def _forget_audit(connection: AsyncConnection, before_ms: int) -> tuple[int, bool]:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("audit")):
        return 0, False
    done = await connection.execute(_AUDIT, {"before": before_ms})
    return done.rowcount, False
