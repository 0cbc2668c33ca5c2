"""History that was decided on and counted before it came: rollups and transitions whose raw results are not kept.

Each check's is saved in one transaction, and saving it again changes nothing. Raw results begin where it ends
(`raw_from_ms`): what is imported from there on is settled from the state that history left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import Transition
from monitor.records import Rollup
from monitor.rollup import HOUR_MS
from monitor.store import late, periods, rollups
from monitor.store.names import checks
from monitor.store.statements import put_meta
from monitor.store.states import add_transitions
from monitor.store.tables import DAYS, rollups_1d, rollups_1h, rollups_5m


class History(NamedTuple):
    """What became of one check in [from_ms, to_ms), which are whole hours.

    Attributes:
        first_ms: start of its first result.
        transitions: what the core decided.
        fine, hours, days: rollups of 5 minutes, which may begin later than the hours; of all hours; of whole days.

    """

    check: str
    from_ms: int
    to_ms: int
    first_ms: int
    transitions: tuple[Transition, ...]
    fine: tuple[Rollup, ...]
    hours: tuple[Rollup, ...]
    days: tuple[Rollup, ...]


async def save(
    connection: AsyncConnection, histories: Iterable[History], check_nos: Mapping[str, int], zone: ZoneInfo
) -> None:
    """Save the history of some checks; what ends within a day leaves that day to be made of its hours."""
    for one in histories:
        number = check_nos[one.check]
        for table, counted in ((rollups_5m, one.fine), (rollups_1h, one.hours), (rollups_1d, one.days)):
            await rollups.put(connection, table, [(number, rollup) for rollup in counted])
        await add_transitions(connection, one.transitions)
        await periods.invalidate(connection, [(one.check, one.from_ms, one.to_ms)])
        last_day = rollups.whole_days(one.to_ms - HOUR_MS, one.to_ms, zone)
        if last_day[1] > one.to_ms:
            await rollups.note(connection, DAYS, [(number, *last_day)])
        begun = update(checks).where(checks.c.no == bindparam("of")).values(first_ms=bindparam("at"))
        await connection.execute(begun, [{"of": number, "at": one.first_ms}])
        raw_from_ms = max(one.to_ms, await late.raw_from_ms(connection))
        await put_meta(connection, {"raw_from_ms": raw_from_ms})
