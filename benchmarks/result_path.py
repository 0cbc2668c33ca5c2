"""What one result costs in CPU on its way from the queue into the store, part by part, all in.

10,000 checks of the `http` kind at 10 s: every 5 s (of the results' own time) 5,000 results are decided on and saved,
then the latest of every check that had one, and each minute the rollups. Beside it, the same in the small portions
that the writer has at that rate: 100 results decided on together, 500 saved together. CPU and not wall time: that of
this process with its threads, and beside it that of PostgreSQL's server, so that a busy machine tells the same.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from alerts.core import Core
from alerts.flapping import OUTCOMES
from alerts.model import CheckRule, CheckState, Memory, Result, Rules, State
from monitor.app import GARBAGE_THRESHOLDS
from monitor.evidence import Evidence
from monitor.ingest import Inbox, Writer
from monitor.jobs import Job
from monitor.recent import Recent
from monitor.records import SPARK_POINTS, Batch, CheckNow
from monitor.schedule import Schedule
from monitor.spool import Spool
from monitor.store import Store
from monitor.store.names import Names
from monitor.store.results import pack
from probes.model import Context, Measurement
from tests.monitor.samples import START_MS, http_results
from tests.postgres import PostgresServer

CHECKS, SNAPSHOT_RESULTS, SNAPSHOTS = 10_000, 5_000, 36
SMALL, LARGE = (100, 500), (SNAPSHOT_RESULTS, SNAPSHOT_RESULTS)
"""How many results are decided on together, and saved: what comes in PAUSE_S and GATHER_S at 1,000/s, and all."""
WARM_UP = 4
"""Snapshots before those that count: the first results of a check are decided in another way than the next ones."""
BUDGET_US = 25

Row = dict[str, Any]


def run() -> Iterable[Row]:
    """Measure the path into both stores."""
    with tempfile.TemporaryDirectory() as name:
        for portion in (LARGE, SMALL):
            url = f"sqlite:///{name}/bench-{portion[0]}.db"
            yield from asyncio.run(_measure("SQLite", url, Path(name), None, portion))
    server = PostgresServer({"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"})
    try:
        server.start()
        with tempfile.TemporaryDirectory() as name:
            for portion in (LARGE, SMALL):
                yield from asyncio.run(_postgresql(server, Path(name), portion))
    finally:
        server.close()


async def _postgresql(server: PostgresServer, directory: Path, portion: tuple[int, int]) -> list[Row]:
    url = server.dsn(await server.create_database())
    return await _measure("PostgreSQL", url, directory, psutil.Process(server.pid), portion)


class _Meter:
    """CPU by part, of this process and of the server."""

    def __init__(self, server: psutil.Process | None) -> None:
        self._server = server
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self.server_s = self.wall_s = 0.0
        self.is_counting = False

    async def saving(self, part: str, work: Awaitable[Any]) -> None:
        wall, of_server, begun = time.perf_counter(), self._server_cpu_s(), time.process_time()
        await work
        if self.is_counting:
            self.spent_s[part] += time.process_time() - begun
            self.wall_s += time.perf_counter() - wall
            self.server_s += self._server_cpu_s() - of_server

    def working(self, part: str, work: Callable[[], Any]) -> Any:
        wall, begun = time.perf_counter(), time.process_time()
        done = work()
        if self.is_counting:
            self.spent_s[part] += time.process_time() - begun
            self.wall_s += time.perf_counter() - wall
        return done

    def _server_cpu_s(self) -> float:
        if self._server is None:
            return 0.0
        every = [self._server, *self._server.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in every)


async def _measure(
    name: str, url: str, directory: Path, server: psutil.Process | None, portion: tuple[int, int]
) -> list[Row]:
    inbox_results, saved_results = portion
    store = await Store.open(url)
    spool = Spool(directory / "spool", 1 << 30)
    await store.take_lock("benchmark")
    checks = [f"target-{number:05d}/http" for number in range(CHECKS)]
    jobs = {check: Job(check, _no_probe, None, 1.0, 10.0, 3.0) for check in checks}
    # As after an hour: each check remembers all that it ever does.
    known = {check: CheckState(State.UP, START_MS, "", "", START_MS - 1, (), (0,) * OUTCOMES) for check in checks}
    rules = Rules({check: CheckRule(check, check.partition("/")[0], 10.0, 25.0) for check in checks}, {})
    core, recent = Core(rules, Memory(checks=known)), Recent(jobs)
    recent.restore(CheckNow(check, state, 0.03, None, (0.03,) * SPARK_POINTS) for check, state in known.items())
    schedule, evidence = Schedule(_start), Evidence(jobs)
    writer = Writer(Inbox(100_000), core, recent, store, spool, schedule, evidence, lambda: None)
    writer._snapshot_at = float("inf")  # it is taken below, to be measured apart
    meter, results = _Meter(server), 0
    gc.freeze()  # as the monitor does when it starts
    gc.set_threshold(*GARBAGE_THRESHOLDS)

    def decide(batch: list[Result], now_ms: int) -> list[Result]:
        decided, _ = writer.decide(batch, now_ms, caught_up=True)
        evidence.note(batch, core.memory.checks, now_ms / 1000)
        writer.confirm(batch)
        return decided.results

    def snapshot() -> Batch:
        return Batch(checks=recent.now(recent.take_touched_checks(), core.memory.checks))

    gathered: list[Result] = []
    for number, batch in enumerate(_batches(inbox_results)):
        meter.is_counting = number * inbox_results >= WARM_UP * SNAPSHOT_RESULTS
        results += len(batch) * meter.is_counting
        now_ms = batch[-1].known_at_ms
        gathered += meter.working("decide", partial(decide, batch, now_ms))
        if len(gathered) == saved_results:
            await meter.saving("save", store.save(Batch(results=gathered)))
            gathered = []
        if (number + 1) * inbox_results % SNAPSHOT_RESULTS == 0:
            await meter.saving("states", store.save(meter.working("states", snapshot)))
            rollups = meter.working("rollups", partial(recent.take_rollups, now_ms))
            await meter.saving("rollups", store.save(Batch(rollups=rollups)))
    await store.aclose()
    return list(_rows(name, meter, results, saved_results))


def _rows(name: str, meter: _Meter, results: int, saved_results: int) -> Iterator[Row]:
    of_parts = {part: round(spent_s / results * 1e6, 2) for part, spent_s in meter.spent_s.items()}
    of_parts["of save: pack"] = _packing_us()
    all_in_us = sum(meter.spent_s.values()) / results * 1e6
    more = {"server": round(meter.server_s / results * 1e6, 2)} if meter.server_s else {}
    yield {
        "what": f"CPU of one result from the queue into {name}, {saved_results} saved together, all in",
        "value": round(all_in_us, 1),
        "unit": "µs",
        "budget": f"≤ {BUDGET_US}",
        "met": all_in_us <= BUDGET_US,
        **of_parts,
        **more,
        "wall": round(meter.wall_s / results * 1e6, 1),
    }


def _packing_us() -> float:
    batch, names = list(islice(http_results(CHECKS, 1), SNAPSHOT_RESULTS)), Names()
    names.checks = {one.check: number for number, one in enumerate(batch)}
    names.agents = {"local": 1}
    names.shapes = dict.fromkeys(pack(batch, names).shapes, 1)
    begun = time.process_time()
    for _ in range(5):
        pack(batch, names)
    return round((time.process_time() - begun) / 5 / len(batch) * 1e6, 2)


def _batches(portion: int) -> Iterator[list[Result]]:
    results = http_results(CHECKS, SNAPSHOTS * SNAPSHOT_RESULTS // CHECKS)
    while batch := list(islice(results, portion)):
        yield batch


async def _no_probe(_params: Any, _context: Context) -> Measurement:
    raise NotImplementedError


def _start(_job: Job) -> bool:
    raise NotImplementedError


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stdout.flush()
