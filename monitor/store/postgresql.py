"""A connection to PostgreSQL that can be closed though the server hangs."""

from __future__ import annotations

import contextlib

import asyncpg

CLOSE_TIMEOUT_S = 1.0
"""How long to wait until the server has taken leave, too. asyncpg waits as long as a statement may take."""


class Connection(asyncpg.Connection):
    """What SQLAlchemy opens, and closes when it has broken, when its pool is full, and at the end."""

    __slots__ = ()

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        """Take leave of the server; one that does not answer is left alone."""
        with contextlib.suppress(TimeoutError):
            await super().close(timeout=min(timeout or CLOSE_TIMEOUT_S, CLOSE_TIMEOUT_S))
