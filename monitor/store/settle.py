"""Settling what came late: the past of a check becomes what it would have been, had its results come in time.

The 5 minutes are counted again from the raw results, the core decides again (`monitor.redecision`), and the transitions
of that time are replaced; then the hours are outdated, and made again. All that one check gains is saved in one
transaction with what takes its note away, and a row of `revisions` says what has changed. Incidents and notifications
are not made up: nobody was told then.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alerts.flapping import OUTCOMES
from alerts.model import CheckRule, CheckState, Result, Rules, Subject, Transition
from monitor.jobs import latency_of
from monitor.records import Rollup
from monitor.redecision import FOREVER_MS, Redecision, differences
from monitor.rollup import HOUR_MS, INTERVAL_MS, Tally, results_in
from monitor.store import late, pages, periods, rollups, rows, sealed
from monitor.store.errors import unavailable_as_such
from monitor.store.late import Span
from monitor.store.names import Names, checks
from monitor.store.results import read, read_check, snapshot
from monitor.store.statements import to_json
from monitor.store.states import add_transitions, check_now_of, save_check_state
from monitor.store.tables import HOURS, check_states, revisions, rollups_5m, transitions
from probes import registry
from probes.registry import UnknownKindError

log = structlog.get_logger()

T = TypeVar("T")

WINDOW_MS = 2 * HOUR_MS
"""How much of one check is read at a time; more where there are few results."""
_WINDOW_MOST_MS = 7 * 24 * HOUR_MS
_FEW_RESULTS = 1_000
_TRIES = 5
"""How often to look for what the engine has decided on and not yet saved; it saves twice a second."""
_SCAN_SHARE, _SCAN_CHECKS = 4, 20
"""From one in so many checks on, and so many, everybody's results are read in passing."""
_FLUSH_ROLLUPS = 500


class Write(Protocol):
    """Does work in a transaction."""

    async def __call__(self, work: Callable[[AsyncConnection], Coroutine[Any, Any, T]], /) -> T:
        """Return what the work returns, once it is committed."""


class Live(Protocol):
    """Who decides now: the running engine, or nobody, and then it is the states that the last one has left."""

    def state(self, check: str) -> CheckState | None:
        """Return what is remembered of a check, None where it never ran."""

    def correct(self, check: str, state: CheckState) -> int:
        """Go on from this state instead; return until when what is known by now was decided from the other one."""

    async def saved(self) -> None:
        """Return when corrections are in the store."""


@dataclass(slots=True)
class _Task:
    """One check that is being settled."""

    span: Span
    again: Redecision
    sample: str
    lives_until_ms: int | None
    tallies: dict[int, Tally] = field(default_factory=dict)
    changed: list[tuple[int, int]] = field(default_factory=list)
    results: int = 0
    window_ms: int = WINDOW_MS

    def feed(self, result: Result) -> None:
        """Take a result, in the order of starts."""
        start_ms = result.at_ms - result.at_ms % INTERVAL_MS
        if self.span.from_ms - INTERVAL_MS < start_ms <= self.span.to_ms:
            tally = self.tallies.get(start_ms)
            if tally is None:
                tally = self.tallies[start_ms] = Tally()
            tally.add(result, latency_of(result, self.sample), result.samples.get("loss_ratio"))
        if not self.again.is_over:
            self.again.feed(result)

    @property
    def read_from_ms(self) -> int:
        """From when on results are wanted."""
        return min(self.again.read_from_ms, self.span.from_ms - self.span.from_ms % INTERVAL_MS)

    def is_over(self, at_ms: int) -> bool:
        """Whether no more results are wanted, now that all that started before `at_ms` have been fed."""
        return self.again.is_over and at_ms > self.span.to_ms + INTERVAL_MS

    def pass_time(self, now_ms: int) -> None:
        """Let time pass; a check that lives is never said to be silent after its last result."""
        if self.lives_until_ms is None or now_ms <= self.lives_until_ms:
            self.again.pass_time(now_ms)

    def end(self) -> None:
        """Take it that nothing more has been measured."""
        stale_ms = round(self.again.rule.stale_after_s * 1000)
        self.again.finish()
        self.pass_time(max(self.again.state.last_at_ms + stale_ms, self.span.to_ms) + 1)


class Settler:
    """Settles what is noted as late, a check after the other."""

    def __init__(self, reader: AsyncEngine, write: Write, names: Names, live: Live) -> None:
        self._reader = reader
        self._write = write
        self._names = names
        self._live = live

    async def settle(self, until_ms: int) -> int:
        """Settle what was noted of the time before `until_ms`; return of how many checks."""
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                spans = await late.noted(connection, until_ms)
                rules = await late.read_rules(connection) if spans else None
                await self._names.load(connection)
        known = [] if rules is None else [span for span in spans if span.check in rules.checks]
        decided = {span.number for span in known}
        await self._drop([span for span in spans if span.number not in decided])
        if rules is None:
            return 0
        if len(known) >= _SCAN_CHECKS and len(known) * _SCAN_SHARE >= len(rules.checks):
            await self._settle_together(known, rules)
        else:
            for span in known:
                await self._settle_one(span, rules)
        return len(known)

    async def _drop(self, spans: Sequence[Span]) -> None:
        """Forget notes of checks that no configuration knows: their results are only kept."""
        ids = [id_ for span in spans for id_ in span.ids]
        for some in (ids[n : n + _FLUSH_ROLLUPS] for n in range(0, len(ids), _FLUSH_ROLLUPS)):
            await self._write(partial(late.forget, ids=some))

    async def _settle_one(self, span: Span, rules: Rules) -> None:
        task = await self._begun(span, rules.checks[span.check])
        if task is None:
            return
        at_ms: int | None = task.read_from_ms
        while at_ms is not None and not task.is_over(at_ms):
            at_ms = await self._read_some(task, at_ms)
            if at_ms is not None:
                task.pass_time(at_ms)
                await self._flush(task, at_ms)
        await self._finish(task)

    async def _read_some(self, task: _Task, at_ms: int) -> int | None:
        """Feed some of what started at a time or later; return where to go on, None when there is nothing more."""
        live, to_ms = self._live.state(task.span.check), at_ms + task.window_ms
        if live is not None:
            # What the engine decides on meanwhile is read in the end.
            to_ms = min(to_ms, max(live.last_at_ms, task.span.to_ms + INTERVAL_MS) + 1)
        return await self._read(task, at_ms, to_ms) if at_ms < to_ms else None

    async def _read(self, task: _Task, from_ms: int, to_ms: int) -> int | None:
        """Feed what started in [from_ms, to_ms); return when the next result of any check may have started."""
        with unavailable_as_such():
            async with snapshot(self._reader) as connection:
                found = await read_check(connection, self._names, task.span.number, from_ms, to_ms)
                next_ms = await _next_ms(connection, to_ms)
        for result in found:
            task.feed(result)
        task.window_ms = min(2 * task.window_ms, _WINDOW_MOST_MS) if len(found) < _FEW_RESULTS else WINDOW_MS
        return next_ms

    async def _draw_level(self, task: _Task) -> None:
        """Feed what the engine has decided on since it was read: it would be forgotten by the correction."""
        for _ in range(_TRIES):
            live, last_ms = self._live.state(task.span.check), task.again.state.last_at_ms
            if live is None or task.again.is_over or live.last_at_ms <= last_ms:
                return
            await self._read(task, max(last_ms + 1, task.read_from_ms), live.last_at_ms + 1)
            task.again.finish()
            if task.again.state.last_at_ms == last_ms:
                await self._live.saved()

    async def _settle_together(self, spans: Sequence[Span], rules: Rules) -> None:
        """Read everybody's results once, rather than each check's by itself."""
        begun = [await self._begun(span, rules.checks[span.check]) for span in spans]
        tasks = {task.span.check: task for task in begun if task is not None}
        running, hour = dict(tasks), 0
        async for result in self._results_of(list(tasks.values())):
            if result.at_ms // HOUR_MS != hour:
                hour = result.at_ms // HOUR_MS
                for task in list(running.values()):
                    task.pass_time(result.at_ms)
                    await self._flush(task, result.at_ms)
                    if task.is_over(result.at_ms):
                        del running[task.span.check]
                if not running:
                    break
            if result.check in running and result.at_ms >= running[result.check].read_from_ms:
                running[result.check].feed(result)
        for task in tasks.values():
            await self._finish(task)

    def _results_of(self, tasks: Sequence[_Task]) -> AsyncIterator[Result]:
        from_ms = min((task.read_from_ms for task in tasks), default=0)
        numbers = frozenset(task.span.number for task in tasks)
        return read(self._reader, self._names, max(from_ms, 0), FOREVER_MS, numbers)

    async def _begun(self, span: Span, rule: CheckRule) -> _Task | None:
        """Return a task, None when raw results no longer reach back and other figures are there."""
        with unavailable_as_such():
            async with self._reader.connect() as connection:
                horizon_ms = await late.raw_from_ms(connection)
                if span.from_ms < horizon_ms and not await late.is_known_before(connection, span, horizon_ms):
                    horizon_ms = 0
                elif span.from_ms < horizon_ms:
                    span = span._replace(from_ms=horizon_ms + -horizon_ms % INTERVAL_MS)
                stored = await late.stored(connection, span)
        if span.from_ms > span.to_ms:
            log.warning("late results are older than what is kept raw: figures stay", check=span.check)
            await self._drop([span])
            return None
        state = self._live.state(span.check)
        again = Redecision(rule, span.from_ms, span.to_ms, stored, horizon_ms)
        return _Task(span, again, latency_sample(span.probe), None if state is None else state.last_at_ms)

    async def _flush(self, task: _Task, before_ms: int, *, everything: bool = False) -> None:
        """Save the intervals that are over, when there are many."""
        over = sorted(start_ms for start_ms in task.tallies if start_ms + INTERVAL_MS <= before_ms or everything)
        if len(over) >= _FLUSH_ROLLUPS or (everything and over):
            counted = [task.tallies.pop(start_ms).rollup(task.span.check, start_ms) for start_ms in over]
            await self._write(partial(self._save_rollups, task=task, counted=counted))

    async def _save_rollups(self, connection: AsyncConnection, task: _Task, counted: Sequence[Rollup]) -> None:
        number, first_ms, last_ms = task.span.number, counted[0].start_ms, counted[-1].start_ms
        stored = {
            rollup.start_ms: rollup
            for _, rollup in await rollups.fetch(connection, rollups_5m, (number,), first_ms, last_ms + 1)
        }
        changed = []
        for rollup in counted:
            before = stored.get(rollup.start_ms)
            # One that counts more than is there is of results that are gone.
            if before is None or (before._replace(check=rollup.check) != rollup and _may_replace(before, rollup)):
                changed.append((number, rollup))
                task.results += results_in(rollup) - (results_in(before) if before is not None else 0)
        await rollups.put(connection, rollups_5m, changed)
        if changed:
            hours = rollups.whole_hours(changed[0][1].start_ms, changed[-1][1].start_ms + 1)
            await rollups.note(connection, HOURS, [(number, *hours)])
        task.changed += [(rollup.start_ms, rollup.start_ms + INTERVAL_MS) for _, rollup in changed]

    async def _finish(self, task: _Task) -> None:
        """Save what has become of one check, and let go of its note."""
        task.end()
        await self._flush(task, FOREVER_MS, everything=True)
        await self._draw_level(task)
        # Nothing may be decided between looking at what the engine remembers and correcting it: no waiting here.
        is_corrected = self._correct(task)
        now_ms = time.time_ns() // 1_000_000
        if self._live.state(task.span.check) is None:
            task.again.end_by(now_ms)
        gone, come = differences(task.again.replaced, task.again.transitions)

        async def write(connection: AsyncConnection) -> None:
            if gone or come:
                await _replace(connection, task)
                first_ms = min(change.at_ms for change in (*gone, *come))
                await periods.invalidate(connection, [(task.span.check, first_ms, FOREVER_MS)])
            await _note_revision(connection, task, gone, come, now_ms)
            if not is_corrected:
                await late.forget(connection, task.span.ids)

        await self._write(write)
        if is_corrected:
            # Killed before the correction was saved, the next monitor finds the note and does it again.
            await self._live.saved()
            await self._drop([task.span])
        if task.changed or gone or come:
            log.info("late results settled", check=task.span.check, results=task.results, gone=len(gone), new=len(come))

    def _correct(self, task: _Task) -> bool:
        """Let the engine go on from what the check really is; say whether that was something else."""
        again, live = task.again, self._live.state(task.span.check)
        if live is None:
            return False
        state = again.state
        if again.is_over:
            # The same but for what it is dated at, where no later change is stored.
            if live.state is not state.state or live.since_ms != again.stored_since_ms or not again.is_last:
                return False
            state = live._replace(since_ms=state.since_ms)
        elif len(state.history) < OUTCOMES:
            state = state._replace(history=live.history, flapping=live.flapping)
        is_same = _decisive(state) == _decisive(live)
        decided_ms = self._live.correct(task.span.check, live if is_same else state)
        if not again.is_over:
            again.stop_at(decided_ms)
        return not is_same


async def _next_ms(connection: AsyncConnection, at_ms: int) -> int | None:
    """Return a time at or after `at_ms` before which nothing started since then; None when nothing did."""
    if connection.dialect.name == "postgresql":
        raw_ms = await pages.first_ms(connection, at_ms)
    else:
        first = await rows.first(connection, at_ms)
        raw_ms = None if first is None else first[0]
    hour = await sealed.first_hour(connection, at_ms)
    found = [start_ms for start_ms in (raw_ms, None if hour is None else hour * HOUR_MS) if start_ms is not None]
    return max(at_ms, min(found)) if found else None


def _decisive(state: CheckState) -> tuple[object, ...]:
    return state.state, state.since_ms, state.last_at_ms, state.recent


def _may_replace(before: Rollup, rollup: Rollup) -> bool:
    return results_in(before) <= results_in(rollup)


def latency_sample(kind: str) -> str:
    """Return the name of the sample that is a kind's latency, as in `monitor.jobs.Job`."""
    try:
        return registry.find(kind).latency
    except UnknownKindError:
        return ""


async def _replace(connection: AsyncConnection, task: _Task) -> None:
    again = task.again
    known = (transitions.c.detected_ms > again.begin_ms) & (transitions.c.detected_ms <= again.end_ms)
    of_check = (transitions.c.kind == Subject.CHECK.value) & (transitions.c.subject == task.span.check)
    await connection.execute(delete(transitions).where(of_check, known))
    await add_transitions(connection, again.transitions)


async def _note_revision(
    connection: AsyncConnection, task: _Task, gone: Collection[Transition], come: Collection[Transition], now_ms: int
) -> None:
    moments = [one.at_ms for one in (*gone, *come)]
    if not moments and not task.changed:
        return
    starts = [*moments, *(start_ms for start_ms, _ in task.changed)]
    ends = [*moments, *(end_ms for _, end_ms in task.changed)]
    if moments and not task.again.is_over:
        ends.append(now_ms)  # it has not been the same since
    what = {"gone": [_told(one) for one in gone], "new": [_told(one) for one in come]}
    row = {
        "at_ms": now_ms,
        "check_no": task.span.number,
        "from_ms": min(starts),
        "to_ms": max(ends),
        "results": task.results,
        "what": to_json(what if moments else {}),
    }
    await connection.execute(insert(revisions), row)


def _told(transition: Transition) -> list[object]:
    return [transition.at_ms, transition.before.value, transition.after.value, transition.reason]


class LeftBehind:
    """The states that the last engine has left, where none is running."""

    def __init__(self, write: Write, states: dict[str, CheckState], check_nos: Mapping[str, int]) -> None:
        self._write = write
        self._states = states
        self._check_nos = check_nos
        self._corrected: set[str] = set()

    @classmethod
    async def load(cls, reader: AsyncEngine, write: Write, check_nos: Mapping[str, int]) -> LeftBehind:
        """Read them."""
        statement = select(checks.c.id, check_states).join(check_states, check_states.c.check_no == checks.c.no)
        with unavailable_as_such():
            async with reader.connect() as connection:
                found = {row.id: check_now_of(row.id, row).state for row in await connection.execute(statement)}
        return cls(write, found, check_nos)

    def state(self, check: str) -> CheckState | None:
        """Return what was remembered last."""
        return self._states.get(check)

    def correct(self, check: str, state: CheckState) -> int:
        """Take what the next engine is to go on from."""
        self._states[check] = state
        self._corrected.add(check)
        return FOREVER_MS - 1

    async def saved(self) -> None:
        """Save it."""
        corrected, self._corrected = self._corrected, set()
        for check in corrected:
            number, state = self._check_nos[check], self._states[check]
            await self._write(partial(save_check_state, number=number, state=state))
