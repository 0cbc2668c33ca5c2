"""The single writer: drains results in batches, lets the core decide, and saves all of it in one transaction.

The queue before it is bounded. A full queue holds the runner's seats, which slows probing and shows in a metric;
it never drops. While the store is away, batches go to the spool on disk, in order, and are delivered once when
it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from alerts.core import Core
from alerts.model import Event, Flapping, IncidentEvent, Notification, Result, RunNow, Transition
from monitor.evidence import Evidence
from monitor.lateness import is_late, joined
from monitor.recent import Recent
from monitor.records import Batch, Late, TargetNow
from monitor.schedule import Schedule
from monitor.spool import Spool, SpoolFullError
from monitor.store import Store, StoreInUseError, StoreUnavailableError

log = structlog.get_logger()

BATCH_RESULTS = 5_000
"""Most results in one transaction."""
PAUSE_S = 0.1
"""How often the inbox is emptied: what a result waits at most before it is decided."""
GATHER_S = 0.5
"""How long decided results that changed nothing wait for others; a change is saved at once, with all before it."""
SNAPSHOT_S = 5.0
"""How often the latest of every check that had a result is saved; changes of state are saved at once."""
DELIVERY_S = 1.0
"""How long the spool is moved at a time: new results have to be decided on meanwhile, and alerts to go out."""
RETRY_S = 1.0
"""How long to wait before the store, or a full spool, is tried again."""


class Inbox:
    """The bounded queue between runner and writer."""

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.Queue[Result] = asyncio.Queue(maxsize=limit)
        self.limit = limit

    async def put(self, result: Result) -> None:
        """Add a result, waiting while the queue is full."""
        try:
            self._queue.put_nowait(result)
        except asyncio.QueueFull:
            await self._queue.put(result)

    def drain(self, limit: int) -> list[Result]:
        """Take up to `limit` results without waiting, oldest first."""
        count = min(limit, self._queue.qsize())
        return [self._queue.get_nowait() for _ in range(count)]

    def __len__(self) -> int:
        return self._queue.qsize()


class Writer:
    """Drains the inbox, decides, and saves.

    Attributes:
        saved: results saved in the store; spooled: batches that went to the spool.
        store_available: whether the last attempt to save succeeded.
        spool_available: whether the spool takes what the store does not; else a batch waits in memory.
        closed_ms: rollups that started before this are over and saved, and the writer no longer touches them.
        saved_at_ms: when a transaction was last committed, 0 before the first.

    """

    def __init__(
        self,
        inbox: Inbox,
        core: Core,
        recent: Recent,
        store: Store,
        spool: Spool,
        schedule: Schedule,
        evidence: Evidence,
        notify: Callable[[], None],
    ) -> None:
        self._inbox = inbox
        self._core = core
        self._recent = recent
        self._store = store
        self._spool = spool
        self._schedule = schedule
        self._evidence = evidence
        self._notify = notify
        self._snapshot_at = 0.0
        self._failed_at = 0.0
        self._deferred: list[Event] = []
        self._gathered: list[Result] = []
        self._gathered_at = 0.0
        self._is_ending = False
        self.saved = 0
        self.spooled = 0
        self.store_available = True
        self.spool_available = True
        self.saved_at_ms = 0
        self.closed_ms = 0
        self._committed_once = asyncio.Event()
        self._is_stopping = False

    async def run(self) -> None:
        """Write until told to end. Cancelling may lose what is being saved."""
        while not self._is_ending:
            await self.write()
            if len(self._inbox) < BATCH_RESULTS:
                await asyncio.sleep(PAUSE_S)

    def end(self) -> None:
        """Let `run` return once it has saved what it has in hand; `drain` then saves the rest."""
        self._is_ending = True

    async def drain(self) -> None:
        """Save everything that is left, and the latest of every check: the last thing before a clean stop."""
        while len(self._inbox):
            await self.write()
        self._snapshot_at = self._gathered_at = float("-inf")
        self._is_stopping = True
        await self.write()

    def defer(self, events: Iterable[Event]) -> None:
        """Save these events, decided elsewhere (a reload), with the next batch."""
        self._deferred += events

    async def write(self) -> None:
        """Take what is in the inbox, decide, and save it."""
        results = self._inbox.drain(BATCH_RESULTS)
        now_ms = time.time_ns() // 1_000_000
        batch, run_now = self.decide(results, now_ms, caught_up=not len(self._inbox))
        # Answers that decide something are fetched before the disk is waited for.
        self._schedule.run_now(run_now)
        self._evidence.note(results, self._core.memory.checks, time.monotonic())
        self._schedule.run_now(self._evidence.take(time.monotonic()))
        self.confirm(results)
        await self._gather(batch, now_ms)

    def confirm(self, results: Iterable[Result]) -> None:
        """Let checks whose results speak of a change run again at their retry interval."""
        states = self._core.memory.checks
        for result in results:
            state = states.get(result.check)
            if state is not None and state.recent and self._core.confirming(result.check):
                self._schedule.retry(result.check, result.at_ms / 1000)

    async def _gather(self, batch: Batch, now_ms: int) -> None:
        """Save the batch, or keep it for the next one when it changed nothing: a transaction has a fixed price."""
        self._gathered += batch.results
        now = time.monotonic()
        due = now - self._gathered_at >= GATHER_S or len(self._gathered) >= BATCH_RESULTS
        if due or _has_changes(batch):
            batch.results, self._gathered, self._gathered_at = self._gathered, [], now
            await self._save(batch, now_ms)

    def decide(self, results: list[Result], now_ms: int, *, caught_up: bool) -> tuple[Batch, list[str]]:
        """Let the core decide on results and on the time passed; return what to save and what to run at once.

        Time is only let pass when the writer has caught up: results still in the queue would otherwise look
        like silence.
        """
        results.sort(key=_known_at)
        events, self._deferred = self._deferred, []
        feed, recent, checks = self._core.feed, self._recent, self._core.memory.checks
        late: list[Late] = []
        for result in results:
            before = checks.get(result.check)
            if before is None or not is_late(result, before, recent, self._core):
                events += feed(result)
                recent.add(result)
                continue
            late.append(Late(result.check, result.at_ms, result.at_ms))
            if result.at_ms >= recent.closed_ms:
                recent.add(result, to_spark=False)
        if caught_up:
            events += self._core.advance(now_ms)
        batch, run_now = _sorted_out(events)
        batch.results, batch.late = results, joined(late)
        self._add_states(batch, now_ms)
        return batch, run_now

    def _add_states(self, batch: Batch, now_ms: int) -> None:
        core, recent = self._core, self._recent
        checks = set(core.changed_checks)
        if time.monotonic() - self._snapshot_at >= SNAPSHOT_S:
            self._snapshot_at = time.monotonic()
            checks.update(recent.take_touched_checks())
            batch.rollups = recent.take_rollups(now_ms, all_of_them=self._is_stopping)
        batch.checks = recent.now(checks, core.memory.checks)
        targets = core.memory.targets
        batch.targets = [TargetNow(target, targets[target]) for target in core.changed_targets if target in targets]
        core.changed_checks.clear()
        core.changed_targets.clear()

    async def flushed(self) -> None:
        """Return when all that the core has decided by now is in the store."""
        # The first of two transactions may have been put together before.
        for _ in range(2):
            await self._committed_once.wait()

    async def _save(self, batch: Batch, now_ms: int) -> None:
        if not self._is_waiting() and await self._stored(batch, now_ms):
            return
        while not await self._spooled(batch):
            # Neither takes it: hold on to it. The inbox fills up and probing slows down.
            await asyncio.sleep(RETRY_S)
            await self._deliver_spool()
            if not self._is_waiting() and await self._stored(batch, now_ms):
                break
        self._holds(None)
        await self._deliver_spool()

    def _is_waiting(self) -> bool:
        """Say whether a batch has to wait behind others, or for the store."""
        return bool(self._spool.pending()) or not self.store_available

    async def _stored(self, batch: Batch, now_ms: int) -> bool:
        closed_ms = self._recent.closed_ms
        try:
            await self._store.save(batch, now_ms)
        except StoreUnavailableError as error:
            self._store_lost(error)
            return False
        except StoreInUseError:
            await self._spooled(batch)  # for the next monitor that has this spool
            raise
        self._committed(batch, now_ms)
        self.closed_ms = closed_ms
        self._committed_once.set()
        self._committed_once = asyncio.Event()
        return True

    async def _beat(self, now_ms: int) -> None:
        try:
            await self._store.beat(now_ms)
        except StoreUnavailableError as error:
            self._store_lost(error)

    async def _spooled(self, batch: Batch) -> bool:
        if _is_empty(batch):
            return True
        try:
            await asyncio.to_thread(self._spool.append, batch)
        except (SpoolFullError, OSError) as error:
            self._holds(error)
            return False
        self.spooled += 1
        return True

    def _holds(self, error: Exception | None) -> None:
        """Say that a batch waits in memory because of this error of the spool, or that none does."""
        if error is not None and self.spool_available:
            log.critical("neither store nor spool takes results; probing will slow down", error=str(error))
        if error is None and not self.spool_available:
            log.info("results are taken again")
        self.spool_available = error is None

    async def _deliver_spool(self) -> None:
        """Move the spool into the store, oldest first; stop at the first refusal and try again later."""
        if time.monotonic() - self._failed_at < RETRY_S or not self._is_waiting():
            return
        try:
            ends = time.monotonic() + DELIVERY_S
            for token, batch in self._spool.drain():
                await self._store.save(batch)
                self._spool.done(token)
                self._committed(batch, time.time_ns() // 1_000_000)
                if time.monotonic() >= ends:
                    break
        except StoreUnavailableError as error:
            self._store_lost(error)
            return
        except OSError as error:
            # What has been saved and could not be noted so is delivered again, which changes nothing.
            self._failed_at = time.monotonic()
            log.warning("the spool cannot be used", error=str(error))
            return
        if not self.store_available:
            log.info("the store is back")
        self.store_available = True
        await self._beat(time.time_ns() // 1_000_000)

    def _store_lost(self, error: Exception) -> None:
        self._failed_at = time.monotonic()
        if self.store_available:
            log.error("the store is away; results go to the spool", error=str(error))
        self.store_available = False

    def _committed(self, batch: Batch, now_ms: int) -> None:
        self.saved += len(batch.results)
        self.saved_at_ms = now_ms
        if batch.notifications:
            self._notify()


def _known_at(result: Result) -> int:
    return result.known_at_ms


def _has_changes(batch: Batch) -> bool:
    decided = (batch.transitions, batch.incidents, batch.notifications, batch.checks, batch.targets)
    return any(decided) or bool(batch.rollups or batch.late)


def _is_empty(batch: Batch) -> bool:
    return not batch.results and not _has_changes(batch)


def _sorted_out(events: Iterable[Event]) -> tuple[Batch, list[str]]:
    """Sort events into what is saved and the checks that should run at once."""
    batch = Batch()
    incidents = {}
    run_now: list[str] = []
    for event in events:
        match event:
            case Transition():
                batch.transitions.append(event)
            case IncidentEvent():
                incidents[event.incident.id] = event.incident
            case Notification():
                batch.notifications.append(event)
            case RunNow():
                run_now += event.checks
            case Flapping():
                pass  # it is part of the states
    batch.incidents = list(incidents.values())
    return batch, run_now
