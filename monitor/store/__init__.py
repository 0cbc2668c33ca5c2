"""The store: everything that outlives the process, in SQLite or PostgreSQL, behind one door for the engine.

    store = await Store.open("sqlite:///data/thongsuot.db")
    await store.take_lock("hn-1 pid 4711")
    await store.save(batch)

Reading for pages is `monitor.queries`, people's actions are `monitor.commands`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.model import Incident, Memory, Result
from config.model import Inventory, Retention
from monitor.records import Batch, CheckNow, Late, PendingNotification
from monitor.redecision import FOREVER_MS
from monitor.rollup import INTERVAL_MS
from monitor.store import (
    care,
    heartbeats,
    history,
    late,
    outbox,
    periods,
    results,
    retention,
    rollups,
    sealing,
    sizes,
    states,
    verify,
)
from monitor.store import inventory as inventories
from monitor.store.engine import LOCK_TIMEOUT_S, PATIENCE_S, create_engine, parse_url, sqlite_path
from monitor.store.errors import (
    StoreError,
    StoreInUseError,
    StoreReplacedError,
    StoreUnavailableError,
    StoreVersionError,
    unavailable_as_such,
)
from monitor.store.history import History
from monitor.store.migrate import require_head, upgrade_at
from monitor.store.names import Names
from monitor.store.periods import ClosedMonth, SignedTarget
from monitor.store.session import SILENCE_S, Session
from monitor.store.settle import LeftBehind, Live, Settler
from monitor.store.sizes import Forecast
from monitor.store.statements import get_meta, put_meta
from probes.heartbeat_book import Page

__all__ = ["Store", "StoreError", "StoreInUseError", "StoreReplacedError", "StoreUnavailableError", "StoreVersionError"]

IMPORT_RESULTS = 10_000
"""Results of an import in one transaction; the planner is told of an import of at least as many."""
STEP_PAUSE_S = 0.02
"""Between two steps of what is outdated, in which the writer has its turn."""
BEAT_MS = 1_000
"""The heartbeat is written at most this often."""
_THREAD_RESULTS = 1_000
"""From how many results on packing them leaves the event loop."""

T = TypeVar("T")


class Store:
    """An open store. All methods raise StoreUnavailableError when it is away, and can be called again later."""

    def __init__(self, session: Session, reader: AsyncEngine, path: Path | None) -> None:
        self._path = path
        self._reader = reader
        self._session = session
        self._names = Names()
        self._marks = rollups.Marks()
        self._beat_ms = 0
        self._writes: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str, *, migrate: bool = True, patience_s: float = PATIENCE_S) -> Store:
        """Open `sqlite:///path` or `postgresql://…`, and bring its schema up to date unless told not to.

        `patience_s` is how long to wait for a lock or a connection before the store is called away.

        Raises StoreVersionError for a schema that is newer than this program (or, without `migrate`, older).
        """
        parsed = parse_url(url)
        path = sqlite_path(parsed)
        engine = create_engine(parsed, patience_s=patience_s, lock_timeout_s=LOCK_TIMEOUT_S, must_exist=True)
        lookout = create_engine(parsed, patience_s=SILENCE_S, command_timeout_s=SILENCE_S, pooled=False)
        reader = create_engine(parsed, read_only=True, patience_s=patience_s)
        store = cls(Session(engine, lookout, path), reader, path)
        try:
            with unavailable_as_such():
                if migrate and path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                if migrate:
                    await upgrade_at(parsed, patience_s)
                async with reader.connect() as connection:
                    await require_head(connection)
                    await store._names.load(connection)
        except BaseException:
            await store.aclose()
            raise
        return store

    async def aclose(self) -> None:
        """Finish what is being written, release the lock and close."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._session.aclose()
        await self._reader.dispose()

    async def take_lock(self, owner: str) -> None:
        """Become the only monitor on this store; notifications that a dead one had claimed are free again.

        Raises StoreInUseError, which names the holder.
        """
        await self._session.take_lock(owner)
        await self._write(outbox.release)

    async def until_replaced(self) -> None:
        """Return when the store's file was seen to be another one. Until it is opened anew, the store is away."""
        await self._session.is_replaced.wait()

    async def sync_inventory(self, inventory: Inventory) -> None:
        """Write what the configuration says; what it no longer says is marked as removed."""
        await self._write(lambda connection: inventories.sync(connection, inventory, _now_ms()))
        await self._load_names()

    async def save(self, batch: Batch, beat_ms: int | None = None) -> None:
        """Save a batch in one transaction; saving it again changes nothing.

        With `beat_ms`, which is now, the monitor says in the same transaction that it is alive (`beat`): no result of
        its own is ever there without a sign of who has still to count it.
        A call that is cancelled may or may not have saved it.
        """
        known = self._names.checks
        named = {
            row.check for rows in (batch.checks, batch.rollups, batch.late) for row in rows if row.check not in known
        }
        packed = await self._pack(batch.results, named)

        async def write(connection: AsyncConnection) -> None:
            await results.insert(connection, packed)
            await states.save(connection, batch, self._names.checks)
            counted = [(self._names.checks[rollup.check], rollup) for rollup in batch.rollups]
            await rollups.save(connection, counted, self._marks)
            await late.note(connection, batch.late, self._names.checks)
            await outbox.save(connection, batch.notifications)
            if is_due:
                await put_meta(connection, {"heartbeat_ms": beat_ms})

        is_due = beat_ms is not None and self._is_beat_due(beat_ms)
        await self._write(write)
        if beat_ms is not None and is_due:
            self._beat_ms = beat_ms
        self._names.first_ms |= packed.first_ms

    async def _pack(self, batch: list[Result], checks: Iterable[str] = ()) -> results.Packed:
        """Pack results, giving numbers to names that have none; `checks` are further names that need one."""
        if len(batch) < _THREAD_RESULTS:
            packed = results.pack(batch, self._names)
        else:
            packed = await asyncio.to_thread(results.pack, batch, self._names)
        packed.checks.update(check for check in checks if check not in self._names.checks)
        if not packed.lacks_names:
            return packed
        await self._write(
            lambda connection: self._names.intern(connection, packed.checks, packed.agents, packed.shapes)
        )
        await self._load_names()
        return await self._pack(batch, checks)

    async def _load_names(self) -> None:
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                await self._names.load(connection)

    async def _write(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]]) -> T:
        # A transaction that has begun is finished even when whoever waits for it is cancelled: half-cancelled
        # statements would cost the connection, and with it the lock.
        async def run() -> T:
            try:
                async with self._session.transaction() as connection:
                    return await work(connection)
            except BaseException:
                self._marks.forget()
                raise

        task = asyncio.create_task(run())
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def beat(self, now_ms: int) -> None:
        """Say that the monitor is alive; written once a second at most."""
        if self._is_beat_due(now_ms):
            await self._write(lambda connection: put_meta(connection, {"heartbeat_ms": now_ms}))
            self._beat_ms = now_ms

    def _is_beat_due(self, now_ms: int) -> bool:
        return not 0 <= now_ms - self._beat_ms < BEAT_MS

    async def heartbeats(self) -> dict[str, Page]:
        """Return what jobs said of themselves."""
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                return await heartbeats.load(connection)

    async def save_heartbeats(self, pages: Mapping[str, Page]) -> None:
        """Insert or replace what jobs said of themselves."""
        await self._write(lambda connection: heartbeats.save(connection, pages))

    async def last_beat_ms(self) -> int:
        """Return when a monitor last said that it is alive, 0 for never."""
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                return int(await get_meta(connection, "heartbeat_ms") or 0)

    async def load_memory(self) -> tuple[Memory, dict[str, CheckNow]]:
        """Return what the core remembers, and every configured check that has had a result, by id."""
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                return await states.load(connection)

    async def incidents(self, ids: Iterable[str]) -> dict[str, Incident]:
        """Return incidents by id, as far as they are there."""
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                return await states.incidents_by_id(connection, ids)

    async def claim_notifications(self, now_ms: int, limit: int) -> list[PendingNotification]:
        """Claim up to `limit` notifications that are due, for a time; nobody else gets them in that time."""
        return await self._write(lambda connection: outbox.claim(connection, now_ms, limit))

    async def mark_delivered(self, number: int, now_ms: int) -> None:
        """Note that a notification was accepted by its receiver."""
        await self._write(lambda connection: outbox.deliver(connection, number, now_ms))

    async def plan_retry(self, number: int, at_ms: int, error: str) -> None:
        """Note that an attempt failed, and when the next one is due."""
        await self._write(lambda connection: outbox.retry(connection, number, at_ms, error))

    async def give_up(self, number: int, error: str) -> None:
        """Note that a notification can never be delivered, and why."""
        await self._write(lambda connection: outbox.give_up(connection, number, error))

    async def rebuild(self, from_ms: int = 0, to_ms: int = FOREVER_MS) -> tuple[int, int, int]:
        """Count the rollups of [from_ms, to_ms) again from raw results, as far as these are there.

        Returns how many of 5 minutes were wrong, and the time that was looked at. Hours and days are made again by
        the monitor that is running, else here.
        """
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                await self._names.load(connection)
                span = await verify.raw_span(connection)
        from_ms = max(from_ms - from_ms % INTERVAL_MS, span[0])
        to_ms = min(to_ms + -to_ms % INTERVAL_MS, span[1])
        wrong = await verify.put_right(self._reader, self._write, self._names, from_ms, to_ms)
        async with self._session.alone() as is_alone:
            if is_alone:
                await self.settle(FOREVER_MS)
        return wrong, from_ms, to_ms

    async def _zone(self) -> ZoneInfo:
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                return await late.read_zone(connection)

    async def adopt_inventory(self, inventory: Inventory) -> None:
        """Write what the configuration says, unless a monitor is running: then it is what that one has read."""
        async with self._session.alone() as is_alone:
            if is_alone or not await self.has_inventory():
                await self.sync_inventory(inventory)

    async def has_inventory(self) -> bool:
        """Say whether a configuration has been written into the store."""
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                return await late.read_rules(connection) is not None

    async def import_results(self, imported: Iterable[Result]) -> int:
        """Insert results that are not there yet, and return how many these were. Needs no lock.

        What they say of the past is worked out by the monitor that is running, else here.
        """
        new, noted = 0, late.Noted(_now_ms())
        remaining = iter(imported)
        while batch := list(islice(remaining, IMPORT_RESULTS)):
            packed, days = await self._pack(batch), noted.new(batch)
            new += await self._write(partial(self._import, packed=packed, days=days))
            self._names.first_ms |= packed.first_ms
        async with self._session.alone() as is_alone:
            if is_alone:
                await self.settle(FOREVER_MS)
        if new >= IMPORT_RESULTS:
            await self._write(care.analyze)
        return new

    async def _import(self, connection: AsyncConnection, packed: results.Packed, days: list[Late]) -> int:
        new = await results.insert(connection, packed)
        await late.note(connection, days, self._names.checks)
        return new

    async def import_history(self, histories: Sequence[History]) -> None:
        """Save what was decided and counted of some checks' past, of which raw results are not kept.

        For checks of the configuration that have no other past: whoever calls it holds the lock, and has looked
        (`first_results`). Saving it again changes nothing.
        """
        zone = await self._zone()
        await self._write(partial(history.save, histories=histories, check_nos=self._names.checks, zone=zone))
        self._names.first_ms |= {self._names.checks[one.check]: one.first_ms for one in histories}

    def first_results(self) -> dict[str, int]:
        """Return when each check's first result started, of those that have had one."""
        return {self._names.check_ids[number]: first_ms for number, first_ms in self._names.first_ms.items()}

    async def read_note(self, name: str) -> Any:
        """Return what was noted under that name, None for nothing."""
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                return await get_meta(connection, name)

    async def note(self, name: str, value: Any) -> None:
        """Note something under that name."""
        await self._write(lambda connection: put_meta(connection, {name: value}))

    async def settle(self, until_ms: int, live: Live | None = None) -> None:
        """Work out all that is outdated of the time before `until_ms`, in small steps; `live` is the running engine.

        Late results are decided on, and hours and days that were over then are made of finer rollups.
        """
        pause_s = 0.0 if live is None else STEP_PAUSE_S
        if live is None:
            live = await LeftBehind.load(self._reader, self._write, self._names.checks)
        settler = Settler(self._reader, self._write, self._names, live)
        await settler.settle(until_ms)
        zone = await self._zone()
        step = partial(rollups.make_some, zone=zone, until_ms=until_ms, marks=self._marks)
        while await self._write(step):  # noqa: ASYNC110 - not waited for, but given way to
            await asyncio.sleep(pause_s)

    async def export_results(self, from_ms: int, to_ms: int) -> AsyncIterator[Result]:
        """Yield the results that started in [from_ms, to_ms), in the order of start, then check, then agent."""
        async for result in results.read(self._reader, self._names, from_ms, to_ms):
            yield result

    async def results_of(self, check: str, from_ms: int, to_ms: int) -> list[Result]:
        """Return the results of one check that started in [from_ms, to_ms), oldest first; meant for hours."""
        number = self._names.checks.get(check)
        if number is None:
            return []
        with unavailable_as_such():
            async with results.snapshot(self._reader) as connection:
                return await results.read_check(connection, self._names, number, from_ms, to_ms)

    async def invalidate(self, check: str, from_ms: int, to_ms: int) -> None:
        """Note that a check's transitions in [from_ms, to_ms) are not what they were: its months are counted anew.

        Who changes them in a transaction of his own calls `periods.invalidate` in it instead.
        """
        await self._write(lambda connection: periods.invalidate(connection, [(check, from_ms, to_ms)]))

    async def fold_late_changes(self, zone: ZoneInfo) -> None:
        """Keep one note where several say the same of the months of that zone."""
        while await self._write(lambda connection: periods.fold(connection, zone)):
            pass

    async def keep_months(self, months: Iterable[ClosedMonth]) -> None:
        """Keep what was counted of months that are over; it stands in for nothing but counting again."""
        await self._write(lambda connection: periods.keep_months(connection, months))

    async def sign(self, from_ms: int, to_ms: int, by: str, now_ms: int, signed: Sequence[SignedTarget]) -> None:
        """Keep the figures of a period for good. Raises AlreadySignedError."""
        await self._write(lambda connection: periods.sign(connection, from_ms, to_ms, by, now_ms, signed))

    async def seal(self, before_ms: int) -> int:
        """Seal some of the results of an hour that ended before `before_ms`; return how many, 0 when there are none."""
        return await sealing.seal_some(self._reader, self._write, self._names, before_ms)

    async def retain(self, kept: Retention, now_ms: int) -> dict[str, int]:
        """Delete what is older than it is to be kept, in small steps; return how many rows of each kind."""
        return await retention.retain(self._write, kept, now_ms)

    async def measure(self, kept: Retention, now_ms: int) -> Forecast:
        """Measure the store's size, and leave it with a forecast for whoever asks."""
        with unavailable_as_such():
            found, points = await sizes.measure(self._reader, self._path, kept.raw, now_ms)
        await self._write(lambda connection: sizes.keep(connection, found, points))
        return found

    async def forget_results(self, before_ms: int) -> int:
        """Delete the results that started before `before_ms`, some at a time; return how many."""
        before_ms = await self._write(lambda connection: late.note_forgotten(connection, before_ms))
        forgotten, is_more = 0, True
        while is_more:
            count, is_more = await self._write(lambda connection: results.forget(connection, before_ms))
            forgotten += count
        return forgotten


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
