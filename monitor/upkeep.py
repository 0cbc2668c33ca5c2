"""Upkeep of the store while the monitor runs: sealing and retention, in small steps with long pauses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from config.model import Retention
from monitor.store import Store, StoreUnavailableError

log = structlog.get_logger()

SEALED_AFTER_MS = 2 * 3_600_000
"""How long results stay raw, counted from the end of their hour."""
_IDLE_S = 60.0
_MEASURED_EVERY_MS = 3_540_000
"""An hour, less what a job may come early."""
_PAUSE = 8.0
"""Length of the pause after a step, as a multiple of the step: probing and saving come first."""
_PAUSE_LEAST_S = 0.1


class Upkeep:
    """Seals and deletes.

    Attributes:
        sealed: results sealed since the start; deleted: rows deleted since the start, by kind.
        store_bytes, store_growth_bytes: size, and growth in a day; store_full_ms: when the disk is full; each 0 when
            it is not known.

    """

    def __init__(self, store: Store, retention: Callable[[], Retention]) -> None:
        self._store = store
        self._retention = retention
        self.sealed = 0
        self.deleted: dict[str, int] = {}
        self.store_bytes = 0
        self.store_growth_bytes = 0.0
        self.store_full_ms = 0
        self._measured_ms = 0

    async def run(self) -> None:
        """Seal until cancelled."""
        while True:
            begun = time.monotonic()
            count = 0
            try:
                count = await self._store.seal(_now_ms() - SEALED_AFTER_MS)
            except StoreUnavailableError as error:
                log.warning("results could not be sealed; they stay as they are", error=str(error))
            self.sealed += count
            pause_s = max(_PAUSE_LEAST_S, (time.monotonic() - begun) * _PAUSE)
            await asyncio.sleep(pause_s if count else _IDLE_S)

    async def _measure(self) -> None:
        if self.store_bytes and _now_ms() - self._measured_ms < _MEASURED_EVERY_MS:
            return
        try:
            found = await self._store.measure(self._retention(), _now_ms())
        except StoreUnavailableError:
            return
        self._measured_ms, self.store_bytes = found.at_ms, found.total_bytes
        self.store_growth_bytes = found.growth_bytes or 0.0
        self.store_full_ms = found.full_ms or 0

    async def retain(self) -> None:
        """Delete what is older than it is to be kept."""
        try:
            gone = await self._store.retain(self._retention(), _now_ms())
        except StoreUnavailableError as error:
            log.warning("what is old could not be deleted; it is tried again", error=str(error))
            return
        for kind, count in gone.items():
            self.deleted[kind] = self.deleted.get(kind, 0) + count
        await self._measure()
        if any(gone.values()):
            log.info("deleted what was old", **gone)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
