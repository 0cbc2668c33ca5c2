"""Notifications: saved with what caused them, claimed by a conditional update, then delivered or tried again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import Notification
from monitor.records import PendingNotification
from monitor.store.classes import CLAIMED, DELIVERED, GIVEN_UP, PENDING, NotificationRow, metadata
from monitor.store.statements import add, storable, to_json

notifications = metadata.tables[NotificationRow.__tablename__]

LEASE_MS = 60_000
"""How long a claim holds: longer than one attempt to send may take."""
_ERROR_LIMIT = 500


async def save(connection: AsyncConnection, decided: Iterable[Notification]) -> None:
    """Insert notifications as pending and due."""
    await add(connection, notifications, [_row(notification) for notification in decided])


def _row(notification: Notification) -> dict[str, Any]:
    return {
        "incident": notification.incident,
        "kind": notification.kind,
        "receiver": notification.receiver,
        "at_ms": notification.at_ms,
        "targets": to_json(notification.targets),
        "status": PENDING,
        "attempts": 0,
        "due_ms": notification.at_ms,
        "error": "",
    }


async def claim(connection: AsyncConnection, now_ms: int, limit: int) -> list[PendingNotification]:
    """Claim what is due, and what was claimed so long ago that whoever claimed it must be dead; oldest first."""
    table = notifications
    free = or_(
        and_(table.c.status == PENDING, table.c.due_ms <= now_ms),
        and_(table.c.status == CLAIMED, table.c.lease_ms <= now_ms),
    )
    due = select(table.c.id).where(table.c.status < DELIVERED, free).order_by(table.c.due_ms, table.c.id).limit(limit)
    if connection.dialect.name == "postgresql":
        due = due.with_for_update(skip_locked=True)
    statement = (
        update(table)
        .where(table.c.id.in_(due.scalar_subquery()), free)
        .values(status=CLAIMED, lease_ms=now_ms + LEASE_MS)
        .returning(table)
    )
    claimed = sorted((await connection.execute(statement)).all(), key=_due)
    return [PendingNotification(row.id, _notification(row), row.attempts) for row in claimed]


def _due(row: Any) -> tuple[int, int]:
    return row.due_ms, row.id


def _notification(row: Any) -> Notification:
    return Notification(row.at_ms, row.incident, row.kind, row.receiver, tuple(orjson.loads(row.targets)))


async def deliver(connection: AsyncConnection, number: int, now_ms: int) -> None:
    """Mark as delivered."""
    await _change(connection, number, status=DELIVERED, delivered_ms=now_ms, lease_ms=None, error="")


async def retry(connection: AsyncConnection, number: int, at_ms: int, error: str) -> None:
    """Make it pending again, due at `at_ms`, with one more attempt behind it."""
    attempts = notifications.c.attempts + 1
    error = storable(error[:_ERROR_LIMIT])
    await _change(connection, number, status=PENDING, due_ms=at_ms, lease_ms=None, attempts=attempts, error=error)


async def give_up(connection: AsyncConnection, number: int, error: str) -> None:
    """Mark as never to be delivered."""
    await _change(connection, number, status=GIVEN_UP, lease_ms=None, error=storable(error[:_ERROR_LIMIT]))


async def _change(connection: AsyncConnection, number: int, **values: Any) -> None:
    # What was delivered stays so: a second sender that was late must not bring it back.
    open_ = and_(notifications.c.id == number, notifications.c.status < DELIVERED)
    await connection.execute(update(notifications).where(open_).values(**values))


async def release(connection: AsyncConnection) -> None:
    """End all claims: whoever holds the store alone knows that nobody is sending."""
    statement = update(notifications).where(notifications.c.status == CLAIMED)
    await connection.execute(statement.values(status=PENDING, lease_ms=None))
