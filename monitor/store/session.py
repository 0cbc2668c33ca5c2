"""The one writing connection of a process, and the lock that makes a monitor the only one on its store."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import orjson
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.store.engine import file_at
from monitor.store.errors import StoreInUseError, StoreUnavailableError, unavailable_as_such
from monitor.store.statements import put_meta
from monitor.store.tables import meta

_ADVISORY_KEY = 0x7E5C_0002
"""PostgreSQL advisory lock of the monitor on its database."""
_LOCK_PATIENCE_S = 1.0
"""How long that lock is asked for: the server may still be ending the session of a monitor that was killed."""
_LOCK_EVERY_S = 0.05
SLOW_S = 2.0
"""A transaction that takes longer is a reason to see whether the server answers at all."""
SILENCE_S = 3.0
"""How long the server is then waited for."""
_GLANCE_S = 0.05
"""How long a connection to a server that is known to be silent is waited for."""
_PROCESS = re.compile(r"(?P<host>\S+) pid (?P<pid>[1-9][0-9]*)\b", re.ASCII)
_SILENT = "the database does not answer"
_REPLACED = "the store's file was replaced while it was in use"
_END_OWN = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = :backend "
    "AND ((classid::bigint << 32) | objid::bigint) = :key AND objsubid = 1"
)


class _GhostError(StoreUnavailableError):
    """Who holds the lock is no more; the server, cut off from it when it ended, will notice by its keepalives."""


class Session:
    """Transactions one after the other, on a connection that is made anew when it breaks.

    With PostgreSQL the lock belongs to this very connection: what is written after a reconnection is written
    only once the lock has been taken again. A broken connection of which the server does not know yet still holds
    it: that session is ended.

    A server that hangs is not waited for as long as a statement may take: when one takes long, the server is asked on
    another connection, of `lookout`. While it is silent the connection is made anew beside those who would use it,
    and these are refused at once.
    """

    def __init__(self, engine: AsyncEngine, lookout: AsyncEngine, path: Path | None) -> None:
        self._engine = engine
        self._lookout = lookout
        self._path = path
        self._connecting: asyncio.Task[AsyncConnection] | None = None
        self._is_silent = False
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection | None = None
        self._owner: str | None = None
        self._lock_file: int | None = None
        self._file: tuple[int, int] | None = None
        self._backend = 0
        self.is_replaced = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction: committed at the end, rolled back on an exception.

        Raises StoreUnavailableError when the store is away, StoreInUseError when the lock was lost to another.
        """
        async with self._turn:
            try:
                with unavailable_as_such():
                    connection = await self._connected()
                    async with self._watched(connection), connection.begin():
                        yield connection
            except StoreUnavailableError as error:
                await self._disconnect()
                raise (StoreUnavailableError(_SILENT) if self._is_silent else error) from error.__cause__

    async def take_lock(self, owner: str, patience_s: float = _LOCK_PATIENCE_S) -> None:
        """Become the only monitor on this store.

        Raises StoreInUseError, which names the holder.
        """
        self._owner = owner
        try:
            if self._path is not None:
                self._lock_path(self._path.with_name(self._path.name + ".lock"), owner)
            async with self.transaction() as connection:
                # A connection that was there before this call has not asked for the lock yet.
                await self._lock_database(connection, patience_s)
                await put_meta(connection, {"owner": owner})
        except BaseException:
            self._owner = None
            raise

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Hold the lock meanwhile, if nobody has it; say whether it is held."""
        if self._owner is not None:
            yield True
            return
        try:
            await self.take_lock(f"pid {os.getpid()}", patience_s=0)
        except (StoreInUseError, _GhostError):
            yield False
            return
        try:
            yield True
        finally:
            await self._give_back()

    async def _give_back(self) -> None:
        self._owner = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
        elif self._path is None:
            async with self.transaction() as connection:
                await connection.execute(text("SELECT pg_advisory_unlock_all()"))

    def _lock_path(self, path: Path, owner: str) -> None:
        with unavailable_as_such():
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # The kernel releases it when the process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 500, 0).decode(errors="replace").strip()
            os.close(file)
            raise StoreInUseError(_in_use(holder)) from None
        os.ftruncate(file, 0)
        os.pwrite(file, owner.encode(), 0)
        self._lock_file = file

    async def _connected(self) -> AsyncConnection:
        if self._path is not None and self._lock_file is not None:
            self._look_at_file(self._path)
        if self._connection is None:
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
            await asyncio.wait({self._connecting}, timeout=_GLANCE_S if self._is_silent else None)
            if not self._connecting.done():
                raise StoreUnavailableError(_SILENT)
            connecting, self._connecting = self._connecting, None
            self._connection = connecting.result()
        return self._connection

    def _look_at_file(self, path: Path) -> None:
        """Refuse to write into a file that nobody finds any more, or into another one of its name."""
        found = file_at(path)
        if self._file is None:
            self._file = found
        if found != self._file:
            if found is not None:
                self.is_replaced.set()
            raise StoreUnavailableError("the store's file is not where it was" if found is None else _REPLACED)

    async def _connect(self) -> AsyncConnection:
        try:
            connection = await self._engine.connect()
            try:
                if self._owner is not None:
                    async with self._watched(connection), connection.begin():
                        await self._lock_database(connection)
            except BaseException:
                await connection.close()
                raise
        except TimeoutError:
            self._is_silent = True
            raise
        self._is_silent = False
        return connection

    @asynccontextmanager
    async def _watched(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Break the connection as soon as it is seen that its server answers nobody."""
        if self._path is not None:
            yield
            return
        raw = (await connection.get_raw_connection()).driver_connection
        watch = asyncio.create_task(self._watch(raw))
        try:
            yield
        finally:
            watch.cancel()

    async def _watch(self, raw: Any) -> None:
        while not self._is_silent:
            await asyncio.sleep(SLOW_S)
            if not await self._is_answered():
                self._is_silent = True
                raw.terminate()

    async def _is_answered(self) -> bool:
        try:
            async with self._lookout.connect():
                return True
        except DBAPIError:
            return True  # it refuses, for whatever reason: it is there
        except OSError:
            return False

    async def _lock_database(self, connection: AsyncConnection, patience_s: float = _LOCK_PATIENCE_S) -> None:
        if self._path is not None:
            return
        ends = time.monotonic() + patience_s
        # A second call on the same connection would need a second unlock; it is never unlocked, only closed.
        while not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY}):
            await connection.execute(_END_OWN, {"backend": self._backend, "key": _ADVISORY_KEY})
            if time.monotonic() >= ends:
                await self._refuse(connection)
            await asyncio.sleep(_LOCK_EVERY_S)
        self._backend = await connection.scalar(text("SELECT pg_backend_pid()"))

    async def _refuse(self, connection: AsyncConnection) -> NoReturn:
        holder = await connection.scalar(select(meta.c.value).where(meta.c.name == "owner"))
        name = orjson.loads(holder) if holder else ""
        if self._backend and name == self._owner:
            message = "the server still holds this monitor's lock for a connection that is broken"
            raise StoreUnavailableError(message)
        if _has_ended(name):
            message = f"the server still holds the lock of a monitor that has ended: {name}"
            raise _GhostError(message)
        raise StoreInUseError(_in_use(name))

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                with unavailable_as_such():
                    await connection.invalidate()
                    await connection.close()
            except StoreUnavailableError:
                pass  # it was broken already

    async def aclose(self) -> None:
        """Wait for the transaction in progress, then close and release the lock."""
        async with self._turn:
            connection, self._connection = self._connection, None
            try:
                with unavailable_as_such():
                    if connection is not None:
                        await connection.close()
            except StoreUnavailableError:
                pass  # it was broken already
            if self._connecting is not None:
                self._connecting.cancel()
                await asyncio.gather(self._connecting, return_exceptions=True)
                self._connecting = None
            await self._engine.dispose()
            await self._lookout.dispose()
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None


def _has_ended(holder: str) -> bool:
    """Say whether a holder was a process of this machine that is no more."""
    named = _PROCESS.match(holder)
    if named is None or named["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(named["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return False


def _in_use(holder: str) -> str:
    return f"another monitor is using this store: {holder or 'unknown'}"
