"""Care of the store, behind `thongsuot db …`: check, backup, vacuum. All work while a monitor is running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.store import late, verify
from monitor.store.classes import is_kept_by, metadata
from monitor.store.codec import CorruptError
from monitor.store.engine import PATIENCE_S, create_engine, parse_url, sqlite_path
from monitor.store.errors import StoreError, StoreUnavailableError, unavailable_as_such
from monitor.store.migrate import HEAD, KNOWN, version_of
from monitor.store.names import Names

SHOWN_ROLLUPS = 10
"""Rollups that are named where more are wrong."""
_BACKUP_PAGES = 4_096
"""Pages copied between two breaths, in which the monitor may write."""

_RAW_ORPHANS = {
    "sqlite": {
        "results of checks that are not there": "SELECT count(*) FROM (SELECT DISTINCT check_no FROM results) r "
        "WHERE check_no NOT IN (SELECT no FROM checks)",
        "results of agents that are not there": "SELECT count(*) FROM (SELECT DISTINCT agent_no FROM results) r "
        "WHERE agent_no NOT IN (SELECT no FROM agents)",
        "results of shapes that are not there": "SELECT count(*) FROM (SELECT DISTINCT shape_no FROM results) r "
        "WHERE shape_no <> 0 AND shape_no NOT IN (SELECT no FROM shapes)",
    },
    "postgresql": {
        "results of checks that are not there": "SELECT count(*) FROM (SELECT DISTINCT unnest(check_nos) AS check_no "
        "FROM result_pages) r WHERE check_no NOT IN (SELECT no FROM checks)",
        "results of agents that are not there": "SELECT count(*) FROM (SELECT DISTINCT agent_no FROM result_pages) r "
        "WHERE agent_no NOT IN (SELECT no FROM agents)",
    },
}
_ORPHANS = {
    "sealed results of checks that are not there": "SELECT count(*) FROM (SELECT DISTINCT check_no "
    "FROM sealed_results) r WHERE check_no NOT IN (SELECT no FROM checks)",
    "rollups of checks that are not there": "SELECT count(*) FROM (SELECT check_no FROM rollups_5m UNION "
    "SELECT check_no FROM rollups_1h UNION SELECT check_no FROM rollups_1d) r "
    "WHERE check_no NOT IN (SELECT no FROM checks)",
    "notifications of incidents that are not there": "SELECT count(*) FROM notifications "
    "WHERE incident NOT IN (SELECT id FROM incidents)",
}
"""What must not be there, and how much of it there is."""


async def check(url: str) -> list[str]:
    """Return what is wrong with the store, one line each; empty when it is in order.

    Raises StoreUnavailableError when it cannot be read at all.
    """
    parsed = _existing(url)
    engine = create_engine(parsed, read_only=True, command_timeout_s=None)
    try:
        with unavailable_as_such():
            async with engine.connect() as connection:
                version = await connection.run_sync(version_of)
                if version not in KNOWN:
                    return [f"schema {version or 'none'} is not one that this program knows; its newest is {HEAD}"]
                problems = await _damage(connection)
                if version != HEAD:
                    return [f"schema {version} is old: run thongsuot db upgrade", *problems]
                problems += await _orphans(connection)
                if problems:
                    return problems  # what cannot be read whole cannot be compared
                names = Names()
                await names.load(connection)
                span = await verify.raw_span(connection)
                zone = await late.read_zone(connection)
            return problems + await _wrong_rollups(engine, names, span, zone)
    finally:
        await engine.dispose()


async def _damage(connection: AsyncConnection) -> list[str]:
    if connection.dialect.name == "postgresql":
        return []  # the server checks its own pages: pg_amcheck and data checksums
    found = list(await connection.scalars(text("PRAGMA integrity_check(20)")))
    broken = len((await connection.execute(text("PRAGMA foreign_key_check"))).all())
    return [line for line in found if line != "ok"] + ([f"{broken} broken references"] if broken else [])


async def _orphans(connection: AsyncConnection) -> list[str]:
    statements = _RAW_ORPHANS[connection.dialect.name] | _ORPHANS
    counts = {what: await connection.scalar(text(statement)) for what, statement in statements.items()}
    return [f"{what}: {count}" for what, count in counts.items() if count]


async def _wrong_rollups(engine: AsyncEngine, names: Names, span: tuple[int, int], zone: ZoneInfo) -> list[str]:
    problems: list[str] = []
    wrong = 0
    for differences in (verify.against_raw(engine, names, *span), verify.against_finer(engine, zone)):
        try:
            async for difference in differences:
                wrong += 1
                if wrong <= SHOWN_ROLLUPS:
                    problems.append(str(difference))
        except CorruptError as error:
            problems.append(str(error))
    if wrong > SHOWN_ROLLUPS:
        problems.append(f"{wrong - SHOWN_ROLLUPS} more rollups differ from what they are made of")
    return problems + (["run thongsuot db rebuild to count these rollups again"] if wrong else [])


async def backup(url: str, path: Path) -> None:
    """Copy the store to a new file: a SQLite database, or pg_dump's custom format (for pg_restore).

    The copy is of one moment. It appears under its name only when it is whole, readable by its owner alone.
    Raises StoreError when that file is there already, or pg_dump is missing or fails.
    """
    parsed = _existing(url)
    partial = _begun(path)
    try:
        source = sqlite_path(parsed)
        if source is not None:
            await asyncio.to_thread(_copy_sqlite, source, partial)
        else:
            await _dump_postgresql(parsed, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _begun(path: Path) -> Path:
    """Make the empty file that a copy is written to."""
    if path.exists():
        message = f"{path} is there already: nothing was copied"
        raise StoreError(message)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    return partial


def _copy_sqlite(source: Path, copy: Path) -> None:
    with (
        unavailable_as_such(),
        contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", PATIENCE_S, uri=True)) as live,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        # One read transaction: without it each write of the monitor would start the copy anew.
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()
        live.backup(target, pages=_BACKUP_PAGES)
        target.execute("PRAGMA journal_mode = DELETE")


async def _dump_postgresql(url: URL, copy: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        message = "pg_dump is not installed here: install the PostgreSQL client, or back up on the database's server"
        raise StoreError(message)
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    # The password goes by the environment: other users can read a command line.
    environ = {**os.environ, **({"PGPASSWORD": url.password} if url.password else {})}
    process = await asyncio.create_subprocess_exec(
        program,
        "--format=custom",
        f"--file={copy}",
        "--dbname",
        plain.render_as_string(),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode:
        message = f"pg_dump failed: {errors.decode(errors='replace').strip()[:500]}"
        raise StoreUnavailableError(message)


async def vacuum(url: str) -> None:
    """Give back the space of what was deleted, and refresh the planner's figures.

    SQLite is written anew and needs as much free space again; the monitor's results wait in its spool meanwhile.
    """
    parsed = _existing(url)
    path = sqlite_path(parsed)
    with unavailable_as_such():
        if path is not None:
            await asyncio.to_thread(_vacuum_sqlite, path)
            return
        engine = create_engine(parsed, command_timeout_s=None)
        try:
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                await connection.execute(text("VACUUM (ANALYZE)"))
        finally:
            await engine.dispose()


def _vacuum_sqlite(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, PATIENCE_S, isolation_level=None)) as connection:
        for statement in ("VACUUM", "ANALYZE"):
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


async def analyze(connection: AsyncConnection) -> None:
    """Tell PostgreSQL's planner what a load has filled: autovacuum comes by only later. SQLite's needs no telling."""
    if connection.dialect.name == "postgresql":
        tables = [table.name for table in metadata.sorted_tables if is_kept_by(table, "postgresql")]
        await connection.execute(text(f"ANALYZE {', '.join(tables)}"))


def _existing(url: str) -> URL:
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None and not path.is_file():
        message = f"there is no store at {path}"
        raise StoreUnavailableError(message)
    return parsed
