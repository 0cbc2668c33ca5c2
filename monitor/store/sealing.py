"""Sealing: raw results that are old enough become blocks, an hour of some checks at a time.

A step reads, then packs in a thread that often lets go, and then puts blocks in the place of exactly those results that
it read, in one transaction: whenever it is stopped, each result is there once. What comes late for a sealed hour waits
as a raw result for the next step, which merges it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.store import pages, rows, sealed
from monitor.store.blocks import HOUR_MS, Shapes, encode
from monitor.store.codec import CorruptError
from monitor.store.errors import unavailable_as_such
from monitor.store.names import Names
from monitor.store.pages import BUCKETS, Row
from monitor.store.results import snapshot
from monitor.store.statements import driver_of
from monitor.store.tables import SLOT_MS

_CHECKS = 128
"""How many checks are sealed at a time in SQLite, and taken out of their pages at a time."""
_PAGES_AT_ONCE = 100
"""How many pages are read from PostgreSQL at a time."""
_REST = 1.0
"""How long the packing thread sleeps after each block, as a share of the time that the block took: the loop must not
wait for the interpreter."""
_EARLIEST_MS = -(SLOT_MS << 31)

Write = Callable[[Callable[[AsyncConnection], Coroutine[Any, Any, Any]]], Coroutine[Any, Any, Any]]
Blocks = dict[int, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Part:
    """What one step seals: raw results of some checks in one hour, and what is sealed of these already."""

    hour: int
    count: int
    check_nos: list[int]
    rows: list[Row]
    blocks: dict[int, bytes]
    low: int
    high: int
    pages: Sequence[Any]

    def rows_of(self, check_nos: Sequence[int]) -> list[Row]:
        """Return the raw results of some of the checks."""
        wanted = frozenset(check_nos)
        if self.pages:
            return [row for page in self.pages for row in pages.rows_of(page[1:], wanted)]
        return [row for row in self.rows if row[2] in wanted]


async def seal_some(engine: AsyncEngine, write: Write, names: Names, before_ms: int) -> int:
    """Seal some results of an hour that ended before `before_ms`; return how many, 0 when there are none.

    `write` runs work in a transaction of the store's one writer.
    """
    part = await _find(engine, before_ms)
    if part is None:
        return 0
    try:
        blocks = await asyncio.to_thread(pack, part, names.shape_of)
    except (KeyError, CorruptError):  # another process has named a shape since
        await _load(engine, names)
        blocks = await asyncio.to_thread(pack, part, names.shape_of)
    try:
        await write(lambda connection: _replace(connection, part, blocks))
    except _ChangedError:
        return 0
    return part.count


class _ChangedError(Exception):
    """Results came, or went, while their hour was being packed: nothing is replaced, and a later step begins anew."""


async def _find(engine: AsyncEngine, before_ms: int) -> Part | None:
    with unavailable_as_such():
        async with snapshot(engine) as connection:
            if connection.dialect.name == "postgresql":
                return await _find_pages(connection, before_ms)
            return await _find_rows(connection, before_ms)


async def _load(engine: AsyncEngine, names: Names) -> None:
    with unavailable_as_such():
        async with snapshot(engine) as connection:
            await names.load(connection)


async def _find_rows(connection: AsyncConnection, before_ms: int) -> Part | None:
    oldest = await rows.first(connection, _EARLIEST_MS)
    if oldest is None or (oldest[0] // HOUR_MS + 1) * HOUR_MS > before_ms:
        return None
    hour, low = oldest[0] // HOUR_MS, oldest[1] - oldest[1] % _CHECKS
    found = await rows.fetch_checks(connection, low, low + _CHECKS, hour * HOUR_MS, (hour + 1) * HOUR_MS)
    check_nos = sorted({row[2] for row in found})
    blocks = await sealed.blocks_of(connection, hour, check_nos)
    return Part(hour, len(found), check_nos, found, blocks, low, low + _CHECKS, ())


_OLDEST_PAGE = (
    "SELECT b.bucket, p.start_ms FROM unnest($1::smallint[]) AS b(bucket) CROSS JOIN LATERAL "
    "(SELECT start_ms FROM result_pages WHERE bucket = b.bucket ORDER BY start_ms LIMIT 1) p "
    "ORDER BY p.start_ms LIMIT 1"
)
_PAGES = (
    f"SELECT ctid::text AS place, {pages.SELECTED} FROM result_pages "  # noqa: S608 - our own names
    "WHERE bucket = $1 AND start_ms >= $2 AND start_ms < $3"
)


async def _find_pages(connection: AsyncConnection, before_ms: int) -> Part | None:
    driver = await driver_of(connection)
    oldest = await driver.fetchrow(_OLDEST_PAGE, list(range(BUCKETS)))
    if oldest is None or (oldest["start_ms"] // HOUR_MS + 1) * HOUR_MS > before_ms:
        return None
    hour, bucket = oldest["start_ms"] // HOUR_MS, oldest["bucket"]
    found: list[Any] = []
    seen: set[int] = set()
    count = 0
    # Some pages at a time: all of an hour at once would hold the loop for tens of milliseconds.
    async for page in driver.cursor(_PAGES, bucket, hour * HOUR_MS, (hour + 1) * HOUR_MS, prefetch=_PAGES_AT_ONCE):
        found.append(page)
        numbers = page["check_nos"]
        seen.update(numbers)
        count += len(numbers)
    check_nos = sorted(seen)
    blocks = await sealed.blocks_of(connection, hour, check_nos)
    return Part(hour, count, check_nos, [], blocks, bucket, bucket + 1, found)


def pack(part: Part, shapes: Shapes) -> Blocks:
    """Return (results, block) by check. Runs in a thread, and sleeps in between."""
    packed: Blocks = {}
    for at in range(0, len(part.check_nos), _CHECKS):
        by_check: dict[int, list[Row]] = {}
        for row in part.rows_of(part.check_nos[at : at + _CHECKS]):
            by_check.setdefault(row[2], []).append(row)
        for check_no, of_check in by_check.items():
            begun = time.perf_counter()
            fresh = sealed.entries_of(of_check, part.hour, shapes)
            entries = sealed.merged(part.blocks.get(check_no), fresh, shapes)
            packed[check_no] = (len(entries), encode(entries, shapes))
            time.sleep((time.perf_counter() - begun) * _REST)
    return packed


async def _replace(connection: AsyncConnection, part: Part, blocks: Blocks) -> None:
    """Put blocks in the place of the results that were read for them; refuse when there are more or fewer by now."""
    state = await sealed.hold_state(connection)
    if connection.dialect.name == "postgresql":
        driver = await driver_of(connection)
        gone = await driver.execute(_DELETE_PAGES, [page["place"] for page in part.pages], part.low)
        is_whole = gone == f"DELETE {len(part.pages)}"
    else:
        slots = sorted({row[1] for row in part.rows})
        deleted = await connection.exec_driver_sql(_DELETE_ROWS, [(slot, part.low, part.high) for slot in slots])
        is_whole = deleted.rowcount == part.count
    if not is_whole:
        raise _ChangedError
    await sealed.replace(connection, part.hour, blocks)
    end_ms = (part.hour + 1) * HOUR_MS
    if end_ms > state.sealed_ms:
        await sealed.put_state(connection, state._replace(sealed_ms=end_ms))


_DELETE_PAGES = "DELETE FROM result_pages WHERE ctid = ANY($1::text[]::tid[]) AND bucket = $2"
_DELETE_ROWS = "DELETE FROM results WHERE slot = ? AND check_no >= ? AND check_no < ?"
