"""Closed months, what changes them afterwards, and signed periods: what availability keeps beside transitions.

A change of the past is noted in the transaction that makes it, so that whoever sees the one sees the other. Notes
are only added, and folded into wider ones: how many touch a month never becomes less, so that as many as were seen
are those that were seen.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.counted import Counted
from alerts.model import Subject, Transition
from alerts.periods import local_day
from monitor.store.errors import StoreError
from monitor.store.statements import add, to_json, upsert
from monitor.store.tables import closed_months, signed_figures, signed_periods

LATE_MS = 3_600_000
"""A transition dated longer ago than this changes a past that may have been counted already. A month is counted once
it has been over for twice as long: what is not noted as late was there when it was counted."""
FOREVER_MS = 1 << 62
FOLDED_AT_ONCE = 1_000
"""So many notes are folded in one transaction, between which the monitor writes."""
_CALENDARS_END_MS = 250_000_000_000_000
"""In the year 9892."""

Note = tuple[str, int, int]
"""Of a check: its transitions in [from_ms, to_ms) have changed."""

_NOTE = text(
    "INSERT INTO late_changes (check_id, from_ms, to_ms, times) VALUES (:check, :from_ms, :to_ms, :times) "
    "ON CONFLICT (check_id, from_ms, to_ms) DO UPDATE SET times = late_changes.times + excluded.times"
)
_SEVERAL_NOTES = text(
    "SELECT check_id, from_ms, to_ms FROM late_changes WHERE check_id IN "
    "(SELECT check_id FROM late_changes GROUP BY check_id HAVING count(*) > 1) ORDER BY check_id, from_ms, to_ms"
)
_TAKE_NOTE = text(
    "DELETE FROM late_changes WHERE check_id = :check AND from_ms = :from_ms AND to_ms = :to_ms RETURNING times"
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
    rows = [
        {"check": check, "from_ms": start_ms, "to_ms": end_ms, "times": 1}
        for check, start_ms, end_ms in sorted(set(changes))
    ]
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


async def fold(connection: AsyncConnection, zone: ZoneInfo) -> bool:
    """Fold notes that touch the same months of that zone into one: the table grows with months, not with changes.

    Each month is touched as often as before. A stretch that is cut otherwise may be touched more often: it is counted
    anew. None is ever touched less often, which is all that the right figures need. Return whether there is more.
    """
    folded = 0
    for several in alike([(row[0], row[1], row[2]) for row in await connection.execute(_SEVERAL_NOTES)], zone):
        if folded >= FOLDED_AT_ONCE:
            return True
        times = 0
        for check, start_ms, end_ms in several:
            note = {"check": check, "from_ms": start_ms, "to_ms": end_ms}
            times += await connection.scalar(_TAKE_NOTE, note) or 0
        widest = {"from_ms": min(note[1] for note in several), "to_ms": max(note[2] for note in several)}
        if times:
            await connection.execute(_NOTE, [{"check": several[0][0], **widest, "times": times}])
        folded += len(several)
    return False


def alike(notes: Iterable[Note], zone: ZoneInfo) -> list[list[Note]]:
    """Return the notes of which there are several for one check that begin and end in the same months, together."""
    together: dict[tuple[str, object, object], list[Note]] = {}
    for check, start_ms, end_ms in notes:
        key = (check, _month(start_ms, zone), _month(end_ms - 1, zone))
        together.setdefault(key, []).append((check, start_ms, end_ms))
    return [several for several in together.values() if len(several) > 1]


def _month(at_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the month in which a moment lies; beyond all calendars it is one month, as before them."""
    if not 0 < at_ms < _CALENDARS_END_MS:
        return (0, 0) if at_ms <= 0 else (9999, 12)
    day = local_day(at_ms, zone)
    return day.year, day.month


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
