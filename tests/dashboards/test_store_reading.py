"""From a real store to what the pages draw: not there yet, written by a monitor, away, back."""

from __future__ import annotations

import shutil
from pathlib import Path

import aiohttp
import orjson
import pytest

from alerts.model import State
from dashboards.app import create_app
from dashboards.reading import StoreAwayError
from dashboards.store_reading import StoreReading
from dashboards.target import WINDOWS_S
from monitor.store import Store
from tests.dashboards.server import serving
from tests.monitor.country import configured, live_through, steady

MIDNIGHT_MS = 1_790_010_000_000
NOW_MS = MIDNIGHT_MS + 30 * 60_000


async def a_monitor_writes(tmp_path: Path, url: str) -> None:
    store = await Store.open(url)
    cut_ms = NOW_MS - 10 * 60_000
    well = ("link-a/icmp", "dan-cu/http", "dan-cu/tcp")
    history = steady((*well, "link-b/icmp"), MIDNIGHT_MS - 3_600_000, cut_ms)
    history += steady(well, cut_ms, NOW_MS) + steady(("link-b/icmp",), cut_ms, NOW_MS, State.DOWN)
    await live_through(store, configured(tmp_path / "conf"), history, NOW_MS)
    await store.aclose()


async def test_a_store_that_is_not_there_yet_is_away_and_then_read(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    reading = StoreReading(url)
    with pytest.raises(StoreAwayError, match="no monitor has run"):
        await reading.overview(NOW_MS)
    await a_monitor_writes(tmp_path, url)
    assert {row.id: row.state for row in (await reading.overview(NOW_MS)).rows}["link-b"] is State.DOWN
    assert await reading.target_page("nope", NOW_MS, 3600) is None
    await reading.aclose()


async def test_a_damaged_store_is_away(tmp_path):
    file = tmp_path / "a.db"
    file.write_bytes(b"this is no database" * 1000)
    reading = StoreReading(f"sqlite:///{file}")
    with pytest.raises(StoreAwayError):
        await reading.overview(NOW_MS)
    await reading.aclose()


async def test_the_pages_data_comes_from_what_the_monitor_wrote(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    await a_monitor_writes(tmp_path, url)
    app = create_app(StoreReading(url), clock=lambda: NOW_MS)
    async with serving(app) as site, aiohttp.ClientSession(site) as client:
        async with client.get("/live/overview") as answer:
            overview = orjson.loads(await answer.read())
            assert answer.headers["Thongsuot-Simulated"] == "1"
        assert [row["id"] for row in overview["notUp"]["rows"]] == ["link-b", "link"]
        assert overview["notUp"]["rows"][1]["reason"] == "Mất dự phòng"
        for window in WINDOWS_S:
            async with client.get("/live/target/link-b", params={"window": str(window)}) as answer:
                assert answer.status == 200
                page = orjson.loads(await answer.read())
        assert page["head"]["word"] == "Ngừng hoạt động"
        assert page["timeline"]["segments"][-1][2] == "down"
        assert page["checks"][0]["latency"]["data"]
        async with client.get("/live/target/link") as answer:
            assert {row["id"] for row in orjson.loads(await answer.read())["members"]} == {"link-a", "link-b"}


async def test_a_store_that_goes_away_and_comes_back(tmp_path):
    (tmp_path / "store").mkdir()
    url = f"sqlite:///{tmp_path}/store/a.db"
    await a_monitor_writes(tmp_path, url)
    clean = create_app(StoreReading(url), clock=lambda: NOW_MS)
    shutil.move(tmp_path / "store", tmp_path / "gone")
    async with serving(clean) as site, aiohttp.ClientSession(site) as client:
        async with client.get("/live/overview") as answer:
            assert answer.status == 503
        shutil.move(tmp_path / "gone", tmp_path / "store")
        async with client.get("/live/overview") as answer:
            assert answer.status == 200
