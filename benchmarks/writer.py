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
from monitor.records import SPARK_POINTS, Batch, CheckNow, Rollup
from monitor.store import Store
from monitor.store.codec import encode_samples
from tests.monitor.samples import START_MS, http_results
from tests.postgres import PostgresServer

CHECKS, TURNS, BATCH = 10_000, 60, 5_000
SNAPSHOT_S = 5.0
BUDGET_BYTES = 48

Row = dict[str, Any]


def run() -> Iterable[Row]:
    """Measure both stores and the packing of samples alone."""
    yield packing()
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


def _seconds_to_pack(batches: list[Any]) -> float:
    begun = time.perf_counter()
    for samples in batches:
        encode_samples(samples)
    return time.perf_counter() - begun


async def _sqlite(path: Path) -> list[Row]:
    store = await Store.open(f"sqlite:///{path}")
    rate, results = await _fill(store)
    await store.aclose()
    bytes_each = _sqlite_bytes(path) / results
    return _rows("SQLite", rate, 50_000, bytes_each, results)


def _sqlite_bytes(path: Path) -> int:
    """Return what the results alone take, free space in their pages included."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        of_results = "SELECT sum(pgsize) FROM dbstat WHERE name IN ('results', 'sqlite_autoindex_results_1')"
        return int(connection.execute(of_results).fetchone()[0])


async def _postgresql(server: PostgresServer) -> list[Row]:
    name = await server.create_database()
    store = await Store.open(server.dsn(name))
    rate, results = await _fill(store)
    await store.aclose()
    connection = await asyncpg.connect(server.dsn(name))
    total = await connection.fetchval("SELECT pg_total_relation_size('results')")
    await connection.close()
    return _rows("PostgreSQL", rate, 100_000, total / results, results)


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
            # A row of PostgreSQL has 28 bytes before its first column, and its index as much again: the budget
            # is for SQLite, and for what is sealed.
            **({"budget": f"≤ {BUDGET_BYTES}", "met": bytes_each <= BUDGET_BYTES} if name == "SQLite" else {}),
        },
    ]


async def _fill(store: Store) -> tuple[float, int]:
    await store.take_lock("benchmark")
    await store.save(Batch(results=list(http_results(CHECKS, 1))))  # names get their numbers
    spent_s, results, snapshot_at = 0.0, CHECKS, -SNAPSHOT_S
    for batch in _batches():
        snapshot = spent_s - snapshot_at >= SNAPSHOT_S
        snapshot_at = spent_s if snapshot else snapshot_at
        saved = _with_states(batch) if snapshot else Batch(results=batch)
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


def _with_states(results: list[Result]) -> Batch:
    rng = random.Random(3)
    at_ms = results[-1].at_ms
    recent = tuple((at_ms - 10_000 * n, 0, "") for n in range(3))
    state = CheckState(State.UP, START_MS, "", "", at_ms, recent, (0,) * 21)
    spark = tuple(round(rng.uniform(0.01, 0.1), 6) for _ in range(SPARK_POINTS))
    names = [f"target-{number:05d}/http" for number in range(CHECKS)]
    return Batch(
        results=results,
        checks=[CheckNow(name, state, 0.03, None, spark) for name in names],
        rollups=[Rollup(name, at_ms - at_ms % 300_000, 30, 0, 0, 0, 30, 0.9, 0.01, 0.1, 0, 0.0) for name in names],
    )


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stdout.flush()
