"""What can go wrong with the store, and what a database's own errors mean.

    StoreError
    ├── StoreUnavailableError   away, locked, full, read-only, damaged: hold on to the data and try again
    ├── StoreInUseError         another monitor holds it
    ├── StoreReplacedError      its file is another one now
    └── StoreVersionError       its schema is not one that this program knows

Anything else that a database raises is a bug in a statement, and passes through as it is.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class StoreError(Exception):
    """The store cannot be used as asked."""


class StoreUnavailableError(StoreError):
    """The store is away, locked, full, read-only or damaged; what was being saved is not in it."""


class StoreInUseError(StoreError):
    """Another monitor holds the store; the message names it."""


class StoreReplacedError(StoreError):
    """The store's file was replaced while it was in use: what is remembered of it may not be in the new one."""


class StoreVersionError(StoreError):
    """The store's schema is newer than this program, or was never made."""


_SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
"""Primary result codes of SQLite that say something about the file or the disk, not about the statement."""

_POSTGRESQL_AWAY = ("08", "28", "53", "57", "58", "XX", "25006", "3D000", "40001", "40P01", "55P03")
"""SQLSTATE classes and codes (PostgreSQL manual, appendix A) that say something about the server, not the statement:
connection, login, resources (disk full is 53100), intervention (shutdown), system and data damage; a server
that has become read-only; a database that is not there; serialization, deadlock and lock time-outs."""


def is_unavailable(error: BaseException) -> bool:
    """Say whether an error of a driver means that the store is away, rather than that there is a bug."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and _cause_is_away(error.orig))
    return isinstance(error, PoolTimeoutError) or _cause_is_away(error)


def _cause_is_away(error: BaseException) -> bool:
    # SQLAlchemy wraps asyncpg's errors once more: what is behind one is asyncpg's own.
    return any(_is_away(cause) for cause in (error, error.__cause__) if cause is not None)


def _is_away(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _SQLITE_AWAY
    asyncpg = _asyncpg()
    if asyncpg is not None and isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_POSTGRESQL_AWAY)
    # A connection that broke, could not be made, or did not answer in time.
    if asyncpg is not None and isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return True
    return isinstance(error, OSError)


def _asyncpg() -> Any:
    """Return the driver of PostgreSQL if a store uses it: one in SQLite need not have it in memory."""
    return sys.modules.get("asyncpg")


def _errors_of_drivers() -> tuple[type[BaseException], ...]:
    return (SQLAlchemyError, sqlite3.Error, OSError, *_errors_of_asyncpg())


def _errors_of_asyncpg() -> tuple[type[BaseException], ...]:
    asyncpg = _asyncpg()
    return () if asyncpg is None else (asyncpg.PostgresError, asyncpg.InterfaceError)


@contextmanager
def unavailable_as_such() -> Iterator[None]:
    """Raise StoreUnavailableError where a driver says that the store is away; a bug passes as it is."""
    try:
        yield
    except _errors_of_drivers() as error:
        if not is_unavailable(error):
            raise
        raise StoreUnavailableError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(original.__cause__, _errors_of_asyncpg()):
        original = original.__cause__
    if isinstance(original, TimeoutError):
        return "the database did not answer in time"
    words = str(original).strip().splitlines()
    return f"{type(original).__name__}: {words[0]}" if words else type(original).__name__
