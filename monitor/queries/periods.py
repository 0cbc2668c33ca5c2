"""Availability over long periods: closed months as they were counted, the rest from transitions, joined exactly.

What was counted of a month is taken only while it would be counted the same again: under the same rules, from the same
transitions. Everything else is counted from the transitions themselves, in as few stretches as can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.counted import NOTHING, Counted
from alerts.intervals import Interval
from alerts.periods import local_day, months, start_of_month_ms
from alerts.state_lines import Line, TargetLines, lines_of, silenced
from alerts.target_state import ORDER
from alerts.timeline import Timeline
from monitor.availability import check_timelines
from monitor.counting import Counting
from monitor.queries import figures, statements
from monitor.queries.figures import FEW_CHECKS, Last
from monitor.queries.known import Known
from monitor.store.codec import state_of
from monitor.store.periods import LATE_MS, ClosedMonth

_RANKS = tuple(ORDER[state_of(number)] for number in range(len(ORDER)))
"""By the number that a state is saved as."""
_FEW_TARGETS = 100
"""Up to so many targets are asked for by name."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, as far as figures depend on it.

    Attributes:
        last: each check's last result, where the monitor has been silent since; empty while it is at work.

    """

    known: Known
    last: Mapping[str, Last]
    heartbeat_ms: int
    now_ms: int

    @property
    def zone(self) -> ZoneInfo:
        """Where months are cut."""
        return ZoneInfo(self.known.inventory.settings.timezone)

    def silent_from_ms(self, checks: Iterable[str]) -> int:
        """Return from when on the monitor's silence makes one of the checks unknown; now when it does not."""
        dues = (last.at_ms + round(last.interval_s * 1000) for last in map(self.last.get, checks) if last is not None)
        return min(dues, default=self.now_ms)


async def read_counting(connection: AsyncConnection, known: Known) -> Counting:
    """Return how targets are counted under the configuration in force."""
    return Counting(known.inventory, known.rules, await figures.first_results(connection))


async def read_counted(
    connection: AsyncConnection, asking: Asking, from_ms: int, to_ms: int, targets: Sequence[str]
) -> dict[str, Counted]:
    """Return what is counted of each target over [from_ms, to_ms), as far as it is over."""
    counting = await read_counting(connection, asking.known)
    pieces = months(from_ms, min(to_ms, asking.now_ms), asking.zone)
    kept = await _read_kept(connection, counting, asking, pieces, targets)
    lacking: dict[Interval, list[str]] = {}
    for target in targets:
        for span in _joined(piece for piece in pieces if (target, piece[0]) not in kept):
            lacking.setdefault(span, []).append(target)
    counted: dict[tuple[str, int], Counted] = {**kept}
    for (start_ms, end_ms), wanted in lacking.items():
        found = await _count(connection, asking, counting, (start_ms, end_ms), wanted)
        counted.update(((target, start_ms), one) for target, one in found.items())
    whole = dict.fromkeys(targets, NOTHING)
    for start_ms in sorted({start_ms for start_ms, _ in (*pieces, *lacking)}):
        for target in targets:
            piece = counted.get((target, start_ms))
            if piece is not None:
                whole[target] = whole[target].then(piece)
    return whole


async def read_months(
    connection: AsyncConnection, asking: Asking, counting: Counting, pieces: Sequence[Interval], target: str
) -> list[Counted]:
    """Return what is counted of a target in each of those months, which follow each other; the last may be running."""
    kept = await _read_kept(connection, counting, asking, pieces, [target])
    found = {start_ms: counted for (_, start_ms), counted in kept.items()}
    lacking = [piece for piece in pieces if piece[0] not in found]
    if lacking:
        lines = await _read_lines(connection, asking, counting, (lacking[0][0], lacking[-1][1]), [target])
        of_target = TargetLines(asking.known.rules, lines)
        found |= {piece[0]: counting.count(of_target, target, *piece) for piece in lacking}
    return [found[start_ms] for start_ms, _ in pieces]


async def _count(
    connection: AsyncConnection, asking: Asking, counting: Counting, period: Interval, targets: Iterable[str]
) -> dict[str, Counted]:
    """Count targets over a period from transitions: some are counted while the next ones are read."""
    found: dict[str, Counted] = {}
    at_work: asyncio.Task[dict[str, Counted]] | None = None
    try:
        for some in counting.few_checks_each(targets, FEW_CHECKS):
            lines = await _read_lines(connection, asking, counting, period, some)
            if at_work is not None:
                found |= await at_work
            work = asyncio.to_thread(_count_some, counting, asking.known, lines, some, period)
            at_work = asyncio.create_task(work)
    finally:
        if at_work is not None:
            found |= await at_work
    return found


def _count_some(
    counting: Counting, known: Known, by_check: Mapping[str, Line], targets: Sequence[str], period: Interval
) -> dict[str, Counted]:
    lines = TargetLines(known.rules, by_check)
    return {target: counting.count(lines, target, *period) for target in targets}


async def _read_lines(
    connection: AsyncConnection, asking: Asking, counting: Counting, period: Interval, targets: Iterable[str]
) -> dict[str, Line]:
    """Return the lines of all checks that those targets are made of, as they are over the period."""
    checks = list(dict.fromkeys(check for target in targets for check in counting.below(target)))
    lines: dict[str, Line] = {}
    for place in range(0, len(checks), FEW_CHECKS):
        window = {"start": period[0], "end": period[1], "checks": checks[place : place + FEW_CHECKS]}
        rows = (await connection.execute(statements.STATES_OF_CHECKS, window)).all()
        lines |= lines_of((check, at_ms, _RANKS[after]) for check, at_ms, after in rows)
    for check in lines.keys() & asking.last.keys():
        due_ms = asking.silent_from_ms([check])
        if due_ms < asking.now_ms:
            lines[check] = silenced(lines[check], due_ms)
    return lines


async def read_timelines(
    connection: AsyncConnection, asking: Asking, counting: Counting, from_ms: int, to_ms: int, target: str
) -> dict[str, Timeline]:
    """Return the timelines of all checks that the target is made of, with reasons, over [from_ms, to_ms)."""
    checks = list(dict.fromkeys(counting.below(target)))
    by_check = check_timelines(await figures.read_transitions(connection, from_ms, to_ms, checks))
    figures.without_silence(by_check, asking.last, asking.heartbeat_ms, asking.now_ms)
    return by_check


async def _read_kept(
    connection: AsyncConnection,
    counting: Counting,
    asking: Asking,
    pieces: Sequence[Interval],
    targets: Sequence[str],
) -> dict[tuple[str, int], Counted]:
    """Return what was counted of whole months and still holds, by target and start."""
    closed = [piece for piece in pieces if _is_closed(piece, asking)]
    if not closed:
        return {}
    window = {"start": closed[0][0], "end": closed[-1][1]}
    if len(targets) <= _FEW_TARGETS:
        few = {**window, "targets": list(targets)}
        rows = (await connection.execute(statements.CLOSED_MONTHS_OF, few)).all()
    else:
        rows = (await connection.execute(statements.CLOSED_MONTHS, window)).all()
    if not rows:
        return {}
    wanted, whole = set(targets), set(closed)
    late = await _LateChanges.read(connection, *window.values())
    silent_ms = {target: asking.silent_from_ms(counting.below(target)) for target in targets} if asking.last else {}
    found = {}
    for target, start_ms, end_ms, rules, seen, *parts in rows:
        if target not in wanted or (start_ms, end_ms) not in whole or silent_ms.get(target, end_ms) < end_ms:
            continue
        holds = seen == late.of(counting.below(target), start_ms, end_ms)
        if holds and rules == counting.fingerprint(target, start_ms, end_ms):
            found[target, start_ms] = Counted(*parts)
    return found


class _LateChanges(NamedTuple):
    """How often stretches of the past were changed, by check."""

    by_check: Mapping[str, Sequence[tuple[int, int, int]]]

    @classmethod
    async def read(cls, connection: AsyncConnection, from_ms: int, to_ms: int) -> _LateChanges:
        """Read those that touch [from_ms, to_ms)."""
        by_check: dict[str, list[tuple[int, int, int]]] = {}
        window = {"start": from_ms, "end": to_ms}
        for check, *change in await connection.execute(statements.LATE_CHANGES, window):
            by_check.setdefault(check, []).append((change[0], change[1], change[2]))
        return cls(by_check)

    def of(self, checks: Iterable[str], from_ms: int, to_ms: int) -> int:
        """Return how often [from_ms, to_ms) of these checks was changed."""
        if not self.by_check:
            return 0
        changes = (change for check in checks for change in self.by_check.get(check, ()))
        return sum(times for start_ms, end_ms, times in changes if start_ms < to_ms and end_ms > from_ms)


def _is_closed(piece: Interval, asking: Asking) -> bool:
    """Say whether a piece is a whole month that has been over for long enough."""
    start_ms, end_ms = piece
    day = local_day(start_ms, asking.zone)
    is_whole = start_ms == start_of_month_ms(day.year, day.month, asking.zone)
    ends = end_ms == start_of_month_ms(day.year, day.month + 1, asking.zone)
    return is_whole and ends and end_ms + 2 * LATE_MS <= asking.now_ms


def _joined(pieces: Iterable[Interval]) -> list[Interval]:
    """Return pieces that follow each other as one."""
    spans: list[Interval] = []
    for start_ms, end_ms in pieces:
        if spans and spans[-1][1] == start_ms:
            spans[-1] = (spans[-1][0], end_ms)
        else:
            spans.append((start_ms, end_ms))
    return spans


async def closed_months(connection: AsyncConnection, known: Known, now_ms: int) -> list[Interval]:
    """Return the months that are over, from that of the first result on."""
    asking, first_ms = Asking(known, {}, now_ms, now_ms), await figures.first_results(connection)
    day = local_day(min(first_ms.values(), default=now_ms), asking.zone)
    pieces = months(start_of_month_ms(day.year, day.month, asking.zone), now_ms, asking.zone)
    return [piece for piece in pieces if _is_closed(piece, asking)]


async def count_month(connection: AsyncConnection, known: Known, month: Interval, now_ms: int) -> list[ClosedMonth]:
    """Count the targets of which a month that is over is lacking, or does not hold.

    From transitions alone: what the monitor's silence makes of them is the reader's to add.
    """
    asking = Asking(known, {}, now_ms, now_ms)
    counting = await read_counting(connection, known)
    targets, (start_ms, end_ms) = list(known.targets), month
    kept = await _read_kept(connection, counting, asking, [month], targets)
    lacking = [target for target in targets if (target, start_ms) not in kept]
    if not lacking:
        return []
    late = await _LateChanges.read(connection, start_ms, end_ms)
    found = await _count(connection, asking, counting, month, lacking)
    return [
        ClosedMonth(
            target,
            start_ms,
            end_ms,
            counting.fingerprint(target, start_ms, end_ms),
            late.of(counting.below(target), start_ms, end_ms),
            found[target],
        )
        for target in lacking
    ]
