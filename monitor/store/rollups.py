"""Rollups in the store: 5 minutes as the engine counts them, hours made of those, days made of hours.

An hour is made when it is over, a day likewise, by one who works through `outdated` in small steps. Whoever writes
5 minutes notes their hour there in the same transaction; it is then made anew from all its 5 minutes, so that doing it
twice is harmless, and being killed at any moment loses nothing. Until then a reader adds up the finer rows itself:
what it is told is never older than the 5 minutes are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import Row, Table, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.periods import days
from monitor.records import Rollup
from monitor.rollup import HOUR_MS, INTERVAL_MS, Tally
from monitor.store.statements import to_json, upsert
from monitor.store.tables import DAYS, HOURS, outdated, rollups_1d, rollups_1h, rollups_5m

KEY = ("check_no", "start_ms")
STEP_ROWS = 32
"""Hours, or days, that are made in one transaction, so that the writer never waits long."""
_DAY_MS = 86_400_000


class Marks:
    """Which hours of which checks this process has noted as outdated already: each is noted once, not at every save."""

    def __init__(self) -> None:
        self._noted: set[tuple[int, int]] = set()

    def new(self, numbered: Iterable[tuple[int, Rollup]]) -> list[tuple[int, int]]:
        """Return the hours (check, start) that are not noted yet, and take them as noted."""
        hours = {(number, rollup.start_ms - rollup.start_ms % HOUR_MS) for number, rollup in numbered} - self._noted
        self._noted |= hours
        return sorted(hours)

    def done(self, number: int, from_ms: int, to_ms: int) -> None:
        """Forget the hours in [from_ms, to_ms) of a check: they have been made."""
        self._noted.difference_update([(number, start_ms) for start_ms in range(from_ms, to_ms, HOUR_MS)])

    def forget(self) -> None:
        """Forget everything: what was noted last may not have been saved."""
        self._noted.clear()


async def save(connection: AsyncConnection, numbered: Iterable[tuple[int, Rollup]], marks: Marks) -> None:
    """Insert or replace rollups of 5 minutes, each with its check's number, and note their hours as outdated."""
    rows = sorted(numbered)
    if not rows:
        return
    await put(connection, rollups_5m, rows)
    hours = marks.new(rows)
    await note(connection, HOURS, [(number, start_ms, start_ms + HOUR_MS) for number, start_ms in hours])


async def put(connection: AsyncConnection, table: Table, numbered: Sequence[tuple[int, Rollup]]) -> None:
    """Insert or replace rollups of any length."""
    await upsert(connection, table, [_row(number, rollup) for number, rollup in numbered], KEY)


async def note(connection: AsyncConnection, what: int, spans: Collection[tuple[int, int, int]]) -> None:
    """Note as outdated: (check, from, to) each."""
    if spans:
        rows = [{"what": what, "check_no": no, "from_ms": from_ms, "to_ms": to_ms} for no, from_ms, to_ms in spans]
        await connection.execute(insert(outdated), rows)


class Wrong(Protocol):
    """A rollup of 5 minutes that is not what it should be."""

    @property
    def number(self) -> int:
        """Its check's number."""

    @property
    def start_ms(self) -> int:
        """When it starts."""

    @property
    def expected(self) -> Rollup | None:
        """What it should be, None for nothing."""


async def repair(connection: AsyncConnection, differences: Sequence[Wrong]) -> None:
    """Put rollups of 5 minutes right, and note their hours as outdated."""
    for one in differences:
        if one.expected is None:
            row = (rollups_5m.c.check_no == one.number) & (rollups_5m.c.start_ms == one.start_ms)
            await connection.execute(delete(rollups_5m).where(row))
    counted = [(one.number, one.expected) for one in differences if one.expected is not None]
    await put(connection, rollups_5m, counted)
    hours = {(one.number, one.start_ms - one.start_ms % HOUR_MS) for one in differences}
    await note(connection, HOURS, [(number, start_ms, start_ms + HOUR_MS) for number, start_ms in sorted(hours)])


async def note_hours(connection: AsyncConnection, from_ms: int, to_ms: int) -> None:
    """Note the hours of [from_ms, to_ms) of every check that has rollups then as outdated."""
    start_ms = rollups_5m.c.start_ms
    window = (start_ms >= from_ms) & (start_ms < to_ms)
    spans = select(rollups_5m.c.check_no, func.min(start_ms), func.max(start_ms)).where(window)
    found = (await connection.execute(spans.group_by(rollups_5m.c.check_no))).all()
    await note(connection, HOURS, [(number, *whole_hours(first, last + 1)) for number, first, last in found])


def _row(number: int, rollup: Rollup) -> dict[str, Any]:
    has_latency, has_loss = rollup.latency_count > 0, rollup.loss_count > 0
    return {
        "start_ms": rollup.start_ms,
        "latency_sum_us": rollup.latency_sum_us if has_latency else None,
        "latency_min_us": rollup.latency_min_us if has_latency else None,
        "latency_max_us": rollup.latency_max_us if has_latency else None,
        "loss_sum_ppm": rollup.loss_sum_ppm if has_loss else None,
        "check_no": number,
        "up": rollup.up,
        "degraded": rollup.degraded,
        "down": rollup.down,
        "unknown": rollup.unknown,
        "latency_count": rollup.latency_count,
        "loss_count": rollup.loss_count,
        "sent": rollup.sent if has_loss else None,
        "received": rollup.received if has_loss else None,
        "latency": rollup.latency or None,
        "failures": to_json(dict(rollup.failures)) if rollup.failures else None,
    }


def rollup_of(check: str, row: Row[Any]) -> Rollup:
    """Return the rollup of a row of any of the three tables."""
    return Rollup(
        check,
        row.start_ms,
        row.up,
        row.degraded,
        row.down,
        row.unknown,
        tuple(sorted(orjson.loads(row.failures).items())) if row.failures else (),
        row.latency_count,
        row.latency_sum_us or 0,
        row.latency_min_us or 0,
        row.latency_max_us or 0,
        row.latency or b"",
        row.loss_count,
        row.loss_sum_ppm or 0,
        row.sent or 0,
        row.received or 0,
    )


async def fetch(
    connection: AsyncConnection, table: Table, numbers: Collection[int], from_ms: int, to_ms: int
) -> list[tuple[int, Rollup]]:
    """Return rows of some checks that start in [from_ms, to_ms), each with its check's number, by check and start."""
    window = (table.c.start_ms >= from_ms) & (table.c.start_ms < to_ms)
    statement = select(table).where(table.c.check_no.in_(list(numbers)), window).order_by(*(table.c[k] for k in KEY))
    return [(row.check_no, rollup_of("", row)) for row in await connection.execute(statement)]


class Work(NamedTuple):
    """What is outdated of some checks, and is made in one transaction.

    `ids` are the rows that say so, `spans` the hours or days that follow each other; `is_whole` when that is all.
    """

    ids: tuple[int, ...]
    numbers: tuple[int, ...]
    spans: list[tuple[int, int]]
    is_whole: bool

    @property
    def from_ms(self) -> int:
        """Where it begins."""
        return self.spans[0][0]

    @property
    def to_ms(self) -> int:
        """Where it ends."""
        return self.spans[-1][1]


async def make_some(connection: AsyncConnection, zone: ZoneInfo, until_ms: int, marks: Marks) -> bool:
    """Make some hours that were over at `until_ms`, or if there are none some days; say whether there may be more."""
    work = await _next(connection, HOURS, until_ms, hours_in)
    if work is not None:
        await _make(connection, rollups_5m, rollups_1h, work)
        await _note_days(connection, zone, work)
        for number in work.numbers:
            marks.done(number, work.from_ms, work.to_ms)
        return True
    work = await _next(connection, DAYS, until_ms, lambda from_ms, to_ms: days(from_ms, to_ms, zone))
    if work is not None:
        # Where a day begins within an hour of UTC, only the 5 minutes can be cut there.
        finer = rollups_5m if any(edge % HOUR_MS for span in work.spans for edge in span) else rollups_1h
        await _make(connection, finer, rollups_1d, work)
    return work is not None


async def _next(
    connection: AsyncConnection, what: int, until_ms: int, cut: Callable[[int, int], list[tuple[int, int]]]
) -> Work | None:
    """Return the oldest that is outdated, with others of the same time; of a long time only the beginning."""
    row = outdated.c
    due = select(row.from_ms, row.to_ms).where(row.what == what, row.to_ms <= until_ms).order_by(row.id).limit(1)
    first = (await connection.execute(due)).first()
    if first is None:
        return None
    spans = cut(first.from_ms, first.to_ms)
    same = (row.what == what) & (row.from_ms == first.from_ms) & (row.to_ms == first.to_ms)
    statement = select(row.id, row.check_no).where(same).order_by(row.id).limit(max(1, STEP_ROWS // len(spans)))
    ids, numbers = zip(*(await connection.execute(statement)).all(), strict=True)
    return Work(ids, numbers, spans[:STEP_ROWS], len(spans) <= STEP_ROWS)


async def _make(connection: AsyncConnection, finer: Table, coarser: Table, work: Work) -> None:
    rows = await fetch(connection, finer, work.numbers, work.from_ms, work.to_ms)
    made = [
        (number, rollup)
        for number, group in groupby(rows, key=itemgetter(0))
        for rollup in add_up([rollup for _, rollup in group], work.spans)
    ]
    window = (coarser.c.start_ms >= work.from_ms) & (coarser.c.start_ms < work.to_ms)
    await connection.execute(delete(coarser).where(coarser.c.check_no.in_(work.numbers), window))
    await put(connection, coarser, made)
    noted = outdated.c.id.in_(work.ids)
    if work.is_whole:
        await connection.execute(delete(outdated).where(noted))
    else:
        await connection.execute(update(outdated).where(noted).values(from_ms=work.to_ms))


async def _note_days(connection: AsyncConnection, zone: ZoneInfo, work: Work) -> None:
    """Note the days that hours are of as outdated, unless they are so already."""
    first_ms, end_ms = whole_days(work.from_ms, work.to_ms, zone)
    row = outdated.c
    is_noted = (row.what == DAYS) & (row.from_ms <= first_ms) & (row.to_ms >= end_ms)
    noted = await connection.scalars(select(row.check_no).where(row.check_no.in_(work.numbers), is_noted))
    fresh = sorted(set(work.numbers) - set(noted))
    await note(connection, DAYS, [(number, first_ms, end_ms) for number in fresh])


def hours_in(from_ms: int, to_ms: int) -> list[tuple[int, int]]:
    """Cut [from_ms, to_ms), which begins with an hour, into hours."""
    return [(start_ms, start_ms + HOUR_MS) for start_ms in range(from_ms, to_ms, HOUR_MS)]


def whole_hours(from_ms: int, to_ms: int) -> tuple[int, int]:
    """Return the start of the hour of `from_ms`, and the end of the last hour that [from_ms, to_ms) touches."""
    return from_ms - from_ms % HOUR_MS, to_ms + -to_ms % HOUR_MS


def whole_days(from_ms: int, to_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the start of the day of `from_ms`, and the end of the last day that [from_ms, to_ms) touches."""
    spans = days(from_ms - 2 * _DAY_MS, to_ms + 2 * _DAY_MS, zone)
    touched = [span for span in spans if span[1] > from_ms and span[0] < to_ms]
    return touched[0][0], touched[-1][1]


def add_up(rollups: Iterable[Rollup], spans: Iterable[tuple[int, int]]) -> list[Rollup]:
    """Add up rollups, in order of time, over spans, in order of time too; a span without any is left out."""
    groups: list[tuple[int, list[Rollup]]] = []
    remaining = iter(spans)
    start_ms = end_ms = -1
    for rollup in rollups:
        if rollup.start_ms >= end_ms:
            while rollup.start_ms >= end_ms:
                start_ms, end_ms = next(remaining)
            groups.append((start_ms, []))
        groups[-1][1].append(rollup)
    return [_sum(start_ms, group) for start_ms, group in groups]


def _sum(start_ms: int, group: Sequence[Rollup]) -> Rollup:
    if len(group) == 1:
        return group[0]._replace(start_ms=start_ms)
    tally = Tally()
    for rollup in group:
        tally.merge(rollup)
    return tally.rollup(group[0].check, start_ms)


async def read(
    connection: AsyncConnection, number: int, from_ms: int, to_ms: int, length_ms: int, zone: ZoneInfo
) -> list[Rollup]:
    """Return one check's rollups that start in [from_ms, to_ms), in order of time and without gaps or overlaps.

    They are of the greatest of 5 minutes, an hour and a day that is at most `length_ms`, and finer where that has
    not been made yet.
    """
    marked = select(outdated.c.what, outdated.c.from_ms, outdated.c.to_ms).where(outdated.c.check_no == number)
    stale: dict[int, list[tuple[int, int]]] = {HOURS: [], DAYS: []}
    for what, start_ms, end_ms in await connection.execute(marked):
        if what in stale and start_ms < to_ms and end_ms > from_ms:
            stale[what].append((start_ms, end_ms))
    stale[DAYS] += [whole_days(*span, zone) for span in stale[HOURS]]
    return sorted(await _read(connection, number, (from_ms, to_ms), length_ms, stale), key=_start)


async def _read(
    connection: AsyncConnection,
    number: int,
    window: tuple[int, int],
    length_ms: int,
    stale: Mapping[int, Sequence[tuple[int, int]]],
) -> list[Rollup]:
    if length_ms < HOUR_MS:
        return await _rows(connection, rollups_5m, number, [window])
    table, what, finer_ms = (rollups_1h, HOURS, INTERVAL_MS) if length_ms < _DAY_MS else (rollups_1d, DAYS, HOUR_MS)
    holes = _joined([(max(a, window[0]), min(b, window[1])) for a, b in stale[what]])
    found = await _rows(connection, table, number, _between(holes, window))
    for hole in holes:
        found += await _read(connection, number, hole, finer_ms, stale)
    return found


async def _rows(
    connection: AsyncConnection, table: Table, number: int, windows: Iterable[tuple[int, int]]
) -> list[Rollup]:
    found: list[Rollup] = []
    for from_ms, to_ms in windows:
        found += [rollup for _, rollup in await fetch(connection, table, (number,), from_ms, to_ms)]
    return found


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for from_ms, to_ms in sorted(spans):
        if joined and from_ms <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], to_ms))
        elif from_ms < to_ms:
            joined.append((from_ms, to_ms))
    return joined


def _between(holes: Iterable[tuple[int, int]], window: tuple[int, int]) -> list[tuple[int, int]]:
    edges = [window[0], *(edge for hole in holes for edge in hole), window[1]]
    return [(edges[i], edges[i + 1]) for i in range(0, len(edges), 2) if edges[i] < edges[i + 1]]


def _start(rollup: Rollup) -> int:
    return rollup.start_ms
