"""The pages' data over real HTTP: shared, tagged, honest about its age, and calm when the store is away."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip

import aiohttp
import orjson
import pytest

from dashboards.app import create_app
from dashboards.reading import Shared, StoreAwayError
from monitor.views import Overview
from tests.dashboards import sample
from tests.dashboards.server import serving

PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def reading():
    return sample.SampleReading()


@pytest.fixture
async def site(reading):
    async with (
        serving(create_app(reading, clock=lambda: sample.NOW_MS)) as url,
        aiohttp.ClientSession(url, headers=PLAIN, auto_decompress=False) as client,
    ):
        yield client


async def test_the_overview_is_answered_with_its_age(site):
    async with site.get("/live/overview") as answer:
        data = orjson.loads(await answer.read())
        assert answer.status == 200
        assert int(answer.headers["Thongsuot-Now"]) - int(answer.headers["Thongsuot-Heartbeat"]) == 800
        assert answer.headers["Thongsuot-Simulated"] == "1"
        assert answer.headers["Cache-Control"] == "no-store"
    assert data["counts"][0] == {"state": "down", "word": "Ngừng hoạt động", "count": "8", "none": False}


async def test_what_is_unchanged_is_not_sent_again_but_its_age_is(site, reading):
    async with site.get("/live/overview") as first:
        tag = first.headers["ETag"]
    await asyncio.sleep(1.1)
    reading.shown = dataclasses.replace(reading.shown, heartbeat_ms=sample.NOW_MS - 20_000)
    async with site.get("/live/overview", headers={"If-None-Match": tag}) as second:
        assert second.status == 304
        assert await second.read() == b""
        assert second.headers["Thongsuot-Heartbeat"] == str(sample.NOW_MS - 20_000)


async def test_what_changed_is_sent_within_two_seconds(site, reading):
    async with site.get("/live/overview") as first:
        tag = first.headers["ETag"]
    reading.shown = sample.overview(sample.country())
    loop = asyncio.get_running_loop()
    changed = loop.time()
    while True:
        async with site.get("/live/overview", headers={"If-None-Match": tag}) as answer:
            if answer.status == 200:
                break
        await asyncio.sleep(0.05)
    assert loop.time() - changed < 2


async def test_many_viewers_cost_one_query(site, reading):
    async def look() -> int:
        async with site.get("/live/overview") as answer:
            return answer.status

    assert await asyncio.gather(*(look() for _ in range(40))) == [200] * 40
    assert reading.asked <= 2


async def test_gzip_is_the_same_data(site):
    async with (
        site.get("/live/overview") as plain,
        site.get("/live/overview", headers={"Accept-Encoding": "gzip"}) as packed,
    ):
        assert packed.headers["Content-Encoding"] == "gzip"
        body = await packed.read()
        assert gzip.decompress(body) == await plain.read()
        assert len(body) < 25_000


async def test_the_filter_is_in_the_address(site):
    async with site.get("/live/overview", params={"q": "cao bang", "state": "down"}) as answer:
        data = orjson.loads(await answer.read())
    assert data["matched"] == "4"
    assert data["total"] == "252"


async def test_a_target_is_answered_in_the_viewers_language(site):
    async with site.get("/live/target/lgsp-04", params={"lang": "en", "window": "21600"}) as answer:
        data = orjson.loads(await answer.read())
        assert answer.headers["Thongsuot-Again"] == "5"
    assert data["head"]["word"] == "Down"


async def test_a_target_that_is_not_there_is_a_404(site):
    for name in ("nope", "x" * 5000, "%00", "a%20b", "<script>"):
        async with site.get(f"/live/target/{name}") as answer:
            assert answer.status == 404
            assert orjson.loads(await answer.read())["problem"] == "unknown_target"


@pytest.mark.parametrize(
    "query",
    [
        "q=%ff%fe",
        "q=" + "a" * 8000,
        "state[]=up",
        "type=%00",
        "lang=<script>",
        "window=1e99",
        "window=-1",
        "theme=../..",
    ],
)
async def test_no_input_breaks_the_data(site, query):
    for path in ("/live/overview", "/live/target/lgsp-04"):
        async with site.get(f"{path}?{query}") as answer:
            assert answer.status == 200


async def test_a_store_that_is_away_is_said_and_gets_over(site, reading):
    reading.away = True
    async with site.get("/live/overview") as answer:
        assert answer.status == 503
        assert orjson.loads(await answer.read()) == {"problem": "store_away"}
        assert answer.headers["Thongsuot-Now"]
    async with site.get("/healthz") as health:
        assert orjson.loads(await health.read()) == {"status": "ok", "store": "away"}
    reading.away = False
    async with site.get("/live/overview") as answer:
        assert answer.status == 200


async def test_a_query_that_hangs_counts_as_away():
    class Hanging(sample.SampleReading):
        async def overview(self, now_ms: int) -> Overview:
            await asyncio.Event().wait()
            raise AssertionError

    app = create_app(Hanging(), read_timeout_s=0.2)
    async with serving(app) as url, aiohttp.ClientSession(url) as client, client.get("/live/overview") as answer:
        assert answer.status == 503


async def test_a_bug_in_the_reading_is_a_500_and_no_traceback():
    class Broken(sample.SampleReading):
        async def overview(self, now_ms: int) -> Overview:
            raise ZeroDivisionError("secret detail")

    app = create_app(Broken())
    async with serving(app) as url, aiohttp.ClientSession(url) as client, client.get("/live/overview") as answer:
        assert answer.status == 500
        assert "secret detail" not in await answer.text()


async def test_a_shared_answer_outlives_the_viewer_who_asked_first():
    shared: Shared[str, int] = Shared(4)
    gate, asked = asyncio.Event(), []

    async def ask() -> int:
        asked.append(1)
        await gate.wait()
        return 7

    first = asyncio.create_task(shared.get("k", 60, ask))
    second = asyncio.create_task(shared.get("k", 60, ask))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == 7
    assert asked == [1]


async def test_a_failed_answer_is_not_kept():
    shared: Shared[str, int] = Shared(4)

    async def fail() -> int:
        raise StoreAwayError

    async def succeed() -> int:
        return 1

    with pytest.raises(StoreAwayError):
        await shared.get("k", 60, fail)
    assert await shared.get("k", 60, succeed) == 1


async def test_kept_answers_are_bounded():
    shared: Shared[int, int] = Shared(3)

    async def one() -> int:
        return 1

    for key in range(50):
        await shared.get(key, 60, one)
    assert len(shared._kept) == 3
