"""Hears heartbeats: writes what jobs say into the book, keeps that in the store, and has their checks run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from monitor.jobs import Job
from monitor.store import Store, StoreUnavailableError
from probes.heartbeat_book import Book, Page, Signal, turned
from probes.kinds.heartbeat import HeartbeatParams, key_of

log = structlog.get_logger()


class Heartbeats:
    """The book of one monitor, its checks, and its place in the store."""

    def __init__(self, book: Book, store: Store, run_now: Callable[[Iterable[str]], None]) -> None:
        self._book = book
        self._store = store
        self._run_now = run_now
        self._checks: dict[str, list[str]] = {}
        self._unsaved: set[str] = set()

    async def open(self, deaf_from_ms: int, now_ms: int) -> None:
        """Take up what is in the store; signals since `deaf_from_ms` may have gone unheard.

        Raises StoreUnavailableError.
        """
        self._book.pages = await self._store.heartbeats()
        self._book.deaf_from_ms, self._book.heard_from_ms = deaf_from_ms, now_ms

    def take(self, jobs: Mapping[str, Job], now_ms: int) -> None:
        """Hear from now on for the heartbeat checks among these jobs."""
        self._checks = {}
        for job in jobs.values():
            if isinstance(job.params, HeartbeatParams):
                self._checks.setdefault(job.params.key, []).append(job.id)
        for key in self._checks.keys() - self._book.pages.keys():
            self._book.pages[key] = Page(now_ms)
            self._unsaved.add(key)

    async def hear(
        self, token: str, signal: Signal, at_ms: int, run: str = "", exit_code: int | None = None, tail: str = ""
    ) -> bool:
        """Take a signal; say whether any check has that token.

        What the store cannot take now is kept in memory, and saved when it can.
        """
        key = key_of(token)
        checks = self._checks.get(key)
        if checks is None:
            return False
        self._book.pages[key] = turned(self._book.pages[key], signal, at_ms, run, exit_code, tail)
        self._unsaved.add(key)
        await self.save()
        self._run_now(checks)
        return True

    async def save(self) -> None:
        """Save what has changed since it was last saved."""
        changed, self._unsaved = self._unsaved, set()
        if not changed:
            return
        try:
            await self._store.save_heartbeats({key: self._book.pages[key] for key in changed})
        except StoreUnavailableError as error:
            self._unsaved |= changed
            log.warning("heartbeats wait in memory for the store", error=str(error), jobs=len(self._unsaved))
