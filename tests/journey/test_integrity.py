"""What happens when the disk is full or the database away, under the running product: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from monitor.rollup import results_in
from monitor.store import Store, care
from monitor.store.tables import rollups_5m
from tests.journey.product import Product, Service, service, until
from tests.monitor.conftest import small_disk
from tests.monitor.engine import rows_of

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
