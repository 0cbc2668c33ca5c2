"""What a kind has to know of before this process is told to it when the monitor starts."""

import time
from pathlib import Path

import pytest
import yaml

from alerts.model import Result, State
from config.loader import load
from monitor.app import Monitor
from monitor.records import Batch
from monitor.store import Store
from probes.throughput_lane import Lane
from tests.journey.product import free_port
from tests.postgres import PostgresServer


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_the_days_budget_of_a_throughput_check_goes_on(
    database: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/store.db" if database == "sqlite" else postgres.dsn(await postgres.create_database())
    check = {"probe": "throughput", "address": "127.0.0.1:1", "key": "${env:KEY}", "interval": "1h"}
    document = {
        "settings": {"store": "${env:STORE}", "spool": f"{tmp_path}/spool", "listen": f"127.0.0.1:{free_port()}"},
        "targets": [{"id": "link", "type": "link", "checks": [{**check, "timeout": "30s"}]}],
    }
    config = tmp_path / "config"
    config.mkdir()
    (config / "all.yaml").write_text(yaml.safe_dump(document))
    now_ms = time.time_ns() // 1_000_000
    used = ((now_ms - 30_000, 4_000_000.0), (now_ms - 60_000, 3_000_000.0), (now_ms - 90_000_000, 9_000_000.0))
    store = await Store.open(url)
    found = [
        Result("link/throughput", "local", at_ms, 1.0, State.UP, None, "", {"budget_used_bytes": size})
        for at_ms, size in used
    ]
    await store.save(Batch(results=found))
    await store.aclose()

    monitor = await Monitor.open(config, load(config, environ={"STORE": url, "KEY": "what both ends know"}))
    try:
        budget = monitor.resources.get(Lane, Lane).budget("link/throughput")
        assert budget.left(10_000_000, (now_ms - 30_000) / 1000) == 6_000_000
    finally:
        await monitor.stop()
