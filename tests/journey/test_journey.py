"""From a socket to a pixel, and through what happens to a monitor in its life."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest
from playwright.async_api import Browser

from alerts.model import CheckState, Incident, Result, State, TargetState
from monitor.records import Batch, CheckNow, TargetNow
from monitor.rollup import results_in
from monitor.spool import Spool
from monitor.store import Store
from monitor.store.tables import rollups_5m
from probes.model import Failure
from tests.dashboards.browser import chromium, visiting
from tests.journey.product import Product, child_of, service, until
from tests.monitor.engine import rows_of

__all__ = ["chromium"]


async def results_of(product: Product) -> list[tuple[str, str, int]]:
    store = await Store.open(product.store)
    try:
        return [(r.check, r.agent, r.at_ms) async for r in store.export_results(0, 2**53)]
    finally:
        await store.aclose()


@pytest.mark.asyncio(loop_scope="session")
async def test_an_interruption_is_seen_told_and_resolved(chromium: Browser, tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        async with product.running("up") as process:
            await until(product.is_ready, "the monitor is ready")
            await until(lambda: _is_ok(product, f"{product.web}/healthz"), "the web process answers")
            await until(lambda: _is_up(product), "the first result")
            async with visiting(chromium, f"{product.web}/?lang=vi") as visit:
                page = visit.page
                await page.get_by_text("CSDL quốc gia về dân cư").first.wait_for()
                assert await page.get_by_text("SC-2026-0001").count() == 0

                served.status = 503
                told = await until(lambda: served.told, "somebody is told")
                assert told[0]["subject"] == "Mức 1: CSDL quốc gia về dân cư mất kết nối (SC-2026-0001)"
                assert told[0]["reason"] == "http_status"
                assert told[0]["message"]
                # The page was not loaded again: it has to change by itself.
                await page.get_by_text("SC-2026-0001").first.wait_for()

                status, out, _ = await product.cli("status", "--json")
                found = json.loads(out)
                assert status == 1
                assert [target["target"] for target in found["targets"]] == ["dan-cu"]
                assert found["targets"][0]["reason"] == "http_status"

                served.status = 200
                await until(lambda: len(served.told) == 2, "the end is told too")
                assert served.told[1]["kind"] == "resolved"
                assert len({told["key"] for told in served.told}) == 2
                assert visit.complaints == []
                assert visit.hosts == {product.web.removeprefix("http://")}
            assert (await product.cli("status"))[0] == 0
            assert child_of(process, "monitor") is not None
        assert process.returncode == 0
        assert "Traceback" not in product.log("up")


async def _is_ok(product: Product, url: str) -> bool:
    return (await product.get(url))[0] == 200


async def _is_up(product: Product) -> bool:
    return await product.metric("thongsuot_target_state") == 0


async def test_a_killed_monitor_comes_back_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        async with product.running("up") as process:
            await until(product.is_ready, "the monitor is ready")
            await until(lambda: _is_up(product), "the first result")
            served.status = 503
            await until(lambda: served.told, "somebody is told")
            before = await results_of(product)
            monitor = child_of(process, "monitor")
            assert monitor is not None
            monitor.send_signal(signal.SIGKILL)
            await until(lambda: child_of(process, "monitor") not in (None, monitor), "it is started again")
            await until(product.is_ready, "it is ready again")
            await asyncio.sleep(4)
            after = await results_of(product)
            served.status = 200
            await until(lambda: served.told[-1]["kind"] == "resolved", "the end is told")
        assert set(before) <= set(after)
        assert len(after) == len(set(after)) > len(before)
        assert len(await results_of(product)) <= served.asked, "nothing is there that the service did not see"
        # Killed between sending and noting it, it sends again: with the key by which a receiver knows it again.
        kinds = list({told["key"]: told["kind"] for told in served.told}.values())
        assert kinds == ["opened", "resolved"], "what did not change is not told again"
        counted = sum(map(results_in, await rows_of(product.store, rollups_5m)))
        assert counted == len(await results_of(product)), "each result is in one rollup, once"


async def test_a_notification_that_was_saved_and_not_sent_is_sent_after_a_restart_once(tmp_path: Path) -> None:
    """C34, with the receiver away while the monitor dies."""
    async with service() as served:
        product = Product(tmp_path, served)
        product.document["receivers"][0]["url"] = "http://127.0.0.1:9/"
        product.write()
        async with product.running("monitor") as process:
            await until(product.is_ready, "the monitor is ready")
            served.status = 503
            await until(lambda: _has_failed(product), "a first try failed")
            process.send_signal(signal.SIGKILL)
            await process.wait()
        product.document["receivers"][0]["url"] = served.hook
        product.write()
        async with product.running("monitor"):
            await until(lambda: served.told, "it is sent after the restart")
            await asyncio.sleep(3)
        assert [told["kind"] for told in served.told] == ["opened"]


async def _has_failed(product: Product) -> bool:
    return await product.metric("thongsuot_notifications_failed_total") >= 1


async def test_a_reload_takes_effect_or_tells_why_not(tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        async with product.running("monitor"):
            await until(product.is_ready, "the monitor is ready")
            await until(lambda: _is_up(product), "the first result")
            second = {**product.document["targets"][0], "id": "second"}
            product.document["targets"].append({**second, "typ": "endpoint"})
            product.write()
            status, _, err = await product.cli("validate")
            assert status == 2
            assert "did you mean 'type'" in err
            # What is in force stays in force, and the answer names the problem.
            status, _, err = await product.cli("reload")
            assert status == 2
            assert await product.metric("thongsuot_checks") == 1
            product.document["targets"][1] = second
            product.write()
            assert (await product.cli("reload"))[0] == 0
            await until(lambda: _counts(product, 2), "the second check is scheduled")


async def _counts(product: Product, checks: int) -> bool:
    return await product.metric("thongsuot_checks") == checks


async def test_a_second_monitor_on_the_same_store_refuses_and_names_the_first(tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        async with product.running("monitor") as first:
            await until(product.is_ready, "the monitor is ready")
            status, _, err = await product.cli("monitor", "--config", str(product.config))
            assert status == 2
            assert f"pid {first.pid}" in err


async def test_a_clean_stop_saves_what_was_measured(tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        async with product.running("monitor") as process:
            await until(product.is_ready, "the monitor is ready")
            await until(lambda: _is_up(product), "the first result")
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
        assert await results_of(product)
        assert not [name for name in os.listdir(product.directory / "spool") if "segment" in name]
        assert "Traceback" not in product.log("monitor")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("probe", "htpp", "x"), 2, "did you mean 'http'"),
        (("probe", "icmp", "127.0.0.1", "-p", "coun=3"), 2, "coun"),
        (("probe", "icmp", "127.0.0.1", "-p", "count=40", "--timeout", "500ms"), 2, "longer than the timeout"),
        (("probe", "tcp", "127.0.0.1:1"), 1, ""),
        (("availability", "--from", "2026-02", "--to", "2026-01"), 2, "before it begins"),
        (("availability", "--from", "yesterday", "--to", "2026-01"), 2, "not a time"),
        (("replay", "missing.jsonl"), 3, "missing.jsonl"),
        (("nope",), 2, "nope"),
        (("status",), 3, ""),
        (("reload",), 3, "no monitor answers"),
    ],
)
async def test_the_exit_status_says_what_was_wrong(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        found, out, err = await product.cli(*arguments)
        assert found == status, out + err
        assert said in err


async def test_a_probe_prints_json_and_nothing_else(tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        served.status = 503
        status, out, _ = await product.cli("probe", "http", served.url, "-p", 'down_when=["status != 200"]', "--json")
        found = json.loads(out)
        assert status == 1
        assert found["check"] is None
        assert found["probe"] == "http"
        assert found["address"] == served.url
        assert (found["state"], found["failure"]) == ("down", "http_status")
        assert found["message"] == "status != 200 (status = 503)"
        assert found["samples"]["status"] == 503


async def test_what_is_exported_is_what_is_imported(tmp_path: Path) -> None:
    async with service() as served:
        product = Product(tmp_path, served)
        async with product.running("monitor"):
            await until(product.is_ready, "the monitor is ready")
            await until(lambda: _is_up(product), "the first result")
            await asyncio.sleep(2)
        out = tmp_path / "results.jsonl.gz"
        assert (await product.cli("export", "--from", "2026-01", "--to", "2099-01", "--out", str(out)))[0] == 0
        status, said, _ = await product.cli("import", str(out))
        assert (status, said.split()[0]) == (0, "0")
        first = (await product.cli("replay", str(out)))[1]
        assert '"to":"up"' in first
        assert (await product.cli("replay", str(out)))[1] == first


async def test_what_waits_in_the_spool_is_delivered_before_the_monitor_begins(tmp_path: Path) -> None:
    """A monitor that died while the store was away left the newest of what it knew on disk."""
    async with service() as served:
        product = Product(tmp_path, served)
        at_ms = time.time_ns() // 1_000_000 - 5_000
        left = Result(
            "dan-cu/http", "local", at_ms, 0.1, State.DOWN, Failure.HTTP_STATUS, "status = 503", {"status": 503}
        )
        incident = Incident("SC-2026-0007", "dan-cu", 1, at_ms, at_ms, "http_status", announced=("noc",))
        down = CheckState(State.DOWN, at_ms, "http_status", "status = 503", at_ms)
        spool = Spool(tmp_path / "spool", 1 << 20)
        spool.append(
            Batch(
                results=[left],
                incidents=[incident],
                checks=[CheckNow("dan-cu/http", down, 0.1, None, (0.1,))],
                targets=[TargetNow("dan-cu", TargetState(State.DOWN, at_ms, "http_status"))],
            )
        )
        spool.close()
        async with product.running("monitor"):
            await until(product.is_ready, "the monitor is ready")
            # It is up in truth: the incident that only the spool knew of is the one that ends.
            told = await until(lambda: served.told, "the end is told")
        assert (told[0]["kind"], told[0]["incident"]) == ("resolved", "SC-2026-0007")
        assert ("dan-cu/http", "local", at_ms) in await results_of(product)
