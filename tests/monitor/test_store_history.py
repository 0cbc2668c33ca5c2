"""Imported history: figures from the store are those of the file, however it was imported."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from alerts.model import Result, State
from config.model import Inventory
from monitor.availability import availability_from_results
from monitor.queries import Queries
from monitor.store import Store
from tests.monitor.country import configured, live_through, steady

MIDNIGHT_MS = 1_790_010_000_000
MINUTE_MS = 60_000
CHECKS = ("link-a/icmp", "link-b/icmp", "dan-cu/http", "dan-cu/tcp")


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return configured(tmp_path / "conf")


def eventful_hour(start_ms: int) -> list[Result]:
    """Return an hour in which channel b fails for 10 minutes, and nothing is measured for another 10."""
    after_ms = start_ms + 60 * MINUTE_MS
    history = steady(CHECKS, start_ms, start_ms + 20 * MINUTE_MS)
    history += steady(CHECKS, start_ms + 30 * MINUTE_MS, after_ms)
    failed = (start_ms + 5 * MINUTE_MS, start_ms + 15 * MINUTE_MS)
    return [r for r in history if not (r.check == "link-b/icmp" and failed[0] <= r.at_ms < failed[1])] + steady(
        ("link-b/icmp",), *failed, State.DOWN
    )


async def figures(url: str, now_ms: int, from_ms: int = MIDNIGHT_MS) -> list[object]:
    queries = await Queries.open(url)
    try:
        return list(await queries.availability(from_ms, now_ms, now_ms))
    finally:
        await queries.aclose()


@pytest.mark.parametrize("parts", ["whole", "shuffled", "backwards"])
async def test_the_store_counts_what_the_file_counts(
    store: Store, store_url: str, inventory: Inventory, parts: str
) -> None:
    history = sorted(eventful_hour(MIDNIGHT_MS), key=lambda r: r.at_ms)
    now_ms = MIDNIGHT_MS + 120 * MINUTE_MS
    await store.sync_inventory(inventory)
    if parts == "whole":
        assert await store.import_results(history) == len(history)
    elif parts == "shuffled":
        shuffled = random.Random(4).sample(history, len(history))
        for n in range(3):
            await store.import_results(shuffled[n::3])
    else:
        await store.import_results(history[len(history) // 2 :])
        await store.import_results(history[: len(history) // 2])
    expected = availability_from_results(inventory, history, MIDNIGHT_MS, now_ms, now_ms)
    assert await figures(store_url, now_ms) == expected
    assert [f.down_ms for f in expected if f.target == "link-b"] == [10 * MINUTE_MS]
    assert await store.import_results(history) == 0
    assert await figures(store_url, now_ms) == expected


async def test_history_from_before_the_monitor_joins_what_it_measured(
    store: Store, store_url: str, inventory: Inventory
) -> None:
    live_from_ms, now_ms = MIDNIGHT_MS + 60 * MINUTE_MS, MIDNIGHT_MS + 90 * MINUTE_MS
    live = steady(CHECKS, live_from_ms, now_ms)
    await live_through(store, inventory, live, now_ms)
    history = eventful_hour(MIDNIGHT_MS)
    await store.import_results(history)
    expected = availability_from_results(inventory, [*history, *live], MIDNIGHT_MS, now_ms, now_ms)
    assert await figures(store_url, now_ms) == expected


async def test_an_import_of_what_was_measured_live_changes_nothing(
    store: Store, store_url: str, inventory: Inventory
) -> None:
    now_ms = MIDNIGHT_MS + 60 * MINUTE_MS
    history = eventful_hour(MIDNIGHT_MS)
    await live_through(store, inventory, history, now_ms)
    before = await figures(store_url, now_ms)
    extra = history[0]._replace(agent="other")
    assert await store.import_results([*history, extra]) == 1
    assert await figures(store_url, now_ms) == before


async def test_imported_history_has_charts(store: Store, store_url: str, inventory: Inventory) -> None:
    await store.sync_inventory(inventory)
    await store.import_results(eventful_hour(MIDNIGHT_MS))
    queries = await Queries.open(store_url)
    page = await queries.target_page("link-b", MIDNIGHT_MS + 60 * MINUTE_MS, 3 * 3600)
    await queries.aclose()
    assert page is not None
    points = {(p.at_ms - MIDNIGHT_MS) // (5 * MINUTE_MS): p for p in page.checks[0].points}
    assert sorted(points) == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    assert points[0].latency_s == pytest.approx(0.02)
    assert (points[1].state, points[1].latency_s, points[1].loss_ratio) == (State.DOWN, None, 1.0)


async def test_results_of_what_is_not_configured_are_only_kept(store: Store, inventory: Inventory) -> None:
    assert not await store.has_inventory()
    await store.sync_inventory(inventory)
    assert await store.has_inventory()
    strange = [r._replace(check="elsewhere/http") for r in steady(("x/y",), MIDNIGHT_MS, MIDNIGHT_MS + MINUTE_MS)]
    assert await store.import_results(strange) == 6
    assert [r async for r in store.export_results(0, 1 << 44)] == strange
