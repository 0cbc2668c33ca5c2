"""What results cost on the disk, raw and sealed, what sealing costs, and how Prometheus keeps the same results.

Results of the `http` kind of 300 checks at 10 s, as realistic as `benchmarks.realistic` makes them, for 2 hours, saved
in batches as the engine makes them. Prometheus gets the same numbers as OpenMetrics through
`promtool tsdb create-blocks-from`: one series for each sample, one for the duration, one for success.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg

from alerts.model import Result, State
from benchmarks.realistic import http_results
from monitor.records import Batch
from monitor.store import Store, results, sealing
from tests.postgres import PostgresServer

START_MS = 1_790_002_800_000
HOUR_MS = 3_600_000
CHECKS, TURNS, BATCH = 300, 720, 500
ONE_CHECK = "target-00007/http"
RAW_BYTES, SEALED_BYTES = 48, 12

Row = dict[str, Any]


def run() -> Iterable[Row]:
    """Measure both stores, then Prometheus."""
    found = list(http_results(CHECKS, TURNS, START_MS))
    with tempfile.TemporaryDirectory() as directory:
        yield from asyncio.run(_measure("SQLite", f"sqlite:///{directory}/store.db", found))
    server = PostgresServer({"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"})
    try:
        server.start()
        name = asyncio.run(server.create_database())
        yield from asyncio.run(_measure("PostgreSQL", server.dsn(name), found))
    finally:
        server.close()
    yield from prometheus(found)


async def _measure(name: str, url: str, found: list[Result]) -> list[Row]:
    store = await Store.open(url)
    await store.take_lock("benchmark")
    for at in range(0, len(found), BATCH):
        await store.save(Batch(results=found[at : at + BATCH]))
    raw = await _bytes(url, ("results", "result_pages")) / len(found)
    raw_s = await _read_one(store)
    sealing_rest, sealing._REST = sealing._REST, 0.0  # what is measured is the work, not the pauses
    begun, cpu = time.perf_counter(), time.process_time()
    sealed = 0
    while count := await store.seal(START_MS + 3 * HOUR_MS):
        sealed += count
    spent_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    sealing._REST = sealing_rest
    assert sealed == len(found)
    blocks = await _bytes(url, ("sealed_results",)) / len(found)
    sealed_s = await _read_one(store)
    begun = time.perf_counter()
    exported = [result async for result in store.export_results(START_MS, START_MS + 3 * HOUR_MS)]
    export_s = time.perf_counter() - begun
    assert len(exported) == len(found)
    await store.aclose()
    return [
        _row(f"bytes per raw result, {name}", raw, "B", RAW_BYTES),
        _row(f"bytes per sealed result, {name}", blocks, "B", SEALED_BYTES),
        _row(f"CPU of sealing a result, {name}", cpu_s / sealed * 1e6, "µs"),
        _row(f"sealing a result, {name}", spent_s / sealed * 1e6, "µs"),
        _row(f"two hours of one check, raw, {name}", raw_s * 1e3, "ms"),
        _row(f"two hours of one check, sealed, {name}", sealed_s * 1e3, "ms"),
        _row(f"export of sealed results, {name}", len(found) / export_s, "results/s"),
    ]


def _row(what: str, value: float, unit: str, budget: float | None = None) -> Row:
    row: Row = {"what": what, "value": round(value, 2), "unit": unit}
    return row if budget is None else row | {"budget": f"≤ {budget}", "met": value <= budget}


async def _read_one(store: Store) -> float:
    number = store._names.checks[ONE_CHECK]
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        async with results.snapshot(store._reader) as connection:
            found = await results.read_check(connection, store._names, number, START_MS, START_MS + 2 * HOUR_MS)
        best = min(best, time.perf_counter() - begun)
        assert len(found) == TURNS
    return best


async def _bytes(url: str, tables: tuple[str, ...]) -> int:
    """Return what tables take with their indexes, free space in their pages included."""
    if url.startswith("sqlite"):
        names = ", ".join(f"'{name}', 'sqlite_autoindex_{name}_1'" for name in tables)
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as live:
            return live.execute(f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({names})").fetchone()[0]
    connection = await asyncpg.connect(url)
    statement = (
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c WHERE c.relkind = 'r' "
        "AND (c.relname = ANY($1) OR c.oid IN "
        "(SELECT inhrelid FROM pg_inherits WHERE inhparent::regclass::text = ANY($1)))"
    )
    found = await connection.fetchval(statement, list(tables))
    await connection.close()
    return found


def prometheus(found: list[Result]) -> Iterable[Row]:
    """Let promtool make blocks of the same numbers, and measure them."""
    promtool = shutil.which("promtool")
    if promtool is None:
        yield {
            "what": "Prometheus",
            "value": None,
            "unit": "",
            "note": "not installed: sh deploy/system-packages bench",
        }
        return
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "results.om", Path(directory) / "tsdb"
        _write_openmetrics(found, source)
        begun = time.perf_counter()
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(source), str(target)]
        subprocess.run(command, check=True, capture_output=True)
        spent_s = time.perf_counter() - begun
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    samples = sum(len(result.samples) + 2 for result in found)
    yield _row("bytes per result, Prometheus TSDB", size / len(found), "B")
    yield _row("bytes per sample, Prometheus TSDB", size / samples, "B")
    yield _row("import into blocks, Prometheus TSDB", len(found) / spent_s, "results/s")


def _write_openmetrics(found: list[Result], path: Path) -> None:
    series: dict[str, list[str]] = {}
    for result in found:
        up = float(result.state is State.UP)
        for name, value in {"duration_s": result.duration_s, "success": up, **result.samples}.items():
            line = f'probe_{name}{{check="{result.check}"}} {value} {result.at_ms / 1000:.3f}\n'
            series.setdefault(name, []).append(line)
    with path.open("w") as file:
        for name, lines in series.items():
            file.write(f"# TYPE probe_{name} gauge\n")
            file.writelines(lines)
        file.write("# EOF\n")


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stdout.flush()
