"""Opens databases: which address means which driver, and how each is set up."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from monitor.store.errors import StoreError

PATIENCE_S = 5.0
"""How long to wait for another process's transaction (SQLite) or for a connection (PostgreSQL)."""
COMMAND_TIMEOUT_S = 30.0
"""How long one statement of the engine or of a page may take."""
LOCK_TIMEOUT_S = 5
"""How long a statement of the writer waits for somebody else's lock: as long as with SQLite."""
PAGE_BYTES = 2048
"""SQLite's page. Results of one check lie together, so that each result of a batch touches a page of its own: a
small page means less to write for each of them."""

_SQLITE_PRAGMAS = (
    f"PRAGMA page_size = {PAGE_BYTES}",  # only has an effect before the first table
    "PRAGMA journal_mode = WAL",
    # FULL: a commit is on the disk when it returns, as with PostgreSQL. NORMAL would survive a killed process,
    # but lose what was confirmed just before a power failure.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -8192",
    "PRAGMA wal_autocheckpoint = 8192",  # pages: 16 MiB, so that a page is written back once for many changes
    "PRAGMA journal_size_limit = 67108864",
)

_POSTGRESQL_SETTINGS = {
    "application_name": "thongsuot",
    "jit": "off",
    "timezone": "UTC",
    # A monitor whose machine lost its power must not hold the store for hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


def parse_url(url: str) -> URL:
    """Return the address with its driver filled in.

    Raises StoreError, without repeating the address, for one that is neither SQLite's nor PostgreSQL's.
    """
    message = "the store's address is not one: write sqlite:///data/thongsuot.db or postgresql://user@host/database"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(message) from None
    backend = parsed.drivername.split("+", maxsplit=1)[0]
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in {"postgresql", "postgres"} and parsed.database:
        return parsed.set(drivername="postgresql+asyncpg")
    raise StoreError(message)


def sqlite_path(url: URL) -> Path | None:
    """Return the file of a SQLite store, None for another one."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def create_engine(
    url: URL,
    *,
    read_only: bool = False,
    patience_s: float = PATIENCE_S,
    command_timeout_s: float | None = COMMAND_TIMEOUT_S,
    lock_timeout_s: float = 0,
    pooled: bool = True,
    must_exist: bool = False,
) -> AsyncEngine:
    """Return an engine that is not connected yet; with `read_only` it refuses to write.

    With SQLite a file that is not there is made, unless it `must_exist` or is only read; one that was moved or replaced
    is opened anew.

    With PostgreSQL a statement may take `command_timeout_s`, None for as long as it takes, and wait for a lock for
    `lock_timeout_s`, 0 for as long as it takes.
    """
    if sqlite_path(url) is not None:
        path = Path(url.database or "").absolute()
        must_exist = must_exist or read_only
        if must_exist:
            url = url.set(database=f"file:{quote(str(path))}", query={"mode": "rw", "uri": "true"})
        engine = create_async_engine(url, connect_args={"timeout": patience_s}, pool_size=4, max_overflow=4)
        if must_exist:
            _refuse_without(engine, path)
        _set_up_sqlite(engine, path, read_only=read_only)
        return engine
    from monitor.store.postgresql import Connection  # noqa: PLC0415 - a store in SQLite need not have it in memory

    settings = {
        **_POSTGRESQL_SETTINGS,
        "default_transaction_read_only": "on" if read_only else "off",
        "lock_timeout": str(round(lock_timeout_s * 1000)),
    }
    arguments = {
        "timeout": patience_s,
        "command_timeout": command_timeout_s,
        "server_settings": settings,
        "connection_class": Connection,
    }
    if not pooled:
        return create_async_engine(url, connect_args=arguments, poolclass=NullPool)
    return create_async_engine(url, connect_args=arguments, pool_size=4, max_overflow=4, pool_pre_ping=read_only)


def file_at(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of that name, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _refuse_without(engine: AsyncEngine, path: Path) -> None:
    # A driver that cannot open a file leaves a thread behind, which may outlive the event loop that it reports to.
    @event.listens_for(engine.sync_engine, "do_connect")
    def connecting(*_: object) -> None:
        if file_at(path) is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))


def _set_up_sqlite(engine: AsyncEngine, path: Path, *, read_only: bool) -> None:
    # A writer takes the write lock at once: a transaction that reads first and is then refused the lock cannot
    # wait for it (SQLite manual, "Isolation"), it can only start again.
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        record.info["file"] = file_at(path)
        # The driver must not begin transactions by itself: it would leave schema changes out of them.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _SQLITE_PRAGMAS:
            cursor.execute(pragma)
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "checkout")
    def checked_out(_connection: object, record: Any, _proxy: object) -> None:
        if record.info["file"] != file_at(path):
            raise DisconnectionError

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)
