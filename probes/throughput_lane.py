"""What all throughput checks of an agent share: one lane, so that no two tests measure each other, and the budgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from probes.failures import TroubleError
from probes.model import Failure
from probes.throughput_transfer import Threads

DAY_S: Final = 86_400
BUDGETS_MAX: Final = 10_000
LEAST_BYTES: Final = 100_000
"""With less left of the day's budget, a test would tell nothing."""


@dataclass(slots=True)
class Budget:
    """What one check has used of its day (UTC), and by its last test."""

    day: int = 0
    used_bytes: int = 0
    last_bytes: int = 0

    def left(self, budget_bytes: int, now: float) -> int:
        """Return what is left at a time (seconds since the Unix epoch)."""
        day = int(now // DAY_S)
        if day != self.day:
            self.day, self.used_bytes = day, 0
        return max(0, budget_bytes - self.used_bytes)

    def restore(self, at: float, used_bytes: int) -> None:
        """Take up what was used of the day of `at` (seconds since the Unix epoch)."""
        self.day, self.used_bytes = int(at // DAY_S), used_bytes

    def spend(self, size: int) -> None:
        """Take off what a test has used."""
        self.used_bytes += size


class Lane:
    """The agent's one way to the network: every link that it tests begins with it.

    Attributes:
        threads: the one that sends or receives.

    """

    def __init__(self) -> None:
        self.threads = Threads(1)
        self._lock = asyncio.Lock()
        self._budgets: dict[str, Budget] = {}

    def budget(self, check: str) -> Budget:
        """Return the budget of a check."""
        if check not in self._budgets and len(self._budgets) >= BUDGETS_MAX:
            del self._budgets[next(iter(self._budgets))]
        return self._budgets.setdefault(check, Budget())

    @asynccontextmanager
    async def taken(self, until: float) -> AsyncIterator[None]:
        """Have the lane alone.

        Raises TroubleError when it is not free by a time on the loop's clock.
        """
        try:
            async with asyncio.timeout_at(until):
                await self._lock.acquire()
        except TimeoutError:
            message = "another throughput test of this agent takes all the time that there is"
            raise TroubleError(Failure.INTERNAL, message) from None
        try:
            yield
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let the thread end."""
        self.threads.close()
