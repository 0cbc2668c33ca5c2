"""Builds a past for the country: months of rollups and transitions, and raw results of the last hours.

    await build(config, parse_duration("365d"), seed=1, say=print)

The past before `RAW_MS` is measured, decided on and counted in processes of its own (`monitor.demo.past`), a check
after the other, and each check's is saved at once. The last hours are results at the checks' own intervals, imported
as a file of results would be. A build that was interrupted goes on where it stopped; what is there is left as it is.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml

from alerts.model import CheckRule, Result
from alerts.periods import local_day, start_of_day_ms
from config.loader import load
from config.model import Inventory
from config.rules import rules_of
from monitor.closing import close_months
from monitor.demo import past_script
from monitor.demo.configuration import HEAD
from monitor.demo.past import Era, Past
from monitor.demo.witness import Watched
from monitor.queries import Queries
from monitor.rollup import HOUR_MS
from monitor.store import Store
from monitor.store.history import History

LONGEST_S = 1096 * 86_400
"""Three years: as long as hours are kept."""
RAW_MS = 3 * HOUR_MS
"""Of so long there are raw results: what a store keeps unsealed."""
NOTE = "simulated_history"
"""Where the store notes which past was built, so that an interrupted build goes on with the same."""
_ROUNDS = 2
"""The second catches up with what the first has taken; what the second takes is time in which nothing was measured."""
_SLICE_MS = 300_000

Say = Callable[[str], None]


async def build(config: Path, length_s: float, seed: int, say: Say) -> None:
    """Build the past that the store of this configuration lacks. Raises StoreError and ConfigError."""
    store = await Store.open(load(config, environ=os.environ).settings.store)
    try:
        await store.take_lock(f"the past of the simulation, pid {os.getpid()}")
        noted = await store.read_note(NOTE)
        if noted is None and store.first_results():
            say("lịch sử: kho dữ liệu đã có số liệu, giữ nguyên / the store has a past of its own: it is left as it is")
            return
        if noted is not None and noted["is_whole"]:
            say("lịch sử: đã có từ trước / the past was built before")
            return
        if noted is None:
            noted = {
                **_period(length_s, load(config, environ=os.environ).settings.timezone),
                "seed": seed,
                "is_whole": False,
            }
            await store.note(NOTE, noted)
        await _build(store, config, noted, say)
        await store.note(NOTE, {**noted, "is_whole": True})
    finally:
        await store.aclose()


def _period(length_s: float, timezone: str) -> dict[str, int]:
    """Return where the past begins, a midnight if it is longer than a day, and where its raw results begin."""
    now_ms, zone = _now_ms(), ZoneInfo(timezone)
    from_ms = now_ms - round(length_s * 1000)
    if length_s > 86_400:
        from_ms = start_of_day_ms(local_day(from_ms, zone), zone)
    from_ms -= from_ms % HOUR_MS
    return {"from_ms": from_ms, "raw_ms": max(from_ms, now_ms - now_ms % HOUR_MS - RAW_MS), "to_ms": now_ms}


async def _build(store: Store, config: Path, noted: dict[str, int], say: Say) -> None:
    era = Era(
        noted["from_ms"], noted["raw_ms"], noted["seed"], ZoneInfo(load(config, environ=os.environ).settings.timezone)
    )
    past = Past(era, noted["to_ms"])
    _write_windows(config, past)
    inventory = load(config, environ=os.environ)
    await store.sync_inventory(inventory)
    lacking = [check for check in _watched(inventory) if store.first_results().get(check.id, era.to_ms) >= era.to_ms]
    if era.from_ms < era.to_ms:
        await _import_past(store, past, inventory, lacking, say)
    say("lịch sử: kết quả đo những giờ gần nhất / the last hours' results")
    from_ms = era.to_ms
    # Interrupted and taken up much later, the time since then was not measured.
    last_ms = noted["to_ms"] + RAW_MS
    for _ in range(_ROUNDS):
        to_ms = min(_now_ms(), last_ms)
        await store.import_results(_results(past, inventory, from_ms, to_ms))
        from_ms = to_ms
    await _close_months(store, inventory.settings.store)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _watched(inventory: Inventory) -> list[Watched]:
    return [Watched(c.id, c.target, c.probe) for target in inventory.targets.values() for c in target.checks]


def _write_windows(config: Path, past: Past) -> None:
    """Write the windows that were planned into the configuration: figures count them."""
    plan, zone = past.plan, past.era.zone
    found = [
        {
            "targets": [window.gateway, *(service.id for service in past_script.behind(plan, window.gateway))],
            "from": _local(window.from_ms, zone),
            "to": _local(window.to_ms, zone),
            "reason": "Bảo trì định kỳ (mô phỏng)",
        }
        for window in past_script.windows(plan, past.era.from_ms, past.era.to_ms, zone)
    ]
    text = yaml.safe_dump({"maintenance": found}, allow_unicode=True, sort_keys=False) if found else ""
    (config / "maintenance.yaml").write_text(HEAD + text, encoding="utf-8")


def _local(at_ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_ms / 1000, zone).isoformat(timespec="minutes")


async def _import_past(store: Store, past: Past, inventory: Inventory, checks: Sequence[Watched], say: Say) -> None:
    rules, total, done, told = rules_of(inventory).checks, len(_watched(inventory)), 0, -1
    done = total - len(checks)
    async for history in _histories(past, [(check, rules[check.id]) for check in checks]):
        await store.import_history([history])
        done += 1
        if done * 20 // total != told:
            told = done * 20 // total
            say(f"lịch sử: {done}/{total} phép đo / {done} of {total} checks")


async def _histories(past: Past, jobs: Sequence[tuple[Watched, CheckRule]]) -> AsyncIterator[History]:
    """Yield the histories of those checks, worked out on all cores; no more are under way than are being waited for."""
    loop, workers = asyncio.get_running_loop(), os.cpu_count() or 1
    # Not forked: this process has threads.
    context = multiprocessing.get_context("spawn")
    remaining = iter(jobs)
    with ProcessPoolExecutor(workers, context, _begin, (past.era, past.until_ms)) as pool:
        running: set[asyncio.Future[History]] = set()
        while True:
            for job in remaining:
                running.add(loop.run_in_executor(pool, _history, *job))
                if len(running) > workers:
                    break
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                yield one.result()


_past: Past | None = None
"""Of a process that works pasts out."""


def _begin(era: Era, until_ms: int) -> None:
    global _past  # noqa: PLW0603 - drawn once in each process
    os.nice(5)  # the machine may be watched by a product already
    gc.disable()  # nothing that is made here goes in circles
    _past = Past(era, until_ms)


def _history(check: Watched, rule: CheckRule) -> History:
    if _past is None:
        raise RuntimeError("this process has not begun")
    return _past.history(check, rule)


def _results(past: Past, inventory: Inventory, from_ms: int, to_ms: int) -> Iterator[Result]:
    """Yield what all checks measured in [from_ms, to_ms) at their own intervals, a slice of time after the other."""
    watched = [(past.witness(check), round(_interval_ms(inventory, check))) for check in _watched(inventory)]
    for start_ms in range(from_ms, to_ms, _SLICE_MS):
        end_ms = min(start_ms + _SLICE_MS, to_ms)
        for witness, interval_ms in watched:
            phase_ms = round(witness.phase * interval_ms)
            first_ms = start_ms + (phase_ms - start_ms) % interval_ms
            for at_ms in range(first_ms, end_ms, interval_ms):
                yield witness.measure(at_ms)


def _interval_ms(inventory: Inventory, check: Watched) -> float:
    return next(one.interval_s for one in inventory.targets[check.target].checks if one.id == check.id) * 1000


async def _close_months(store: Store, url: str) -> None:
    queries = await Queries.open(url)
    try:
        await close_months(queries, store, _now_ms())
    finally:
        await queries.aclose()
