"""The one place where the engine's objects are wired, and its life: start, reload, stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog
from aiohttp import web
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from alerts.core import Core
from config.errors import ConfigError
from config.loader import load
from config.model import Inventory
from config.rules import rules_of
from monitor.closing import NotClosedError, close_months_apart
from monitor.dispatch import Dispatcher
from monitor.evidence import Evidence
from monitor.heartbeats import Heartbeats
from monitor.ingest import Inbox, Writer
from monitor.jobs import Job, jobs_of
from monitor.lateness import Engine
from monitor.listener import create_listener
from monitor.metrics import Figure, check_labels, checks_text, engine_registry, engine_text
from monitor.recent import Recent
from monitor.records import CheckNow
from monitor.rollup import INTERVAL_MS
from monitor.runner import Runner
from monitor.schedule import Schedule
from monitor.spool import Spool
from monitor.store import Store, StoreReplacedError, StoreUnavailableError
from monitor.store.sizes import DAY_MS
from monitor.upkeep import Upkeep
from probes.heartbeat_book import KEY as HEARTBEATS
from probes.heartbeat_book import Book
from probes.model import Resources

log = structlog.get_logger()

SPOOL_LIMIT_BYTES = 1 << 30
STOP_GRACE_S = 10.0
"""How long saving may take at the end, before it is given up; less than `thongsuot up` waits."""
GARBAGE_THRESHOLDS = (10_000, 20, 10)
"""When the collector of cycles looks (`gc.set_threshold`). A batch of results is tens of thousands of tuples that live
for a moment and are in no cycle: looked through at every 700 new ones, they cost a third of the whole path."""
SETTLE_S = 20
"""How often late results are taken up, and hours and days that are over are made."""


class Monitor:
    """The engine of one site.

    Attributes:
        agent: id that its results carry.
        resources: what its probes share.
        heartbeats: hears the jobs that say of themselves that they ran.
        inventory: the configuration in force.

    """

    def __init__(self, directory: Path, inventory: Inventory, store: Store, spool: Spool, core: Core) -> None:
        settings = inventory.settings
        self._directory = directory
        self.inventory = inventory
        self.agent = settings.agent
        self.resources = Resources()
        self._store = store
        self._core = core
        self._jobs: dict[str, Job] = jobs_of(inventory.checks.values())
        self._labels = check_labels(inventory)
        self._recent = Recent(self._jobs)
        self._inbox = Inbox(settings.queue)
        self._runner = Runner(self.resources, self.agent, settings.seats, self._inbox.put)
        self._schedule = Schedule(self._runner.start)
        self.heartbeats = Heartbeats(self.resources.get(HEARTBEATS, Book), store, self._schedule.run_now)
        self._spool = spool
        self._dispatcher = Dispatcher(store, inventory)
        self._evidence = Evidence(self._jobs)
        self._writer = Writer(
            self._inbox, core, self._recent, store, spool, self._schedule, self._evidence, self._dispatcher.wake
        )
        self._upkeep = Upkeep(store, lambda: self.inventory.settings.retention)
        self._registry = engine_registry(self._figures())
        self._coarse = AsyncIOScheduler(timezone="UTC")
        self._web: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()
        self._stopping = False

    @classmethod
    async def open(cls, directory: Path, inventory: Inventory) -> Monitor:
        """Open and lock the store, and take up where the last run ended; `directory` is read again on reload.

        Raises StoreUnavailableError or StoreInUseError.
        """
        store = await Store.open(inventory.settings.store)
        try:
            await store.take_lock(f"{socket.gethostname()} pid {os.getpid()} agent {inventory.settings.agent}")
            await store.sync_inventory(inventory)
            spool = Spool(Path(inventory.settings.spool), SPOOL_LIMIT_BYTES)
            # What waits there is newer than what the store remembers: the core must not begin from an older memory.
            await _deliver(spool, store)
            memory, now = await store.load_memory()
            monitor = cls(directory, inventory, store, spool, Core(rules_of(inventory), memory))
            await monitor.heartbeats.open(await store.last_beat_ms(), _now_ms())
            await monitor._recover(now)
            await monitor._recall()
        except BaseException:
            await store.aclose()
            raise
        return monitor

    async def _recover(self, now: dict[str, CheckNow]) -> None:
        """Feed the core what was saved after the last snapshot, and rebuild the rollups that were open then."""
        self._recent.restore(now.values())
        snapshot = {check: row.state.last_at_ms for check, row in now.items()}
        last_ms = max(snapshot.values(), default=0)
        if not last_ms:
            return
        results = []
        from_ms = self._recent.closed_ms = last_ms - last_ms % INTERVAL_MS - INTERVAL_MS
        async for result in self._store.export_results(from_ms, _now_ms() + 1):
            if result.at_ms > snapshot.get(result.check, 0):
                results.append(result)  # counted with what is decided on it
            else:
                self._recent.add(result, to_spark=False)
        batch, _ = self._writer.decide(results, _now_ms(), caught_up=False)
        await self._store.save(batch)
        log.info("recovered", results=len(results), checks=len(now))

    async def _recall(self) -> None:
        """Remind kinds that have to know of what their checks found before this process."""
        now_ms = _now_ms()
        for job in self._jobs.values():
            if job.recall is not None and (found := await self._store.results_of(job.id, now_ms - DAY_MS, now_ms)):
                job.recall(self.resources, job.id, found[-1].at_ms, found[-1].samples)

    async def start(self) -> None:
        """Begin to probe, write, send and listen."""
        self.heartbeats.take(self._jobs, _now_ms())
        host, port = self.inventory.settings.listen.rsplit(":", 1)
        self._web = web.AppRunner(create_listener(self), access_log=None)
        await self._web.setup()
        await web.TCPSite(self._web, host.strip("[]"), int(port)).start()
        self._tasks = [
            asyncio.create_task(self._writer.run(), name="writer"),  # the first: `stop` waits for it
            asyncio.create_task(self._dispatcher.run(), name="dispatcher"),
            asyncio.create_task(self._upkeep.run(), name="upkeep"),
            asyncio.create_task(self._notice_replacement(), name="replacement"),
        ]
        self._coarse.add_job(self.heartbeats.save, "interval", seconds=30, id="heartbeats", coalesce=True)
        self._coarse.add_job(self._upkeep.retain, "interval", minutes=10, id="retention", coalesce=True)
        self._coarse.add_job(self._close_months, "interval", hours=1, id="months", coalesce=True, max_instances=1)
        self._coarse.add_job(self._settle, "interval", seconds=SETTLE_S, id="settle", coalesce=True, max_instances=1)
        self._coarse.start()
        # What is here now stays: the collector need not walk through it again and again while checks are due.
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        gc.enable()
        self._schedule.run(self._jobs)
        log.info("monitoring", checks=len(self._jobs), targets=len(self.inventory.targets), listen=f"{host}:{port}")

    async def wait(self) -> None:
        """Return when one of the engine's own tasks ends, which only a bug or `stop` makes it do.

        Raises StoreReplacedError when the store's file is another one.
        """
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopping:
            for task in done:
                task.result()

    async def _notice_replacement(self) -> None:
        await self._store.until_replaced()
        message = "the store's file was replaced while it was in use: begin again with the new one"
        raise StoreReplacedError(message)

    async def stop(self) -> None:
        """Stop cleanly: no new runs, then save what was measured, then close."""
        self._stopping = True
        ends = time.monotonic() + STOP_GRACE_S
        self._schedule.stop()
        await self._runner.aclose()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._deliver_rest(), STOP_GRACE_S)
        self._writer.end()
        if self._tasks:
            # Cancelled in the middle of a save, the writer would lose what it has in hand.
            await asyncio.wait(self._tasks[:1], timeout=_left_s(ends))
        for task in self._tasks:
            task.cancel()
        # One that reads from a server that hangs is let go of: to give up its statement it asks that very server.
        await asyncio.wait({asyncio.gather(*self._tasks, return_exceptions=True)}, timeout=_left_s(ends))
        try:
            await asyncio.wait_for(self._writer.drain(), _left_s(ends))
        except TimeoutError:
            log.critical("could not save everything in time", results=len(self._inbox))
        if self._coarse.running:
            self._coarse.shutdown(wait=False)
        if self._web is not None:
            await self._web.cleanup()
        await self.resources.aclose()
        self._spool.close()
        await self._store.aclose()
        log.info("stopped")

    async def _deliver_rest(self) -> None:
        for result in self._runner.undelivered:
            await self._inbox.put(result)

    async def reload(self) -> list[str]:
        """Read the configuration again; return its problems, and keep the one in force if there are any."""
        async with self._reloading:
            try:
                inventory = await asyncio.to_thread(load, self._directory, environ=os.environ)
            except ConfigError as error:
                log.warning("the configuration is not in order; the one in force stays", problems=len(error.problems))
                return [str(problem) for problem in error.problems]
            fixed = _fixed_settings(self.inventory, inventory)
            if fixed:
                return [f"settings.{name} cannot change while running: restart the monitor" for name in fixed]
            try:
                await self._store.sync_inventory(inventory)
            except StoreUnavailableError as error:
                return [f"the store is away, reload again when it is back: {error}"]
            self._take(inventory)
            self.resources.refresh()
        return []

    def _take(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._jobs = jobs_of(inventory.checks.values())
        self._labels = check_labels(inventory)
        self._recent.replace_jobs(self._jobs)
        self.heartbeats.take(self._jobs, _now_ms())
        self._evidence.replace_jobs(self._jobs)
        self._writer.defer(self._core.replace_rules(rules_of(inventory)))
        self._dispatcher.replace_inventory(inventory)
        self._schedule.run(self._jobs)
        log.info("reloaded", checks=len(self._jobs), targets=len(inventory.targets))

    def problems(self) -> list[str]:
        """Return why the engine is not ready, one line each; empty when it is."""
        problems = []
        if not self._tasks or any(task.done() for task in self._tasks):
            problems.append("the engine is not running")
        if not self._writer.store_available:
            waits = "in the spool" if self._writer.spool_available else "in memory: the spool cannot be written either"
            problems.append(f"the store is away; results wait {waits}")
        if len(self._inbox) >= self._inbox.limit:
            problems.append("the queue of results is full")
        return problems

    async def metrics(self) -> str:
        """Return the page of `/metrics`."""
        memory = self._core.memory
        states = {check: state.state for check, state in memory.checks.items()}
        last, targets = self._recent.last(), dict(memory.targets)
        text = await asyncio.to_thread(checks_text, self._labels, last, states, targets)
        return text + engine_text(self._registry)

    async def _close_months(self) -> None:
        """Count the month that is over, so that the reports of a year find it counted."""
        try:
            counted = await close_months_apart(self.inventory.settings.store)
        except NotClosedError as error:
            log.warning("months were not closed", reason=str(error))
            return
        if counted:
            log.info("closed months", counted=counted)

    async def _settle(self) -> None:
        """Work out what is outdated, as far as the writer is done with it."""
        if not self._writer.store_available or self._spool.pending() or not self._writer.closed_ms:
            return
        engine = Engine(self._core, self._writer.defer, self._writer.flushed)
        try:
            await self._store.settle(self._writer.closed_ms, engine)
        except StoreUnavailableError as error:
            log.warning("the past waits until the store is back", error=str(error))

    def _figures(self) -> list[Figure]:
        """Return the engine's own figures, to be read when they are asked for."""
        return [
            ("gauge", "thongsuot_checks", "Checks in the schedule", lambda: len(self._jobs)),
            ("counter", "thongsuot_results_saved", "Results saved in the store", lambda: self._writer.saved),
            ("counter", "thongsuot_results_sealed", "Results sealed", lambda: self._upkeep.sealed),
            ("gauge", "thongsuot_store_bytes", "Size of the store", lambda: self._upkeep.store_bytes),
            ("gauge", "thongsuot_store_growth_bytes", "Growth in a day", lambda: self._upkeep.store_growth_bytes),
            (
                "gauge",
                "thongsuot_store_full_timestamp_seconds",
                "When the disk is full at this rate, 0 when it is not foreseen",
                lambda: self._upkeep.store_full_ms / 1000,
            ),
            ("gauge", "thongsuot_queue_results", "Results waiting to be saved", lambda: len(self._inbox)),
            ("gauge", "thongsuot_queue_limit", "Results that may wait", lambda: self._inbox.limit),
            ("gauge", "thongsuot_seats_taken", "Checks running now", lambda: len(self._runner.running)),
            ("gauge", "thongsuot_seats_waited_for", "Checks waiting for a seat", lambda: self._runner.waiting),
            ("counter", "thongsuot_turns_missed", "Turns missed: still running", lambda: self._schedule.missed),
            ("counter", "thongsuot_evidence_dropped", "Evidence not taken: too much", lambda: self._evidence.dropped),
            ("gauge", "thongsuot_lateness_max_seconds", "Latest start since last read", self._schedule.take_lateness),
            ("gauge", "thongsuot_store_available", "Last save succeeded", lambda: self._writer.store_available),
            ("gauge", "thongsuot_spool_available", "It takes what waits", lambda: self._writer.spool_available),
            ("gauge", "thongsuot_spool_bytes", "Bytes waiting on disk", self._spool.pending),
            ("gauge", "thongsuot_open_incidents", "Open incidents", lambda: len(self._core.memory.incidents)),
            ("counter", "thongsuot_notifications_delivered", "Delivered", lambda: self._dispatcher.delivered),
            ("counter", "thongsuot_notifications_failed", "Failed tries", lambda: self._dispatcher.failed),
            ("counter", "thongsuot_notifications_given_up", "Given up", lambda: self._dispatcher.given_up),
        ]


async def _deliver(spool: Spool, store: Store) -> None:
    for token, batch in spool.drain():
        await store.save(batch)
        spool.done(token)


async def serve(directory: Path, inventory: Inventory) -> None:
    """Run a monitor on what `directory` says until SIGTERM or SIGINT; SIGHUP reads it again.

    Raises StoreUnavailableError or StoreInUseError when it cannot start.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    monitor = await Monitor.open(directory, inventory)
    background: set[asyncio.Task[list[str]]] = set()

    def reload() -> None:
        task = loop.create_task(monitor.reload())
        background.add(task)
        task.add_done_callback(background.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        await monitor.start()
        await _first(stop.wait, monitor.wait)
    finally:
        await monitor.stop()


async def _first(*waits: Callable[[], Awaitable[object]]) -> None:
    tasks = [asyncio.ensure_future(wait()) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fixed_settings(before: Inventory, after: Inventory) -> list[str]:
    """Return the settings that differ and are only read at the start."""
    names = ("store", "agent", "listen", "seats", "queue", "spool")
    return [name for name in names if getattr(before.settings, name) != getattr(after.settings, name)]


def _left_s(ends: float) -> float:
    return max(1.0, ends - time.monotonic())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
