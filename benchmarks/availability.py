"""How long a report of twelve months of 1,000 targets with 10,000 checks takes: counted, and from closed months.

The history is one that a bad year could have left: 2 to 40 outages or spells of degradation a target and month, of a
minute to four hours. Of every ten targets two are links of two channels, which are targets too, one is a group of five
others, and three keep office hours. It is saved through the store's own door, as an import would.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from alerts.counted import count_line
from alerts.model import Result, State, Subject, Transition
from alerts.periods import start_of_month_ms
from alerts.state_lines import line_of
from alerts.timeline import Change, Timeline
from config.calendars import Holidays, ServiceHours
from config.model import Check, ConfirmRule, Inventory, Maintenance, Objective, Target
from monitor.closing import close_months
from monitor.queries import Queries
from monitor.records import Batch
from monitor.store import Store
from monitor.store.engine import create_engine, parse_url
from tests.postgres import PostgresServer

TARGETS, CHECKS = 1_000, 10_000
MONTHS = 12
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
START_MS = start_of_month_ms(2025, 11, ZONE)
END_MS = start_of_month_ms(2026, 11, ZONE)
NOW_MS = END_MS + 12 * DAY_MS
SAVED = 20_000

Row = dict[str, Any]


def run() -> Iterable[Row]:
    """Measure the counting alone, then both stores."""
    yield counting()
    with tempfile.TemporaryDirectory() as directory:
        yield from asyncio.run(_measure("SQLite", f"sqlite:///{Path(directory) / 'bench.db'}"))
    server = PostgresServer()
    try:
        server.start()
        yield from asyncio.run(_measure("PostgreSQL", server.dsn()))
    finally:
        server.close()


def counting() -> Row:
    """Measure the pure core: a year of one target, 20 outages a month."""
    line = line_of(_timeline(random.Random(1), 20))
    spans = []
    for _ in range(50):
        begun = time.perf_counter()
        count_line(line, START_MS, END_MS)
        spans.append(time.perf_counter() - begun)
    return {
        "what": "counting a year of one target",
        "value": round(min(spans) * 1e6),
        "unit": "µs",
        "changes": len(line),
    }


def _timeline(rng: random.Random, outages: int) -> Timeline:
    changes = (Change(change.at_ms, change.after, change.reason) for change in _outages(rng, "x/http", outages))
    return (Change(START_MS, State.UP), *changes)


async def _measure(name: str, url: str) -> list[Row]:
    store = await Store.open(url)
    inventory = _inventory()
    await store.sync_inventory(inventory)
    transitions = 0
    for batch in _history(inventory):
        await store.save(batch)
        transitions += len(batch.transitions)
    await store.beat(NOW_MS)
    await _analyze(url)
    queries = await Queries.open(url)
    gc.collect()
    gc.freeze()  # as the web process does once it is warm
    before_mb = _resident_mb()
    cold = await _ask(queries)
    counting_mb = _resident_mb() - before_mb
    begun = time.perf_counter()
    closed = await close_months(queries, store, NOW_MS)
    closing_s = time.perf_counter() - begun
    warm = await _ask(queries)
    counted = await queries.counted_availability(START_MS, END_MS, NOW_MS)
    outages = sum(figure.outages for figure in counted)
    gc.unfreeze()
    await queries.aclose()
    await store.aclose()
    facts = {"checks": len(inventory.checks), "transitions": transitions, "outages": outages, "added_mb": counting_mb}
    return [
        _row(f"12 months of {TARGETS} targets, counted, {name}", cold, facts),
        _row(f"12 months of {TARGETS} targets, from closed months, {name}", warm, {}),
        {
            "what": f"closing the months of a year, {name}",
            "value": round(closing_s / closed * 1e6),
            "unit": "µs each",
            "months": closed,
        },
    ]


async def _analyze(url: str) -> None:
    """Let PostgreSQL know what it holds, as its autovacuum does within a minute."""
    engine = create_engine(parse_url(url))
    if engine.dialect.name == "postgresql":
        async with engine.connect() as connection:
            await connection.execute(text("ANALYZE"))
            await connection.commit()
    await engine.dispose()


def _resident_mb() -> int:
    """Return how much memory this process holds now; counting must not need much more."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() >> 20


async def _ask(queries: Queries) -> tuple[float, float]:
    """Return how long an answer takes, and how much of a processor: a shared machine says much of the first."""
    spans = []
    for _ in range(3):
        begun, used = time.perf_counter(), time.process_time()
        await queries.counted_availability(START_MS, END_MS, NOW_MS)
        spans.append((time.perf_counter() - begun, time.process_time() - used))
    return sorted(spans)[1]


def _row(what: str, spent: tuple[float, float], facts: Row) -> Row:
    wall_s, cpu_s = spent
    shown = {"what": what, "value": round(wall_s, 2), "unit": "s", "cpu_s": round(cpu_s, 2)}
    return {**shown, "budget": "≤ 5", "met": wall_s <= 5, **facts}


def _inventory() -> Inventory:
    """Return 1,000 targets, seven of ten with 14 checks or 15, of which the first sees most of what happens."""
    targets: dict[str, Target] = {}
    for number in range(TARGETS // 10):
        for channel in ("a1", "b1", "a2", "b2"):
            _add(targets, f"link-{number:03}-{channel}", "link")
        for link in "12":
            id_ = f"link-{number:03}-{link}"
            channels = (f"link-{number:03}-a{link}", f"link-{number:03}-b{link}")
            targets[id_] = Target(id=id_, type="link", members=channels, policy="any", need=1)
        for place in range(3):
            _add(targets, f"service-{number:03}-{place}", "endpoint", service_hours="office")
        members = tuple(targets)[-5:]
        targets[f"group-{number:03}"] = Target(id=f"group-{number:03}", type="group", members=members, need=4)
    tet = [{"from": date(2026, 2, 16), "to": date(2026, 2, 20)}]
    nights = (START_MS / 1000 + 86_400 * (30 * month + 10) for month in range(MONTHS))
    windows = [
        Maintenance(**{"targets": list(targets)[:50], "from": begin, "to": begin + timedelta(hours=4)})
        for begin in (_moment(at_s) for at_s in nights)
    ]
    return Inventory(
        targets=targets,
        maintenance=windows,
        service_hours={
            "office": ServiceHours(id="office", days="mon-fri", hours="07:30-11:30,13:00-17:00", holidays=("vn",))
        },
        holidays={"vn": Holidays(id="vn", days=tet)},
    )


def _moment(at_s: float) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_s, UTC)


def _add(targets: dict[str, Target], id_: str, type_: Any, *, service_hours: str = "") -> None:
    checked = sum(bool(target.checks) for target in targets.values())
    number = CHECKS * 10 // (TARGETS * 7) + (checked < CHECKS % (TARGETS * 7 // 10))
    checks = tuple(
        Check(
            id=f"{id_}/check-{place}",
            target=id_,
            name=f"check-{place}",
            probe="http",
            params=None,
            interval_s=10.0,
            timeout_s=5.0,
            retry_interval_s=3.0,
            stale_after_s=30.0,
            confirm=ConfirmRule(),
        )
        for place in range(number)
    )
    objective = Objective(availability=0.999)
    targets[id_] = Target(id=id_, type=type_, checks=checks, service_hours=service_hours, objective=objective)


def _history(inventory: Inventory) -> Iterator[Batch]:
    rng = random.Random(5)
    batch = Batch()
    for check in inventory.checks:
        batch.results.append(Result(check, "local", START_MS, 0.03, State.UP, None, "", {}))
        batch.transitions.append(Transition(Subject.CHECK, check, State.UNKNOWN, State.UP, START_MS, START_MS + 30))
        least, most = (2, 40) if check.endswith("/check-0") else (0, 1)
        batch.transitions += _outages(rng, check, rng.randint(least, most))
        if len(batch.transitions) >= SAVED:
            yield batch
            batch = Batch()
    yield batch


def _outages(rng: random.Random, check: str, monthly: int) -> Iterator[Transition]:
    at_ms = START_MS
    for _ in range(monthly * MONTHS):
        at_ms += round(rng.expovariate(monthly / (30 * DAY_MS))) + 2 * MINUTE_MS
        spell_ms = rng.choice((MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS))
        if at_ms + spell_ms >= NOW_MS:
            return
        bad = rng.choice((State.DOWN, State.DOWN, State.DEGRADED))
        yield Transition(Subject.CHECK, check, State.UP, bad, at_ms, at_ms + 20_000, "connect_timeout")
        at_ms += spell_ms
        yield Transition(Subject.CHECK, check, bad, State.UP, at_ms, at_ms + 15_000)


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        sys.stdout.flush()
