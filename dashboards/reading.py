"""The reading door as the pages see it, shared by all viewers: fifty walls cost one query, not fifty."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from monitor.views import Overview, TargetPage


class StoreAwayError(Exception):
    """The store cannot be read now; pages say so and try again."""


class Reading(Protocol):
    """What the pages ask; `monitor.queries.Queries` answers it."""

    async def overview(self, now_ms: int) -> Overview:
        """Return everything that the overview shows. Raises StoreAwayError."""
        ...

    async def target_page(self, target: str, now_ms: int, window_s: int) -> TargetPage | None:
        """Return everything that a target's page shows, None for a target that is not there. Raises StoreAwayError."""
        ...

    async def aclose(self) -> None:
        """Let go of the store."""
        ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Kept(Generic[V]):
    task: asyncio.Task[V]
    until: float


class Shared(Generic[K, V]):
    """Answers kept for a moment: one asking at a time per key, at most `limit` keys.

    A failed answer is not kept. One viewer who leaves does not cancel the answer that others wait for.
    """

    def __init__(self, limit: int) -> None:
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._limit = limit

    async def get(self, key: K, keep_s: float, ask: Callable[[], Awaitable[V]]) -> V:
        """Return the answer for `key`, asking when there is none or it is older than `keep_s` seconds."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(key)
        if kept is None or (kept.task.done() and (loop.time() >= kept.until or _failed(kept.task))):
            kept = _Kept(loop.create_task(_answer(ask)), loop.time() + keep_s)
            self._kept[key] = kept
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return await asyncio.shield(kept.task)

    async def aclose(self) -> None:
        """Cancel what is still being asked."""
        pending = [kept.task for kept in self._kept.values() if not kept.task.done()]
        self._kept.clear()
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _answer(ask: Callable[[], Awaitable[V]]) -> V:
    return await ask()


def _failed(task: asyncio.Task[V]) -> bool:
    return task.cancelled() or task.exception() is not None
