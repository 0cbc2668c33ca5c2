"""Results: into rows, into the database, out of it in time order, raw and sealed alike, and away when they are old.

SQLite keeps raw results as `rows`, PostgreSQL as `pages`; both keep older ones `sealed`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
from sqlalchemy import bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.model import Result, State
from monitor.store import pages, sealed
from monitor.store import rows as rows_of_sqlite
from monitor.store.block_reader import decode_values, shapes_of
from monitor.store.blocks import HOUR_MS
from monitor.store.codec import MILLION, Shape, decode_samples, encode_samples, pack_outcome, unpack_outcome
from monitor.store.errors import StoreError, unavailable_as_such
from monitor.store.names import PLAIN_SHAPE, Names, checks
from monitor.store.pages import Row
from monitor.store.statements import storable
from monitor.store.tables import SLOT_MS

LATEST_MS = SLOT_MS * ((1 << 31) - 1)
"""Results that claim to be from after the year 2650 are not believed: slots are numbers of 32 bits."""
_NOT_BELIEVED = "a result of {} starts {} ms after 1970: that is not believed"
_NEVER_MS = 1 << 62
SLICE_RESULTS = 20_000
"""About how many results are read at a time, to be put in order."""
SEALED_SLICE_RESULTS = 50_000
"""The same of a sealed hour, each of whose blocks is opened once for every slice."""
_SLICE_FIRST_MS, _SLICE_MOST_MS = 60_000, 30 * 86_400_000
_FEW_CHECKS = 100


class Packed(NamedTuple):
    """Results as rows; or the names that have no numbers yet, and then the rows are not complete.

    `first_ms` is the earliest start by check number, where it is earlier than any before; `marks` are those of the
    names that they were packed with.
    """

    rows: list[Row]
    first_ms: dict[int, int]
    checks: set[str]
    agents: set[str]
    shapes: set[Shape]
    marks: pages.Marks

    @property
    def lacks_names(self) -> bool:
        """Whether there are names without numbers."""
        return bool(self.checks or self.agents or self.shapes)


def pack(batch: Iterable[Result], names: Names) -> Packed:
    """Turn results into rows. Touches nothing but its arguments: it may run in a thread."""
    rows: list[Row] = []
    packed = Packed(rows, {}, set(), set(), set(), names.marks)
    check_nos, agent_nos, shape_nos, known_first = names.checks, names.agents, names.shapes, names.first_ms
    for check, agent, at_ms, duration_s, state, failure, message, samples in batch:
        shape, body = encode_samples(samples)
        check_no, agent_no, shape_no = check_nos.get(check), agent_nos.get(agent), shape_nos.get(shape)
        if check_no is None:
            packed.checks.add(check)
            continue
        if agent_no is None:
            packed.agents.add(agent)
            continue
        if shape_no is None:
            if names.takes(shape):
                packed.shapes.add(shape)
                continue
            shape_no, body = PLAIN_SHAPE, orjson.dumps(dict(samples))
        line = storable(message) if message else ""
        if at_ms >= LATEST_MS:
            raise StoreError(_NOT_BELIEVED.format(check, at_ms))
        slot, offset_ms = divmod(at_ms, SLOT_MS)
        outcome = 0 if state is State.UP and failure is None else pack_outcome(state, failure)
        duration_us = round(duration_s * MILLION)
        rows.append((duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, body, line))
        if at_ms < known_first.get(check_no, _NEVER_MS):
            packed.first_ms[check_no] = min(at_ms, packed.first_ms.get(check_no, at_ms))
    return packed


def unpack(row: Sequence[Any], names: Names) -> Result:
    """Turn a row back into the result that it was.

    Raises CorruptError for a row that no program of ours has written.
    """
    duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, body, message = row
    at_ms = slot * SLOT_MS + offset_ms
    state, failure = unpack_outcome(outcome)
    samples = orjson.loads(body) if shape_no == PLAIN_SHAPE else decode_samples(names.shape_of[shape_no], body)
    check, agent = names.check_ids[check_no], names.agent_ids[agent_no]
    return Result(check, agent, at_ms, duration_us / MILLION, state, failure, message, samples)


async def insert(connection: AsyncConnection, packed: Packed) -> int:
    """Insert results that are not there yet, raw or sealed; return how many were new."""
    if not packed.rows:
        return 0
    state = await sealed.hold_state(connection)
    rows = await sealed.unsealed(connection, packed.rows, state.sealed_ms)
    if connection.dialect.name == "postgresql":
        new = await _insert_pages(connection, rows, packed.marks, state)
    else:
        new = await rows_of_sqlite.insert(connection, rows) if rows else 0
    if packed.first_ms:
        earlier = (
            update(checks)
            .where(checks.c.no == bindparam("of"))
            .where((checks.c.first_ms.is_(None)) | (checks.c.first_ms > bindparam("at")))
            .values(first_ms=bindparam("at"))
        )
        await connection.execute(earlier, [{"of": no, "at": at_ms} for no, at_ms in packed.first_ms.items()])
    return new


async def _insert_pages(connection: AsyncConnection, rows: list[Row], marks: pages.Marks, state: sealed.State) -> int:
    if state.writer != marks.token:
        marks.begin(state.newest_ms)
    new = await pages.insert(connection, rows, marks)
    if new:
        newest_ms = max(row[1] * SLOT_MS + row[4] for row in rows)
        await sealed.put_state(
            connection, state._replace(writer=marks.token, newest_ms=max(newest_ms, state.newest_ms))
        )
    return new


async def read(
    engine: AsyncEngine, names: Names, from_ms: int, to_ms: int, check_nos: Collection[int] | None = None
) -> AsyncIterator[Result]:
    """Yield the results, of all checks or of those, that started in [from_ms, to_ms), by start, check, then agent.

    Reads a slice at a time, each in a transaction of its own: a slow reader does not keep the writer's log from
    being folded back. What is saved behind the reader's back for a time that it has passed is not yielded.
    """
    at_ms, last_ms = from_ms, min(to_ms, LATEST_MS)
    span_ms = _SLICE_FIRST_MS
    while at_ms < last_ms:
        with unavailable_as_such():
            async with snapshot(engine) as connection:
                begin_ms, most_ms = await _next(connection, at_ms, check_nos)
                if begin_ms is None or begin_ms >= last_ms:
                    return
                at_ms = min(begin_ms + min(span_ms, most_ms), last_ms)
                found, looked_at = await _slice(connection, names, begin_ms, at_ms, check_nos)
        found.sort(key=_export_order)
        for result in found:
            yield result
        span_ms = max(1, min(span_ms * 4, span_ms * SLICE_RESULTS // max(looked_at, 1), _SLICE_MOST_MS))


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection with one view of the store: what is sealed meanwhile is seen once."""
    async with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


async def _next(connection: AsyncConnection, at_ms: int, check_nos: Collection[int] | None) -> tuple[int | None, int]:
    """Return where there is something at a time or later, and how long a slice may be there."""
    if connection.dialect.name == "postgresql":
        raw_ms = await pages.first_ms(connection, at_ms)
    else:
        first = await rows_of_sqlite.first(connection, at_ms)
        raw_ms = None if first is None else max(first[0], at_ms)
    hour = await sealed.first_hour(connection, at_ms)
    sealed_ms = None if hour is None else max(hour * HOUR_MS, at_ms)
    if hour is None or sealed_ms is None:
        return raw_ms, _SLICE_MOST_MS
    if raw_ms is not None and raw_ms // HOUR_MS < hour:
        return raw_ms, hour * HOUR_MS - raw_ms
    # A slice ends with its hour, and holds a bounded share of it.
    begin_ms = sealed_ms if raw_ms is None else min(raw_ms, sealed_ms)
    rest_ms = (hour + 1) * HOUR_MS - begin_ms
    if check_nos is not None and len(check_nos) <= _FEW_CHECKS:
        return begin_ms, rest_ms
    share_ms = HOUR_MS * SEALED_SLICE_RESULTS // max(await sealed.count(connection, hour), 1)
    return begin_ms, max(1, min(rest_ms, share_ms))


async def _slice(
    connection: AsyncConnection, names: Names, from_ms: int, to_ms: int, check_nos: Collection[int] | None
) -> tuple[list[Result], int]:
    """Return the results of a slice, and how many were looked at for them."""
    fetch = pages.fetch if connection.dialect.name == "postgresql" else rows_of_sqlite.fetch
    rows = await fetch(connection, from_ms, to_ms)
    looked_at = len(rows)
    if check_nos is not None:
        rows = [row for row in rows if row[2] in check_nos]
    if not names.know(rows):
        await names.load(connection)
    found = [result for row in rows if from_ms <= (result := unpack(row, names)).at_ms < to_ms]
    for hour in range(from_ms // HOUR_MS, (to_ms - 1) // HOUR_MS + 1):
        blocks = await sealed.blocks_of(connection, hour, check_nos)
        for check_no, block in blocks.items():
            found += await _unsealed(connection, names, check_no, hour, block, from_ms, to_ms)
    return found, max(looked_at, len(found))


async def _unsealed(
    connection: AsyncConnection, names: Names, check_no: int, hour: int, block: bytes, from_ms: int, to_ms: int
) -> list[Result]:
    """Return the results of a block that started in [from_ms, to_ms)."""
    if check_no not in names.check_ids or not all(no in names.shape_of for no in shapes_of(block)):
        await names.load(connection)
    hour_ms, check = hour * HOUR_MS, names.check_ids[check_no]
    lines = decode_values(block, names.shape_of, from_ms - hour_ms, to_ms - hour_ms)
    if not all(agent_no in names.agent_ids for agent_no in {line[1] for line in lines}):
        await names.load(connection)
    return [
        Result(
            check,
            names.agent_ids[agent_no],
            hour_ms + offset_ms,
            duration_us / MILLION,
            *unpack_outcome(outcome),
            message,
            samples,
        )
        for offset_ms, agent_no, duration_us, outcome, message, samples in lines
    ]


async def read_check(connection: AsyncConnection, names: Names, number: int, from_ms: int, to_ms: int) -> list[Result]:
    """Return one check's results that started in [from_ms, to_ms), oldest first; meant for hours, not for years.

    On PostgreSQL the connection must be in a snapshot: what is sealed meanwhile would be seen twice, or not at all.
    """
    if to_ms <= from_ms:
        return []
    if connection.dialect.name == "postgresql":
        rows = await pages.fetch_check(connection, number, from_ms, to_ms)
    else:
        rows = await rows_of_sqlite.fetch_checks(connection, number, number + 1, from_ms, to_ms)
    if not names.know(rows):
        await names.load(connection)
    found = [result for row in rows if from_ms <= (result := unpack(row, names)).at_ms < to_ms]
    for hour, block in await sealed.blocks_of_check(connection, number, from_ms, to_ms):
        found += await _unsealed(connection, names, number, hour, block, from_ms, to_ms)
    return sorted(found, key=_export_order)


def _export_order(result: Result) -> tuple[int, str, str]:
    return result.at_ms, result.check, result.agent


async def forget(connection: AsyncConnection, before_ms: int) -> tuple[int, bool]:
    """Delete some of the results that started before `before_ms`; return how many, and whether there are more."""
    raw = pages if connection.dialect.name == "postgresql" else rows_of_sqlite
    count, is_more = await raw.forget(connection, before_ms)
    if is_more:
        return count, True
    names = Names()
    await names.load(connection)
    further, is_more = await sealed.forget(connection, before_ms, names.shape_of)
    return count + further, is_more
