"""The engine is killed with SIGKILL at random points, again and again: what it confirmed is there, each once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from sqlalchemy import select

from alerts.core import Core
from alerts.model import Result, State, Subject, Transition
from config.loader import load
from config.rules import rules_of
from monitor.availability import check_timelines
from monitor.replay import run
from monitor.rollup import results_in
from monitor.store import Store, care
from monitor.store.classes import DELIVERED
from monitor.store.outbox import notifications
from monitor.store.states import incidents
from monitor.store.tables import rollups_5m, sealed_results, transitions
from tests.journey.product import PATIENCE_S, Service, free_port, service, until
from tests.monitor.engine import rows, rows_of, timelines_of
from tests.monitor.killed import AWAY, Board, Known, made, told, write_configuration

ROOT = Path(__file__).parents[2]
KILLS = 50
"""Of each database: a hundred."""
LIFE_MOST_S = 0.3
_AWAY = "the store is away"
LOOKED_EVERY, CUT_EVERY, CHECKED_EVERY = 2, 5, 25
FAR_MS = 1 << 44
LATE_MS = 6 * 3_600_000


class Lives:
    """The lives of one monitor, one after the other, and what must be in its store by now.

    Attributes:
        promised: what was confirmed, by the engine itself or by being readable from outside.

    """

    def __init__(self, directory: Path, url: str, store: Store, nursery: asyncio.subprocess.Process) -> None:
        self.directory = directory
        self.url = url
        self.store = store
        self._nursery = nursery
        self.board = Board(directory)
        self.promised: set[Known] = set()
        self._fed = 0

    async def begin(self) -> int:
        """Begin a life; return its process id."""
        everything = told(self.directory)
        self._fed = len(everything)
        self.board.write(0, 0)
        late = sum(known.agent == AWAY for known in everything)
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(f"{late}\n".encode())
        return await self._said()

    async def ended(self) -> int:
        """Wait for the end of a life; return its status, and take up what it had confirmed."""
        status = await self._said()
        confirmed, _ = self.board.read()
        self.promised.update(told(self.directory)[self._fed : self._fed + confirmed])
        return status

    async def _said(self) -> int:
        assert self._nursery.stdout is not None
        return int(await asyncio.wait_for(self._nursery.stdout.readline(), PATIENCE_S))

    def log(self) -> str:
        return (self.directory / "log").read_text()

    async def look(self, from_ms: int) -> set[Known]:
        """Return what can be read from `from_ms` on; each is there once, and is what was fed."""
        found = [result async for result in self.store.export_results(from_ms, FAR_MS)]
        known = [Known(result.check, result.agent, result.at_ms) for result in found]
        assert len(set(known)) == len(known), "nothing is there twice"
        assert set(known) <= set(told(self.directory)), "nothing is there that was not fed"
        assert found == list(map(made, known)), "everything is there as it was fed"
        return set(known)


@asynccontextmanager
async def lives(directory: Path, url: str, served: Service) -> AsyncIterator[Lives]:
    """Give a monitor that is fed, on that store."""
    write_configuration(directory, url, f"127.0.0.1:{free_port()}", served.hook)
    (directory / "late-from").write_text(str(time.time_ns() // 1_000_000 - LATE_MS))
    with (directory / "log").open("ab") as log:
        nursery = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.monitor.killed", str(directory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
        )
    store = await Store.open(url)
    try:
        yield Lives(directory, url, store, nursery)
    finally:
        await store.aclose()
        assert nursery.stdin is not None
        nursery.stdin.close()
        os.killpg(nursery.pid, signal.SIGKILL)
        await nursery.wait()


async def test_killed_a_hundred_times_it_has_lost_nothing_and_doubled_nothing(store_url: str, tmp_path: Path) -> None:
    rng = random.Random(4)
    async with service() as served, lives(tmp_path, store_url, served) as monitor:
        for number in range(KILLS):
            begun_ms = time.time_ns() // 1_000_000
            pid = await monitor.begin()
            if number % CUT_EVERY == CUT_EVERY - 1:
                await until(lambda: monitor.board.read()[1], "it is being fed")
                await cut_off(store_url)
            # No event marks it: wherever it is by then, in its start, a commit or a seal, that is where it dies.
            await asyncio.sleep(rng.uniform(0, LIFE_MOST_S))
            if number % LOOKED_EVERY == 0:
                monitor.promised |= await monitor.look(begun_ms)
            os.kill(pid, signal.SIGKILL)
            assert await monitor.ended() == -signal.SIGKILL, monitor.log()[-2000:]
            if number % CHECKED_EVERY == CHECKED_EVERY - 1:
                assert monitor.promised <= await monitor.look(0)
                assert await care.check(store_url) == []
        pid = await monitor.begin()
        # On a slow machine most lives were too short to confirm anything: the last one is long enough.
        await until(lambda: monitor.board.read()[1], "it is being fed")
        await until(lambda: len(monitor.promised) + monitor.board.read()[0] > 100, "enough was confirmed")
        if store_url.startswith("postgresql") and _AWAY not in monitor.log():
            await cut_off(store_url)
            await until(lambda: _AWAY in monitor.log(), "the spool has been in use")
        os.kill(pid, signal.SIGTERM)
        assert await monitor.ended() == 0, monitor.log()[-2000:]
        found = await monitor.look(0)
        assert monitor.promised <= found
        assert len(monitor.promised) > 100
        await assert_all_agrees(monitor, map(made, found))
        await assert_everybody_was_told_once(store_url, served)


async def cut_off(url: str) -> None:
    """End the writer's session with PostgreSQL: the batch goes to the spool, and dies or is delivered from there."""
    if not url.startswith("postgresql"):
        return
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'thongsuot'"
    )
    await connection.close()


async def assert_all_agrees(monitor: Lives, results: Iterable[Result]) -> None:
    """See that rollups, transitions and states are what the results give that are there."""
    url = monitor.url
    assert await care.check(url) == []
    everything = sorted(results, key=lambda one: one.known_at_ms)
    assert sum(map(results_in, await rows_of(url, rollups_5m))) == len(everything)
    assert sum(row.results for row in await rows(url, select(sealed_results.c.results))) > 0
    core = Core(rules_of(load(monitor.directory / "config", environ={})))
    changes = [event for event in run(core, everything) if isinstance(event, Transition)]
    expected = check_timelines(event for event in changes if event.kind is Subject.CHECK)
    assert await timelines_of(url) == expected
    for kind in (Subject.CHECK, Subject.TARGET):
        of_kind = select(transitions).where(transitions.c.kind == kind.value).order_by(transitions.c.detected_ms)
        after: dict[str, int] = {}
        for row in await rows(url, of_kind):
            after[row.subject] = row.after
        assert set(after.values()) == {0}
    memory, now = await monitor.store.load_memory()
    assert {state.state for state in memory.checks.values()} == {State.UP}
    assert {state.state for state in memory.targets.values()} == {State.UP}
    assert memory.incidents == {}
    assert len(now) == len(memory.targets)


async def assert_everybody_was_told_once(url: str, served: Service) -> None:
    """See that each notification was delivered; one that was told again had the same key."""
    table = notifications
    saved = await rows(url, select(table.c.id, table.c.incident, table.c.kind, table.c.status))
    assert {row.status for row in saved} == {DELIVERED}
    per_incident = Counter((row.incident, row.kind) for row in saved)
    assert set(per_incident.values()) == {1}
    assert len(per_incident) > 4
    assert len(per_incident) == 2 * len(await rows(url, select(incidents.c.id)))
    assert {one["key"] for one in served.told} == {f"{row.incident}-{row.id}" for row in saved}
