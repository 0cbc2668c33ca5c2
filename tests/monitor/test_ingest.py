"""The writer, on a real store."""

import asyncio
from pathlib import Path

import pytest

from alerts.core import Core
from alerts.model import Result, Rules, State
from monitor.evidence import Evidence
from monitor.ingest import Inbox, Writer
from monitor.recent import Recent
from monitor.schedule import Schedule
from monitor.spool import Spool
from monitor.store import Store, StoreInUseError, StoreUnavailableError
from tests.journey.product import until
from tests.postgres import PostgresServer, end_sessions, has_lock

AT_MS = 1_760_000_000_000


async def test_what_is_in_hand_when_it_is_told_to_end_is_saved(store_url: str, tmp_path: Path) -> None:
    """Names that the store has never seen make a save wait twice: the end may come between the two."""
    store = await Store.open(store_url)
    await store.take_lock("a test")
    spool = Spool(tmp_path / "spool", 1 << 20)
    inbox = Inbox(100)
    schedule = Schedule(lambda _: True)
    writer = Writer(inbox, Core(Rules({}, {})), Recent({}), store, spool, schedule, Evidence({}), lambda: None)
    running = asyncio.create_task(writer.run())
    await inbox.put(Result("cổng/http", "hn-1", AT_MS, 0.1, State.UP, None, "", {"status": 200}))
    while len(inbox):
        await asyncio.sleep(0)
    writer.end()
    await asyncio.wait_for(running, 10)
    await writer.drain()
    saved = [result.at_ms async for result in store.export_results(0, AT_MS * 2)]
    spool.close()
    await store.aclose()
    assert saved == [AT_MS]


async def test_what_is_in_hand_when_another_monitor_has_the_store_goes_to_the_spool(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.dsn(await postgres.create_database())
    store, other = await Store.open(url), await Store.open(url)
    spool = Spool(tmp_path / "spool", 1 << 20)
    inbox = Inbox(100)
    schedule = Schedule(lambda _: True)
    writer = Writer(inbox, Core(Rules({}, {})), Recent({}), store, spool, schedule, Evidence({}), lambda: None)
    try:
        await store.take_lock("hn-1 pid 0")
        await end_sessions(url)
        await until(lambda: has_lock(other, "hn-2 pid 0"), "another monitor has the store")
        with pytest.raises(StoreUnavailableError):
            await store.beat(AT_MS)
        await inbox.put(Result("cổng/http", "hn-1", AT_MS, 0.1, State.UP, None, "", {}))
        with pytest.raises(StoreInUseError, match="hn-2 pid 0"):
            await writer.write()
        assert [result.at_ms for _, batch in spool.drain() for result in batch.results] == [AT_MS]
    finally:
        spool.close()
        await store.aclose()
        await other.aclose()
