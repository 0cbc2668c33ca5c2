"""The writing door for people's actions: each says who did it, in the same transaction.

    commands = await Commands.open("sqlite:///data/thongsuot.db")
    await commands.sign_off(from_ms, to_ms, by="Nguyễn Văn A", now_ms=now_ms)

There are no logins yet: a name is what whoever acts gives as his own.
"""

from __future__ import annotations

from monitor.closing import close_months
from monitor.queries import Queries
from monitor.queries.signed import SignedPeriod
from monitor.store import Store
from monitor.store.errors import StoreError
from monitor.store.periods import AlreadySignedError, SignedTarget
from monitor.together import figures_to_json

__all__ = ["AlreadySignedError", "Commands", "NotOverError"]

NAME_LIMIT = 200
"""Longest name of a person."""


class NotOverError(StoreError):
    """The period is not over: its figures would still change."""


class Commands:
    """An open writing door. All methods raise StoreUnavailableError when the store is away."""

    def __init__(self, store: Store, queries: Queries) -> None:
        self._store = store
        self._queries = queries

    @classmethod
    async def open(cls, url: str) -> Commands:
        """Open a store that a monitor has made. Raises StoreVersionError, StoreUnavailableError."""
        queries = await Queries.open(url)
        try:
            store = await Store.open(url, migrate=False)
        except BaseException:
            await queries.aclose()
            raise
        return cls(store, queries)

    async def aclose(self) -> None:
        """Let go of the store."""
        await self._queries.aclose()
        await self._store.aclose()

    async def sign_off(self, from_ms: int, to_ms: int, *, by: str, now_ms: int) -> SignedPeriod:
        """Keep the figures of every target over [from_ms, to_ms) for good, as they are counted now.

        From then on that very period is what was signed, whatever the rules become and whatever arrives late.
        Raises AlreadySignedError, NotOverError, and ValueError for a name that is none.
        """
        name = by.strip()
        if not name or len(name) > NAME_LIMIT or not name.isprintable():
            message = f"who signs? {by[:NAME_LIMIT]!r} is no name: write one line of at most {NAME_LIMIT} characters"
            raise ValueError(message)
        if to_ms > now_ms:
            raise NotOverError("the period is not over: its figures would still change")
        await close_months(self._queries, self._store, now_ms)
        facts = await self._queries.facts()
        counted = await self._queries.counted_availability(from_ms, to_ms, now_ms)
        figures = [figure for figure in counted if figure.target in facts]
        rows = [SignedTarget(one.target, facts[one.target]._asdict(), figures_to_json(one)) for one in figures]
        await self._store.sign(from_ms, to_ms, name, now_ms, rows)
        return SignedPeriod(from_ms, to_ms, now_ms, name, tuple(figures), facts)
