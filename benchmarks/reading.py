"""How long pages wait for their data: the overview of 10,000 checks, one check's 30 days, a period of all targets."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from alerts.model import CheckState, Result, State, Subject, TargetState, Transition
from config.model import Check, ConfirmRule, Inventory, Target
from monitor.queries import Queries
from monitor.records import SPARK_POINTS, Batch, CheckNow, TargetNow
from monitor.rollup import INTERVAL_MS, Tally
from monitor.store import Store
from tests.postgres import PostgresServer

TARGETS, DOWN = 10_000, 200
DAY_MS, RUNS = 86_400_000, 5

Row = dict[str, Any]


def run() -> Iterable[Row]:
    """Measure both stores."""
    with tempfile.TemporaryDirectory() as directory:
        yield from asyncio.run(_measure("SQLite", f"sqlite:///{Path(directory) / 'bench.db'}"))
    server = PostgresServer()
    try:
        server.start()
        yield from asyncio.run(_measure("PostgreSQL", server.dsn()))
    finally:
        server.close()


async def _measure(name: str, url: str) -> list[Row]:
    now_ms = time.time_ns() // 1_000_000
    store = await Store.open(url)
    await store.sync_inventory(_inventory())
    await store.save(_states(now_ms))
    await store.settle(now_ms - 2 * INTERVAL_MS)
    await store.beat(now_ms)
    await store.aclose()
    queries = await Queries.open(url)
    await queries.overview(now_ms)
    gc.collect()
    gc.freeze()  # as the web process does once it is warm
    month = 30 * DAY_MS
    rows = [
        _row(f"overview of {TARGETS} checks, {name}", await _best(lambda: queries.overview(now_ms)), 150),
        _row(f"2 h of one check, {name}", await _best(lambda: queries.target_page(_id(5000), now_ms, 7200)), 100),
        _row(
            f"30 days of one check, {name}",
            await _best(lambda: queries.target_page(_id(5000), now_ms, month // 1000)),
            100,
        ),
        _row(
            f"availability of {TARGETS} targets over 30 days, {name}",
            await _best(lambda: queries.availability(now_ms - month, now_ms, now_ms)),
            5_000,
        ),
    ]
    await queries.aclose()
    gc.unfreeze()
    return rows


async def _best(ask: Callable[[], Awaitable[object]]) -> float:
    spans = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        await ask()
        spans.append(time.perf_counter() - begun)
    return sorted(spans)[RUNS // 2] * 1000


def _row(what: str, value_ms: float, budget_ms: int) -> Row:
    met = value_ms <= budget_ms
    return {"what": what, "value": round(value_ms, 1), "unit": "ms", "budget": f"≤ {budget_ms}", "met": met}


def _id(number: int) -> str:
    return f"target-{number:05d}"


def _inventory() -> Inventory:
    targets = {}
    for number in range(TARGETS):
        id_ = _id(number)
        check = Check(
            id=f"{id_}/http",
            target=id_,
            name="http",
            probe="http",
            params=None,
            interval_s=10.0,
            timeout_s=5.0,
            retry_interval_s=3.0,
            stale_after_s=30.0,
            confirm=ConfirmRule(),
        )
        targets[id_] = Target(id=id_, type="endpoint", checks=(check,), settle_s=20.0)
    return Inventory(targets=targets)


def _states(now_ms: int) -> Batch:
    start_ms, cut_ms = now_ms - 3 * DAY_MS, now_ms - 600_000
    spark = tuple(0.03 + point * 1e-5 for point in range(SPARK_POINTS))
    batch = Batch()
    for number in range(TARGETS):
        check = f"{_id(number)}/http"
        is_down = number < DOWN
        state = CheckState(State.DOWN if is_down else State.UP, cut_ms if is_down else start_ms, last_at_ms=now_ms)
        batch.checks.append(CheckNow(check, state, 0.03, None, spark))
        batch.targets.append(TargetNow(_id(number), TargetState(state.state, state.since_ms)))
        batch.results.append(Result(check, "local", start_ms, 0.03, State.UP, None, "", {}))
        batch.transitions.append(Transition(Subject.CHECK, check, State.UNKNOWN, State.UP, start_ms, start_ms + 30))
        if is_down:
            batch.transitions.append(
                Transition(Subject.CHECK, check, State.UP, State.DOWN, cut_ms, cut_ms + 20_000, "timeout")
            )
    check = f"{_id(5000)}/http"
    samples = {"connect_s": 0.004, "status": 200}
    batch.results += [
        Result(check, "local", now_ms - turn * 10_000, 0.03, State.UP, None, "", samples) for turn in range(1, 720)
    ]
    tally, rng = Tally(), random.Random(5)
    for result in batch.results[-30:]:
        tally.add(result, rng.lognormvariate(-3.5, 0.2), None)
    rollup = tally.rollup(check, now_ms - now_ms % INTERVAL_MS)
    batch.rollups = [
        rollup._replace(start_ms=rollup.start_ms - INTERVAL_MS * turn) for turn in range(30 * DAY_MS // INTERVAL_MS)
    ]
    return batch


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
