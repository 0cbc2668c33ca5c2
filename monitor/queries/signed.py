"""Figures that were signed off, read back and compared with the digest that was taken of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.availability import Availability
from monitor.queries import statements
from monitor.store.errors import StoreError
from monitor.store.periods import digest_of
from monitor.together import Facts, facts_of_json, figures_of_json


class StoreDamagedError(StoreError):
    """Signed figures are not what was signed."""


class SignedPeriod(NamedTuple):
    """A report that was signed off; `facts` are what its targets belonged to then."""

    from_ms: int
    to_ms: int
    signed_ms: int
    signed_by: str
    figures: tuple[Availability, ...]
    facts: Mapping[str, Facts]


async def read_signed(connection: AsyncConnection, from_ms: int, to_ms: int) -> SignedPeriod | None:
    """Return what was signed off of that very period. Raises StoreDamagedError."""
    window = {"start": from_ms, "end": to_ms}
    head = (await connection.execute(statements.SIGNED_PERIOD, window)).one_or_none()
    if head is None:
        return None
    rows = [tuple(row) for row in await connection.execute(statements.SIGNED_FIGURES, window)]
    if digest_of(from_ms, to_ms, head.signed_ms, head.signed_by, rows) != head.digest:
        message = f"the figures that {head.signed_by} signed off are not what was signed: restore them from a backup"
        raise StoreDamagedError(message)
    return SignedPeriod(
        from_ms,
        to_ms,
        head.signed_ms,
        head.signed_by,
        tuple(figures_of_json(orjson.loads(figures)) for _, _, figures in rows),
        {target: facts_of_json(orjson.loads(facts)) for target, facts, _ in rows},
    )
