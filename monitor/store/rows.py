"""Raw results in SQLite: a row each, clustered by slot, check, offset and agent."""

from __future__ import annotations

from functools import cache
from typing import cast

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.pages import Row
from monitor.store.statements import insert_into_sqlite, marks
from monitor.store.tables import SLOT_MS, results

_FORGET_SLOTS = 12
"""How many slots are emptied in one transaction: the writer must not wait long."""

_INSERT = "INSERT INTO results (duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, samples, message)"
_SLICE = text(
    "SELECT duration_us, slot, check_no, agent_no, offset_ms, shape_no, outcome, samples, message FROM results "
    "WHERE slot >= :start AND slot < :end"
)
"""All results of some slots."""

# One look into the key per slot. Left alone, a planner would rather read every check's results of the time.
_OF_CHECKS = text(
    "WITH RECURSIVE slots(slot) AS (SELECT :start UNION ALL SELECT slot + 1 FROM slots WHERE slot + 1 < :end) "
    "SELECT r.duration_us, r.slot, r.check_no, r.agent_no, r.offset_ms, r.shape_no, r.outcome, r.samples, r.message "
    "FROM slots CROSS JOIN results r WHERE r.slot = slots.slot AND r.check_no >= :low AND r.check_no < :high"
)
"""The results of some slots of checks whose numbers follow each other."""

_FIRST = text("SELECT slot, check_no FROM results WHERE slot >= :start ORDER BY slot, check_no LIMIT 1")


async def insert(connection: AsyncConnection, rows: list[Row]) -> int:
    """Insert rows that are not there yet; return how many."""
    return await insert_into_sqlite(connection, _insert_text, rows)


@cache
def _insert_text(rows: int) -> str:
    return f"{_INSERT} VALUES {marks(9, rows)} ON CONFLICT DO NOTHING"


async def fetch(connection: AsyncConnection, from_ms: int, to_ms: int) -> list[Row]:
    """Return the rows of the slots that [from_ms, to_ms) touches, in no order."""
    window = {"start": from_ms // SLOT_MS, "end": -(-to_ms // SLOT_MS)}
    return [cast("Row", tuple(row)) for row in await connection.execute(_SLICE, window)]


async def fetch_checks(connection: AsyncConnection, low: int, high: int, from_ms: int, to_ms: int) -> list[Row]:
    """Return the rows of the checks low ≤ number < high of the slots that [from_ms, to_ms) touches, in no order."""
    window = {"start": from_ms // SLOT_MS, "end": -(-to_ms // SLOT_MS), "low": low, "high": high}
    return [cast("Row", tuple(row)) for row in await connection.execute(_OF_CHECKS, window)]


async def first(connection: AsyncConnection, from_ms: int) -> tuple[int, int] | None:
    """Return (start of the slot, check) of the first row in the slot of `from_ms` or later."""
    found = (await connection.execute(_FIRST, {"start": from_ms // SLOT_MS})).first()
    return None if found is None else (found.slot * SLOT_MS, found.check_no)


async def forget(connection: AsyncConnection, before_ms: int) -> tuple[int, bool]:
    """Delete some of the rows that started before a time; return how many, and whether there are more."""
    oldest = await first(connection, -(SLOT_MS << 31))
    slot, offset_ms = divmod(before_ms, SLOT_MS)
    if oldest is None or oldest[0] > before_ms:
        return 0, False
    end = min(oldest[0] // SLOT_MS + _FORGET_SLOTS, slot)
    old = results.c.slot < end
    if end == slot:
        old |= (results.c.slot == slot) & (results.c.offset_ms < offset_ms)
    done = await connection.execute(delete(results).where(old))
    return done.rowcount, end < slot
