"""Closes months: counts each target's months that are over, once, so that a year's report need not.

The monitor lets a process of its own do it, once an hour: what counting takes, the inventory above all, is then gone
when it is done, and no check waits meanwhile. `python -m monitor.closing` reads the store's address from its standard
input, where nobody sees it, and prints how many months it has counted.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from itertools import islice

from monitor.queries import Queries
from monitor.store import Store
from monitor.store.errors import StoreError

KEPT_AT_ONCE = 1_000
"""So many are kept in one transaction, between which the monitor writes."""
_NICENESS = 10
"""Measuring comes first."""


class NotClosedError(Exception):
    """The process that closes months has failed; it has said why on standard error."""


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
    await store.fold_late_changes(await queries.zone())
    return total


async def close_months_apart(url: str) -> int:
    """Close months in a process of its own; return how many it has counted. Raises NotClosedError."""
    command = (sys.executable, "-m", "monitor.closing")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
    try:
        said, _ = await process.communicate(url.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        message = f"closing months ended with status {process.returncode}"
        raise NotClosedError(message)
    return int(said)


async def _close(url: str) -> int:
    queries = await Queries.open(url)
    try:
        store = await Store.open(url, migrate=False)
        try:
            return await close_months(queries, store, time.time_ns() // 1_000_000)
        finally:
            await store.aclose()
    finally:
        await queries.aclose()


def main() -> None:
    """Close the months of the store whose address stands on standard input."""
    os.nice(_NICENESS)
    try:
        counted = asyncio.run(_close(sys.stdin.read()))
    except StoreError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{counted}\n")


if __name__ == "__main__":
    main()
