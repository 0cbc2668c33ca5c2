"""Imported history: the transitions and rollups that the engine would have saved, had it measured it.

Without them a store would hold results of a time and call it unknown. The very core that runs live decides. What
the engine itself has decided on is never touched: a check that it knows gets only what lies before its first result;
of a check that it has never run, all is worked out anew, so that parts may be imported in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.core import Core
from alerts.model import Event, Result, Rules, Subject, Transition
from monitor.jobs import Job
from monitor.recent import ROLLUP_MS, Recent
from monitor.records import Batch, Rollup
from monitor.store import states
from monitor.store.names import checks
from monitor.store.periods import FOREVER_MS, invalidate
from monitor.store.results import LATEST_MS
from monitor.store.rules import rules_from
from monitor.store.tables import check_states, meta, transitions
from probes import registry

_DELETE_CHECKS = 500


class Gap(NamedTuple):
    """What is to be worked out of one check: its results in [from_ms, to_ms), which are all when `is_whole`."""

    check: str
    number: int
    probe: str
    from_ms: int
    to_ms: int
    is_whole: bool


async def read_rules(connection: AsyncConnection) -> Rules | None:
    """Return the rules of the configuration, None when there has been none yet."""
    found = await connection.scalar(select(meta.c.value).where(meta.c.name == "rules"))
    return None if found is None else rules_from(orjson.loads(found))


async def gaps(
    connection: AsyncConnection, rules: Rules, imported_ms: Mapping[str, int], before_ms: Mapping[str, int]
) -> list[Gap]:
    """Return what is to be worked out after an import.

    `imported_ms` is the start of each check's earliest imported result, `before_ms` that of its first one before.
    """
    run_live = set(await connection.scalars(select(check_states.c.check_no)))
    found = []
    for row in await connection.execute(select(checks.c.id, checks.c.no, checks.c.probe, checks.c.first_ms)):
        if row.id not in imported_ms or row.id not in rules.checks:
            continue
        if row.no not in run_live:
            found.append(Gap(row.id, row.no, row.probe, row.first_ms, LATEST_MS, is_whole=True))
        elif row.id in before_ms and imported_ms[row.id] < before_ms[row.id]:
            found.append(Gap(row.id, row.no, row.probe, imported_ms[row.id], before_ms[row.id], is_whole=False))
    return found


class History:
    """Works out gaps: feed it their results in time order, then take what they amount to."""

    def __init__(self, rules: Rules, found: Iterable[Gap]) -> None:
        self._rules = rules
        self._gaps = {gap.check: gap for gap in found}
        # A core each: what one check is silent about must not depend on when another one spoke.
        self._cores = {check: Core(Rules({check: rules.checks[check]}, {})) for check in self._gaps}
        self._recent = Recent({gap.check: _job(gap) for gap in self._gaps.values()})
        self._last_ms: dict[str, int] = {}
        self._interval = 0
        self._transitions: list[Transition] = []

    @property
    def check_nos(self) -> frozenset[int]:
        """Numbers of the checks whose results are wanted."""
        return frozenset(gap.number for gap in self._gaps.values())

    @property
    def from_ms(self) -> int:
        """From when on results are wanted: the start of a rollup."""
        start_ms = min(gap.from_ms for gap in self._gaps.values())
        return start_ms - start_ms % ROLLUP_MS

    @property
    def to_ms(self) -> int:
        """Until when results are wanted: the end of a rollup."""
        return max(map(_rollups_end_ms, self._gaps.values()))

    def feed(self, result: Result) -> list[Rollup]:
        """Take a result; return the rollups that are over."""
        gap = self._gaps[result.check]
        over: list[Rollup] = []
        if result.at_ms // ROLLUP_MS != self._interval:
            self._interval = result.at_ms // ROLLUP_MS
            over = self._recent.take_rollups(result.at_ms)
        if result.at_ms < _rollups_end_ms(gap):
            self._recent.add(result, to_spark=False)
        if gap.from_ms <= result.at_ms < gap.to_ms:
            self._keep(self._cores[result.check].feed(result))
            self._last_ms[result.check] = max(self._last_ms.get(result.check, 0), result.known_at_ms)
        return over

    def finish(self) -> Batch:
        """Let the silence after the last results begin; return all transitions and the last rollups."""
        for check, last_ms in self._last_ms.items():
            silent_ms = last_ms + round(self._rules.checks[check].stale_after_s * 1000) + 1
            self._keep(self._cores[check].advance(min(silent_ms, self._gaps[check].to_ms)))
        return Batch(transitions=self._transitions, rollups=self._recent.take_rollups(self.to_ms))

    def _keep(self, events: Iterable[Event]) -> None:
        self._transitions += (event for event in events if isinstance(event, Transition))

    async def save(self, connection: AsyncConnection, batch: Batch, check_nos: Mapping[str, int]) -> None:
        """Save what `finish` gave, in the place of what was worked out before."""
        anew = sorted(gap.check for gap in self._gaps.values() if gap.is_whole)
        for some in (anew[i : i + _DELETE_CHECKS] for i in range(0, len(anew), _DELETE_CHECKS)):
            of_checks = (transitions.c.kind == Subject.CHECK.value) & transitions.c.subject.in_(some)
            await connection.execute(delete(transitions).where(of_checks))
        await invalidate(connection, ((check, 0, FOREVER_MS) for check in anew))
        await states.save(connection, batch, check_nos)


def _rollups_end_ms(gap: Gap) -> int:
    # The interval in which the engine began holds results of both.
    return -(-gap.to_ms // ROLLUP_MS) * ROLLUP_MS


def _job(gap: Gap) -> Job:
    """Return as much of a job as it takes to know the latency of its results."""
    probe = registry.find(gap.probe)
    return Job(gap.check, probe.run, None, 1.0, 1.0, 1.0, latency=probe.latency)
