"""Imported history: the transitions and rollups that the engine would have saved, had it measured it.

Without them a store would hold results of a time and call it unknown. The very core that runs live decides. What
the engine itself has decided on is never touched: a check that it knows gets only what lies before its first result;
of a check that it has never run, all is worked out anew, so that parts may be imported in any order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

import orjson
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.core import Core
from alerts.model import Event, Result, Rules, Subject, Transition
from monitor.jobs import Job
from monitor.recent import ROLLUP_MS, Recent
from monitor.records import Batch, Rollup
from monitor.store import states
from monitor.store.errors import unavailable_as_such
from monitor.store.names import Names, checks
from monitor.store.results import unpack
from monitor.store.rules import rules_from
from monitor.store.tables import check_states, meta, transitions
from probes import registry
from probes.registry import UnknownKindError

_READ_RESULTS = 10_000

_RESULTS_AFTER = text(
    "SELECT at_ms, duration_us, check_no, agent_no, shape_no, outcome, samples, message FROM results "
    "WHERE check_no = :number AND at_ms < :end AND (at_ms, agent_no) > (:at, :agent) "
    "ORDER BY at_ms, agent_no LIMIT :most"
)
"""The next results of a check, oldest first."""


class Gap(NamedTuple):
    """What is to be worked out of one check: its results in [from_ms, to_ms), or all when `is_whole`."""

    check: str
    number: int
    probe: str
    from_ms: int
    to_ms: int
    is_whole: bool


class Found(NamedTuple):
    """What the results of a gap amount to."""

    transitions: list[Transition]
    rollups: list[Rollup]


async def read_rules(connection: AsyncConnection) -> Rules | None:
    """Return the rules of the configuration, None when there has been none yet."""
    found = await connection.scalar(select(meta.c.value).where(meta.c.name == "rules"))
    return None if found is None else rules_from(orjson.loads(found))


async def gaps(
    connection: AsyncConnection, rules: Rules, imported_ms: Mapping[str, int], first_ms: Mapping[str, int]
) -> list[Gap]:
    """Return what is to be worked out after an import.

    `imported_ms` is the start of each check's earliest imported result, `first_ms` that of its first before.
    """
    run_live = set(await connection.scalars(select(check_states.c.check_no)))
    found = []
    for row in await connection.execute(select(checks.c.id, checks.c.no, checks.c.probe)):
        if row.id not in imported_ms or row.id not in rules.checks:
            continue
        if row.no not in run_live:
            found.append(Gap(row.id, row.no, row.probe, 0, 1 << 62, is_whole=True))
        elif row.id in first_ms and imported_ms[row.id] < first_ms[row.id]:
            found.append(Gap(row.id, row.no, row.probe, imported_ms[row.id], first_ms[row.id], is_whole=False))
    return found


async def work_out(engine: AsyncEngine, names: Names, rules: Rules, gap: Gap) -> Found:
    """Run a gap's results through the core."""
    rule = rules.checks[gap.check]
    core = Core(Rules({gap.check: rule}, {}))
    recent = Recent({gap.check: _job(gap)})
    events: list[Event] = []
    rollups: list[Rollup] = []
    last_ms, interval = 0, 0
    # The interval in which the engine began holds results of both.
    rollups_to_ms = gap.to_ms if gap.is_whole else -(-gap.to_ms // ROLLUP_MS) * ROLLUP_MS
    async for result in _results(engine, names, gap, rollups_to_ms):
        if result.at_ms // ROLLUP_MS != interval:
            interval = result.at_ms // ROLLUP_MS
            rollups += recent.take_rollups(result.at_ms)
        recent.add(result, to_spark=False)
        if result.at_ms < gap.to_ms:
            events += core.feed(result)
            last_ms = max(last_ms, result.known_at_ms)
    silent_ms = last_ms + round(rule.stale_after_s * 1000) + 1
    events += core.advance(silent_ms if gap.is_whole else min(silent_ms, gap.to_ms))
    rollups += recent.take_rollups(last_ms)
    changes = [event for event in events if isinstance(event, Transition) and event.kind is Subject.CHECK]
    return Found(changes, list({rollup.start_ms: rollup for rollup in rollups}.values()))


def _job(gap: Gap) -> Job:
    """Return as much of a job as it takes to know the latency of its results."""
    try:
        probe = registry.find(gap.probe)
    except UnknownKindError:
        probe = registry.find("tcp")
    return Job(gap.check, probe.run, None, 1.0, 1.0, 1.0, latency=probe.latency)


async def _results(engine: AsyncEngine, names: Names, gap: Gap, to_ms: int) -> AsyncIterator[Result]:
    at_ms, agent_no = gap.from_ms - 1, 1 << 30
    while True:
        window = {"number": gap.number, "end": to_ms, "at": at_ms, "agent": agent_no, "most": _READ_RESULTS}
        with unavailable_as_such():
            async with engine.connect() as connection:
                rows: Sequence[Sequence[int]] = (await connection.execute(_RESULTS_AFTER, window)).all()
                if not names.know(rows):
                    await names.load(connection)
        for row in rows:
            yield unpack(row, names)
        if len(rows) < _READ_RESULTS:
            return
        at_ms, _, _, agent_no, *_ = rows[-1]


async def save(connection: AsyncConnection, gap: Gap, found: Found, check_nos: Mapping[str, int]) -> None:
    """Save what was worked out."""
    if gap.is_whole:
        of_check = (transitions.c.kind == Subject.CHECK.value) & (transitions.c.subject == gap.check)
        await connection.execute(delete(transitions).where(of_check))
    await states.save(connection, Batch(transitions=found.transitions, rollups=found.rollups), check_nos)
