"""The schedule: wakes every check at its own phase of its interval.

The phase is a hash of the check's id, so checks are spread evenly and keep their place across restarts and
reloads. A heap holds the next start of each check; the loop wakes on a coarse tick and starts all that is due
(docs/decisions/0001-schedule.md). A check whose last run has not ended when its turn comes misses that turn,
and the miss is counted.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable, Iterable, Mapping
from zlib import crc32

from monitor.jobs import Job

TICK_S = 0.01
"""Checks that fall due within one tick are woken together, at multiples of it on the loop's clock.

Waking an idle process costs 40 µs and more, as much as a check: the packet sockets keep the same ticks, so that one
wake-up serves both.
"""


def phase_of(check_id: str, interval_s: float) -> float:
    """Return the check's place in its interval, [0, interval_s), from a hash of its id."""
    return crc32(check_id.encode()) / 2**32 * interval_s


def next_start(check_id: str, interval_s: float, after_s: float) -> float:
    """Return the first start later than `after_s` (seconds since the epoch) at the check's phase."""
    phase = phase_of(check_id, interval_s)
    turns = (after_s - phase) // interval_s + 1
    start = phase + turns * interval_s
    # Floating point may land on `after_s` itself, which would run the check twice.
    return start if start > after_s else start + interval_s


class Schedule:
    """Starts jobs when they are due.

    Attributes:
        missed: turns missed because the check's last run had not ended.
        lateness_max_s: how late the latest start was since `take_lateness`.

    """

    def __init__(self, start: Callable[[Job], bool]) -> None:
        self._start = start
        self._jobs: dict[str, Job] = {}
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")
        self._offset = 0.0
        self.missed = 0
        self.lateness_max_s = 0.0

    def run(self, jobs: Mapping[str, Job]) -> None:
        """Begin, or replace the jobs: a check that stays keeps its phase, and its pending retry."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Phases are of the wall clock; starts are kept on the monotonic clock, so that a step of the wall
        # clock neither skips turns nor makes up for them.
        self._offset = time.time() - now
        for gone in self._jobs.keys() - jobs.keys():
            del self._due[gone]
        for job in jobs.values():
            before = self._jobs.get(job.id)
            if before is None or before.interval_s != job.interval_s:
                self._plan(job.id, self._next(job, now))
        self._jobs = dict(jobs)
        self._wake()

    def stop(self) -> None:
        """Start nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._jobs, self._due, self._heap = {}, {}, []

    def run_now(self, checks: Iterable[str]) -> None:
        """Start these checks at once, beside their regular turns."""
        for check in checks:
            job = self._jobs.get(check)
            if job is not None:
                self._start(job)

    def take_lateness(self) -> float:
        """Return how late the latest start was since this was last asked, in seconds."""
        lateness, self.lateness_max_s = self.lateness_max_s, 0.0
        return lateness

    def retry(self, check: str, last_start_s: float) -> None:
        """Bring the next start forward to one retry interval after `last_start_s` (seconds since the epoch)."""
        job = self._jobs.get(check)
        if job is None:
            return
        # By the clock of now: it may have been set since the schedule began, or just now.
        ago_s = min(max(0.0, time.time() - last_start_s), job.interval_s)
        due = asyncio.get_running_loop().time() - ago_s + job.retry_interval_s
        if due < self._due[check]:
            self._plan(check, due)
            if due < self._wakes_at - TICK_S:
                self._wake()

    def _next(self, job: Job, now: float) -> float:
        return next_start(job.id, job.interval_s, now + self._offset) - self._offset

    def _plan(self, check: str, due: float) -> None:
        self._due[check] = due
        heapq.heappush(self._heap, (due, check))

    def _wake(self) -> None:
        """Set the timer for the next start, one tick from now at the earliest."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._heap:
            self._timer, self._wakes_at = None, float("inf")
            return
        loop = asyncio.get_running_loop()
        # The first tick that is not before the next start, and not the one that is just over.
        due = max(self._heap[0][0], loop.time() + TICK_S / 10)
        self._wakes_at = math.ceil(due / TICK_S) * TICK_S
        self._timer = loop.call_at(self._wakes_at, self._tick)

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        heap, due_of = self._heap, self._due
        while heap and heap[0][0] <= now:
            due, check = heapq.heappop(heap)
            if due_of.get(check) != due:
                continue  # replanned or removed since
            job = self._jobs[check]
            self.lateness_max_s = max(self.lateness_max_s, now - due)
            if not self._start(job):
                self.missed += 1
            self._plan(check, self._next(job, now))
        self._timer = None
        self._wake()
