"""Availability from the store's transitions, kept at hand so that an overview of 10,000 checks stays cheap.

What was known before a day began changes no more: it is read once a day. Of the day itself only new transitions are
read. A target that nothing has happened to today needs no timeline to be counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import NO_RESULTS, State, Subject, Transition
from alerts.periods import local_day, start_of_day_ms
from alerts.timeline import Timeline, check_timeline, segments, target_timeline
from monitor.availability import check_timelines, measure_targets
from monitor.queries import statements
from monitor.queries.known import Known
from monitor.store.states import transition_of

SILENT_MS = 30_000
"""A monitor that has not written for this long is gone: nobody marks its checks as unknown but the reader."""


REREAD_MS = 300_000
FOREVER_MS = 1 << 62
FEW_CHECKS = 1_000
"""Up to so many checks are asked for by name."""


class Last(NamedTuple):
    """When the last result of a check started, and how long after that its next one was due."""

    at_ms: int
    interval_s: float


class Today(NamedTuple):
    """A target's availability since midnight, and whether there was any downtime."""

    availability: float | None
    outage: bool


def midnight_ms(known: Known, now_ms: int) -> int:
    """Return when today began in the configured zone."""
    zone = ZoneInfo(known.inventory.settings.timezone)
    return start_of_day_ms(local_day(now_ms, zone), zone)


async def first_results(connection: AsyncConnection, checks: Collection[str] | None = None) -> dict[str, int]:
    """Return the start of each check's first result, of all checks or of those."""
    if checks is None:
        rows = await connection.execute(statements.FIRST_RESULTS)
    else:
        rows = await connection.execute(statements.FIRST_RESULTS_OF, {"checks": list(checks)})
    return {row.id: row.first_ms for row in rows}


async def read_transitions(
    connection: AsyncConnection, from_ms: int, to_ms: int, checks: Collection[str] | None = None
) -> list[Transition]:
    """Return the transitions that [from_ms, to_ms) is put together from, of all checks or of those."""
    if checks is not None and len(checks) <= FEW_CHECKS:
        window = {"end": to_ms, "start": from_ms, "checks": list(checks)}
        rows = await connection.execute(statements.TRANSITIONS_OF_CHECKS, window)
        return [transition_of(row) for row in rows]
    opening = await connection.execute(statements.OPENING_TRANSITIONS, {"start": from_ms})
    found = [transition_of(row) for row in opening]
    return found + await _later(connection, from_ms, to_ms)


async def _later(connection: AsyncConnection, from_ms: int, to_ms: int) -> list[Transition]:
    rows = await connection.execute(statements.LATER_TRANSITIONS, {"start": from_ms, "end": to_ms})
    return [transition_of(row) for row in rows]


def is_silent(heartbeat_ms: int, now_ms: int) -> bool:
    """Say whether the monitor has not written for so long that it must be gone."""
    return now_ms - heartbeat_ms > SILENT_MS


def without_silence(by_check: dict[str, Timeline], last: Mapping[str, Last], heartbeat_ms: int, now_ms: int) -> None:
    """Make checks unknown from when their next result was due, where the monitor itself has fallen silent."""
    if not is_silent(heartbeat_ms, now_ms):
        return
    for check, (at_ms, interval_s) in last.items():
        due_ms = at_ms + round(interval_s * 1000)
        if check in by_check and due_ms < now_ms:
            # A transition that becomes known last overrules what was thought of the time after it.
            silence = Transition(Subject.CHECK, check, State.UNKNOWN, State.UNKNOWN, due_ms, now_ms, NO_RESULTS)
            by_check[check] = check_timeline([*_as_transitions(check, by_check[check]), silence])


def _as_transitions(check: str, timeline: Timeline) -> Iterable[Transition]:
    for change in timeline:
        at_ms = change.at_ms
        yield Transition(Subject.CHECK, check, State.UNKNOWN, change.state, at_ms, at_ms, change.reason)


class DayFigures:
    """Today's availability of all targets, worked out again only where something has changed."""

    def __init__(self) -> None:
        self._day: tuple[int, str | None, int] = (-1, "", -1)
        self._opening: list[Transition] = []
        self._seen = (-1, -1)
        self._changes: Counter[str] = Counter()
        self._by_check: dict[str, Timeline] = {}
        self._first_ms: dict[str, int] = {}
        self._kept: dict[str, tuple[int, Timeline, Today]] = {}

    async def refresh(self, connection: AsyncConnection, known: Known, now_ms: int) -> None:
        """Read what has happened since the last time."""
        start_ms = midnight_ms(known, now_ms)
        # What was spooled, imported or came late may still change the past: it is read again now and then.
        day = (start_ms, known.version, now_ms // REREAD_MS)
        if self._day != day:
            opening = await connection.execute(statements.OPENING_TRANSITIONS, {"start": start_ms})
            self._opening = [transition_of(row) for row in opening]
            self._day, self._seen, self._kept = day, (-1, -1), {}
        if len(self._first_ms) < len(known.checks):
            self._first_ms = await first_results(connection)
        # Meanwhile transitions are only added: the same number and the same last one are the same transitions.
        row = (await connection.execute(statements.SEEN_TRANSITIONS, {"start": start_ms})).one()
        if self._seen != tuple(row):
            self._seen = tuple(row)
            transitions = await _later(connection, start_ms, FOREVER_MS)
            self._changes = Counter(id_ for change in transitions for id_ in known.above.get(change.subject, ()))
            self._by_check = check_timelines([*self._opening, *transitions])

    def measure(
        self,
        known: Known,
        targets: Sequence[str],
        states: Mapping[str, State],
        last: Mapping[str, Last],
        heartbeat_ms: int,
        now_ms: int,
    ) -> dict[str, Today]:
        """Return today's figures of those targets, whose states now are `states`."""
        if is_silent(heartbeat_ms, now_ms):
            by_check = dict(self._by_check)
            without_silence(by_check, last, heartbeat_ms, now_ms)
            return self._counted(known, targets, by_check, now_ms)
        cut_up = set(self._cut_up(known, now_ms))
        found = self._counted(known, [target for target in targets if target in cut_up], self._by_check, now_ms)
        for target in targets:
            if target not in found:
                found[target] = self._of(known, target, states.get(target, State.UNKNOWN), now_ms)
        return found

    def _cut_up(self, known: Known, now_ms: int) -> Iterator[str]:
        """Yield the targets of which not every moment of today counts."""
        for window in known.rules.maintenance:
            if window.from_ms < now_ms and window.to_ms > self._day[0]:
                yield from window.targets
        for id_, target in known.inventory.targets.items():
            if target.service_hours:
                yield id_

    def _of(self, known: Known, target: str, state: State, now_ms: int) -> Today:
        changes = self._changes[target]
        if not changes:
            return _of_states({state})  # the same since before the day began
        kept = self._kept.get(target)
        if kept is None or kept[0] != changes:
            timeline = target_timeline(known.rules, target, self._by_check)
            states = {passed for _, _, passed, _ in segments(timeline, self._day[0], now_ms)}
            kept = (changes, timeline, _of_states(states))
            self._kept[target] = kept
        _, timeline, today = kept
        return _with_outage(segments(timeline, self._day[0], now_ms)) if today.outage else today

    def _counted(
        self, known: Known, targets: Sequence[str], by_check: Mapping[str, Timeline], now_ms: int
    ) -> dict[str, Today]:
        start_ms = self._day[0]
        counted = measure_targets(
            known.inventory, known.rules, by_check, self._first_ms, start_ms, now_ms, now_ms, targets
        )
        return {figures.target: Today(figures.availability, outage=figures.down_ms > 0) for figures in counted}


def _with_outage(stretches: Iterable[tuple[int, int, State, str]]) -> Today:
    """Return the figures of a target that was down; without windows and hours they need no more than sums."""
    spent_ms = Counter[State]()
    for start_ms, end_ms, state, _ in stretches:
        spent_ms[state] += end_ms - start_ms
    working_ms = spent_ms[State.UP] + spent_ms[State.DEGRADED]
    return Today(working_ms / (working_ms + spent_ms[State.DOWN]), outage=True)


def _of_states(states: Collection[State]) -> Today:
    """Return the figures of a target that was in these states and no others."""
    if State.DOWN in states:
        return Today(0.0, outage=True)
    return Today(1.0 if State.UP in states or State.DEGRADED in states else None, outage=False)
