"""Migrations, and what `thongsuot db` does."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, inspect, text

from monitor.queries import Queries
from monitor.store import Store, StoreError, StoreUnavailableError, StoreVersionError, care, migrate
from monitor.store.classes import is_kept_by, metadata
from monitor.store.engine import create_engine, parse_url
from tests.monitor.samples import full_batch, http_results
from tests.postgres import PostgresServer, programs


def names_in(directory: Path, pattern: str = "*") -> list[str]:
    return sorted(path.name for path in directory.glob(pattern))


async def execute(url: str, statement: str) -> None:
    engine = create_engine(parse_url(url))
    async with engine.connect() as connection, connection.begin():
        await connection.execute(text(statement))
    await engine.dispose()


async def test_an_empty_database_is_brought_to_the_newest_schema(empty_url: str) -> None:
    engine = create_engine(parse_url(empty_url))
    assert await migrate.upgrade(engine) == (None, migrate.HEAD)
    assert await migrate.upgrade(engine) == (migrate.HEAD, migrate.HEAD)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


def _differences(connection: Connection) -> list[object]:
    def is_compared(item: object, _name: object, kind: str, *_: object) -> bool:
        table = item if kind == "table" else getattr(item, "table", None)
        return not isinstance(table, Table) or is_kept_by(table, connection.dialect.name)

    options = {"compare_type": True, "include_object": is_compared}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_a_migration_can_be_undone(empty_url: str) -> None:
    from alembic import command
    from alembic.config import Config

    def downgrade(connection: Connection) -> list[str]:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        return inspect(connection).get_table_names()

    engine = create_engine(parse_url(empty_url))
    await migrate.upgrade(engine)
    async with engine.connect() as connection, connection.begin():
        assert await connection.run_sync(downgrade) == ["alembic_version"]
    assert await migrate.upgrade(engine) == (None, migrate.HEAD)
    await engine.dispose()


def test_the_program_knows_the_migrations_that_it_ships() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == migrate.KNOWN
    assert scripts.get_current_head() == migrate.HEAD == migrate.KNOWN[-1]


async def test_a_newer_schema_is_refused(store_url: str) -> None:
    await (await Store.open(store_url)).aclose()
    await execute(store_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match=r"9999.*newer"):
        await Store.open(store_url)
    with pytest.raises(StoreVersionError, match=r"9999.*newer"):
        await Queries.open(store_url)
    assert (await care.check(store_url))[0].startswith("schema 9999")


async def test_a_schema_is_not_made_unasked(empty_url: str) -> None:
    with pytest.raises(StoreError, match=r"db upgrade|no such file"):
        await Store.open(empty_url, migrate=False)


async def test_a_store_in_order_has_no_problems(store_url: str) -> None:
    store = await Store.open(store_url)
    await store.save(full_batch())
    assert await care.check(store_url) == []
    await store.aclose()


async def test_orphans_are_found(store_url: str) -> None:
    store = await Store.open(store_url)
    await store.save(full_batch())
    await store.aclose()
    for table in ("check_states", "checks", "agents", "shapes"):
        await execute(store_url, f"DELETE FROM {table}")
    assert await care.check(store_url) == [
        "results of checks that are not there: 1",
        "results of agents that are not there: 2",
        # Within a page of PostgreSQL, SQL cannot see the shapes.
        *(["results of shapes that are not there: 1"] if store_url.startswith("sqlite") else []),
        "rollups of checks that are not there: 1",
    ]


async def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = await Store.open(url)
    await store.import_results(http_results(checks=50, turns=50))
    await store.aclose()
    with (tmp_path / "store.db").open("r+b") as file:
        file.seek(-2048 * 20, os.SEEK_END)
        file.write(b"\xff" * 2048)
    try:
        problems = await care.check(url)
    except StoreUnavailableError as error:
        problems = [str(error)]
    assert problems


async def test_a_backup_is_a_whole_store_while_the_live_one_goes_on(
    tmp_path: Path, store: Store, store_url: str
) -> None:
    results = list(http_results(checks=100, turns=20))
    await store.import_results(results[:1000])
    await store.save(full_batch())
    copy = tmp_path / "copy"
    await care.backup(store_url, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    await store.import_results(results[1000:])
    with pytest.raises(StoreError, match="already"):
        await care.backup(store_url, copy)
    if store_url.startswith("postgresql"):
        assert "TABLE DATA public result_pages" in await asyncio.to_thread(_contents, copy)
        return
    restored = await Store.open(f"sqlite:///{copy}")
    assert len([r async for r in restored.export_results(0, 1 << 44)]) == 1002
    assert await care.check(f"sqlite:///{copy}") == []
    await restored.aclose()
    assert names_in(tmp_path, ".*") == []


def _contents(dump: Path) -> str:
    command = [programs() / "pg_restore", "--list", dump]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_a_backup_that_fails_leaves_nothing(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.dsn("there_is_no_such_database")
    with pytest.raises(StoreUnavailableError, match="does not exist") as failed:
        await care.backup(url, tmp_path / "copy")
    assert "mat-khau" not in str(failed.value)
    assert names_in(tmp_path) == []


async def test_vacuum_gives_space_back(tmp_path: Path, store: Store, store_url: str) -> None:
    await store.import_results(http_results(checks=100, turns=100))
    await store.forget_results(1 << 44)
    await care.vacuum(store_url)
    if store_url.startswith("sqlite"):
        assert (tmp_path / "store.db").stat().st_size < 200_000
    assert await care.check(store_url) == []
    await store.save(full_batch())


async def test_what_is_not_there_cannot_be_cared_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nothing.db"
    for work in (care.check(url), care.vacuum(url), care.backup(url, tmp_path / "copy")):
        with pytest.raises(StoreUnavailableError, match="no store"):
            await work
    assert names_in(tmp_path) == []
