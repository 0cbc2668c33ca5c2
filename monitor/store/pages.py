"""Raw results in PostgreSQL: a row is a page, the results of one batch that one agent measured on one bucket of checks.

A row costs 28 bytes before its first column, and its index as much again: a row for each result would be too dear.

Columns of a page are arrays, one element a result, and `bodies`: the length of each body as a varint, then the bodies,
each its shape's number as a varint and its samples as `codec` says. `outcomes` and `messages` have NULL where they are
plain, and are NULL where all are. No page goes beyond its hour.

Nothing is stored twice although no key forbids it. Who writes holds one row of `meta`, which says who wrote last and
how new the newest result is. A writer that finds itself there knows how new each check's newest result is: what is
newer is new without a look, which is how results nearly always come. Only the others are looked for.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.blocks import HOUR_MS
from monitor.store.codec import CorruptError, read_varint, varint
from monitor.store.statements import driver_of
from monitor.store.tables import SLOT_MS

BUCKETS = 16
"""Checks are spread over so many buckets by their numbers: reading one check reads the pages of one bucket."""
_INT_LIMIT = 1 << 31
_EARLIEST_MS = -(1 << 62)
_SHORT_VARINT = 0x7F

Row = tuple[int, int, int, int, int, int, int, bytes, str]
"""A result as a row of SQLite's `results`; see `results.COLUMNS`."""
Key = tuple[int, int, int]
"""(check, agent, start in ms): what makes a result one and the same."""

COLUMNS = (
    "start_ms",
    "span_ms",
    "agent_no",
    "bucket",
    "check_nos",
    "offsets_ms",
    "durations_us",
    "long_durations_us",
    "outcomes",
    "messages",
    "bodies",
)
SELECTED = "start_ms, agent_no, check_nos, offsets_ms, durations_us, long_durations_us, outcomes, messages, bodies"
"""What `rows_of` takes."""


@dataclass(slots=True)
class Marks:
    """What a process that writes knows of what is there.

    Attributes:
        token: says in the store that it was this process that wrote last; only then is the rest true.
        newest_ms: nothing but what `by_check` knows is newer.
        by_check: start of the newest result by (agent, check), where it is newer than that.

    """

    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    newest_ms: int = _EARLIEST_MS
    by_check: dict[tuple[int, int], int] = field(default_factory=dict)

    def begin(self, newest_ms: int) -> None:
        """Start from what the store says: another process has written."""
        self.newest_ms = newest_ms
        self.by_check.clear()

    def part(self, rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
        """Part rows into those that are surely new and those that may be there already."""
        fresh: list[Row] = []
        doubtful: list[Row] = []
        by_check, newest_ms = self.by_check, self.newest_ms
        for row in rows:
            key, at_ms = (row[3], row[2]), row[1] * SLOT_MS + row[4]
            if at_ms > by_check.get(key, newest_ms):
                by_check[key] = at_ms
                fresh.append(row)
            else:
                doubtful.append(row)
        return fresh, doubtful


def key_of(row: Row) -> Key:
    """Return what makes a result one and the same."""
    return row[2], row[3], row[1] * SLOT_MS + row[4]


def build(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """Return pages of rows, in the order of COLUMNS."""
    groups: dict[tuple[int, int, int, bool], tuple[list[int], list[Row]]] = defaultdict(lambda: ([], []))
    for row in rows:
        at_ms = row[1] * SLOT_MS + row[4]
        starts, of_group = groups[row[2] % BUCKETS, row[3], at_ms // HOUR_MS, row[0] >= _INT_LIMIT]
        starts.append(at_ms)
        of_group.append(row)
    pages = []
    for (bucket, agent_no, _, is_long), (starts, of_group) in groups.items():
        start_ms = min(starts)
        durations, _, check_nos, _, _, shape_nos, outcomes, samples, messages = zip(*of_group, strict=True)
        shapes = {shape_no: varint(shape_no) for shape_no in set(shape_nos)}
        bodies = [shapes[shape_no] + body for shape_no, body in zip(shape_nos, samples, strict=True)]
        lengths = list(map(len, bodies))
        head = bytes(lengths) if max(lengths) <= _SHORT_VARINT else b"".join(map(varint, lengths))
        pages.append(
            (
                start_ms,
                max(starts) - start_ms,
                agent_no,
                bucket,
                check_nos,
                [at_ms - start_ms for at_ms in starts],
                None if is_long else durations,
                durations if is_long else None,
                [outcome or None for outcome in outcomes] if any(outcomes) else None,
                [message or None for message in messages] if any(messages) else None,
                b"".join((head, *bodies)),
            )
        )
    return pages


def rows_of(page: Sequence[Any], check_nos: Iterable[int] | None = None) -> Iterator[Row]:
    """Yield the results of a page (of SELECTED), or those of some checks, as rows.

    Raises CorruptError for a page that no program of ours has written.
    """
    start_ms, agent_no, numbers, offsets, durations, long_durations, outcomes, messages, bodies = page
    wanted = None if check_nos is None else frozenset(check_nos)
    durations = durations if durations is not None else long_durations
    try:
        lengths, at = _lengths(bodies, len(numbers))
        for place, (check_no, length) in enumerate(zip(numbers, lengths, strict=True)):
            at += length
            if wanted is not None and check_no not in wanted:
                continue
            slot, offset_ms = divmod(start_ms + offsets[place], SLOT_MS)
            shape_no, body_at = read_varint(bodies, at - length)
            outcome = (outcomes[place] or 0) if outcomes is not None else 0
            message = (messages[place] or "") if messages is not None else ""
            body = bodies[body_at:at]
            yield durations[place], slot, check_no, agent_no, offset_ms, shape_no, outcome, body, message
    except IndexError:
        at = -1
    if at != len(bodies):
        message = f"a page of {len(bodies)} bytes cannot be read"
        raise CorruptError(message)


def _lengths(bodies: bytes, count: int) -> tuple[Sequence[int], int]:
    head = bodies[:count]
    if max(head) <= _SHORT_VARINT:
        return head, count
    lengths, at = [], 0
    for _ in range(count):
        length, at = read_varint(bodies, at)
        lengths.append(length)
    return lengths, at


async def insert(connection: AsyncConnection, rows: list[Row], marks: Marks) -> int:
    """Insert results that are not there yet; return how many. `marks` are true, and the row of `meta` is held."""
    fresh, doubtful = marks.part(rows)
    if doubtful:
        there = await _keys_there(connection, doubtful)
        there.update(map(key_of, fresh))
        for row in doubtful:
            if (key := key_of(row)) not in there:
                there.add(key)
                fresh.append(row)
    await write(connection, fresh)
    return len(fresh)


async def write(connection: AsyncConnection, rows: Iterable[Row]) -> None:
    """Write results as pages, without a look at what is there."""
    pages = build(rows)
    if pages:
        driver = await driver_of(connection)
        await driver.copy_records_to_table("result_pages", records=pages, columns=COLUMNS)


_OVERLAPPING = (
    "SELECT start_ms, agent_no, check_nos, offsets_ms FROM result_pages WHERE bucket = ANY($1::smallint[]) "
    "AND start_ms >= $2 AND start_ms <= $4 AND start_ms + span_ms >= $3 AND ($5::int[] IS NULL OR check_nos && $5)"
)
"""Pages that may hold results between two times of one hour, of some checks or of all."""
_FEW_CHECKS = 32
"""Arrays are compared each element with each: with more checks it is quicker to look through the pages here."""


async def _keys_there(connection: AsyncConnection, rows: Iterable[Row]) -> set[Key]:
    """Return the keys of results that are there, as far as rows may be among them; an hour at a time."""
    driver = await driver_of(connection)
    hours: dict[int, list[Key]] = defaultdict(list)
    for row in rows:
        key = key_of(row)
        hours[key[2] // HOUR_MS].append(key)
    there: set[Key] = set()
    for hour, keys in hours.items():
        check_nos = {key[0] for key in keys}
        buckets = sorted({check_no % BUCKETS for check_no in check_nos})
        first_ms, last_ms = min(key[2] for key in keys), max(key[2] for key in keys)
        wanted = set(keys)
        sought = sorted(check_nos) if len(check_nos) <= _FEW_CHECKS else None
        for start_ms, agent_no, numbers, offsets in await driver.fetch(
            _OVERLAPPING, buckets, hour * HOUR_MS, first_ms, last_ms, sought
        ):
            there |= {
                key
                for check_no, offset_ms in zip(numbers, offsets, strict=True)
                if (key := (check_no, agent_no, start_ms + offset_ms)) in wanted
            }
    return there


_ALL_BUCKETS = list(range(BUCKETS))
_PAGES = (
    f"SELECT {SELECTED} FROM result_pages WHERE bucket = ANY($1::smallint[]) "  # noqa: S608 - our own names
    "AND start_ms >= $2 AND start_ms < $4 AND start_ms + span_ms >= $3"
)
_PAGES_OF_CHECK = f"{_PAGES} AND check_nos @> ARRAY[$5::int]"
_FIRST = (
    "SELECT min(p.start_ms) FROM unnest($1::smallint[]) AS b(bucket) CROSS JOIN LATERAL "
    "(SELECT start_ms FROM result_pages WHERE bucket = b.bucket AND start_ms >= $2 ORDER BY start_ms LIMIT 1) p"
)
"""The first page that begins at a time or later: one look into the index per bucket."""


async def fetch(connection: AsyncConnection, from_ms: int, to_ms: int) -> list[Row]:
    """Return the rows that started in [from_ms, to_ms), in no order."""
    driver = await driver_of(connection)
    hour_ms = from_ms - from_ms % HOUR_MS
    found = await driver.fetch(_PAGES, _ALL_BUCKETS, hour_ms, from_ms, to_ms)
    return [row for page in found for row in rows_of(page)]


async def fetch_check(connection: AsyncConnection, check_no: int, from_ms: int, to_ms: int) -> list[Row]:
    """Return the rows of one check that started about [from_ms, to_ms), in no order."""
    driver = await driver_of(connection)
    hour_ms = from_ms - from_ms % HOUR_MS
    found = await driver.fetch(_PAGES_OF_CHECK, [check_no % BUCKETS], hour_ms, from_ms, to_ms, check_no)
    return [row for page in found for row in rows_of(page, (check_no,))]


async def first_ms(connection: AsyncConnection, from_ms: int) -> int | None:
    """Return a time at or after `from_ms` before which nothing started since then; None when nothing did."""
    driver = await driver_of(connection)
    # A page that began before may hold what started after.
    found: int | None = await driver.fetchval(_FIRST, _ALL_BUCKETS, from_ms - from_ms % HOUR_MS)
    return None if found is None else max(found, from_ms)


_FORGET_PAGES = (
    f"DELETE FROM result_pages WHERE ctid = ANY(ARRAY(SELECT ctid FROM result_pages "  # noqa: S608 - our own names
    f"WHERE bucket = ANY($1::smallint[]) AND start_ms < $2 LIMIT 2000)) RETURNING {SELECTED}"
)


async def forget(connection: AsyncConnection, before_ms: int) -> tuple[int, bool]:
    """Delete some of what started before a time; return how many results, and whether there may be more."""
    driver = await driver_of(connection)
    pages = await driver.fetch(_FORGET_PAGES, _ALL_BUCKETS, before_ms)
    count = sum(len(page["check_nos"]) for page in pages)
    kept = [
        row
        for page in pages
        if page["start_ms"] + max(page["offsets_ms"]) >= before_ms
        for row in rows_of(page)
        if key_of(row)[2] >= before_ms
    ]
    await write(connection, kept)
    return count - len(kept), bool(pages)
