"""`thongsuot db restore`: puts a copy that `db backup` made into an empty store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from sqlalchemy.engine import URL

from monitor.store import care
from monitor.store.copying import refuse_unless_empty
from monitor.store.engine import PATIENCE_S, create_engine, parse_url, sqlite_path
from monitor.store.errors import StoreError, StoreUnavailableError, unavailable_as_such
from monitor.store.migrate import HEAD, version_of

_SQLITE_MAGIC = b"SQLite format 3\0"
_DUMP_MAGIC = b"PGDMP"


async def restore(url: str, file: Path) -> list[str]:
    """Put a copy into an empty store; return what `db check` finds wrong with it, nothing when it is in order.

    Raises StoreError when the store is not empty, or when the file is not a copy of a store of this kind: whose copy
    it is decides; `db copy` goes from one kind to the other.
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    with file.open("rb") as copy:
        magic = copy.read(len(_SQLITE_MAGIC))
    wanted = _DUMP_MAGIC if path is None else _SQLITE_MAGIC
    if not magic.startswith(wanted):
        kind = "PostgreSQL" if path is None else "SQLite"
        message = f"{file} is not a copy of a {kind} store: nothing was restored"
        raise StoreError(message)
    with unavailable_as_such():
        await refuse_unless_empty(url)
    if path is None:
        await _restore_postgresql(parsed, file)
        await _analyze(parsed)
    else:
        await asyncio.to_thread(_restore_sqlite, file, path)
    return await care.check(url)


async def _analyze(url: URL) -> None:
    engine = create_engine(url)
    try:
        with unavailable_as_such():
            async with engine.connect() as connection:
                version = await connection.run_sync(version_of)
            if version == HEAD:  # an older one lacks tables, and `db check` says what it is
                async with engine.begin() as connection:
                    await care.analyze(connection)
    finally:
        await engine.dispose()


def _restore_sqlite(copy: Path, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    try:
        with (
            unavailable_as_such(),
            contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", PATIENCE_S, uri=True)) as source,
            contextlib.closing(sqlite3.connect(partial)) as target,
        ):
            source.backup(target)
        # What a store that was here before has left would be taken for this one's.
        for rest in ("-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


async def _restore_postgresql(url: URL, copy: Path) -> None:
    program = shutil.which("pg_restore")
    if program is None:
        message = "pg_restore is not installed here: install the PostgreSQL client"
        raise StoreError(message)
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    # The password goes by the environment: other users can read a command line.
    environ = {**os.environ, **({"PGPASSWORD": url.password} if url.password else {})}
    command = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    process = await asyncio.create_subprocess_exec(
        program,
        *command,
        "--dbname",
        plain.render_as_string(),
        str(copy),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode:
        message = f"pg_restore failed: {errors.decode(errors='replace').strip()[:500]}"
        raise StoreUnavailableError(message)
