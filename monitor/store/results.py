"""Raw results: into rows, into the database, out of it in time order, and away when they are old."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
import orjson
from sqlalchemy import TextClause, bindparam, delete, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.model import Result, State
from monitor.store.codec import MILLION, Shape, decode_samples, encode_samples, pack_outcome, unpack_outcome
from monitor.store.errors import StoreError, unavailable_as_such
from monitor.store.names import PLAIN_SHAPE, Names, checks
from monitor.store.statements import driver_of, storable
from monitor.store.tables import SLOT_MS, results

COLUMNS = (
    "duration_us",
    "slot",
    "check_no",
    "agent_no",
    "offset_ms",
    "shape_no",
    "outcome",
    "samples",
    "message",
)
Row = tuple[int, int, int, int, int, int, int, bytes, str]
"""One row, in the order of COLUMNS."""

LATEST_MS = SLOT_MS * ((1 << 31) - 1)
"""Results that claim to be from after the year 2650 are not believed: slots are numbers of 32 bits."""
_NOT_BELIEVED = "a result of {} starts {} ms after 1970: that is not believed"
_NEVER_MS = 1 << 62
SLICE_ROWS = 20_000
"""About how many results are read at a time, to be put in order."""
_SLICE_SLOTS_FIRST, _SLICE_SLOTS_MOST = 6, 8_640 * 30
_FORGET_SLOTS = 12
"""How many slots are emptied in one transaction: the writer must not wait long."""


class Packed(NamedTuple):
    """Results as rows; or the names that have no numbers yet, and then the rows are not complete.

    `first_ms` is the earliest start by check number, where it is earlier than any before.
    """

    rows: list[Row]
    first_ms: dict[int, int]
    checks: set[str]
    agents: set[str]
    shapes: set[Shape]

    @property
    def lacks_names(self) -> bool:
        """Whether there are names without numbers."""
        return bool(self.checks or self.agents or self.shapes)


def pack(batch: Iterable[Result], names: Names) -> Packed:
    """Turn results into rows. Touches nothing but its arguments: it may run in a thread."""
    rows: list[Row] = []
    packed = Packed(rows, {}, set(), set(), set())
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


_INSERT_SQLITE = (
    "INSERT INTO results (duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, samples, message) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_INSERT_POSTGRESQL = (
    "INSERT INTO results (duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, samples, message) "
    "SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::smallint[], "
    "$6::smallint[], $7::smallint[], $8::bytea[], $9::text[]) ON CONFLICT DO NOTHING"
)


async def insert(connection: AsyncConnection, packed: Packed) -> int:
    """Insert rows that are not there yet; return how many were new."""
    if not packed.rows:
        return 0
    if connection.dialect.name == "postgresql":
        new = await _copy(connection, packed.rows)
    else:
        new = (await connection.exec_driver_sql(_INSERT_SQLITE, packed.rows)).rowcount
    if packed.first_ms:
        earlier = (
            update(checks)
            .where(checks.c.no == bindparam("of"))
            .where((checks.c.first_ms.is_(None)) | (checks.c.first_ms > bindparam("at")))
            .values(first_ms=bindparam("at"))
        )
        await connection.execute(earlier, [{"of": no, "at": at_ms} for no, at_ms in packed.first_ms.items()])
    return new


async def _copy(connection: AsyncConnection, rows: list[Row]) -> int:
    """Use COPY, which takes new rows only; where one is there already, fall back to INSERT."""
    driver = await driver_of(connection)
    try:
        async with connection.begin_nested():
            await driver.copy_records_to_table("results", records=rows, columns=COLUMNS)
            return len(rows)
    except asyncpg.UniqueViolationError:
        columns = [list(column) for column in zip(*rows, strict=True)]
        status = await driver.execute(_INSERT_POSTGRESQL, *columns)
        return int(status.rsplit(" ", 1)[1])


_SLICE = text(
    "SELECT duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, samples, message FROM results "
    "WHERE slot >= :start AND slot < :end"
)
"""All results of some slots."""

_FIRST_SLOT = text("SELECT min(slot) FROM results WHERE slot >= :start")
"""The first slot at or after `start` that holds anything."""

# One look into the key per slot. Left alone, a planner would rather read every check's results of the time.
_OF_CHECK_SQLITE = text(
    "WITH RECURSIVE slots(slot) AS (SELECT :start UNION ALL SELECT slot + 1 FROM slots WHERE slot + 1 < :end) "
    "SELECT r.duration_us, r.slot, r.check_no, r.agent_no, r.offset_ms, r.shape_no, r.outcome, r.samples, r.message "
    "FROM slots CROSS JOIN results r WHERE r.slot = slots.slot AND r.check_no = :number"
)
_OF_CHECK_POSTGRESQL = text(
    "SELECT r.duration_us, r.slot, r.check_no, r.agent_no, r.offset_ms, r.shape_no, r.outcome, r.samples, r.message "
    "FROM generate_series(CAST(:start AS INTEGER), CAST(:end AS INTEGER) - 1) AS s(slot) CROSS JOIN LATERAL "
    "(SELECT * FROM results WHERE slot = s.slot AND check_no = :number OFFSET 0) r"
)
"""One check's results of some slots."""


async def read(
    engine: AsyncEngine, names: Names, from_ms: int, to_ms: int, check_nos: Collection[int] | None = None
) -> AsyncIterator[Result]:
    """Yield the results, of all checks or of those, that started in [from_ms, to_ms), by start, check, then agent.

    Reads a slice at a time, each in a transaction of its own: a slow reader does not keep the writer's log from
    being folded back. What is saved behind the reader's back for a time that it has passed is not yielded.
    """
    slot, last = from_ms // SLOT_MS, -(-min(to_ms, LATEST_MS) // SLOT_MS)
    span = _SLICE_SLOTS_FIRST
    while slot < last:
        with unavailable_as_such():
            async with engine.connect() as connection:
                first = await connection.scalar(_FIRST_SLOT, {"start": slot})
                if first is None or first >= last:
                    return
                slot = min(first + span, last)
                rows = await fetch(connection, names, _SLICE, {"start": first, "end": slot})
        found = [unpack(row, names) for row in rows if check_nos is None or row[2] in check_nos]
        found.sort(key=_export_order)
        for result in found:
            if from_ms <= result.at_ms < to_ms:
                yield result
        span = max(1, min(span * 4, span * SLICE_ROWS // max(len(rows), 1), _SLICE_SLOTS_MOST))


async def read_check(connection: AsyncConnection, names: Names, number: int, from_ms: int, to_ms: int) -> list[Result]:
    """Return one check's results that started in [from_ms, to_ms), oldest first; meant for hours, not for years."""
    statement = _OF_CHECK_POSTGRESQL if connection.dialect.name == "postgresql" else _OF_CHECK_SQLITE
    window = {"number": number, "start": from_ms // SLOT_MS, "end": -(-to_ms // SLOT_MS)}
    found = [unpack(row, names) for row in await fetch(connection, names, statement, window)]
    return sorted((result for result in found if from_ms <= result.at_ms < to_ms), key=_export_order)


async def fetch(
    connection: AsyncConnection, names: Names, statement: TextClause, window: Mapping[str, int]
) -> Sequence[Sequence[Any]]:
    """Return rows of results, with all that they refer to in `names`."""
    rows = (await connection.execute(statement, window)).all()
    if not names.know(rows):
        await names.load(connection)
    return rows


def _export_order(result: Result) -> tuple[int, str, str]:
    return result.at_ms, result.check, result.agent


async def forget(connection: AsyncConnection, before_ms: int) -> tuple[int, bool]:
    """Delete some of the results that started before `before_ms`; return how many, and whether there are more."""
    first = await connection.scalar(_FIRST_SLOT, {"start": 0})
    slot, offset_ms = divmod(before_ms, SLOT_MS)
    if first is None or first > slot:
        return 0, False
    end = min(first + _FORGET_SLOTS, slot)
    old = results.c.slot < end
    if end == slot:
        old |= (results.c.slot == slot) & (results.c.offset_ms < offset_ms)
    done = await connection.execute(delete(results).where(old))
    return done.rowcount, end < slot
