"""`thongsuot db copy`: moves a whole store into an empty one, from either kind of database to either, and verifies it.

Tables go row by row as they are, sealed blocks too, in bounded memory and in the order of their references; only raw
results change their form between rows and pages. What was written is read again and compared by count and checksum.
The source is read from one snapshot, so that it may be in use; the target takes everything in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Double, Table, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import pages, rows, sealed
from monitor.store.care import analyze
from monitor.store.classes import is_kept_by, metadata
from monitor.store.engine import create_engine, parse_url, sqlite_path
from monitor.store.errors import StoreError, StoreUnavailableError, unavailable_as_such
from monitor.store.migrate import require_head, upgrade
from monitor.store.pages import Row
from monitor.store.results import snapshot
from monitor.store.tables import SLOT_MS

_ROWS = 1_000
"""Rows of most tables, or sealed blocks, in memory at a time."""
_STEP_MS = 10 * 60_000
"""Raw results of this long are in memory at a time."""
_RAW = ("results", "result_pages")
_OWN = ("owner", "results")
"""What `meta` says of who holds the source, and of the form of its results. The last sign of life belongs to what is
copied: it says until when the engine had brought its rollups up to date."""


class Copied(NamedTuple):
    """What was copied, and found again: rows (or raw results) and their checksum."""

    table: str
    rows: int
    checksum: str


async def copy_store(source_url: str, target_url: str) -> list[Copied]:
    """Copy a store into an empty database; return what was copied.

    Raises StoreError when the target is not empty, or when what is read back is not what was written.
    """
    source_parsed = parse_url(source_url)
    path = sqlite_path(source_parsed)
    if path is not None and not path.is_file():
        message = f"there is no store at {path}"
        raise StoreUnavailableError(message)
    source = create_engine(source_parsed, read_only=True, command_timeout_s=None)
    target = create_engine(parse_url(target_url), command_timeout_s=None)
    try:
        with unavailable_as_such():
            async with snapshot(source) as from_:
                await require_head(from_)
                await refuse_unless_empty(target_url)
                await upgrade(target)
                async with target.connect() as to, to.begin():
                    copied = await _copy(from_, to)
                async with target.begin() as to:
                    await analyze(to)
                async with snapshot(target) as to:
                    found = [await _sum(to, table) for table in _tables(to)] + [await _sum_raw(to)]
    finally:
        await source.dispose()
        await target.dispose()
    wrong = [mine.table for mine, theirs in zip(copied, found, strict=True) if mine != theirs]
    if wrong:
        message = f"what was copied is not what is there: {', '.join(wrong)}; do not use the copy"
        raise StoreError(message)
    return copied


async def refuse_unless_empty(url: str) -> None:
    """Raise StoreError when there is something at that address already."""
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None:
        if path.exists():
            message = f"{path} is there already: nothing was copied"
            raise StoreError(message)
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    engine = create_engine(parsed, read_only=True)
    try:
        async with engine.connect() as connection:
            count = text("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()")
            if await connection.scalar(count):
                message = "the target database is not empty: nothing was copied"
                raise StoreError(message)
    finally:
        await engine.dispose()


def _tables(connection: AsyncConnection) -> list[Table]:
    dialect = connection.dialect.name
    return [t for t in metadata.sorted_tables if t.name not in _RAW and is_kept_by(t, dialect)]


async def _copy(from_: AsyncConnection, to: AsyncConnection) -> list[Copied]:
    copied = []
    for table in _tables(from_):
        await to.execute(table.delete())  # what the migration itself has put there
        checksum = _Checksum(table)
        async for some in _read(from_, table):
            for row in some:
                checksum.add(row)
            if table is metadata.tables["sealed_results"]:
                await _write_sealed(to, some)
            else:
                await to.execute(insert(table), [dict(zip(table.c.keys(), row, strict=True)) for row in some])
        copied.append(checksum.copied(table.name))
        await _set_sequence(to, table)
    copied.append(await _copy_raw(from_, to))
    return copied


async def _read(connection: AsyncConnection, table: Table) -> AsyncIterator[Sequence[Sequence[Any]]]:
    statement = select(table).order_by(*table.primary_key.columns)
    if table.name == "meta":
        statement = statement.where(table.c.name.not_in(_OWN))
    stream = await connection.stream(statement, execution_options={"yield_per": _ROWS})
    async for some in stream.partitions():
        yield [tuple(row) for row in some]


class _Checksum:
    """Sums up rows whatever their order is: databases do not agree on how texts are ordered."""

    def __init__(self, table: Table | None) -> None:
        self._booleans = [i for i, c in enumerate(table.c) if isinstance(c.type, Boolean)] if table is not None else []
        self._floats = [i for i, c in enumerate(table.c) if isinstance(c.type, Double)] if table is not None else []
        self._rows = 0
        self._sum = 0

    def add(self, row: Sequence[Any]) -> None:
        """Add a row."""
        values = [bytes(value) if isinstance(value, memoryview) else value for value in row]
        for place in self._booleans:
            values[place] = bool(values[place])
        for place in self._floats:
            values[place] = None if values[place] is None else float(values[place])
        digest = hashlib.blake2b(repr(values).encode(), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 128)
        self._rows += 1

    def copied(self, table: str) -> Copied:
        """Return what was added."""
        return Copied(table, self._rows, f"{self._sum:032x}")


async def _sum(connection: AsyncConnection, table: Table) -> Copied:
    checksum = _Checksum(table)
    async for some in _read(connection, table):
        for row in some:
            checksum.add(row)
    return checksum.copied(table.name)


async def _write_sealed(to: AsyncConnection, some: Iterable[Sequence[Any]]) -> None:
    by_hour: dict[int, dict[int, tuple[int, bytes]]] = {}
    for hour, check_no, results, block in some:
        by_hour.setdefault(hour, {})[check_no] = (results, block)
    for hour, blocks in by_hour.items():
        await sealed.replace(to, hour, blocks)


async def _set_sequence(to: AsyncConnection, table: Table) -> None:
    """Let PostgreSQL go on counting where the source has ended."""
    (key, *more) = table.primary_key.columns
    if to.dialect.name != "postgresql" or more or key is not table.autoincrement_column:
        return
    newest = await to.scalar(select(func.max(key)))
    sequence = await to.scalar(
        text("SELECT pg_get_serial_sequence(:name, :key)"), {"name": table.name, "key": key.name}
    )
    if newest is not None and sequence is not None:
        await to.execute(
            text("SELECT setval(CAST(:sequence AS regclass), :newest)"), {"sequence": sequence, "newest": newest}
        )


async def _raw(connection: AsyncConnection) -> AsyncIterator[list[Row]]:
    at_ms: int = -(SLOT_MS << 31)
    while True:
        if connection.dialect.name == "postgresql":
            begin_ms = await pages.first_ms(connection, at_ms)
        else:
            first = await rows.first(connection, at_ms)
            begin_ms = None if first is None else max(first[0], at_ms)
        if begin_ms is None:
            return
        at_ms = begin_ms - begin_ms % _STEP_MS + _STEP_MS  # never beyond an hour, and always at a slot's edge
        if connection.dialect.name == "postgresql":
            found = await pages.fetch(connection, begin_ms, at_ms)
            found = [row for row in found if begin_ms <= pages.key_of(row)[2] < at_ms]
        else:
            found = await rows.fetch(connection, begin_ms, at_ms)
        yield found


async def _copy_raw(from_: AsyncConnection, to: AsyncConnection) -> Copied:
    checksum = _Checksum(None)
    newest_ms = -(1 << 62)
    async for some in _raw(from_):
        for row in some:
            checksum.add(row)
            newest_ms = max(newest_ms, pages.key_of(row)[2])
        if to.dialect.name == "postgresql":
            await pages.write(to, some)
        elif some:
            await rows.insert(to, some)
    state = await sealed.hold_state(from_, for_update=False)
    # SQLite's does not say how new the newest is; PostgreSQL's must.
    newest_ms = max(newest_ms, state.newest_ms, state.sealed_ms)
    await sealed.put_state(to, sealed.State("", newest_ms, state.sealed_ms))
    return checksum.copied("results")


async def _sum_raw(connection: AsyncConnection) -> Copied:
    checksum = _Checksum(None)
    async for some in _raw(connection):
        for row in some:
            checksum.add(row)
    return checksum.copied("results")
