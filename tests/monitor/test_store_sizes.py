"""The store's size, its growth, and when the disk is full."""

from __future__ import annotations

import pytest

from config.model import Retention
from monitor.cli_status import store_line, store_object
from monitor.queries import Queries
from monitor.store import Store
from monitor.store.sizes import DAY_MS, forecast
from tests.monitor.samples import START_MS, full_batch, http_results

GIB = 1 << 30


def test_the_disk_is_full_when_it_is_at_this_rate() -> None:
    points = [(START_MS, 10 * GIB), (START_MS + DAY_MS, 12 * GIB)]
    found = forecast(points, {}, 10 * GIB, START_MS, 14.0 * DAY_MS)
    assert found.growth_bytes == 2 * GIB
    assert found.full_ms == START_MS + 6 * DAY_MS
    assert "DISK FULL" in store_line(found)


def test_a_store_that_levels_off_before_does_not_fill_the_disk() -> None:
    points = [(START_MS, 10 * GIB), (START_MS + DAY_MS, 12 * GIB)]
    found = forecast(points, {}, 100 * GIB, START_MS - 5 * DAY_MS, 14.0 * DAY_MS)
    assert (found.full_ms, found.level_ms) == (None, START_MS + 9 * DAY_MS)
    assert forecast(points, {}, 100 * GIB, START_MS, float("inf")).full_ms == START_MS + 51 * DAY_MS


def test_growth_of_a_moment_is_not_believed() -> None:
    found = forecast([(START_MS, 1), (START_MS + 60_000, GIB)], {}, GIB, None, 14.0 * DAY_MS)
    assert (found.growth_bytes, found.full_ms) == (None, None)


async def test_what_the_monitor_measured_is_read_by_others(store: Store, store_url: str) -> None:
    queries = await Queries.open(store_url)
    assert await queries.forecast() is None
    await store.save(full_batch())
    await store.import_results(http_results(checks=20, turns=100))
    first = await store.measure(Retention(), START_MS)
    assert 0 < first.kinds["raw"] < first.total_bytes
    await store.import_results(http_results(checks=50, turns=400, start_ms=START_MS + 10**7))
    second = await store.measure(Retention(), START_MS + DAY_MS)
    assert second.growth_bytes == pytest.approx(second.total_bytes - first.total_bytes)
    assert second.growth_bytes > 0
    assert await queries.forecast() == second
    assert store_object(second) is not None
    assert "MiB a day" in store_line(second)
    await queries.aclose()
