"""How long pages wait for their data, with 10,000 checks and a year behind them: overview, a target, periods.

Beside them what care of such a store takes: `db check`, and the export of results.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from alerts.model import CheckState, Result, State, Subject, TargetState, Transition
from benchmarks import year
from config.model import Check, ConfirmRule, Inventory, Target
from monitor.closing import close_months
from monitor.queries import Queries
from monitor.records import SPARK_POINTS, Batch, CheckNow, TargetNow
from monitor.rollup import INTERVAL_MS, Tally
from monitor.store import Store
from monitor.store.care import check
from tests.postgres import PostgresServer

TARGETS, DOWN = 10_000, 200
DAY_MS, RUNS = 86_400_000, 5
WITH_HOURS = 100
"""So many checks have all hours of the year; the others their days."""
WINDOWS_S = {
    "1 h": 3600,
    "6 h": 21_600,
    "24 h": 86_400,
    "7 days": 604_800,
    "30 days": 2_592_000,
    "365 days": 31_536_000,
}

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
    checks = [f"{_id(number)}/http" for number in range(TARGETS)]
    begun = time.perf_counter()
    await year.build(store, checks, frozenset(checks[5000 : 5000 + WITH_HOURS]), now_ms)
    built_s = time.perf_counter() - begun
    await store.save(_states(now_ms))
    await store.settle(now_ms - 2 * INTERVAL_MS)
    await store.beat(now_ms)
    await store.aclose()
    queries = await Queries.open(url)
    await queries.overview(now_ms)
    gc.collect()
    gc.freeze()  # as the web process does once it is warm
    month = 30 * DAY_MS
    first = time.perf_counter()
    await close_months_of(url, now_ms)
    closed_s = time.perf_counter() - first
    rows = [
        {"what": f"a year of {TARGETS} checks saved, {name}", "value": round(built_s, 1), "unit": "s"},
        {"what": f"12 months of {TARGETS} targets closed, {name}", "value": round(closed_s, 1), "unit": "s"},
        _row(f"overview of {TARGETS} checks, {name}", await _best(lambda: queries.overview(now_ms)), 150),
        *[
            _row(
                f"page of one target, {window}, {name}",
                await _best(partial(queries.target_page, _id(5000), now_ms, window_s)),
                100,
            )
            for window, window_s in WINDOWS_S.items()
        ],
        _row(
            f"availability of {TARGETS} targets over 30 days, {name}",
            await _best(lambda: queries.availability(now_ms - month, now_ms, now_ms)),
            5_000,
        ),
        {
            "what": f"availability of {TARGETS} targets over 12 months, {name}",
            "value": round(await _best(lambda: queries.availability(now_ms - 365 * DAY_MS, now_ms, now_ms), runs=1)),
            "unit": "ms",
        },
    ]
    await queries.aclose()
    rows += await _care(name, url, now_ms)
    gc.unfreeze()
    return rows


async def close_months_of(url: str, now_ms: int) -> None:
    """Count the months that are over, as the monitor does."""
    queries, store = await Queries.open(url), await Store.open(url)
    await close_months(queries, store, now_ms)
    await queries.aclose()
    await store.aclose()


async def _care(name: str, url: str, now_ms: int) -> list[Row]:
    begun = time.perf_counter()
    problems = await check(url)
    checked_s = time.perf_counter() - begun
    store, count, begun = await Store.open(url), 0, time.perf_counter()
    async for _ in store.export_results(now_ms - DAY_MS, now_ms):
        count += 1
    rate = count / (time.perf_counter() - begun)
    await store.aclose()
    return [
        {"what": f"db check, {name}", "value": round(checked_s, 1), "unit": "s", "problems": len(problems)},
        {"what": f"export, {name}", "value": round(rate), "unit": "results/s", "results": count},
    ]


async def _best(ask: Callable[[], Awaitable[object]], runs: int = RUNS) -> float:
    spans = []
    for _ in range(runs):
        begun = time.perf_counter()
        await ask()
        spans.append(time.perf_counter() - begun)
    return sorted(spans)[runs // 2] * 1000


def _row(what: str, value_ms: float, budget_ms: int) -> Row:
    met = value_ms <= budget_ms
    return {"what": what, "value": round(value_ms, 1), "unit": "ms", "budget": f"≤ {budget_ms}", "met": met}


def _id(number: int) -> str:
    return f"target-{number:05d}"


def _inventory() -> Inventory:
    targets = {}
    for number in range(TARGETS):
        id_ = _id(number)
        one = Check(
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
        targets[id_] = Target(id=id_, type="endpoint", checks=(one,), settle_s=20.0)
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
    tallies: dict[int, Tally] = {}
    for result in batch.results[-719:]:
        tally = tallies.setdefault(result.at_ms - result.at_ms % INTERVAL_MS, Tally())
        tally.add(result, result.duration_s, None)
    batch.rollups = [tally.rollup(check, start_ms) for start_ms, tally in tallies.items()]
    return batch


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
