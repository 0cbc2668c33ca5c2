"""Stores as each released program left them are brought to the newest schema, and hold what they held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import zstandard
from sqlalchemy import Connection, MetaData, select

from monitor.queries import Queries
from monitor.result_json import result_line
from monitor.store import Store, care, migrate
from monitor.store.engine import create_engine, parse_url
from monitor.store.tables import LATE, outdated
from tests.monitor.country import configured
from tests.monitor.engine import rows
from tests.monitor.samples import START_MS, full_batch
from tests.postgres import PostgresServer

KEPT = Path(__file__).parent / "schemas"
FAR_MS = 1 << 44
CHANGED = ("alembic_version", "results", "result_pages", "rollups_5m", "rollups_1h", "rollups_1d", "outdated")
"""Tables whose form has changed, or whose rows a migration makes: these are compared by what they say."""
COUNTS = ("start_ms", "check_no", "up", "degraded", "down", "unknown", "latency_count", "loss_count")


def kept(name: str) -> bytes:
    return zstandard.decompress((KEPT / f"{name}.zst").read_bytes())


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def old_url(request: pytest.FixtureRequest, kind: str, revision: str, tmp_path: Path) -> str:
    """Address of a store as the program of that revision left it."""
    if kind == "sqlite":
        (tmp_path / "store.db").write_bytes(kept(f"{revision}.sqlite"))
        return f"sqlite:///{tmp_path}/store.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.dsn(await server.create_database())
    connection = await asyncpg.connect(url)
    await connection.execute(kept(f"{revision}.sql").decode())
    await connection.close()
    return url


Content = Mapping[str, Sequence[Mapping[str, Any]]]


async def content(url: str) -> Content:
    """Return all rows of all tables."""

    def read(connection: Connection) -> Content:
        metadata = MetaData()
        metadata.reflect(connection)
        return {
            table.name: [dict(row._mapping) for row in connection.execute(select(table))]
            for table in metadata.sorted_tables
        }

    engine = create_engine(parse_url(url), read_only=True)
    async with engine.connect() as connection:
        found = await connection.run_sync(read)
    await engine.dispose()
    return found


def in_columns(found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    return sorted(repr([row[name] for name in names]) for row in found)


def test_each_revision_has_its_kept_files() -> None:
    names = {path.name for path in KEPT.glob("*.zst")}
    assert names == {f"{revision}.{what}.zst" for revision in migrate.KNOWN for what in ("sqlite", "sql", "jsonl")}


@pytest.mark.parametrize("revision", migrate.KNOWN)
async def test_a_store_of_old_holds_what_it_held(old_url: str, revision: str, tmp_path: Path) -> None:
    before = await content(old_url)
    assert before["alembic_version"] == [{"version_num": revision}]
    if revision != migrate.HEAD:
        assert await care.check(old_url) == [f"schema {revision} is old: run thongsuot db upgrade"]
    store = await Store.open(old_url)
    exported = b"".join([result_line(one) async for one in store.export_results(0, FAR_MS)])
    assert exported == kept(f"{revision}.jsonl")
    after = await content(old_url)
    for table in before.keys() - set(CHANGED):
        assert before[table] or table in {"closed_months", "late_changes"}, f"there is something in {table}"
        names = list(before[table][0]) if before[table] else []
        there = [row for row in after[table] if table != "meta" or row["name"] != "results"]
        was = [row for row in before[table] if table != "meta" or row["name"] != "results"]
        assert in_columns(there, names) == in_columns(was, names), table
    for table in {"rollups_5m", "rollups_1h", "rollups_1d"} & before.keys():
        assert in_columns(after[table], COUNTS) == in_columns(before[table], COUNTS), table
    await assert_that_it_goes_on(store, old_url, tmp_path)
    await store.aclose()


async def assert_that_it_goes_on(store: Store, url: str, tmp_path: Path) -> None:
    """See that a monitor works on: nothing twice, what waits is sent, what is outdated is made, pages are answered."""
    await store.take_lock("b")
    inventory = configured(tmp_path / "conf")
    await store.sync_inventory(inventory)
    (claimed,) = await store.claim_notifications(FAR_MS, 10)
    assert claimed.notification.incident == "SC-2026-0003"
    before = [one async for one in store.export_results(0, FAR_MS)]
    assert await store.import_results(before) == 0
    while await store.seal(START_MS + 2 * 3_600_000):
        pass
    assert [one async for one in store.export_results(0, FAR_MS)] == before
    assert await rows(url, select(outdated.c.id).where(outdated.c.what == LATE)) == []
    assert await care.check(url) == []
    await store.save(full_batch(START_MS + 80_000_000, number=4))
    queries = await Queries.open(url)
    assert len((await queries.overview(START_MS + 80_000_000)).rows) == len(inventory.targets)
    await queries.aclose()
