"""The engine without probes and without a clock: what it decides and saves when results come at given times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Table, select

from alerts.core import Core
from alerts.model import CheckState, Memory, Result, Subject
from alerts.timeline import Timeline
from config.model import Inventory
from config.rules import rules_of
from monitor.availability import check_timelines
from monitor.evidence import Evidence
from monitor.ingest import Inbox, Writer
from monitor.jobs import jobs_of
from monitor.lateness import Engine
from monitor.recent import Recent
from monitor.records import Rollup
from monitor.schedule import Schedule
from monitor.store import Store
from monitor.store.engine import create_engine, parse_url
from monitor.store.names import checks
from monitor.store.rollups import rollup_of
from monitor.store.states import transition_of
from monitor.store.tables import rollups_1d, rollups_1h, rollups_5m, transitions

ROLLUPS = (rollups_5m, rollups_1h, rollups_1d)


class EngineWithoutProbes:
    """Takes results as if they came at `now_ms`, and saves what the real one would save."""

    def __init__(self, store: Store, inventory: Inventory, memory: Memory | None = None) -> None:
        self.store = store
        self.core = Core(rules_of(inventory), memory)
        self.recent = Recent(jobs_of(inventory.checks.values()))
        schedule = Schedule(lambda _job: None)  # type: ignore[arg-type, return-value]

        parts = (Inbox(10), self.core, self.recent, store, None, schedule, Evidence({}), lambda: None)
        self.writer = Writer(*parts)  # type: ignore[arg-type]
        self.now_ms = 0

    async def take(self, results: Iterable[Result], now_ms: int) -> None:
        """Decide on results at that time, and save."""
        self.now_ms = now_ms
        batch, _ = self.writer.decide(list(results), now_ms, caught_up=True)
        await self.store.save(batch)

    async def settle(self) -> None:
        """Let the past be worked out, as far as the engine is done with it."""
        await self.store.settle(self.recent.closed_ms, Engine(self.core, self.writer.defer, self._flushed))
        await self._flushed()

    async def _flushed(self) -> None:
        await self.take([], self.now_ms)


async def rows_of(url: str, table: Table) -> list[Rollup]:
    """Return all rollups of a table."""
    statement = select(checks.c.id, table).join(checks, checks.c.no == table.c.check_no)
    statement = statement.order_by(checks.c.id, table.c.start_ms)
    return [rollup_of(row.id, row) for row in await rows(url, statement)]


async def timelines_of(url: str) -> dict[str, Timeline]:
    """Return the timelines of all checks."""
    found = await rows(url, select(transitions).where(transitions.c.kind == Subject.CHECK.value))
    return check_timelines(transition_of(row) for row in found)


async def rows(url: str, statement: Any) -> Sequence[Any]:
    """Return what a statement finds."""
    engine = create_engine(parse_url(url), read_only=True)
    async with engine.connect() as connection:
        found = (await connection.execute(statement)).all()
    await engine.dispose()
    return found


def decisive(states: dict[str, CheckState]) -> dict[str, tuple[object, ...]]:
    """Return what decides of states; the messages of the past are not kept."""
    return {check: (state.state, state.since_ms, state.last_at_ms, state.recent) for check, state in states.items()}
