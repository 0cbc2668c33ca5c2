"""Closes months: counts each target's months that are over, once, so that a year's report need not."""

from __future__ import annotations

from monitor.queries import Queries
from monitor.store import Store

TARGETS_AT_ONCE = 500
"""So many are counted between two breaths of the event loop, and kept in one transaction."""


async def close_months(queries: Queries, store: Store, now_ms: int) -> int:
    """Count what is lacking of months that are over, oldest first; return how many were counted.

    What has changed since (late results, rules) is lacking too, and nothing else.
    """
    total = 0
    while months := await queries.count_month(now_ms, TARGETS_AT_ONCE):
        await store.keep_months(months)
        total += len(months)
    return total
