"""The book of heartbeats: what jobs said of themselves, and what follows from it for each.

It does no I/O and reads no clock. The monitor's listener writes the signals down, the kind `heartbeat` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Self

from probes.failures import plain_line
from probes.model import Failure

KEY = "probes.heartbeat"
"""Where the process keeps the book in `Context.resources`."""

RUNS_MOST = 50
"""Runs of one job that are remembered as begun: the oldest is forgotten first."""
TAIL_CHARACTERS = 4_000
"""How much of the end of a log is kept."""


class Signal(StrEnum):
    """What a job says."""

    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"


class Page(NamedTuple):
    """What is remembered of one job. Times are milliseconds since the epoch, 0 for never.

    Attributes:
        known_ms: when the book first had it.
        success_ms, failure_ms: its last success and its last failure.
        exit_code: of the last run that ended, None when it told none.
        run_ms: how long the last run took that said when it began, or None.
        runs: run id → when it began, of those that have not ended ("" for a job that gives no ids).
        tail: the end of what the last run that ended had logged.

    """

    known_ms: int
    success_ms: int = 0
    failure_ms: int = 0
    exit_code: int | None = None
    run_ms: int | None = None
    runs: Mapping[str, int] = {}
    tail: str = ""

    @property
    def ended_ms(self) -> int:
        """When a run last ended."""
        return max(self.success_ms, self.failure_ms)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**self._asdict(), "runs": dict(self.runs)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what `as_json` gave."""
        return cls(**{name: value for name, value in found.items() if name in cls._fields})


def turned(page: Page, signal: Signal, at_ms: int, run: str = "", exit_code: int | None = None, tail: str = "") -> Page:
    """Return the page after a signal.

    A run is known by its id, so that two runs that overlap are told apart. A signal that is older than what is
    known (a client that tries again) changes nothing that is newer.
    """
    runs = dict(page.runs)
    if signal is Signal.START:
        runs[run] = at_ms
        while len(runs) > RUNS_MOST:
            del runs[min(runs, key=runs.__getitem__)]
        return page._replace(runs=runs)
    began_ms = runs.pop(run, None)
    if at_ms < page.ended_ms:
        return page._replace(runs=runs)
    run_ms = None if began_ms is None else max(0, at_ms - began_ms)
    page = page._replace(runs=runs, run_ms=run_ms, exit_code=exit_code, tail=tail[-TAIL_CHARACTERS:])
    return page._replace(success_ms=at_ms) if signal is Signal.SUCCESS else page._replace(failure_ms=at_ms)


class Book:
    """All pages, by check.

    Attributes:
        pages: by the key of a check (a digest of its token).
        heard_from_ms: since when signals are heard without a break, None where nobody listens.
        deaf_from_ms: since when nobody had listened before that.

    """

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.heard_from_ms: int | None = None
        self.deaf_from_ms = 0

    def was_deaf(self, from_ms: int, to_ms: int) -> bool:
        """Say whether a signal in [from_ms, to_ms] may have gone unheard."""
        return self.heard_from_ms is None or (self.deaf_from_ms <= to_ms and from_ms < self.heard_from_ms)


class Verdict(NamedTuple):
    """Why a job is not in order (None: it is), and one line for a person."""

    failure: Failure | None
    message: str = ""


def last_line(tail: str) -> str:
    """Return the last line of a log that says anything."""
    return next((plain_line(line, 200) for line in reversed(tail.splitlines()) if line.strip()), "")
