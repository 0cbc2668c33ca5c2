"""The store in trouble: killed writers, full disks, servers that stop. What was confirmed is there, once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from alerts.model import Result
from monitor.queries import Queries
from monitor.records import Batch
from monitor.store import Store, StoreInUseError, StoreUnavailableError, care, session
from monitor.store.engine import COMMAND_TIMEOUT_S, create_engine
from tests.journey.product import until
from tests.monitor.samples import START_MS, full_batch, http_results
from tests.postgres import PostgresServer
from tests.proxy import proxy

ROOT = Path(__file__).parents[2]
BATCH = 50
_WRITER = """
import asyncio, sys
from monitor.store import Store
from tests.monitor.test_store_trouble import numbered_batch

async def main():
    store = await Store.open(sys.argv[1])
    await store.take_lock("writer")
    number = 0
    while True:
        await store.save(numbered_batch(number))
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


def numbered_batch(number: int) -> Batch:
    """Return a batch with one of everything and 50 results, all of which tell its number."""
    batch = full_batch(START_MS + number, number=number + 1)
    batch.results = list(http_results(checks=BATCH, turns=1, start_ms=START_MS + number * 10_000))
    return batch


async def exported(store: Store) -> list[Result]:
    return [result async for result in store.export_results(0, 1 << 44)]


async def test_a_killed_writer_has_lost_nothing_that_it_confirmed(store_url: str) -> None:
    last = await asyncio.to_thread(_write_until_killed, store_url, 11)
    store = await Store.open(store_url)
    await store.take_lock("heir")  # nobody has to break the dead one's lock
    results = await exported(store)
    saved = len(results) // BATCH
    assert last + 1 <= saved <= last + 2
    assert results == sorted(
        (r for n in range(saved) for r in numbered_batch(n).results), key=lambda r: (r.at_ms, r.check)
    )
    # Everything else of a batch came with its results, and the first batch after the last is taken as if new.
    claimed = await store.claim_notifications(1 << 44, 10_000)
    assert sorted(c.notification.incident for c in claimed) == [f"SC-2026-{n + 1:04d}" for n in range(saved)]
    await store.save(numbered_batch(saved - 1))
    await store.save(numbered_batch(saved))
    assert len(await exported(store)) == (saved + 1) * BATCH
    await store.aclose()


def _write_until_killed(url: str, killed_at: int) -> int:
    """Run a writer and kill it after a confirmation; return the last number that it confirmed."""
    last = -1
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            last = int(line)
            if last == killed_at:
                writer.send_signal(signal.SIGKILL)
                break
        rest = [int(line) for line in writer.stdout if line.endswith("\n")]
    return rest[-1] if rest else last


_SEALER = """
import asyncio, sys
from monitor.records import Batch
from monitor.store import Store
from tests.monitor.test_store_trouble import sealed_while_killed

async def main():
    store = await Store.open(sys.argv[1])
    await store.take_lock("sealer")
    results = sealed_while_killed()
    print("begun", flush=True)
    while True:
        for at in range(0, len(results), 500):
            await store.save(Batch(results=results[at : at + 500]))
            while await store.seal(1 << 44):
                pass

asyncio.run(main())
"""


def sealed_while_killed() -> list[Result]:
    """Return results of several hours of a few checks, so that each part touches hours that are sealed already."""
    results = list(http_results(checks=10, turns=400, interval_ms=60_000))
    return [result for place in range(8) for result in results[place::8]]


@pytest.mark.parametrize("delay_s", [0.05, 0.4, 0.9])
async def test_a_killed_sealer_leaves_each_result_once(store_url: str, delay_s: float) -> None:
    await asyncio.to_thread(_seal_until_killed, store_url, delay_s)
    store = await Store.open(store_url)
    await store.take_lock("heir")
    found, known = await exported(store), sealed_while_killed()
    keys = [(r.check, r.at_ms) for r in found]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {(r.check, r.at_ms) for r in known[: len(found)]}
    await store.save(Batch(results=known))
    while await store.seal(1 << 44):
        pass
    assert await exported(store) == sorted(known, key=lambda r: (r.at_ms, r.check))
    await store.aclose()


def _seal_until_killed(url: str, delay_s: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SEALER, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as sealer:
        assert sealer.stdout is not None
        assert sealer.stdout.readline() == "begun\n"
        # Where it is by then does not matter: wherever it is killed, nothing may be lost or doubled.
        with contextlib.suppress(subprocess.TimeoutExpired):
            sealer.wait(delay_s)
        sealer.kill()


async def test_a_full_disk_refuses_whole_batches_and_takes_them_again_when_there_is_room(small_disk: Path) -> None:
    store = await Store.open(f"sqlite:///{small_disk}/store.db")
    await store.take_lock("a")
    await store.save(numbered_batch(0))
    filler = small_disk / "filler"
    _fill_up(filler)
    saved, number = [0], 1
    with contextlib.suppress(StoreUnavailableError):
        while True:
            await store.save(numbered_batch(number))
            saved.append(number)
            number += 1
    with pytest.raises(StoreUnavailableError, match=r"full|I/O"):
        await store.save(numbered_batch(number))
    assert len(await exported(store)) == len(saved) * BATCH
    filler.unlink()
    await store.save(numbered_batch(number))
    assert len(await exported(store)) == (len(saved) + 1) * BATCH
    await store.aclose()


def _fill_up(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


async def test_a_locked_database_is_away_and_comes_back(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path}/store.db", patience_s=0.2)
    await store.save(numbered_batch(0))
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            await store.save(numbered_batch(1))
        other.execute("ROLLBACK")
    await store.save(numbered_batch(1))
    assert len(await exported(store)) == 2 * BATCH
    await store.aclose()


async def test_a_damaged_file_is_away_not_a_bug(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreUnavailableError, match="not a database"):
        await Store.open(f"sqlite:///{tmp_path}/store.db")


async def test_a_directory_that_cannot_be_made_is_away(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError):
        await Store.open(f"sqlite:///{tmp_path}/file/store.db")


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that this test may stop."""
    server = PostgresServer({"synchronous_commit": "on"})  # a crash of the server loses nothing that it confirmed
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
async def own_url(own_postgres: PostgresServer) -> AsyncIterator[str]:
    return own_postgres.dsn(await own_postgres.create_database())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
async def test_a_server_that_comes_back_is_used_again(
    own_postgres: PostgresServer, own_url: str, how: signal.Signals
) -> None:
    store, queries = await Store.open(own_url), await Queries.open(own_url)
    await store.take_lock("a")
    await store.save(numbered_batch(0))
    await asyncio.to_thread(own_postgres.stop, how)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await store.save(numbered_batch(1))
    with pytest.raises(StoreUnavailableError):
        await queries.overview(START_MS)
    with pytest.raises(StoreUnavailableError):
        await exported(store)
    await asyncio.to_thread(own_postgres.start)
    await store.save(numbered_batch(1))
    assert len(await exported(store)) == 2 * BATCH
    assert (await queries.overview(START_MS)).rows == ()
    # The lock was lost with the server and taken again: a second monitor is still refused.
    second = await Store.open(own_url)
    with pytest.raises(StoreInUseError):
        await second.take_lock("b")
    await second.aclose()
    await queries.aclose()
    await store.aclose()


async def test_a_monitor_that_lost_its_lock_to_another_does_not_write(
    own_postgres: PostgresServer, own_url: str
) -> None:
    first = await Store.open(own_url)
    await first.take_lock("first")
    await asyncio.to_thread(own_postgres.stop)
    with pytest.raises(StoreUnavailableError):
        await first.save(numbered_batch(0))
    await asyncio.to_thread(own_postgres.start)
    second = await Store.open(own_url)
    await second.take_lock("second")
    with pytest.raises(StoreInUseError, match="second"):
        await first.save(numbered_batch(0))
    assert await exported(second) == []
    await first.aclose()
    await second.aclose()


async def test_a_connection_that_only_one_side_knows_to_be_broken_does_not_keep_the_lock(
    postgres: PostgresServer,
) -> None:
    database = postgres.dsn(await postgres.create_database())
    async with proxy(postgres.port) as way:
        store = await Store.open(database.replace(f":{postgres.port}/", f":{way.port}/"))
        await store.take_lock("a")
        await store.save(numbered_batch(0))
        way.cut()
        with pytest.raises(StoreUnavailableError):
            await store.save(numbered_batch(1))
        way.mend()
        # Its old session is still there: it must be taken for neither another monitor nor a reason to wait.
        await store.save(numbered_batch(1))
        assert len(await exported(store)) == 2 * BATCH
        # From elsewhere, to the same database under another name: there is one monitor still.
        second = await Store.open(database.replace("127.0.0.1", "localhost"))
        with pytest.raises(StoreInUseError, match=r"this store: a$"):
            await second.take_lock("b")
        await second.aclose()
        await store.aclose()


async def test_the_lock_of_a_monitor_that_ended_while_it_was_cut_off_is_waited_for(postgres: PostgresServer) -> None:
    database = postgres.dsn(await postgres.create_database())
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    holder, heir = await Store.open(database), await Store.open(database)
    await holder.take_lock(f"{socket.gethostname()} pid {ended.pid} agent a")
    # Not in use by another one, which no restart would mend: the server will find out.
    with pytest.raises(StoreUnavailableError, match=f"has ended: .* pid {ended.pid} agent a"):
        await heir.take_lock("b")
    assert await heir.import_results(numbered_batch(0).results) == BATCH
    await holder.take_lock(f"{socket.gethostname()} pid {os.getpid()} agent a")
    with pytest.raises(StoreInUseError):
        await heir.take_lock("b")
    await holder.aclose()
    await heir.take_lock("b")
    await heir.aclose()


async def test_a_server_that_hangs_is_away(own_postgres: PostgresServer, own_url: str) -> None:
    store = await Store.open(own_url)
    with own_postgres.frozen(), pytest.raises(StoreUnavailableError):
        await Store.open(own_url, patience_s=0.3)
    await store.save(numbered_batch(0))
    await store.aclose()


async def test_a_server_that_begins_to_hang_is_noticed_and_then_waited_for_by_nobody(
    own_postgres: PostgresServer, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SLOW_S", 0.1)
    store = await Store.open(own_url)
    await store.take_lock("a")
    await store.save(numbered_batch(0))
    with own_postgres.frozen():
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            await store.save(numbered_batch(1))
        noticed_s = time.monotonic() - begun
        assert noticed_s < COMMAND_TIMEOUT_S / 2
        refused = 0
        while time.monotonic() - begun < 2 * noticed_s:
            with pytest.raises(StoreUnavailableError, match="does not answer"):
                await store.save(numbered_batch(1))
            refused += 1
        assert refused > 10  # each had its answer long before a connection would have been given up
    await until(lambda: _is_saved(store, 1), "it is used again")
    assert len(await exported(store)) == 2 * BATCH
    second = await Store.open(own_url)
    with pytest.raises(StoreInUseError):
        await second.take_lock("b")
    await second.aclose()
    await store.aclose()


async def _is_saved(store: Store, number: int) -> bool:
    with contextlib.suppress(StoreUnavailableError):
        await store.save(numbered_batch(number))
        return True
    return False


async def test_a_server_that_is_slow_is_waited_for(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SLOW_S", 0.05)
    store = await Store.open(postgres.dsn(await postgres.create_database()))
    await store._write(lambda connection: connection.execute(text("SELECT pg_sleep(0.5)")))
    await store.aclose()


async def test_a_table_that_somebody_has_locked_is_waited_for_as_long_as_in_sqlite(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.LOCK_TIMEOUT_S", 0.2)
    address = postgres.dsn(await postgres.create_database())
    store = await Store.open(address)
    other = await asyncpg.connect(address)
    async with other.transaction():
        await other.execute("LOCK TABLE check_states IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailableError, match="lock timeout"):
            await store.save(numbered_batch(0))
    await other.close()
    await store.save(numbered_batch(0))
    assert len(await exported(store)) == BATCH
    await store.aclose()


async def test_a_server_that_hangs_keeps_nobody_from_leaving(
    own_postgres: PostgresServer, own_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, queries = await Store.open(own_url), await Queries.open(own_url)
    await store.save(numbered_batch(0))
    await queries.overview(START_MS)
    with own_postgres.frozen():
        async with asyncio.timeout(COMMAND_TIMEOUT_S / 2):
            await queries.aclose()
            await store.aclose()
    assert not caplog.records


async def test_what_takes_long_by_its_nature_has_no_limit(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres.dsn(await postgres.create_database())
    await (await Store.open(address)).aclose()
    monkeypatch.setitem(create_engine.__kwdefaults__, "command_timeout_s", 0.2)
    other = await asyncpg.connect(address)
    for work in (care.vacuum, care.check):
        async with other.transaction():
            await other.execute("LOCK TABLE checks IN ACCESS EXCLUSIVE MODE")
            working = asyncio.create_task(work(address))
            await asyncio.sleep(0.5)
            assert not working.done()
        await working
    await other.close()


async def test_a_cancelled_save_leaves_the_store_usable(store_url: str) -> None:
    store = await Store.open(store_url)
    await store.take_lock("a")
    for number in range(20):
        task = asyncio.create_task(store.save(numbered_batch(number)))
        await asyncio.sleep(number / 5000)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for number in range(20):
        await store.save(numbered_batch(number))
    assert len(await exported(store)) == 20 * BATCH
    await store.aclose()


async def test_a_store_can_be_copied_as_files_when_it_is_closed(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path}/store.db")
    await store.save(numbered_batch(0))
    await store.aclose()
    shutil.copy(tmp_path / "store.db", tmp_path / "copy.db")
    copy = await Store.open(f"sqlite:///{tmp_path}/copy.db")
    assert len(await exported(copy)) == BATCH
    await copy.aclose()


async def test_a_file_that_is_moved_away_is_waited_for_and_nobody_makes_another(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await Store.open(f"sqlite:///{path}")
    await store.take_lock("a")
    await store.save(numbered_batch(0))
    queries = await Queries.open(f"sqlite:///{path}")
    path.rename(tmp_path / "elsewhere.db")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="not where it was"):
            await store.save(numbered_batch(1))
        with pytest.raises(StoreUnavailableError):
            await queries.overview(START_MS)
    assert not path.exists()
    (tmp_path / "elsewhere.db").rename(path)
    await store.save(numbered_batch(1))
    assert len(await exported(store)) == 2 * BATCH
    assert (await queries.overview(START_MS)).rows == ()
    await queries.aclose()
    await store.aclose()


async def test_a_file_that_was_replaced_is_read_by_pages_but_not_written_by_who_remembers_the_old_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    store = await Store.open(f"sqlite:///{path}")
    await store.take_lock("a")
    await store.save(numbered_batch(0))
    queries = await Queries.open(f"sqlite:///{path}")
    await care.backup(f"sqlite:///{path}", tmp_path / "copy.db")
    await store.save(numbered_batch(1))
    for name in ("store.db-wal", "store.db-shm"):
        (tmp_path / name).unlink()
    (tmp_path / "copy.db").replace(path)
    with pytest.raises(StoreUnavailableError, match="replaced"):
        await store.save(numbered_batch(2))
    await store.until_replaced()
    assert (await queries.overview(START_MS)).rows == ()
    await queries.aclose()
    await store.aclose()
    again = await Store.open(f"sqlite:///{path}")
    assert len(await exported(again)) == BATCH
    await again.aclose()
