"""Closed months, what changes them afterwards, and signed periods: what availability keeps beside transitions.

A change of the past is noted in the transaction that makes it, so that whoever sees the one sees the other. Notes
are only added: as many as were seen is the same as those that were seen.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.counted import Counted
from alerts.model import Subject, Transition
from monitor.store.errors import StoreError
from monitor.store.statements import add, to_json, upsert
from monitor.store.tables import closed_months, signed_figures, signed_periods

LATE_MS = 3_600_000
"""A transition dated longer ago than this changes a past that may have been counted already. A month is counted once
it has been over for twice as long: what is not noted as late was there when it was counted."""
FOREVER_MS = 1 << 62

_NOTE = text(
    "INSERT INTO late_changes (check_id, from_ms, to_ms, times) VALUES (:check, :from_ms, :to_ms, 1) "
    "ON CONFLICT (check_id, from_ms, to_ms) DO UPDATE SET times = late_changes.times + 1"
)
_SIGNED = text("SELECT signed_by FROM signed_periods WHERE from_ms = :from_ms AND to_ms = :to_ms")


class AlreadySignedError(StoreError):
    """The period was signed off before; the message says by whom."""


class ClosedMonth(NamedTuple):
    """What was counted of a target in a month, and under what: the fingerprint of its rules, and late changes seen."""

    target: str
    start_ms: int
    end_ms: int
    rules: str
    late: int
    counted: Counted


class SignedTarget(NamedTuple):
    """What is signed of one target: the figures, and whose it was, both as JSON objects."""

    target: str
    facts: Mapping[str, Any]
    figures: Mapping[str, Any]


async def invalidate(connection: AsyncConnection, changes: Iterable[tuple[str, int, int]]) -> None:
    """Note that the transitions of checks changed: (check, from_ms, to_ms), once each.

    Months that touch [from_ms, to_ms) are counted anew. To be called in the very transaction that changes them.
    """
    # One order for all writers: two transactions that take the same rows never wait for each other in a circle.
    rows = [{"check": check, "from_ms": start_ms, "to_ms": end_ms} for check, start_ms, end_ms in sorted(set(changes))]
    if rows:
        await connection.execute(_NOTE, rows)


async def note_late(connection: AsyncConnection, transitions: Iterable[Transition]) -> None:
    """Note the transitions that are dated so long ago that the time since then may have been counted already."""
    late_ms = time.time_ns() // 1_000_000 - LATE_MS
    first_ms: dict[str, int] = {}
    for transition in transitions:
        if transition.at_ms < late_ms and transition.kind is Subject.CHECK:
            earliest_ms = first_ms.get(transition.subject, transition.at_ms)
            first_ms[transition.subject] = min(earliest_ms, transition.at_ms)
    await invalidate(connection, ((check, at_ms, FOREVER_MS) for check, at_ms in first_ms.items()))


async def keep_months(connection: AsyncConnection, months: Iterable[ClosedMonth]) -> None:
    """Keep what was counted, in the place of what was counted before."""
    rows = [
        {
            "target": month.target,
            "start_ms": month.start_ms,
            "end_ms": month.end_ms,
            "rules": month.rules,
            "late": month.late,
            **{name: int(value) for name, value in month.counted._asdict().items()},
        }
        for month in months
    ]
    await upsert(connection, closed_months, rows, ("target", "start_ms"))


async def sign(
    connection: AsyncConnection, from_ms: int, to_ms: int, by: str, now_ms: int, signed: Sequence[SignedTarget]
) -> None:
    """Keep figures for good. Raises AlreadySignedError when that period has been signed before."""
    before = await connection.scalar(_SIGNED, {"from_ms": from_ms, "to_ms": to_ms})
    if before is not None:
        message = f"this period was signed off already, by {before}"
        raise AlreadySignedError(message)
    texts = [(row.target, to_json(row.facts), to_json(row.figures)) for row in signed]
    period = {"from_ms": from_ms, "to_ms": to_ms}
    head = {**period, "signed_ms": now_ms, "signed_by": by, "digest": digest_of(from_ms, to_ms, now_ms, by, texts)}
    await connection.execute(signed_periods.insert(), [head])
    rows = [
        {**period, "position": position, "target": target, "facts": facts, "figures": figures}
        for position, (target, facts, figures) in enumerate(texts)
    ]
    await add(connection, signed_figures, rows)


def digest_of(from_ms: int, to_ms: int, signed_ms: int, by: str, rows: Iterable[tuple[str, str, str]]) -> str:
    """Return the SHA-256 of a signed period and of its rows (target, facts, figures) in their order."""
    digest = hashlib.sha256(to_json([from_ms, to_ms, signed_ms, by]).encode())
    for row in rows:
        digest.update(to_json(row).encode())
    return digest.hexdigest()
