"""The reading door: what pages, the API and the command line ask of the store.

    queries = await Queries.open("sqlite:///data/thongsuot.db")
    overview = await queries.overview(now_ms)

Each question is answered from one snapshot of the store, so that what a page shows fits together. It never writes.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.availability import Availability, of_counted
from alerts.counted import Outage
from alerts.intervals import Interval
from alerts.loss_availability import LossAvailability
from alerts.model import Incident, State, Transition
from alerts.periods import local_day, months, start_of_month_ms
from alerts.timeline import TargetTimelines, segments, target_timeline
from monitor.availability import UnknownTargetError, check_timelines, measure_targets
from monitor.counting import Counting
from monitor.queries import figures, periods, statements
from monitor.queries.figures import DayFigures
from monitor.queries.hops import read_path
from monitor.queries.known import Known, KnownCheck, KnownTarget, read_known
from monitor.queries.loss import read_loss
from monitor.queries.periods import Asking
from monitor.queries.points import read_latency, read_points
from monitor.queries.rows import NEVER_MEASURED, Now, read_now, target_row, worst_first
from monitor.queries.signed import SignedPeriod, read_signed
from monitor.store import sizes
from monitor.store.engine import create_engine, parse_url, sqlite_path
from monitor.store.errors import StoreError, StoreUnavailableError, unavailable_as_such
from monitor.store.migrate import require_head
from monitor.store.names import Names
from monitor.store.periods import ClosedMonth
from monitor.store.sizes import Forecast
from monitor.store.states import incident_of, transition_of
from monitor.together import Facts
from monitor.views import CheckPanel, Latency, Name, Overview, Path, Point, Revision, Segment, TargetPage, TargetRow

__all__ = ["Queries", "StoreError", "StoreUnavailableError", "UnknownTargetError"]

PAGE_TRANSITIONS, PAGE_INCIDENTS, PAGE_REVISIONS, PAGE_MONTHS = 200, 50, 1_000, 12
MONTH_MS = 30 * 86_400_000


class Queries:
    """An open reading door. All methods raise StoreUnavailableError when the store is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._names = Names()
        self._known = Known()
        self._day = DayFigures()

    @classmethod
    async def open(cls, url: str) -> Queries:
        """Open a store that a monitor has made.

        Raises StoreVersionError for a schema that this program does not know, StoreUnavailableError when it is away.
        """
        parsed = parse_url(url)
        path = sqlite_path(parsed)
        if path is not None and not path.is_file():
            message = "there is no store yet: no monitor has run"
            raise StoreUnavailableError(message)
        engine = create_engine(parsed, read_only=True)
        try:
            with unavailable_as_such():
                async with engine.connect() as connection:
                    await require_head(connection)
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine)

    async def aclose(self) -> None:
        """Let go of the store."""
        await self._engine.dispose()

    async def forecast(self) -> Forecast | None:
        """Return the store's size and when the disk is full; None when the monitor has not measured it yet."""
        async with self._snapshot() as (connection, _, _):
            return await sizes.read(connection)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[tuple[AsyncConnection, Known, int]]:
        """Give a connection with one view of the store, the inventory, and the monitor's last sign of life."""
        with unavailable_as_such():
            async with self._engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                meta = {row.name: orjson.loads(row.value) for row in await connection.execute(statements.META)}
                if meta.get("inventory") != self._known.version:
                    self._known = await read_known(connection, meta.get("inventory"))
                yield connection, self._known, meta.get("heartbeat_ms", 0)

    async def overview(self, now_ms: int) -> Overview:
        """Return everything that the overview shows."""
        async with self._snapshot() as (connection, known, heartbeat_ms):
            now = await read_now(connection)
            await self._day.refresh(connection, known, now_ms)
            incidents = [incident_of(row) for row in await connection.execute(statements.OPEN_INCIDENTS)]
        rows = self._rows(known, now, known.targets, heartbeat_ms, now_ms)
        return Overview(
            now_ms=now_ms,
            heartbeat_ms=heartbeat_ms,
            simulated=known.simulated,
            counts=Counter(row.state for row in rows.values()),
            agencies=known.agencies,
            rows=tuple(worst_first(known, rows)),
            incidents=tuple(incidents),
        )

    def _rows(self, known: Known, now: Now, ids: Iterable[str], heartbeat_ms: int, now_ms: int) -> dict[str, TargetRow]:
        wanted = [id_ for id_ in ids if id_ in known.targets]
        states = {id_: state.state for id_, state in now.targets.items()}
        last = now.last_results(known) if figures.is_silent(heartbeat_ms, now_ms) else {}
        today = self._day.measure(known, wanted, states, last, heartbeat_ms, now_ms)
        planned = {
            target
            for window in known.rules.maintenance
            if window.from_ms <= now_ms < window.to_ms
            for target in window.targets
        }
        return {id_: target_row(known.targets[id_], now, today[id_], in_maintenance=id_ in planned) for id_ in wanted}

    async def target_page(self, target_id: str, now_ms: int, window_s: int) -> TargetPage | None:
        """Return everything that a target's page shows over the last `window_s`, None for an unknown target."""
        from_ms = now_ms - window_s * 1000
        async with self._snapshot() as (connection, known, heartbeat_ms):
            target = known.targets.get(target_id)
            if target is None:
                return None
            family = dict.fromkeys((target_id, *target.members, *target.parents))
            now = await read_now(connection, family, _numbers(known, family))
            await self._day.refresh(connection, known, now_ms)
            panels = [
                _panel(
                    check,
                    now,
                    await read_points(connection, self._names, check, from_ms, now_ms, _zone(known)),
                    await read_path(connection, self._names, check, now_ms),
                )
                for check in target.checks
            ]
            checks = [check.id for check in target.checks]
            wanted = {"target": target_id, "checks": checks, "most": PAGE_TRANSITIONS}
            changes = [transition_of(row) for row in await connection.execute(statements.TRANSITIONS_OF, wanted)]
            trouble = {"target": target_id, "most": PAGE_INCIDENTS}
            incidents = [incident_of(row) for row in await connection.execute(statements.INCIDENTS_OF, trouble)]
            transitions = await figures.read_transitions(
                connection, min(from_ms, now_ms - MONTH_MS), now_ms + 1, [check.id for check in target.below]
            )
            first_ms = await figures.first_results(connection, [check.id for check in target.below])
            last = now.last_results(known)
            silent = last if figures.is_silent(heartbeat_ms, now_ms) else {}
            asking = Asking(known, silent, heartbeat_ms, now_ms)
            by_month = await _read_by_month(connection, asking, first_ms, target_id)
        by_check = check_timelines(transitions)
        figures.without_silence(by_check, last, heartbeat_ms, now_ms)
        rows = self._rows(known, now, family, heartbeat_ms, now_ms)
        line = target_timeline(known.rules, target_id, by_check)
        return TargetPage(
            now_ms=now_ms,
            heartbeat_ms=heartbeat_ms,
            simulated=known.simulated,
            row=rows[target_id],
            agency_name=known.agencies.get(target.agency, Name("", "")),
            site_name=known.sites.get(target.site, Name("", "")),
            from_ms=from_ms,
            to_ms=now_ms,
            timeline=tuple(Segment(*stretch) for stretch in segments(line, from_ms, now_ms)),
            checks=tuple(panels),
            members=tuple(rows[id_] for id_ in target.members if id_ in rows),
            parents=tuple(rows[id_] for id_ in target.parents if id_ in rows),
            transitions=tuple(changes),
            incidents=tuple(incidents),
            availability={
                name: measure_targets(
                    known.inventory, known.rules, by_check, first_ms, start_ms, now_ms, now_ms, [target_id]
                )[0].as_json()
                for name, start_ms in (("today", figures.midnight_ms(known, now_ms)), ("30d", now_ms - MONTH_MS))
            },
            months=by_month,
            names={one.target: known.targets[one.target].name for one in incidents if one.target in known.targets},
        )

    async def availability(
        self, from_ms: int, to_ms: int, now_ms: int, target: str | None = None
    ) -> list[Availability]:
        """Return the availability of every target, or of one, over [from_ms, to_ms), in the configuration's order.

        A period that was signed off is what was signed, to the digit. Raises UnknownTargetError.
        """
        signed = await self.signed_availability(from_ms, to_ms)
        if signed is None:
            return await self.counted_availability(from_ms, to_ms, now_ms, target)
        if target is not None:
            _require(target, signed.facts)
        return [figure for figure in signed.figures if target in (None, figure.target)]

    async def counted_availability(
        self, from_ms: int, to_ms: int, now_ms: int, target: str | None = None
    ) -> list[Availability]:
        """Return what is counted today of that period, signed off or not. Raises UnknownTargetError."""
        async with self._asking(now_ms) as (connection, asking):
            known = asking.known
            if target is not None:
                _require(target, known.targets)
            wanted = list(known.targets) if target is None else [target]
            counted = await periods.read_counted(connection, asking, from_ms, to_ms, wanted)
        objectives = {id_: one.objective.availability for id_, one in known.inventory.targets.items()}
        return [of_counted(counted[id_], from_ms, to_ms, objective=objectives.get(id_), target=id_) for id_ in wanted]

    async def signed_availability(self, from_ms: int, to_ms: int) -> SignedPeriod | None:
        """Return what was signed off of that very period, None when nothing was.

        Raises StoreDamagedError when it is not what was signed any more.
        """
        async with self._snapshot() as (connection, _, _):
            return await read_signed(connection, from_ms, to_ms)

    async def facts(self) -> dict[str, Facts]:
        """Return what each target of the configuration belongs to."""
        async with self._snapshot() as (_, known, _):
            return {
                id_: Facts(target.agency, known.provinces.get(target.site, ""), target.programme, target.members)
                for id_, target in known.targets.items()
            }

    async def outages(self, target: str, from_ms: int, to_ms: int, now_ms: int) -> list[Outage]:
        """Return a target's outages over [from_ms, to_ms), as they are counted today. Raises UnknownTargetError."""
        async with self._asking(now_ms) as (connection, asking):
            _require(target, asking.known.targets)
            end_ms = min(to_ms, now_ms)
            counting = await periods.read_counting(connection, asking.known)
            by_check = await periods.read_timelines(connection, asking, counting, from_ms, end_ms, target)
        return counting.outages(TargetTimelines(asking.known.rules, by_check), target, from_ms, end_ms)

    async def loss(
        self, targets: Iterable[str], from_ms: int, to_ms: int, now_ms: int
    ) -> dict[str, list[LossAvailability]]:
        """Return the availability by loss of those targets that are links: of each check that tells one, of members."""
        async with self._asking(now_ms) as (connection, asking):
            counting = await periods.read_counting(connection, asking.known)
            return await read_loss(connection, asking.known, counting, targets, from_ms, min(to_ms, now_ms))

    async def zone(self) -> ZoneInfo:
        """Return where days and months are cut."""
        async with self._snapshot() as (_, known, _):
            return ZoneInfo(known.inventory.settings.timezone)

    async def closed_months(self, now_ms: int) -> list[Interval]:
        """Return the months that have been over for long enough to be counted for good, oldest first."""
        async with self._snapshot() as (connection, known, _):
            return await periods.closed_months(connection, known, now_ms)

    async def count_month(self, month: Interval, now_ms: int) -> list[ClosedMonth]:
        """Return what is counted of that month of the targets for which nothing is kept that holds."""
        async with self._snapshot() as (connection, known, _):
            return await periods.count_month(connection, known, month, now_ms)

    @asynccontextmanager
    async def _asking(self, now_ms: int) -> AsyncIterator[tuple[AsyncConnection, Asking]]:
        async with self._snapshot() as (connection, known, heartbeat_ms):
            is_silent = figures.is_silent(heartbeat_ms, now_ms)
            last = (await read_now(connection)).last_results(known) if is_silent else {}
            yield connection, Asking(known, last, heartbeat_ms, now_ms)

    async def latency(self, from_ms: int, to_ms: int, target: str, check: str | None = None) -> Latency:
        """Return the latency of one check (by its id), or of all checks of a target together, over [from_ms, to_ms).

        The period is widened to whole 5 minutes. Raises UnknownTargetError.
        """
        async with self._snapshot() as (connection, known, _):
            checks = [one for one in _target(known, target).checks if check in (None, one.id)]
            if not checks:
                message = f"target {target!r} has no check {check!r}" if check else f"target {target!r} has no checks"
                raise UnknownTargetError(message)
            return await read_latency(connection, checks, from_ms, to_ms, _zone(known))

    async def revisions(self, from_ms: int, to_ms: int, after: int = 0, limit: int = PAGE_REVISIONS) -> list[Revision]:
        """Return what late results have changed of [from_ms, to_ms), in the order in which it was changed.

        `after` is the id of the last one that the caller knows.
        """
        window = {"start": from_ms, "end": to_ms, "after": after, "most": limit}
        async with self._snapshot() as (connection, _, _):
            return [_revision(row) for row in await connection.execute(statements.REVISIONS, window)]

    async def transitions(self, from_ms: int, to_ms: int, limit: int = PAGE_TRANSITIONS) -> list[Transition]:
        """Return the transitions that became known in [from_ms, to_ms), newest first."""
        async with self._snapshot() as (connection, _, _):
            window = {"start": from_ms, "end": to_ms, "most": limit}
            return [transition_of(row) for row in await connection.execute(statements.TRANSITIONS, window)]

    async def incidents(self, limit: int = PAGE_INCIDENTS) -> list[Incident]:
        """Return incidents, open or over, newest first."""
        async with self._snapshot() as (connection, _, _):
            return [incident_of(row) for row in await connection.execute(statements.INCIDENTS, {"most": limit})]


async def _read_by_month(
    connection: AsyncConnection, asking: Asking, first_ms: Mapping[str, int], target: str
) -> tuple[Mapping[str, object], ...]:
    """Return the figures of a target's last months, oldest first, the running one with them."""
    today = local_day(asking.now_ms, asking.zone)
    from_ms = start_of_month_ms(today.year, today.month - PAGE_MONTHS, asking.zone)
    begun = local_day(max(from_ms, min(first_ms.values(), default=asking.now_ms)), asking.zone)
    pieces = months(start_of_month_ms(begun.year, begun.month, asking.zone), asking.now_ms, asking.zone)
    counting = Counting(asking.known.inventory, asking.known.rules, first_ms)
    counted = await periods.read_months(connection, asking, counting, pieces, target)
    promised = asking.known.inventory.targets.get(target)
    objective = promised.objective.availability if promised is not None else None
    return tuple(
        of_counted(one, *piece, objective=objective, target=target).as_json()
        for piece, one in zip(pieces, counted, strict=True)
    )


def _require(target: str, known: Mapping[str, object]) -> None:
    """Raise UnknownTargetError for a target that is not there."""
    if target not in known:
        near = difflib.get_close_matches(target, known, n=1)
        message = f"there is no target {target!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        raise UnknownTargetError(message)


def _target(known: Known, target: str) -> KnownTarget:
    _require(target, known.targets)
    return known.targets[target]


def _zone(known: Known) -> ZoneInfo:
    return ZoneInfo(known.inventory.settings.timezone)


def _revision(row: Any) -> Revision:
    what = orjson.loads(row.what)
    gone, new = (
        tuple((at_ms, State(before), State(after), reason) for at_ms, before, after, reason in what.get(name, ()))
        for name in ("gone", "new")
    )
    return Revision(row.id, row.at_ms, row.check_id, row.from_ms, row.to_ms, row.results, gone, new)


def _numbers(known: Known, family: Iterable[str]) -> list[int]:
    ids = [id_ for id_ in family if id_ in known.targets]
    return sorted({check.number for id_ in ids for check in known.targets[id_].below})


def _panel(check: KnownCheck, now: Now, points: tuple[Point, ...], path: Path | None) -> CheckPanel:
    state = now.checks.get(check.number, NEVER_MEASURED)
    return CheckPanel(
        id=check.id,
        name=check.name,
        probe=check.probe,
        address=check.address,
        interval_s=check.interval_s,
        state=state.state,
        since_ms=state.since_ms,
        reason=state.reason,
        message=state.message,
        last_at_ms=state.last_at_ms,
        points=points,
        path=path,
    )
