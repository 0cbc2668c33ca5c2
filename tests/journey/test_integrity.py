"""What happens when the disk is full or the database away, under the running product: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from alerts.model import Result
from monitor.queries import Queries
from monitor.rollup import results_in
from monitor.store import Store, care
from monitor.store.copying import copy_store
from monitor.store.restoring import restore
from monitor.store.tables import rollups_5m
from tests.journey.product import PATIENCE_S, Product, Service, service, until
from tests.monitor.conftest import small_disk
from tests.monitor.engine import rows_of
from tests.postgres import PostgresServer, end_sessions, has_lock
from tests.proxy import Proxy, proxy

__all__ = ["small_disk"]


async def results_of(product: Product) -> list[tuple[str, str, int]]:
    store = await Store.open(product.store)
    try:
        return [(r.check, r.agent, r.at_ms) async for r in store.export_results(0, 1 << 44)]
    finally:
        await store.aclose()


async def assert_each_run_is_there_once(product: Product, served: Service) -> None:
    """See that the store holds a result of each request that the service saw; the last may have been cut off."""
    found = await results_of(product)
    assert len(set(found)) == len(found)
    assert len(found) in (served.asked, served.asked - 1)
    assert sum(map(results_in, await rows_of(product.store, rollups_5m))) == len(found)
    assert await care.check(product.store) == []


def fill_up(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")


async def readiness(product: Product) -> str:
    """Return why the monitor is not ready, "" while it is, or does not answer."""
    status, text = await product.get(f"{product.listen}/readyz")
    return text if status == 503 else ""


@pytest.mark.parametrize("shared", [False, True], ids=["spool-elsewhere", "spool-on-it"])
async def test_a_full_disk_is_told_and_costs_nothing(small_disk: Path, tmp_path: Path, *, shared: bool) -> None:
    async with service() as served:
        product = Product(tmp_path, served, f"sqlite:///{small_disk}/store.db")
        if shared:
            product.document["settings"]["spool"] = f"{small_disk}/spool"
            product.write()
        async with product.running("monitor") as process:
            await until(product.is_ready, "the monitor is ready")
            await until(lambda: served.asked > 1, "it watches")
            # What the store frees again by itself is taken too.
            said = await until(lambda: _filled(product, small_disk / "filler"), "it says that the store is away")
            assert "the store is away" in said
            assert await product.metric("thongsuot_store_available") == 0
            if shared:
                said = await until(lambda: _says(product, "in memory"), "it says that the spool is full too")
                assert await product.metric("thongsuot_spool_available") == 0
            else:
                await until(lambda: _waits(product), "results wait in the spool")
            served.status = 503
            before = served.asked
            await until(lambda: served.asked > before + 3, "it goes on watching")
            (small_disk / "filler").unlink()
            await until(product.is_ready, "it recovers by itself")
            await until(lambda: _is_empty(product), "the spool is delivered")
            await until(lambda: served.told, "what was decided meanwhile is told")
            served.status = 200
            await until(lambda: len(served.told) > 1, "the end is told")
            assert process.returncode is None
        assert [told["kind"] for told in served.told] == ["opened", "resolved"]
        log = product.log("monitor")
        assert "the store is back" in log
        assert ("neither store nor spool" in log) == shared
        assert "Traceback" not in log
        await assert_each_run_is_there_once(product, served)


async def _filled(product: Product, filler: Path) -> str:
    await asyncio.to_thread(fill_up, filler)
    return await readiness(product)


async def _says(product: Product, what: str) -> bool:
    return what in await readiness(product)


async def _waits(product: Product) -> bool:
    return await product.metric("thongsuot_spool_bytes") > 0


async def _is_empty(product: Product) -> bool:
    return await product.metric("thongsuot_spool_bytes") == 0


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that this test may stop."""
    server = PostgresServer({"synchronous_commit": "on"})  # a crash of the server loses nothing that it confirmed
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextlib.asynccontextmanager
async def crashed(server: PostgresServer, _way: Proxy) -> AsyncIterator[None]:
    """Take the server away as `stop -m immediate` does, and start it again."""
    await asyncio.to_thread(server.stop, signal.SIGQUIT)
    yield
    await asyncio.to_thread(server.start)


@contextlib.asynccontextmanager
async def cut(_server: PostgresServer, way: Proxy) -> AsyncIterator[None]:
    """Cut the way to the server, which does not notice."""
    way.cut()
    yield
    way.mend()


Taking = Callable[[PostgresServer, Proxy], contextlib.AbstractAsyncContextManager[None]]


@pytest.mark.parametrize("taken_away", [crashed, cut])
async def test_a_database_that_is_away_is_told_and_costs_nothing(
    own_postgres: PostgresServer, tmp_path: Path, taken_away: Taking
) -> None:
    async with service() as served, proxy(own_postgres.port) as way:
        address = own_postgres.dsn(await own_postgres.create_database())
        product = Product(tmp_path, served, address.replace(f":{own_postgres.port}/", f":{way.port}/"))
        async with product.running("monitor") as process, product.running("web"):
            await until(product.is_ready, "the monitor is ready")
            await until(lambda: _has(product, "/healthz", '"store":"ok"'), "the web process reads the store")
            await until(lambda: _has(product, "/live/overview", "dan-cu"), "the first result is shown")
            async with taken_away(own_postgres, way):
                await until(lambda: _says(product, "the store is away"), "it says that the store is away")
                served.status = 503
                before = served.asked
                await until(lambda: served.asked > before + 4, "it goes on watching")
                await until(lambda: _waits(product), "results wait in the spool")
                assert (await product.get(f"{product.web}/"))[0] == 200
                status, text = await product.get(f"{product.web}/live/overview")
                assert (status, json.loads(text)["problem"]) == (503, "store_away")
                assert await _has(product, "/healthz", '"store":"away"')
                assert (await product.cli("reload"))[0] == 2
                assert served.told == []
            await until(product.is_ready, "it recovers by itself")
            await until(lambda: _is_empty(product), "the spool is delivered")
            await until(lambda: served.told, "what was decided meanwhile is told")
            await until(lambda: _has(product, "/live/overview", "SC-2026-0001"), "it is shown")
            served.status = 200
            await until(lambda: len(served.told) > 1, "the end is told")
            assert process.returncode is None
        assert [told["kind"] for told in served.told] == ["opened", "resolved"]
        for command in ("monitor", "web"):
            assert "Traceback" not in product.log(command)
        assert product.log("monitor").count('"the store is back"') == 1
        await assert_each_run_is_there_once(product, served)


async def test_a_monitor_that_is_told_to_stop_while_the_database_hangs_stops_and_keeps_what_it_has(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    async with service() as served:
        product = Product(tmp_path, served, own_postgres.dsn(await own_postgres.create_database()))
        async with product.running("monitor") as process:
            await until(product.is_ready, "the monitor is ready")
            with own_postgres.frozen():
                before = served.asked
                await until(lambda: served.asked > before + 1, "it goes on watching")
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
        assert list((tmp_path / "spool").glob("*.spool")) != []
        async with product.running("monitor"):
            await until(product.is_ready, "it begins again")
            before = served.asked
            await until(lambda: served.asked > before + 1, "it watches")
        log = product.log("monitor")
        assert "the database does not answer" in log
        assert "Traceback" not in log
        await assert_each_run_is_there_once(product, served)


async def test_a_monitor_whose_file_is_replaced_ends_and_says_so(tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        path = tmp_path / "thongsuot.db"
        async with product.running("monitor") as process:
            await until(product.is_ready, "the monitor is ready")
            await until(lambda: served.asked > 1, "it watches")
            await care.backup(product.store, tmp_path / "copy.db")
            for name in ("thongsuot.db-wal", "thongsuot.db-shm"):
                (tmp_path / name).unlink()
            (tmp_path / "copy.db").replace(path)
            assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 3
        said = product.log("monitor")
        assert "was replaced while it was in use" in said
        assert "Traceback" not in said
        async with product.running("monitor"):
            await until(product.is_ready, "it begins with the new one")
            await until(lambda: _is_empty(product), "what waited is delivered")
        assert await care.check(product.store) == []


async def _has(product: Product, path: str, text: str) -> bool:
    return text in (await product.get(f"{product.web}{path}"))[1]


async def test_a_monitor_that_lost_its_lock_ends_naming_the_other_and_keeps_what_it_has(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    async with service() as served, proxy(own_postgres.port) as way:
        address = own_postgres.dsn(await own_postgres.create_database())
        product = Product(tmp_path, served, address.replace(f":{own_postgres.port}/", f":{way.port}/"))
        async with product.running("monitor") as process:
            await until(product.is_ready, "the monitor is ready")
            way.cut()
            await until(lambda: _waits(product), "results wait in the spool")
            await end_sessions(address)
            other = await Store.open(address)
            await until(lambda: has_lock(other, "hn-2 pid 4711"), "another monitor has the store")
            way.mend()
            assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 2
        said = product.log("monitor")
        assert "another monitor is using this store: hn-2 pid 4711" in said
        assert "Traceback" not in said
        await other.aclose()
        async with product.running("monitor"):
            await until(product.is_ready, "it begins when the other one is gone")
            before = served.asked
            await until(lambda: served.asked > before + 1, "it watches")
        await assert_each_run_is_there_once(product, served)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_is_copied_from_a_running_monitor_is_of_one_moment(
    kind: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    async with service() as served:
        own = f"sqlite:///{tmp_path}/store.db"
        if kind == "postgresql":
            own = postgres.dsn(await postgres.create_database())
        product = Product(tmp_path, served, own)
        # The copy goes to the other kind.
        copy = f"sqlite:///{tmp_path}/copy.db"
        if kind == "sqlite":
            copy = postgres.dsn(await postgres.create_database())
        restored = f"sqlite:///{tmp_path}/restored.db"
        if kind == "postgresql":
            restored = postgres.dsn(await postgres.create_database())
        async with product.running("monitor"):
            await until(product.is_ready, "the monitor is ready")
            served.status = 503
            await until(lambda: served.told, "somebody is told")
            served.status = 200
            await until(lambda: len(served.told) > 1, "the end is told")
            await care.backup(own, tmp_path / "backup")
            await copy_store(own, copy)
            before = served.asked
            await until(lambda: served.asked > before + 1, "it goes on")
        assert await restore(restored, tmp_path / "backup") == []
        for url in (restored, copy):
            assert await care.check(url) == []
            await assert_it_was_so(url, own)
        await assert_each_run_is_there_once(product, served)


async def assert_it_was_so(copy: str, original: str) -> None:
    """See that a copy is what the original was when it was copied."""
    (first, incidents, _), (whole, of_original, _) = await content(copy), await content(original)
    assert 3 < len(first) < len(whole)
    assert first == whole[: len(first)]
    assert incidents == of_original != []
    # Figures of the time that both know are the same, to the millisecond.
    until_ms = first[-1].at_ms
    figures = [(await content(url, until_ms))[2] for url in (copy, original)]
    assert figures[0] == figures[1] != []


async def content(url: str, until_ms: int = 0) -> tuple[list[Result], list[object], list[object]]:
    """Return results, incidents and, up to a time, availability."""
    store, queries = await Store.open(url), await Queries.open(url)
    try:
        results = [result async for result in store.export_results(0, 1 << 44)]
        incidents = await store.incidents(["SC-2026-0001", "SC-2026-0002"])
        from_ms = results[0].at_ms
        figures = await queries.availability(from_ms, until_ms, until_ms) if until_ms else []
        return results, list(incidents.values()), list(figures)
    finally:
        await queries.aclose()
        await store.aclose()
