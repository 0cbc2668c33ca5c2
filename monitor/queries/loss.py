"""Availability by loss, from rollups of 5 minutes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.intervals import Interval
from alerts.loss_availability import LossAvailability, Lost, by_loss
from monitor.queries import statements
from monitor.queries.known import Known, KnownCheck
from monitor.store.codec import MILLION


async def read_loss(
    connection: AsyncConnection, known: Known, check: KnownCheck, measured: Sequence[Interval]
) -> LossAvailability:
    """Return what one check's loss makes of the measured time."""
    settings = known.inventory.settings
    window = {"number": check.number, "span": round(settings.loss_interval * 1000), "start": 0, "end": 0}
    if measured:
        window |= {"start": measured[0][0], "end": measured[-1][1]}
    rows = await connection.execute(statements.LOSS_OF, window)
    lost = (Lost(row.at_ms, int(row.loss_sum_ppm) / MILLION, row.loss_count) for row in rows)
    return by_loss(check.id, lost, measured, settings.loss_interval, settings.loss_threshold)
