"""How large the store is, how it grows, and when the disk is full at this rate, given how long things are kept.

The monitor measures once an hour and leaves what it found in `meta`: whoever asks reads one row.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.store import sealed
from monitor.store.blocks import HOUR_MS
from monitor.store.statements import put_meta
from monitor.store.tables import meta

DAY_MS = 86_400_000
POINTS = 72
"""How many hourly sizes growth is told from."""
_SPAN_LEAST_MS = 3 * HOUR_MS
"""Growth of a shorter time is chance."""
_LOOKED_AT_BYTES = 1 << 28
"""SQLite walks through all pages to tell its tables' sizes: beyond this size only the whole is told."""
_KIND_OF = {
    "results": "raw",
    "result_pages": "raw",
    "sealed_results": "sealed",
    "rollups_5m": "rollups",
    "rollups_1h": "rollups",
    "rollups_1d": "rollups",
    "transitions": "transitions",
    "incidents": "incidents",
    "incident_targets": "incidents",
    "notifications": "incidents",
    "audit": "audit",
}


class Forecast(NamedTuple):
    """The store's size, and what becomes of it.

    Attributes:
        at_ms: when this was measured.
        kinds: bytes by kind of data, indexes included; empty where telling them would take long.
        total_bytes: all of it, free space inside included.
        free_bytes: what the disk has left; None where it is another machine's.
        growth_bytes: growth in a day; None when it has not been watched for long enough.
        full_ms: when the disk is full at this rate; None when it is not foreseen.
        level_ms: when the oldest results begin to be deleted, and growth ends; None when they are kept for ever.

    """

    at_ms: int
    kinds: Mapping[str, int]
    total_bytes: int
    free_bytes: int | None
    growth_bytes: float | None
    full_ms: int | None
    level_ms: int | None


def forecast(
    points: Sequence[tuple[int, int]],
    kinds: Mapping[str, int],
    free_bytes: int | None,
    oldest_ms: int | None,
    kept_ms: float,
) -> Forecast:
    """Return what becomes of a store that had these sizes, as (time, bytes), oldest first, the last one now.

    `oldest_ms` is the start of the oldest results, and `kept_ms` how long they are kept. Nearly all of a store are
    results: when the oldest are as old as they get, it grows no more.
    """
    (first_ms, first_bytes), (now_ms, now_bytes) = points[0], points[-1]
    growth = None
    if now_ms - first_ms >= _SPAN_LEAST_MS:
        growth = (now_bytes - first_bytes) / (now_ms - first_ms) * DAY_MS
    level_ms = None
    if kept_ms != float("inf"):
        level_ms = max(now_ms, round((now_ms if oldest_ms is None else oldest_ms) + kept_ms))
    full_ms = None
    if growth is not None and growth > 0 and free_bytes is not None:
        full_ms = now_ms + round(free_bytes / growth * DAY_MS)
        if level_ms is not None and full_ms > level_ms:
            full_ms = None
    return Forecast(now_ms, dict(kinds), now_bytes, free_bytes, growth, full_ms, level_ms)


async def measure(
    engine: AsyncEngine, path: Path | None, kept_s: float, now_ms: int
) -> tuple[Forecast, list[list[int]]]:
    """Return a forecast from sizes kept before and the size now, and the sizes to keep."""
    async with engine.connect() as connection:
        if path is None:
            total = await connection.scalar(text("SELECT pg_database_size(current_database())")) or 0
            kinds, free = _by_kind({row.name: row.bytes for row in await connection.execute(_SIZES)}), None
        else:
            total, kinds, free = await asyncio.to_thread(_sizes_of_file, path)
        hour = await sealed.first_hour(connection, -(1 << 31) * HOUR_MS)
        kept = await connection.scalar(select(meta.c.value).where(meta.c.name == "sizes"))
    before = orjson.loads(kept)["points"] if kept else []
    points = [*(point for point in before if point[0] <= now_ms), [now_ms, total]][-POINTS:]
    oldest_ms = None if hour is None else hour * HOUR_MS
    return forecast([(at, size) for at, size in points], kinds, free, oldest_ms, kept_s * 1000), points


async def keep(connection: AsyncConnection, found: Forecast, points: list[list[int]]) -> None:
    """Leave what was found for whoever asks."""
    await put_meta(connection, {"sizes": {"forecast": found._asdict(), "points": points}})


async def read(connection: AsyncConnection) -> Forecast | None:
    """Return what the monitor has found last; None when it has not looked yet."""
    kept = await connection.scalar(select(meta.c.value).where(meta.c.name == "sizes"))
    return Forecast(**orjson.loads(kept)["forecast"]) if kept else None


_SIZES = text(
    "SELECT coalesce(p.relname, c.relname) AS name, sum(pg_total_relation_size(c.oid))::bigint AS bytes "
    "FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent "
    "WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace GROUP BY 1"
)


def _sizes_of_file(path: Path) -> tuple[int, dict[str, int], int]:
    total = sum(part.stat().st_size for part in (path, path.with_name(path.name + "-wal")) if part.exists())
    free = shutil.disk_usage(path.parent).free
    if total > _LOOKED_AT_BYTES:
        return total, {}, free
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "SELECT m.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_master m ON m.name = d.name "
            "WHERE d.aggregate = TRUE GROUP BY 1"
        ).fetchall()
    return total, _by_kind(dict(found)), free


def _by_kind(tables: Mapping[str, int]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for table, size in tables.items():
        kind = _KIND_OF.get(table, "inventory")
        kinds[kind] = kinds.get(kind, 0) + size
    return kinds
