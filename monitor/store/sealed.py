"""Sealed results in the store: which hours are, what is in them, and what must not be stored beside them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from operator import itemgetter
from typing import NamedTuple

import orjson
from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.block_reader import decode, decode_keys
from monitor.store.blocks import HOUR_MS, Entry, Shapes, encode
from monitor.store.codec import numbers_of
from monitor.store.pages import Row, key_of
from monitor.store.statements import driver_of, put_meta
from monitor.store.tables import SLOT_MS, meta, sealed_results

DAY_HOURS = 24
_CHECKS_AT_ONCE = 500
_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '2s'")
_EPOCH = date(1970, 1, 1)
_STATE = "results"
_SLOT = itemgetter(1)


class State(NamedTuple):
    """What the store says of its results, in the row of `meta` that whoever writes them holds.

    Attributes:
        writer: who wrote last.
        newest_ms: no result is newer (PostgreSQL).
        sealed_ms: no sealed hour ends later.

    """

    writer: str = ""
    newest_ms: int = -(1 << 62)
    sealed_ms: int = -(1 << 62)


async def hold_state(connection: AsyncConnection, *, for_update: bool = True) -> State:
    """Return the state, and keep other writers waiting until this transaction ends (unless not `for_update`)."""
    statement = select(meta.c.value).where(meta.c.name == _STATE)
    if for_update and connection.dialect.name == "postgresql":
        # A lock on the row, and not an advisory one: who has waited for it reads what the other has written.
        statement = statement.with_for_update()
    found = await connection.scalar(statement)
    return State() if found is None else State(*orjson.loads(found))


async def put_state(connection: AsyncConnection, state: State) -> None:
    """Store the state."""
    await put_meta(connection, {_STATE: state})


async def unsealed(connection: AsyncConnection, rows: list[Row], sealed_ms: int) -> list[Row]:
    """Return those rows that are not in a sealed hour already."""
    if min(map(_SLOT, rows)) * SLOT_MS >= sealed_ms:
        return rows  # as they nearly always are
    late: dict[int, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    on_time: list[Row] = []
    for row in rows:
        at_ms = key_of(row)[2]
        if at_ms >= sealed_ms:
            on_time.append(row)
        else:
            late[at_ms // HOUR_MS][row[2]].append(row)
    for hour, by_check in late.items():
        blocks = await blocks_of(connection, hour, by_check)
        for check_no, candidates in by_check.items():
            keys = set(decode_keys(blocks[check_no])) if check_no in blocks else set()
            on_time += [row for row in candidates if (key_of(row)[2] - hour * HOUR_MS, row[3]) not in keys]
    return on_time


async def blocks_of(
    connection: AsyncConnection, hour: int, check_nos: Collection[int] | None = None
) -> dict[int, bytes]:
    """Return the blocks of an hour, of all checks or of those, by check."""
    statement = select(sealed_results.c.check_no, sealed_results.c.block).where(sealed_results.c.hour == hour)
    if check_nos is None:
        return {row.check_no: row.block for row in await connection.execute(statement)}
    found: dict[int, bytes] = {}
    wanted = sorted(check_nos)
    some_of_them = statement.where(sealed_results.c.check_no.in_(bindparam("some", expanding=True)))
    for at in range(0, len(wanted), _CHECKS_AT_ONCE):
        some = {"some": wanted[at : at + _CHECKS_AT_ONCE]}
        found |= {row.check_no: row.block for row in await connection.execute(some_of_them, some)}
    return found


_OF_CHECK = text("SELECT hour, block FROM sealed_results WHERE check_no = :check_no AND hour >= :low AND hour <= :high")
_HOUR = text("SELECT hour FROM sealed_results WHERE hour >= :low ORDER BY hour LIMIT 1")
_COUNT = text("SELECT sum(results) FROM sealed_results WHERE hour = :hour")


async def blocks_of_check(
    connection: AsyncConnection, check_no: int, from_ms: int, to_ms: int
) -> list[tuple[int, bytes]]:
    """Return (hour, block) of the hours of one check that [from_ms, to_ms) touches."""
    low, high = from_ms // HOUR_MS, (to_ms - 1) // HOUR_MS
    if connection.dialect.name == "postgresql":
        found = await connection.execute(_OF_CHECK, {"check_no": check_no, "low": low, "high": high})
        return [(row.hour, row.block) for row in found]
    blocks = []
    first = await first_hour(connection, from_ms)
    for hour in range(high + 1 if first is None else first, high + 1):  # the key begins with the hour
        blocks += [(hour, block) for block in (await blocks_of(connection, hour, (check_no,))).values()]
    return blocks


async def first_hour(connection: AsyncConnection, from_ms: int) -> int | None:
    """Return the first sealed hour that ends after `from_ms`."""
    hour: int | None = await connection.scalar(_HOUR, {"low": from_ms // HOUR_MS})
    return hour


async def count(connection: AsyncConnection, hour: int) -> int:
    """Return how many results an hour holds."""
    return await connection.scalar(_COUNT, {"hour": hour}) or 0


def merged(block: bytes | None, entries: Iterable[Entry], shapes: Shapes) -> list[Entry]:
    """Return entries together with those of a block, in order; what is in the block stays as it is."""
    found = {(entry.offset_ms, entry.agent_no): entry for entry in entries}
    if block is not None:
        found |= {(entry.offset_ms, entry.agent_no): entry for entry in decode(block, shapes)}
    return [found[key] for key in sorted(found)]


async def replace(connection: AsyncConnection, hour: int, blocks: Mapping[int, tuple[int, bytes]]) -> None:
    """Write the blocks of an hour, (results, block) by check, in the place of those that are there."""
    rows = [(hour, check_no, results, block) for check_no, (results, block) in sorted(blocks.items())]
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        statement = "INSERT OR REPLACE INTO sealed_results (hour, check_no, results, block) VALUES (?, ?, ?, ?)"
        await connection.exec_driver_sql(statement, rows)
        return
    await _make_partition(connection, hour)
    driver = await driver_of(connection)
    numbers = [row[1] for row in rows]
    await driver.execute("DELETE FROM sealed_results WHERE hour = $1 AND check_no = ANY($2::int[])", hour, numbers)
    await driver.copy_records_to_table("sealed_results", records=rows, columns=("hour", "check_no", "results", "block"))


def partition_name(hour: int) -> str:
    """Return the name of the partition that holds an hour: one for each day, UTC."""
    return f"sealed_results_{_EPOCH + timedelta(days=hour // DAY_HOURS):%Y%m%d}"


async def _make_partition(connection: AsyncConnection, hour: int) -> None:
    name = partition_name(hour)
    if await connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": name}):
        return
    low = hour - hour % DAY_HOURS
    await connection.execute(_LOCK_TIMEOUT)
    # Attaching lets readers go on, where PARTITION OF would have them wait. A block is not compressed again, and
    # stays in its row: out of it, it would pay for an index entry and a header for each 2 kB.
    await connection.exec_driver_sql(
        f"CREATE TABLE {name} (LIKE sealed_results INCLUDING ALL) WITH (toast_tuple_target = 8160)"
    )
    await connection.exec_driver_sql(f"ALTER TABLE {name} ALTER COLUMN block SET STORAGE EXTERNAL")
    await connection.exec_driver_sql(
        f"ALTER TABLE sealed_results ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({low + DAY_HOURS})"
    )


async def partitions(connection: AsyncConnection) -> list[tuple[str, int]]:
    """Return (name, first hour) of all partitions, oldest first."""
    names = await connection.scalars(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'sealed_results'::regclass")
    )
    days = {name: date.fromisoformat(name.rsplit("_", 1)[1]) - _EPOCH for name in names}
    return sorted(((name, days[name].days * DAY_HOURS) for name in days), key=lambda pair: pair[1])


async def forget(connection: AsyncConnection, before_ms: int, shapes: Shapes) -> tuple[int, bool]:
    """Delete some of what is sealed and started before a time; say how many results, and whether there are more."""
    hour = await first_hour(connection, -(1 << 31) * HOUR_MS)
    if hour is None or hour * HOUR_MS >= before_ms:
        return 0, False
    if (hour + 1) * HOUR_MS > before_ms:
        return await _trim(connection, hour, before_ms, shapes), False
    if connection.dialect.name == "postgresql":
        name, low = partition_name(hour), hour - hour % DAY_HOURS
        if (low + DAY_HOURS) * HOUR_MS <= before_ms:
            results = await connection.scalar(text(f"SELECT coalesce(sum(results), 0) FROM {name}"))  # noqa: S608
            await connection.execute(_LOCK_TIMEOUT)
            await connection.exec_driver_sql(f"DROP TABLE {name}")
            return results or 0, True
    gone = await connection.execute(_FORGET_SOME, {"hour": hour})
    return sum(row.results for row in gone), True


_FORGET_SOME = text(
    "DELETE FROM sealed_results WHERE hour = :hour AND check_no IN (SELECT check_no FROM sealed_results "
    "WHERE hour = :hour ORDER BY check_no LIMIT 500) RETURNING results"
)


async def _trim(connection: AsyncConnection, hour: int, before_ms: int, shapes: Shapes) -> int:
    """Take from an hour what started before a time."""
    gone, kept = 0, {}
    blocks = await blocks_of(connection, hour)
    for check_no, block in blocks.items():
        entries = decode(block, shapes)
        rest = [entry for entry in entries if hour * HOUR_MS + entry.offset_ms >= before_ms]
        gone += len(entries) - len(rest)
        if rest and len(rest) < len(entries):
            kept[check_no] = (len(rest), encode(rest, shapes))
        if not rest:
            await connection.execute(_DELETE, {"hour": hour, "check_no": check_no})
    await replace(connection, hour, kept)
    return gone


_DELETE = text("DELETE FROM sealed_results WHERE hour = :hour AND check_no = :check_no")


def entries_of(rows: Iterable[Row], hour: int, shapes: Shapes) -> list[Entry]:
    """Return rows of one check and hour as entries."""
    entries = []
    for row in rows:
        duration_us, _, _, agent_no, _, shape_no, outcome, body, message = row
        offset_ms = key_of(row)[2] - hour * HOUR_MS
        numbers: tuple[int, ...] | bytes = numbers_of(shapes[shape_no], body) if shape_no else body
        entries.append(Entry(offset_ms, agent_no, duration_us, outcome, message, shape_no, numbers))
    return entries
