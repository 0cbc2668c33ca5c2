"""Which results come late to the engine, and how the store's settling of them reaches it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from alerts.core import Core
from alerts.model import NO_RESULTS, CheckState, Event, Result, State
from monitor.recent import Recent
from monitor.records import Late


def is_late(result: Result, before: CheckState, recent: Recent, core: Core) -> bool:
    """Say whether the time of a result has been decided on; `before` is what is remembered of its check.

    It has when the result's interval is closed, when one that was known later has been fed, or when the check was
    called silent though this result came within its patience. A result that only overlaps the last one is not late.
    """
    at_ms = result.at_ms
    if at_ms < recent.closed_ms:
        return True
    if at_ms <= before.last_at_ms:
        last = recent.last_of(result.check)
        return last is None or result.known_at_ms < last.known_at_ms
    if before.state is not State.UNKNOWN or before.reason != NO_RESULTS:
        return False
    if before.last_at_ms >= before.since_ms:
        return False  # it has answered since, and what it answers is being confirmed
    return result.known_at_ms <= core.silent_at_ms(result.check)


def joined(late: Iterable[Late]) -> list[Late]:
    """Return one span for each check."""
    spans: dict[str, Late] = {}
    for one in late:
        span = spans.get(one.check, one)
        spans[one.check] = Late(one.check, min(span.from_ms, one.from_ms), max(span.to_ms, one.to_ms))
    return list(spans.values())


class Engine:
    """The running engine, as the store's settling sees it."""

    def __init__(
        self, core: Core, defer: Callable[[Iterable[Event]], None], flushed: Callable[[], Awaitable[None]]
    ) -> None:
        self._core = core
        self._defer = defer
        self._flushed = flushed

    def state(self, check: str) -> CheckState | None:
        """Return what the core remembers of a check, None where it never had a result."""
        state = self._core.memory.checks.get(check)
        return state if state is not None and state.last_at_ms else None

    def correct(self, check: str, state: CheckState) -> int:
        """Let the core go on from this state; return until when it had decided from the other one."""
        if state != self._core.memory.checks.get(check):
            self._defer(self._core.correct(check, state))
        return self._core.now_ms

    async def saved(self) -> None:
        """Return when the writer has saved what was corrected."""
        await self._flushed()
