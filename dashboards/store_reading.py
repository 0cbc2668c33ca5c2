"""The reading door of the real store: opened when first asked, opened again when it could not be."""

from __future__ import annotations

import asyncio

from dashboards.reading import StoreAwayError
from monitor.queries import Queries, StoreError
from monitor.views import Overview, TargetPage


class StoreReading:
    """Answers the pages from `monitor.queries`; a store that is not there yet is away, not an error.

    Attributes:
        url: address of the store; may hold a password, so it is never shown.

    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._queries: Queries | None = None
        self._opening = asyncio.Lock()

    async def overview(self, now_ms: int) -> Overview:
        """Return everything that the overview shows. Raises StoreAwayError."""
        queries = await self._door()
        try:
            return await queries.overview(now_ms)
        except StoreError as error:
            raise StoreAwayError(str(error)) from error

    async def target_page(self, target: str, now_ms: int, window_s: int) -> TargetPage | None:
        """Return everything that a target's page shows, None when it is not there. Raises StoreAwayError."""
        queries = await self._door()
        try:
            return await queries.target_page(target, now_ms, window_s)
        except StoreError as error:
            raise StoreAwayError(str(error)) from error

    async def aclose(self) -> None:
        """Let go of the store."""
        if self._queries is not None:
            await self._queries.aclose()
            self._queries = None

    async def _door(self) -> Queries:
        async with self._opening:
            if self._queries is None:
                try:
                    self._queries = await Queries.open(self.url)
                except StoreError as error:
                    raise StoreAwayError(str(error)) from error
            return self._queries
