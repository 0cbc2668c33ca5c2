"""Rollups compared with what they are made of: 5 minutes with raw results, hours and days with the finer rows.

A stretch at a time is looked at, so that memory is bounded by the number of checks. What is noted as outdated is left
out, and so is the time that the engine is still adding to, and that of which raw results are gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.periods import days, utc_text
from monitor.histogram import CorruptError
from monitor.jobs import latency_of
from monitor.records import Rollup
from monitor.rollup import HOUR_MS, INTERVAL_MS, Tally, histogram_of
from monitor.store import late, rollups
from monitor.store.errors import unavailable_as_such
from monitor.store.names import Names, checks
from monitor.store.results import LATEST_MS, read
from monitor.store.settle import Write, latency_sample
from monitor.store.tables import DAYS, HOURS, LATE, meta, outdated, rollups_1d, rollups_1h, rollups_5m

OPEN_MS = 2 * INTERVAL_MS
"""The engine adds to what started so long before its last sign of life."""
_CHECKS = 500
"""Checks whose rows are fetched at once."""
_REPAIRED = 500
"""Rollups that are put right in one transaction."""
_STRETCH_MS = 6 * HOUR_MS
_LENGTHS = {"rollups_5m": "5 minutes", "rollups_1h": "an hour", "rollups_1d": "a day"}
_FIGURES_OF_OLD = ("up", "degraded", "down", "unknown", "latency_count", "latency_min_us", "latency_max_us")
"""What a row from before there were histograms has exactly."""


class Difference(NamedTuple):
    """A rollup that is not what it should be; None is one that is not there, or should not be."""

    table: str
    number: int
    check: str
    start_ms: int
    stored: Rollup | None
    expected: Rollup | None

    def __str__(self) -> str:
        """Say where it is and what is wrong with it."""
        where = f"rollup of {_LENGTHS[self.table]} of {self.check} at {utc_text(self.start_ms)}"
        if self.stored is None:
            return f"{where} is missing"
        if self.expected is None:
            return f"{where} is of nothing"
        stored, expected = self.stored._asdict(), self.expected._asdict()
        names = [name for name in stored if stored[name] != expected[name]]
        return f"{where}: " + ", ".join(f"{name} {_told(stored[name])} ≠ {_told(expected[name])}" for name in names)


def _told(value: object) -> str:
    return f"of {len(value)} bytes" if isinstance(value, bytes) else str(value)


class _Check(NamedTuple):
    id: str
    sample: str
    is_configured: bool
    stale: Mapping[int, Sequence[tuple[int, int]]]

    def is_settled(self, what: Iterable[int], from_ms: int, to_ms: int) -> bool:
        """Say whether nothing of [from_ms, to_ms) is noted as outdated."""
        return not any(a < to_ms and b > from_ms for level in what for a, b in self.stale.get(level, ()))


async def raw_span(connection: AsyncConnection) -> tuple[int, int]:
    """Return the time whose 5 minutes can be counted from raw results, and are no longer added to."""
    from_ms = await late.raw_from_ms(connection)
    beat = await connection.scalar(select(meta.c.value).where(meta.c.name == "heartbeat_ms"))
    to_ms = LATEST_MS if beat is None else int(orjson.loads(beat)) - OPEN_MS
    return from_ms + -from_ms % INTERVAL_MS, to_ms - to_ms % INTERVAL_MS


async def against_raw(engine: AsyncEngine, names: Names, from_ms: int, to_ms: int) -> AsyncIterator[Difference]:
    """Yield where the 5 minutes in [from_ms, to_ms), which begins and ends with some, differ from raw results."""
    known = await _known(engine)
    tallies: dict[tuple[int, int], Tally] = {}
    done_ms, interval_ms = from_ms, -1
    async for result in read(engine, names, from_ms, to_ms):
        start_ms = result.at_ms - result.at_ms % INTERVAL_MS
        if start_ms != interval_ms:
            if interval_ms >= 0:
                async for difference in _compared(engine, known, tallies, done_ms, interval_ms + INTERVAL_MS):
                    yield difference
                done_ms, tallies = interval_ms + INTERVAL_MS, {}
            interval_ms = start_ms
        number = names.checks[result.check]
        if number in known:
            tally = tallies.setdefault((number, start_ms), Tally())
            tally.add(result, latency_of(result, known[number].sample), result.samples.get("loss_ratio"))
    async for difference in _compared(engine, known, tallies, done_ms, to_ms):
        yield difference


async def put_right(engine: AsyncEngine, write: Write, names: Names, from_ms: int, to_ms: int) -> int:
    """Replace the 5 minutes that differ from raw results, return how many, and note the hours as outdated."""
    wrong, waiting = 0, list[Difference]()
    async for difference in against_raw(engine, names, from_ms, to_ms):
        waiting.append(difference)
        wrong += 1
        if len(waiting) >= _REPAIRED:
            await write(partial(rollups.repair, differences=waiting))
            waiting = []
    await write(partial(rollups.repair, differences=waiting))
    await write(partial(rollups.note_hours, from_ms=from_ms, to_ms=to_ms))
    return wrong


async def _compared(
    engine: AsyncEngine, known: Mapping[int, _Check], tallies: Mapping[tuple[int, int], Tally], from_ms: int, to_ms: int
) -> AsyncIterator[Difference]:
    numbers = sorted(known)
    for some in (numbers[n : n + _CHECKS] for n in range(0, len(numbers), _CHECKS)):
        with unavailable_as_such():
            async with engine.connect() as connection:
                rows = await rollups.fetch(connection, rollups_5m, some, from_ms, to_ms)
        stored = {(number, rollup.start_ms): rollup for number, rollup in rows}
        counted = [key for key in tallies if some[0] <= key[0] <= some[-1]]
        for number, start_ms in sorted({*stored, *counted}):
            check, before, tally = known[number], stored.get((number, start_ms)), tallies.get((number, start_ms))
            expected = tally.rollup("", start_ms) if tally is not None else None
            if before is None and not check.is_configured:
                continue  # results of what is not configured are only kept
            if not _are_equal(before, expected) and check.is_settled((LATE,), start_ms, start_ms + INTERVAL_MS):
                yield Difference(rollups_5m.name, number, check.id, start_ms, before, expected)


def _are_equal(stored: Rollup | None, expected: Rollup | None) -> bool:
    if stored is not None and expected is not None and stored.latency_count and not stored.latency:
        return all(getattr(stored, name) == getattr(expected, name) for name in _FIGURES_OF_OLD)
    return stored == expected


async def against_finer(engine: AsyncEngine, zone: ZoneInfo) -> AsyncIterator[Difference]:
    """Yield where hours differ from their 5 minutes, and days from their hours; and rows that cannot be read."""
    for number, check in (await _known(engine)).items():
        for table, finer, what in ((rollups_1h, rollups_5m, (HOURS,)), (rollups_1d, rollups_1h, (HOURS, DAYS))):
            first_ms, last_ms = await _ends(engine, finer, number)
            spans = _spans(table, first_ms, last_ms, zone)
            per_stretch = max(1, _STRETCH_MS // INTERVAL_MS)
            for some in (spans[n : n + per_stretch] for n in range(0, len(spans), per_stretch)):
                with unavailable_as_such():
                    async with engine.connect() as connection:
                        below = await rollups.fetch(connection, finer, (number,), some[0][0], some[-1][1])
                        rows = await rollups.fetch(connection, table, (number,), some[0][0], some[-1][1])
                try:
                    made = {one.start_ms: one for one in rollups.add_up([one for _, one in below], some)}
                    for _, rollup in below:
                        histogram_of(rollup)
                except CorruptError as error:
                    yield Difference(finer.name, number, f"{check.id} ({error})", some[0][0], None, None)
                    continue
                stored = {rollup.start_ms: rollup for _, rollup in rows}
                for start_ms, end_ms in some:
                    pair = stored.get(start_ms), made.get(start_ms)
                    if pair[0] != pair[1] and check.is_settled(what, start_ms, end_ms):
                        yield Difference(table.name, number, check.id, start_ms, *pair)


def _spans(table: Table, first_ms: int, last_ms: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Return the whole hours or days between; the first, of which something may be forgotten, only if it is whole."""
    if first_ms >= last_ms:
        return []
    if table is rollups_1h:
        return rollups.hours_in(first_ms + -first_ms % HOUR_MS, last_ms)
    return days(rollups.whole_days(first_ms - 1, first_ms, zone)[1], last_ms, zone)


async def _ends(engine: AsyncEngine, table: Table, number: int) -> tuple[int, int]:
    start_ms = table.c.start_ms
    statement = select(func.coalesce(func.min(start_ms), 0), func.coalesce(func.max(start_ms) + 1, 0))
    with unavailable_as_such():
        async with engine.connect() as connection:
            found = (await connection.execute(statement.where(table.c.check_no == number))).one()
    return found[0], found[1]


async def _known(engine: AsyncEngine) -> dict[int, _Check]:
    """Return the checks that have been in the configuration, by number."""
    with unavailable_as_such():
        async with engine.connect() as connection:
            stale: dict[int, dict[int, list[tuple[int, int]]]] = {}
            columns = outdated.c.check_no, outdated.c.what, outdated.c.from_ms, outdated.c.to_ms
            for number, what, from_ms, to_ms in await connection.execute(select(*columns)):
                stale.setdefault(number, {}).setdefault(what, []).append((from_ms, to_ms + 1))
            rows = await connection.execute(select(checks.c.no, checks.c.id, checks.c.probe, checks.c.removed_ms))
            return {
                row.no: _Check(row.id, latency_sample(row.probe), row.removed_ms is None, stale.get(row.no, {}))
                for row in rows
                if row.probe
            }
