"""Closes months: counts each target's months that are over, once, so that a year's report need not."""

from __future__ import annotations

from itertools import islice

from monitor.queries import Queries
from monitor.store import Store

KEPT_AT_ONCE = 1_000
"""So many are kept in one transaction, between which the monitor writes."""


async def close_months(queries: Queries, store: Store, now_ms: int) -> int:
    """Count what is lacking of months that are over, oldest first; return how many of them, target by target.

    What has changed since (late results, rules) is lacking too, and nothing else.
    """
    total = 0
    for month in await queries.closed_months(now_ms):
        remaining = iter(await queries.count_month(month, now_ms))
        while some := list(islice(remaining, KEPT_AT_ONCE)):
            await store.keep_months(some)
            total += len(some)
    return total
