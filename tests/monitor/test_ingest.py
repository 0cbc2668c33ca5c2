"""The writer, on a real store."""

import asyncio
from pathlib import Path

from alerts.core import Core
from alerts.model import Result, Rules, State
from monitor.evidence import Evidence
from monitor.ingest import Inbox, Writer
from monitor.recent import Recent
from monitor.schedule import Schedule
from monitor.spool import Spool
from monitor.store import Store

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
