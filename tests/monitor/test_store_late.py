"""Late results: the past becomes what it would have been, had they come in time; and it is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from alerts.model import Result, State
from config.model import Inventory
from monitor.lateness import Engine
from monitor.queries import Queries
from monitor.store import Store
from monitor.store.tables import outdated
from tests.monitor.country import configured, result, steady
from tests.monitor.engine import ROLLUPS, EngineWithoutProbes, decisive, rows, rows_of, timelines_of

MIDNIGHT_MS = 1_790_010_000_000
MINUTE_MS = 60_000
CHECKS = ("link-a/icmp", "link-b/icmp", "dan-cu/http")
END_MS = MIDNIGHT_MS + 120 * MINUTE_MS


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return configured(tmp_path / "conf")


def eventful(rng: random.Random) -> list[Result]:
    """Return two hours in which things fail and recover, and are not measured at times."""
    told: list[Result] = []
    for check in CHECKS:
        at_ms = MIDNIGHT_MS + rng.randrange(10_000)
        while at_ms < END_MS:
            until_ms = min(END_MS, at_ms + rng.choice((20, 40, 100, 600, 1200)) * 1000)
            kind = rng.choice(("up", "up", "up", "down", "flap", "none"))
            while at_ms < until_ms:
                is_down = kind == "down" or (kind == "flap" and rng.random() < 0.4)
                if kind != "none":
                    told.append(result(check, at_ms, State.DOWN if is_down else State.UP))
                at_ms += 10_000
    return sorted(told, key=lambda one: one.at_ms)


async def lived(
    store: Store, inventory: Inventory, arrivals: Iterable[tuple[int, Result]], step_ms: int = MINUTE_MS
) -> EngineWithoutProbes:
    """Live through results that arrive at given times, and for long enough after the last one."""
    await store.sync_inventory(inventory)
    engine = EngineWithoutProbes(store, inventory)
    waiting = sorted(arrivals, key=lambda pair: pair[0])
    now_ms = MIDNIGHT_MS
    end_ms = max(END_MS, waiting[-1][0]) + 75 * MINUTE_MS
    while now_ms < end_ms:
        now_ms += step_ms if now_ms < END_MS else 5 * MINUTE_MS
        come = [one for at_ms, one in waiting if at_ms <= now_ms]
        waiting = waiting[len(come) :]
        await engine.take(come, now_ms)
        if now_ms // MINUTE_MS % 30 == 0:
            await engine.settle()
    await engine.settle()
    return engine


async def figures(url: str) -> list[object]:
    queries = await Queries.open(url)
    try:
        return list(await queries.availability(MIDNIGHT_MS, END_MS, END_MS + 600 * MINUTE_MS))
    finally:
        await queries.aclose()


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_arrival_gives_the_same(
    store: Store, store_url: str, inventory: Inventory, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.SNAPSHOT_S", 0.0)
    rng = random.Random(seed)
    told = eventful(rng)
    in_time_url = f"sqlite:///{tmp_path}/in-time.db"
    in_time = await Store.open(in_time_url)
    expected = await lived(in_time, inventory, [(one.known_at_ms, one) for one in told], 5 * MINUTE_MS)
    late: list[tuple[int, Result]] = []
    for one in told:
        delay_ms = 0
        if one.at_ms // (7 * MINUTE_MS) % 3 == seed % 3 and rng.random() < 0.9:
            delay_ms = rng.choice((15, 60, 400, 4_000)) * 1000 if seed % 2 else 3_000_000
        late.append((one.known_at_ms + delay_ms, one))
    found = await lived(store, inventory, late)
    assert await timelines_of(store_url) == await timelines_of(in_time_url)
    for table in ROLLUPS:
        assert await rows_of(store_url, table) == await rows_of(in_time_url, table)
    assert await figures(store_url) == await figures(in_time_url)
    assert decisive(found.core.memory.checks) == decisive(expected.core.memory.checks)
    memory, _ = await store.load_memory()
    in_memory = {check: state for check, state in found.core.memory.checks.items() if check in memory.checks}
    assert decisive(memory.checks) == decisive(in_memory)
    assert await rows(store_url, outdated.select().where(outdated.c.what == 0)) == []
    await in_time.aclose()


async def test_an_agent_that_was_away_delivers_what_it_kept(
    store: Store, store_url: str, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.SNAPSHOT_S", 0.0)
    check = CHECKS[0]
    away = (MIDNIGHT_MS + 20 * MINUTE_MS, MIDNIGHT_MS + 50 * MINUTE_MS)
    kept = steady([check], away[0], away[0] + 10 * MINUTE_MS)
    kept += steady([check], away[0] + 10 * MINUTE_MS, away[0] + 15 * MINUTE_MS, State.DOWN)
    kept += steady([check], away[0] + 15 * MINUTE_MS, away[1])
    live = steady([check], MIDNIGHT_MS, away[0]) + steady([check], away[1], END_MS)
    arrivals = [(one.known_at_ms, one) for one in live] + [(away[1] + 25 * MINUTE_MS, one) for one in kept]
    engine = await lived(store, inventory, arrivals)
    queries = await Queries.open(store_url)
    (figure,) = await queries.availability(MIDNIGHT_MS, END_MS, END_MS, "link-a")
    assert (figure.unknown_ms, figure.down_ms) == (0, 5 * MINUTE_MS)
    revisions = await queries.revisions(*away)
    assert {one.check for one in revisions} == {check}
    assert sum(one.results for one in revisions) == len(kept)
    assert min(one.from_ms for one in revisions) <= away[0]
    assert [new[2] for one in revisions for new in one.new] == [State.DOWN, State.UP]
    assert {gone[2] for one in revisions for gone in one.gone} == {State.UNKNOWN, State.UP}
    assert await queries.revisions(*away, after=revisions[-1].id) == []
    # Nobody was told then, and nothing is made up now.
    assert await store.claim_notifications(1 << 44, 10) == []
    assert engine.core.memory.incidents == {}
    await queries.aclose()


async def test_a_check_that_is_really_down_now_is_so_in_the_engine_as_well(
    store: Store, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.SNAPSHOT_S", 0.0)
    await store.sync_inventory(inventory)
    engine = EngineWithoutProbes(store, inventory)
    cut_ms = MIDNIGHT_MS + 20 * MINUTE_MS
    await engine.take(steady(["link-a/icmp"], MIDNIGHT_MS, cut_ms), cut_ms)
    failing = steady(["link-a/icmp"], cut_ms, cut_ms + 60_000, State.DOWN)
    for one in failing[4:]:
        await engine.take([one], one.known_at_ms)
    assert engine.core.memory.checks["link-a/icmp"].state is State.UNKNOWN
    await engine.take(failing[:4], cut_ms + 61_000)
    engine.recent.closed_ms = cut_ms + 15 * MINUTE_MS
    await engine.settle()
    state = engine.core.memory.checks["link-a/icmp"]
    assert (state.state, state.since_ms) == (State.DOWN, cut_ms)
    memory, _ = await store.load_memory()
    assert memory.checks["link-a/icmp"].state is State.DOWN
    assert memory.targets["link-a"].state is State.DOWN


async def test_what_answers_again_after_silence_is_confirmed_without_delay(
    store: Store, store_url: str, inventory: Inventory
) -> None:
    await store.sync_inventory(inventory)
    engine = EngineWithoutProbes(store, inventory)
    cut_ms = MIDNIGHT_MS + 5 * MINUTE_MS
    await engine.take(steady(["link-a/icmp"], MIDNIGHT_MS, cut_ms), cut_ms)
    back_ms = cut_ms + 60 * MINUTE_MS
    await engine.take([], back_ms)
    assert engine.core.memory.checks["link-a/icmp"].state is State.UNKNOWN
    for one in steady(["link-a/icmp"], back_ms, back_ms + 30_000, State.DOWN):
        await engine.take([one], one.known_at_ms)
    state = engine.core.memory.checks["link-a/icmp"]
    assert (state.state, state.since_ms) == (State.DOWN, back_ms)
    assert await rows(store_url, outdated.select().where(outdated.c.what == 0)) == []


async def test_killed_before_a_late_result_is_settled_the_next_one_settles_it(
    store: Store, store_url: str, inventory: Inventory
) -> None:
    await store.sync_inventory(inventory)
    hour = steady(CHECKS, MIDNIGHT_MS, MIDNIGHT_MS + 60 * MINUTE_MS)
    gap = (MIDNIGHT_MS + 20 * MINUTE_MS, MIDNIGHT_MS + 30 * MINUTE_MS)
    await store.import_results([one for one in hour if not gap[0] <= one.at_ms < gap[1]])
    # The transaction that brings the results has noted them: that is all that is left of a killed importer.
    await store.take_lock("a monitor that is running")
    importer = await Store.open(store_url)
    assert await importer.import_results(hour) == 180
    assert [one.unknown_ms for one in await figures(store_url) if one.target == "dan-cu"] != [0]
    await importer.aclose()
    await store.settle(1 << 44)
    (figure,) = [one for one in await figures(store_url) if one.target == "dan-cu"]
    assert figure.up_ms == 60 * MINUTE_MS


async def test_a_result_that_took_longer_than_silence_is_waited_for_ends_like_any_other(
    store: Store, store_url: str, inventory: Inventory
) -> None:
    await store.sync_inventory(inventory)
    end_ms = MIDNIGHT_MS + 10 * MINUTE_MS
    first = [*steady(CHECKS[:1], MIDNIGHT_MS, end_ms), result(CHECKS[0], end_ms)._replace(duration_s=400.0)]
    async with asyncio.timeout(60):
        await store.import_results(first)
        await store.import_results(steady(CHECKS[:1], end_ms + 10_000, end_ms + 20_000))
    assert await rows(store_url, outdated.select().where(outdated.c.what == 0)) == []


async def test_what_the_engine_has_decided_on_and_not_saved_yet_is_not_forgotten(
    store: Store, store_url: str, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.SNAPSHOT_S", 0.0)
    await store.sync_inventory(inventory)
    engine = EngineWithoutProbes(store, inventory)
    check, cut_ms = CHECKS[0], MIDNIGHT_MS + 20 * MINUTE_MS
    await engine.take(steady([check], MIDNIGHT_MS, cut_ms), cut_ms)
    failing = steady([check], cut_ms, cut_ms + 50_000, State.DOWN)
    await engine.take(failing[3:4], failing[3].known_at_ms)
    await engine.take(failing[:3], cut_ms + 41_000)
    unsaved, _ = engine.writer.decide(failing[4:], cut_ms + 50_000, caught_up=True)

    async def flushed() -> None:
        await store.save(unsaved)
        await engine.take([], cut_ms + 50_000)

    async with asyncio.timeout(60):
        await store.settle(cut_ms + 15 * MINUTE_MS, Engine(engine.core, engine.writer.defer, flushed))
    state = engine.core.memory.checks[check]
    assert (state.state, state.since_ms, state.last_at_ms) == (State.DOWN, cut_ms, failing[-1].at_ms)
    assert await rows(store_url, outdated.select().where(outdated.c.what == 0)) == []


async def test_what_raw_results_no_longer_cover_stays(store: Store, store_url: str, inventory: Inventory) -> None:
    await store.sync_inventory(inventory)
    hour = steady(CHECKS, MIDNIGHT_MS, MIDNIGHT_MS + 60 * MINUTE_MS)
    await store.import_results(hour)
    before = [await rows_of(store_url, table) for table in ROLLUPS], await timelines_of(store_url)
    await store.forget_results(MIDNIGHT_MS + 40 * MINUTE_MS)
    await store.import_results([one._replace(agent="other", state=State.DOWN) for one in hour[:200]])
    assert ([await rows_of(store_url, table) for table in ROLLUPS], await timelines_of(store_url)) == before
