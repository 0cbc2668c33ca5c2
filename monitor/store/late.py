"""Late results: what came after its time had been decided on, from an agent that was away or from an import.

Whoever saves such results notes in the same transaction of which check and time they are (`outdated`, LATE);
`settle` works through the notes. What raw results no longer cover stays as it was. Older results than that count
only where nothing was known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import Result, Rules, Subject, Transition
from config.model import Settings
from monitor.records import Late
from monitor.rollup import HOUR_MS
from monitor.store import rollups
from monitor.store.names import checks
from monitor.store.rules import rules_from
from monitor.store.statements import put_meta
from monitor.store.states import transition_of
from monitor.store.tables import LATE, meta, outdated, rollups_1d, rollups_1h, rollups_5m, transitions

STORED_BEFORE = 50
"""Transitions before the late results that are looked at, to find one after which the core remembers nothing."""
_DAY_MS = 24 * HOUR_MS


async def note(connection: AsyncConnection, late: Iterable[Late], check_nos: Mapping[str, int]) -> None:
    """Note late results, to be settled."""
    await rollups.note(connection, LATE, [(check_nos[one.check], one.from_ms, one.to_ms) for one in late])


class Noted:
    """What an import has noted of its checks: a day at a time (of the last days an hour), not every batch anew."""

    def __init__(self, now_ms: int) -> None:
        self._recent_ms = now_ms - now_ms % _DAY_MS - _DAY_MS
        self._spans: set[tuple[str, int, int]] = set()

    def new(self, batch: Iterable[Result]) -> list[Late]:
        """Return the spans of these results that are not noted yet, joined where they follow each other."""
        found = set()
        for result in batch:
            length_ms = _DAY_MS if result.at_ms < self._recent_ms else HOUR_MS
            start_ms = result.at_ms - result.at_ms % length_ms
            found.add((result.check, start_ms, start_ms + length_ms - 1))
        found -= self._spans
        self._spans |= found
        joined: list[Late] = []
        for check, from_ms, to_ms in sorted(found):
            last = joined[-1] if joined else None
            if last is not None and last.check == check and last.to_ms + 1 == from_ms:
                joined[-1] = last._replace(to_ms=to_ms)
            else:
                joined.append(Late(check, from_ms, to_ms))
        return joined


async def read_rules(connection: AsyncConnection) -> Rules | None:
    """Return the rules of the configuration, None when there has been none yet."""
    found = await connection.scalar(select(meta.c.value).where(meta.c.name == "rules"))
    return None if found is None else rules_from(orjson.loads(found))


async def read_zone(connection: AsyncConnection) -> ZoneInfo:
    """Return the zone in which days are cut."""
    found = await connection.scalar(select(meta.c.value).where(meta.c.name == "timezone"))
    return ZoneInfo(Settings().timezone if found is None else orjson.loads(found))


async def raw_from_ms(connection: AsyncConnection) -> int:
    """Return from when on all raw results are there: what started before may have been forgotten."""
    found = await connection.scalar(select(meta.c.value).where(meta.c.name == "raw_from_ms"))
    return 0 if found is None else int(orjson.loads(found))


async def note_forgotten(connection: AsyncConnection, before_ms: int) -> int:
    """Note that raw results before then are about to go; return before when they may: what is late comes first."""
    waits_ms = await connection.scalar(select(func.min(outdated.c.from_ms)).where(outdated.c.what == LATE))
    before_ms = before_ms if waits_ms is None else min(before_ms, waits_ms - _DAY_MS)
    if before_ms > await raw_from_ms(connection):
        await put_meta(connection, {"raw_from_ms": before_ms})
    return before_ms


async def forget(connection: AsyncConnection, ids: Iterable[int]) -> None:
    """Take notes away."""
    await connection.execute(delete(outdated).where(outdated.c.id.in_(list(ids))))


class Span(NamedTuple):
    """What is noted of one check."""

    number: int
    check: str
    probe: str
    ids: tuple[int, ...]
    from_ms: int
    to_ms: int


async def noted(connection: AsyncConnection, until_ms: int) -> list[Span]:
    """Return what is noted, all of a check together."""
    joined = outdated.join(checks, checks.c.no == outdated.c.check_no)
    columns = outdated.c.id, outdated.c.check_no, checks.c.id.label("check"), checks.c.probe
    statement = select(*columns, outdated.c.from_ms, outdated.c.to_ms).select_from(joined)
    found: dict[int, Span] = {}
    for row in await connection.execute(statement.where(outdated.c.what == LATE, outdated.c.to_ms < until_ms)):
        span = found.get(row.check_no, Span(row.check_no, row.check, row.probe, (), row.from_ms, row.to_ms))
        ends = min(span.from_ms, row.from_ms), max(span.to_ms, row.to_ms)
        found[row.check_no] = Span(row.check_no, row.check, row.probe, (*span.ids, row.id), *ends)
    return list(found.values())


async def stored(connection: AsyncConnection, span: Span) -> list[Transition]:
    """Return the check's transitions from a while before the late results on."""
    of_check = (transitions.c.kind == Subject.CHECK.value) & (transitions.c.subject == span.check)
    before = select(transitions).where(of_check, transitions.c.detected_ms < span.from_ms)
    before = before.order_by(transitions.c.detected_ms.desc()).limit(STORED_BEFORE)
    after = select(transitions).where(of_check, transitions.c.detected_ms >= span.from_ms)
    return [transition_of(row) for query in (before, after) for row in await connection.execute(query)]


async def is_known_before(connection: AsyncConnection, span: Span, horizon_ms: int) -> bool:
    """Say whether there are figures of the check's time of which raw results are gone."""
    to_ms = min(span.to_ms, horizon_ms)
    for table in (rollups_5m, rollups_1h, rollups_1d):
        window = (table.c.start_ms >= span.from_ms - span.from_ms % HOUR_MS) & (table.c.start_ms <= to_ms)
        known = select(table.c.start_ms).where(table.c.check_no == span.number, window).limit(1)
        if await connection.scalar(known) is not None:
            return True
    return False
