"""What a check of a database remembers between its runs: the role, the size, and, if it is told to, its session.

All of it is in the process's resources, and bounded. Role and size are the check's own (`run_memory`); an idle session
is found by all parameters: two checks with the same ones may use it in turn, and never at the same time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from probes.database_params import SessionUse
from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.run_memory import LastRun, last_run

SESSIONS_LIMIT = 2000
"""How many idle sessions are kept; beyond, the one that was used longest ago is closed."""

IDLE_LIMIT_S = 900.0
"""How long a session is kept that nobody asks for any more."""

DAY_S = 86_400.0
GROWTH_POINTS = 48
GROWTH_LEAST_S = 600.0
"""Over a shorter time a growth says nothing about a day's."""

_GONE = frozenset({Failure.CONNECTION_CLOSED, Failure.CONNECTION_RESET})


class Growth:
    """Sizes of the last day, at most GROWTH_POINTS of them."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=GROWTH_POINTS)
        self._last: float | None = None

    def add(self, now_s: float, size_bytes: float) -> dict[str, float]:
        """Take a size in and return the samples of growth: since the run before, and per day where that is known."""
        found = {}
        if self._last is not None:
            found["growth_bytes"] = size_bytes - self._last
        self._last = size_bytes
        while self._points and now_s - self._points[0][0] > DAY_S:
            self._points.popleft()
        if self._points:
            since_s, size_then = self._points[0]
            if now_s - since_s >= GROWTH_LEAST_S:
                found["daily_growth_bytes"] = (size_bytes - size_then) / (now_s - since_s) * DAY_S
        if not self._points or now_s - self._points[-1][0] >= DAY_S / GROWTH_POINTS:
            self._points.append((now_s, size_bytes))
        return found


@dataclass(slots=True)
class Memory:
    """What one check remembers.

    Attributes:
        role: of the server in the run before, "" before the first.
        growth: of the data.

    """

    role: str = ""
    growth: Growth = field(default_factory=Growth)


def memory_of(ctx: Context, kind: str, address: object) -> Memory:
    """Return what the check that runs remembers of the server at an address, as the kind shows it."""
    last: LastRun[Memory] = last_run(ctx, kind, str(address))
    memory = last.recall() or Memory()
    last.keep(memory)
    return memory


class Session(Protocol):
    """A session that can be kept.

    Attributes:
        ctx: of the run that uses it now.

    """

    ctx: Context

    def is_idle(self) -> bool:
        """Say whether it is fit for the next run: the server has not ended it, and has said nothing unasked."""

    def close(self) -> None:
        """End it at once."""


S = TypeVar("S", bound=Session)
T = TypeVar("T")


class Sessions:
    """The process's idle sessions, one per key."""

    def __init__(self) -> None:
        self._idle: OrderedDict[Hashable, tuple[float, Session]] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self.generation = 0

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, key: Hashable) -> Any:
        """Take out the idle session under a key, None where there is none that is fit for use."""
        _, session = self._idle.pop(key, (0.0, None))
        if session is not None and not session.is_idle():
            session.close()
            return None
        return session

    def keep(self, key: Hashable, session: Session, generation: int) -> None:
        """Keep a session for the next run, unless there is one already or it is from before a reload."""
        if generation != self.generation or key in self._idle:
            session.close()
            return
        now_s = self._loop.time()
        self._idle[key] = (now_s, session)
        while self._idle:
            since_s, oldest = next(iter(self._idle.values()))
            if len(self._idle) <= SESSIONS_LIMIT and now_s - since_s <= IDLE_LIMIT_S:
                break
            self._idle.popitem(last=False)
            oldest.close()

    def refresh(self) -> None:
        """Close what is idle; what is in use is closed after its run. Called when the configuration changed."""
        self.generation += 1
        for _, session in self._idle.values():
            session.close()
        self._idle.clear()

    def close(self) -> None:
        """Close all."""
        self.refresh()


async def in_session(
    ctx: Context,
    key: Hashable,
    use: SessionUse,
    open_session: Callable[[], Awaitable[S]],
    work: Callable[[S], Awaitable[T]],
) -> T:
    """Do `work` in a session, a kept one if `use` says so, and keep or close it.

    A kept session that turns out to be gone as it is used is replaced by a new one, once: the server may have been
    restarted. One that failed, or was cancelled, is never used again.
    """
    if use == "new":
        session = await open_session()
        try:
            return await work(session)
        finally:
            session.close()
    sessions = ctx.resources.get(Sessions, Sessions)
    kept = sessions.take(key)
    if kept is not None:
        kept.ctx = ctx
        try:
            return await _kept_after(sessions, key, kept, work)
        except TroubleError as error:
            if error.failure not in _GONE:
                raise
        except (ConnectionError, EOFError):
            pass
        ctx.phases.end()
    return await _kept_after(sessions, key, await open_session(), work)


async def _kept_after(sessions: Sessions, key: Hashable, session: S, work: Callable[[S], Awaitable[T]]) -> T:
    generation = sessions.generation
    try:
        done = await work(session)
    except BaseException:
        session.close()
        raise
    sessions.keep(key, session, generation)
    return done
