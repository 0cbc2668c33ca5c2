"""How many results a second go into the store, all in, and what each of them costs on the disk.

Results of the `http` kind (seven samples) of 10,000 checks at 10 s, in time order, in batches as large as the engine
makes them when it is behind; with them, every 5 s, the latest state and rollup of every check, as the engine saves
them. Timed is `Store.save`: packing, statements and commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import asyncpg

from alerts.model import CheckState, Result, State
from benchmarks import result_path
from monitor.jobs import Job
from monitor.recent import Recent
from monitor.records import SPARK_POINTS, Batch, CheckNow, Rollup
from monitor.rollup import INTERVAL_MS, Tally
from monitor.store import Store
from monitor.store.codec import encode_samples
from probes.model import Context, Measurement
from tests.monitor.samples import START_MS, http_results
from tests.postgres import PostgresServer

CHECKS, TURNS, BATCH = 10_000, 60, 5_000
SNAPSHOT_S = 5.0
ROLLUP_SNAPSHOTS = 12
"""A rollup is saved once a minute: a twelfth of them with each snapshot."""
BUDGET_BYTES = 48

Row = dict[str, Any]


def run() -> Iterable[Row]:
    """Measure both stores and the packing of samples alone."""
    yield packing()
    yield from counting()
    yield from result_path.run()
    with tempfile.TemporaryDirectory() as directory:
        yield from asyncio.run(_sqlite(Path(directory) / "bench.db"))
    # What the tests leave out for speed is on here: a commit is on the disk when it returns.
    server = PostgresServer({"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"})
    try:
        server.start()
        yield from asyncio.run(_postgresql(server))
    finally:
        server.close()


def packing() -> Row:
    """Measure the packing of one result's samples."""
    batches = [result.samples for result in http_results(1000, 20)]
    best = min(_seconds_to_pack(batches) for _ in range(5))
    per_result_us = best / len(batches) * 1e6
    return {"what": "packing the samples of one result", "value": round(per_result_us, 2), "unit": "µs"}


def counting() -> Iterable[Row]:
    """Measure what one result costs in the rollups: counting it in memory, and making its hours and days."""
    results = list(http_results(1_000, 30))
    jobs = {one.check: Job(one.check, _no_probe, None, 1.0, 10.0, 3.0) for one in results}
    best = min(_seconds_to_count(jobs, results) for _ in range(5))
    yield {"what": "counting one result (`Recent.add`)", "value": round(best / len(results) * 1e6, 2), "unit": "µs"}
    tally, rng = Tally(), random.Random(5)
    for one in results[:30]:
        tally.add(one, rng.lognormvariate(-3.5, 0.2), None)
    begun = time.perf_counter()
    for _ in range(1_000):
        rollup = tally.rollup("", 0)
    encoding_us = (time.perf_counter() - begun) / 1_000 * 1e6
    yield {"what": "a rollup of 5 minutes out of memory", "value": round(encoding_us, 1), "unit": "µs"}
    begun = time.perf_counter()
    for _ in range(200):
        hour = Tally()
        for _ in range(12):
            hour.merge(rollup)
        hour.rollup("", 0)
    hour_us = (time.perf_counter() - begun) / 200 * 1e6
    yield {"what": "an hour of 12 rollups, without SQL", "value": round(hour_us, 1), "unit": "µs"}


async def _no_probe(_params: Any, _context: Context) -> Measurement:
    raise NotImplementedError


def _seconds_to_count(jobs: dict[str, Job], results: list[Result]) -> float:
    recent = Recent(jobs)
    begun = time.perf_counter()
    for result in results:
        recent.add(result)
    return time.perf_counter() - begun


def _rollups(names: Iterable[str], start_ms: int) -> list[Rollup]:
    rng, tally = random.Random(5), Tally()
    for one in http_results(1, 30):
        tally.add(one, rng.lognormvariate(-3.5, 0.2), None)
    rollup = tally.rollup("", start_ms)
    return [rollup._replace(check=name) for name in names]


def _seconds_to_pack(batches: list[Any]) -> float:
    begun = time.perf_counter()
    for samples in batches:
        encode_samples(samples)
    return time.perf_counter() - begun


async def _sqlite(path: Path) -> list[Row]:
    store = await Store.open(f"sqlite:///{path}")
    rate, results = await _fill(store)
    await store.aclose()
    bytes_each = _sqlite_bytes(path, "results") / results
    per_rollup = _sqlite_bytes(path, "rollups_5m") / _count_sqlite(path)
    return [*_rows("SQLite", rate, 50_000, bytes_each, results), _rollup_row("SQLite", per_rollup)]


def _sqlite_bytes(path: Path, table: str) -> int:
    """Return what a table alone takes, free space in its pages included."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        of_table = "SELECT sum(pgsize) FROM dbstat WHERE name IN (?, ?)"
        return int(connection.execute(of_table, (table, f"sqlite_autoindex_{table}_1")).fetchone()[0])


def _count_sqlite(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM rollups_5m").fetchone()[0])


def _rollup_row(name: str, bytes_each: float) -> Row:
    return {"what": f"bytes per rollup of 5 minutes, {name}", "value": round(bytes_each, 1), "unit": "B"}


async def _postgresql(server: PostgresServer) -> list[Row]:
    name = await server.create_database()
    store = await Store.open(server.dsn(name))
    rate, results = await _fill(store)
    await store.aclose()
    connection = await asyncpg.connect(server.dsn(name))
    total = await connection.fetchval("SELECT pg_total_relation_size('result_pages')")
    await connection.execute("VACUUM FULL rollups_5m")
    of_rollup = await connection.fetchval(
        "SELECT pg_total_relation_size('rollups_5m')::float / count(*) FROM rollups_5m"
    )
    await connection.close()
    return [*_rows("PostgreSQL", rate, 100_000, total / results, results), _rollup_row("PostgreSQL", of_rollup)]


def _rows(name: str, rate: float, budget: int, bytes_each: float, results: int) -> list[Row]:
    return [
        {
            "what": f"writer into {name}",
            "value": round(rate),
            "unit": "results/s",
            "budget": f"≥ {budget}",
            "met": rate >= budget,
            "results": results,
        },
        {
            "what": f"bytes per raw result, {name}",
            "value": round(bytes_each, 1),
            "unit": "B",
            "budget": f"≤ {BUDGET_BYTES}",
            "met": bytes_each <= BUDGET_BYTES,
        },
    ]


async def _fill(store: Store) -> tuple[float, int]:
    await store.take_lock("benchmark")
    await store.save(Batch(results=list(http_results(CHECKS, 1))))  # names get their numbers
    spent_s, results, snapshot_at, snapshots = 0.0, CHECKS, -SNAPSHOT_S, 0
    for batch in _batches():
        is_snapshot = spent_s - snapshot_at >= SNAPSHOT_S
        snapshot_at = spent_s if is_snapshot else snapshot_at
        snapshots += is_snapshot
        saved = _with_states(batch, snapshots % ROLLUP_SNAPSHOTS) if is_snapshot else Batch(results=batch)
        begun = time.perf_counter()
        await store.save(saved)
        spent_s += time.perf_counter() - begun
        results += len(batch)
    return (results - CHECKS) / spent_s, results


def _batches() -> Iterator[list[Result]]:
    batch = []
    for result in http_results(CHECKS, TURNS, start_ms=START_MS + 10_000):
        batch.append(result)
        if len(batch) == BATCH:
            yield batch
            batch = []


def _with_states(results: list[Result], snapshot: int) -> Batch:
    rng = random.Random(3)
    at_ms = results[-1].at_ms
    recent = tuple((at_ms - 10_000 * n, 0, "") for n in range(3))
    state = CheckState(State.UP, START_MS, "", "", at_ms, recent, (0,) * 21)
    spark = tuple(round(rng.uniform(0.01, 0.1), 6) for _ in range(SPARK_POINTS))
    names = [f"target-{number:05d}/http" for number in range(CHECKS)]
    return Batch(
        results=results,
        checks=[CheckNow(name, state, 0.03, None, spark) for name in names],
        rollups=_rollups(names[snapshot::ROLLUP_SNAPSHOTS], at_ms - at_ms % INTERVAL_MS),
    )


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stdout.flush()
