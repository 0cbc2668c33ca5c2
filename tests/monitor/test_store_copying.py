"""A store that is copied or restored is the same store."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.records import Batch
from monitor.store import Store, StoreError, care
from monitor.store.copying import Copied, copy_store
from monitor.store.engine import create_engine, parse_url
from monitor.store.restoring import restore
from tests.monitor.country import configured
from tests.monitor.samples import START_MS, full_batch, http_results
from tests.postgres import PostgresServer

FAR_MS = 1 << 44


async def fill(url: str, directory: Path) -> None:
    """Put something of everything into a store: raw and sealed results, states, incidents, notifications."""
    store = await Store.open(url)
    await store.take_lock("a")
    await store.sync_inventory(configured(directory / "conf"))
    await store.import_results(http_results(checks=10, turns=500))
    await store.save(full_batch())
    while await store.seal(START_MS + 4_000_000):
        pass
    await store.save(Batch(results=[r._replace(agent="hn-9") for r in http_results(checks=2, turns=3)]))
    await store.aclose()


async def everything(url: str) -> tuple[object, ...]:
    store = await Store.open(url)
    results = [result async for result in store.export_results(0, FAR_MS)]
    memory, now = await store.load_memory()
    claimed = [pending.notification for pending in await store.claim_notifications(FAR_MS, 100)]
    async with store._reader.connect() as connection:
        names = (await connection.execute(text("SELECT no, id, first_ms FROM checks ORDER BY no"))).all()
        blocks = await connection.execute(text("SELECT * FROM sealed_results ORDER BY hour, check_no"))
        sealed = [(row.hour, row.check_no, row.results, bytes(row.block)) for row in blocks]
        rollups = (await connection.execute(text("SELECT count(*), sum(up) FROM rollups_5m"))).one()
    await store.aclose()
    return results, memory, now, claimed, [tuple(name) for name in names], sealed, tuple(rollups)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_store_moves_to_either_kind_and_is_the_same(
    store_url: str, kind: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    await fill(store_url, tmp_path)
    target = f"sqlite:///{tmp_path}/copy.db"
    if kind == "postgresql":
        target = postgres.dsn(await postgres.create_database())
    copied = await copy_store(store_url, target)
    rows = {table: count for table, count, _ in copied}
    assert rows["sealed_results"] == 11
    assert rows["results"] > 0
    with pytest.raises(StoreError, match=r"not empty|there already"):
        await copy_store(store_url, target)
    assert await care.check(target) == []
    assert await everything(target) == await everything(store_url)
    # It goes on as the source would: nothing twice, numbers where they were.
    store = await Store.open(target)
    await store.take_lock("b")
    assert await store.import_results(http_results(checks=10, turns=500)) == 0
    assert await store.import_results([r._replace(agent="neu") for r in http_results(checks=12, turns=1)]) == 12
    await store.save(full_batch(START_MS + 10**9, number=9))
    assert len(await store.claim_notifications(FAR_MS * 2, 10)) == 2
    await store.aclose()


async def test_a_backup_is_restored_into_an_empty_store(
    store_url: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    await fill(store_url, tmp_path)
    copy = tmp_path / "backup"
    await care.backup(store_url, copy)
    target = f"sqlite:///{tmp_path}/restored.db"
    if store_url.startswith("postgresql"):
        target = postgres.dsn(await postgres.create_database())
    assert await restore(target, copy) == []
    with pytest.raises(StoreError, match=r"not empty|there already"):
        await restore(target, copy)
    assert await everything(target) == await everything(store_url)


async def test_the_planner_knows_what_was_imported_copied_and_restored(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.IMPORT_RESULTS", 1_000)
    urls = [postgres.dsn(await postgres.create_database()) for _ in range(3)]
    await fill(urls[0], tmp_path)
    await copy_store(urls[0], urls[1])
    await care.backup(urls[0], tmp_path / "copy")
    await restore(urls[2], tmp_path / "copy")
    for url in urls:
        engine = create_engine(parse_url(url), read_only=True)
        async with engine.connect() as connection:
            known = "SELECT relname, reltuples FROM pg_class WHERE relname IN ('checks', 'rollups_5m', 'transitions')"
            found = {row.relname: row.reltuples for row in await connection.execute(text(known))}
        await engine.dispose()
        assert min(found.values()) >= 0, "-1 is what no one has looked at"


async def test_what_is_not_a_copy_is_not_restored(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a copy")
    with pytest.raises(StoreError, match="is not a copy of a"):
        await restore(empty_url, tmp_path / "file")
    assert not (tmp_path / "store.db").exists()


async def test_a_copy_that_is_not_the_same_is_refused(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor.store import copying

    async def wrong(_connection: object) -> Copied:
        return Copied("results", 1, "00")

    await fill(store_url, tmp_path)
    monkeypatch.setattr(copying, "_sum_raw", wrong)
    with pytest.raises(StoreError, match="not what is there: results"):
        await copy_store(store_url, f"sqlite:///{tmp_path}/copy.db")
