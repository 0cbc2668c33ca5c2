"""Raw results: into rows, into the database, out of it in time order, and away when they are old."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

import asyncpg
import orjson
from sqlalchemy import bindparam, delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.model import Result, State
from monitor.store.codec import MILLION, Shape, decode_samples, encode_samples, pack_outcome, unpack_outcome
from monitor.store.errors import unavailable_as_such
from monitor.store.names import PLAIN_SHAPE, Names, checks
from monitor.store.statements import driver_of, storable
from monitor.store.tables import results

COLUMNS = ("at_ms", "duration_us", "check_no", "agent_no", "shape_no", "outcome", "samples", "message")
Row = tuple[int, int, int, int, int, int, bytes, str | None]
"""One row, in the order of COLUMNS."""

_NEVER_MS = 1 << 62
SLICE_ROWS = 20_000
"""About how many results are read at a time, to be put in order."""
_SLICE_FIRST_MS, _SLICE_MOST_MS = 60_000, 30 * 86_400_000
_FORGET_CHECKS = 100
"""Of how many checks the old results go in one transaction: the writer must not wait long."""


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
        line = storable(message) if message else None
        outcome = 0 if state is State.UP and failure is None else pack_outcome(state, failure)
        rows.append((at_ms, round(duration_s * MILLION), check_no, agent_no, shape_no, outcome, body, line))
        if at_ms < known_first.get(check_no, _NEVER_MS):
            packed.first_ms[check_no] = min(at_ms, packed.first_ms.get(check_no, at_ms))
    return packed


def unpack(row: Sequence[Any], names: Names) -> Result:
    """Turn a row back into the result that it was.

    Raises CorruptError for a row that no program of ours has written.
    """
    at_ms, duration_us, check_no, agent_no, shape_no, outcome, body, message = row
    state, failure = unpack_outcome(outcome)
    samples = orjson.loads(body) if shape_no == PLAIN_SHAPE else decode_samples(names.shape_of[shape_no], body)
    check, agent = names.check_ids[check_no], names.agent_ids[agent_no]
    return Result(check, agent, at_ms, duration_us / MILLION, state, failure, message or "", samples)


_INSERT_SQLITE = (
    "INSERT INTO results (at_ms, duration_us, check_no, agent_no, shape_no, outcome, samples, message) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_INSERT_POSTGRESQL = (
    "INSERT INTO results (at_ms, duration_us, check_no, agent_no, shape_no, outcome, samples, message) "
    "SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], "
    "$5::smallint[], $6::smallint[], $7::bytea[], $8::text[]) ON CONFLICT DO NOTHING"
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


# One check's results lie together: going check by check reads what is asked for and nothing else. Left alone, a
# planner without statistics would read all of the table.
_SLICE_SQLITE = text(
    "SELECT r.at_ms, r.duration_us, r.check_no, r.agent_no, r.shape_no, r.outcome, r.samples, r.message "
    "FROM checks c CROSS JOIN results r "
    "WHERE r.check_no = c.no AND r.at_ms >= :start AND r.at_ms < :end "
    "ORDER BY r.at_ms, c.id, r.agent_no"
)
_SLICE_POSTGRESQL = text(
    "SELECT r.at_ms, r.duration_us, r.check_no, r.agent_no, r.shape_no, r.outcome, r.samples, r.message "
    "FROM checks c CROSS JOIN LATERAL "
    "(SELECT * FROM results WHERE check_no = c.no AND at_ms >= :start AND at_ms < :end OFFSET 0) r "
    'ORDER BY r.at_ms, c.id COLLATE "C", r.agent_no'
)
_NEXT = text(
    "SELECT min(first) FROM (SELECT (SELECT min(at_ms) FROM results WHERE check_no = c.no AND at_ms >= :start) AS first"
    " FROM checks c) AS firsts"
)


async def read(engine: AsyncEngine, names: Names, from_ms: int, to_ms: int) -> AsyncIterator[Result]:
    """Yield the results that started in [from_ms, to_ms), in the order of start, then check, then agent.

    Reads a slice at a time, each in a transaction of its own: a slow reader does not keep the writer's log from
    being folded back. What is saved behind the reader's back for a time that it has passed is not yielded.
    """
    start, span = from_ms, _SLICE_FIRST_MS
    while start < to_ms:
        with unavailable_as_such():
            async with engine.connect() as connection:
                end = min(start + span, to_ms)
                statement = _SLICE_POSTGRESQL if connection.dialect.name == "postgresql" else _SLICE_SQLITE
                rows = (await connection.execute(statement, {"start": start, "end": end})).all()
                if not names.know(rows):
                    await names.load(connection)
                if not rows:
                    found = await connection.scalar(_NEXT, {"start": end})
                    end = to_ms if found is None else int(found)
        for row in rows:
            yield unpack(row, names)
        start = end
        span = max(1, min(span * 4, span * SLICE_ROWS // len(rows) if rows else span, _SLICE_MOST_MS))


async def forget(connection: AsyncConnection, check_nos: Sequence[int], before_ms: int) -> int:
    """Delete the results of those checks that started before `before_ms`; return how many."""
    statement = delete(results).where(results.c.check_no.in_(check_nos), results.c.at_ms < before_ms)
    return (await connection.execute(statement)).rowcount


async def check_numbers(connection: AsyncConnection) -> list[Sequence[int]]:
    """Return the numbers of all checks, in groups of a size that one transaction may hold."""
    numbers = list(await connection.scalars(select(checks.c.no).order_by(checks.c.no)))
    return [numbers[i : i + _FORGET_CHECKS] for i in range(0, len(numbers), _FORGET_CHECKS)]
