"""Rows of the overview: a target with its state and what stands behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import State, TargetState
from alerts.target_state import ORDER
from monitor.queries import statements
from monitor.queries.figures import Last, Today
from monitor.queries.known import Known, KnownCheck, KnownTarget
from monitor.store.codec import decode_spark, state_of
from monitor.views import TargetRow


class CheckState(NamedTuple):
    """What a check is now, as far as it is shown."""

    state: State
    since_ms: int
    last_at_ms: int
    reason: str
    message: str
    latency_s: float | None
    loss_ratio: float | None
    spark: bytes


NEVER_MEASURED = CheckState(State.UNKNOWN, 0, 0, "", "", None, None, b"")
_NO_STATE = TargetState()
_STATES = tuple(map(state_of, range(4)))


class Now(NamedTuple):
    """What targets (by id) and checks (by number) are now."""

    targets: Mapping[str, TargetState]
    checks: Mapping[int, CheckState]

    def last_results(self, known: Known) -> dict[str, Last]:
        """Return when each check last had a result."""
        checks = known.checks
        return {
            checks[number].id: Last(state.last_at_ms, checks[number].interval_s)
            for number, state in self.checks.items()
            if number in checks and state.last_at_ms
        }


async def read_now(
    connection: AsyncConnection, family: Collection[str] | None = None, numbers: Collection[int] = ()
) -> Now:
    """Read the states of all targets and checks, or of a family of targets and of the checks with those numbers."""
    # All rows at once and by their place: one by one and by name they cost twice as much as the database does.
    if family is None:
        states = (await connection.execute(statements.TARGET_STATES)).all()
    else:
        states = (await connection.execute(statements.TARGET_STATES_OF, {"targets": list(family)})).all()
    targets = {
        target: TargetState(_STATES[state], since_ms, reason, bool(flapping))
        for target, state, since_ms, flapping, reason in states
    }
    if family is None:
        rows: Iterable[Any] = (await connection.execute(statements.CHECK_STATES)).all()
    else:
        rows = (await connection.execute(statements.CHECK_STATES_OF, {"numbers": list(numbers)})).all()
    checks = {
        number: CheckState(_STATES[state], since_ms, last_at_ms, reason, message, latency_s, loss_ratio, spark)
        for number, state, since_ms, last_at_ms, reason, message, latency_s, loss_ratio, spark in rows
    }
    return Now(targets, checks)


def target_row(target: KnownTarget, now: Now, today: Today, *, in_maintenance: bool) -> TargetRow:
    """Return a target's row."""
    state = now.targets.get(target.id, _NO_STATE)
    shown = now.checks.get(target.checks[0].number, NEVER_MEASURED) if target.checks else NEVER_MEASURED
    return TargetRow(
        id=target.id,
        name=target.name,
        type=target.type,
        agency=target.agency,
        site=target.site,
        criticality=target.criticality,
        state=state.state,
        since_ms=state.since_ms,
        reason=state.reason,
        flapping=state.flapping,
        message="" if state.state is State.UP else _message(target.below, now, state.reason),
        in_maintenance=in_maintenance,
        latency_s=shown.latency_s,
        loss_ratio=shown.loss_ratio,
        spark=decode_spark(shown.spark),
        availability_today=today.availability,
        outage_today=today.outage,
        checks=len(target.checks),
        members=len(target.members),
    )


def _message(checks: Iterable[KnownCheck], now: Now, reason: str) -> str:
    """Return what the check behind a state last said: the first with that reason, else the worst."""
    speaking = [state for check in checks if (state := now.checks.get(check.number)) is not None and state.message]
    behind = [state for state in speaking if state.state is not State.UP]
    if not behind:
        return ""
    return min(behind, key=lambda state: (state.reason != reason, -ORDER[state.state], state.since_ms)).message


def worst_first(known: Known, rows: Mapping[str, TargetRow]) -> Iterator[TargetRow]:
    """Yield rows in the order of the overview: down, unknown, degraded, up; then by criticality, then by name."""
    by_state: dict[State, list[TargetRow]] = {state: [] for state in sorted(State, key=ORDER.__getitem__, reverse=True)}
    for id_ in known.order:
        if id_ in rows:
            by_state[rows[id_].state].append(rows[id_])
    for in_state in by_state.values():
        yield from in_state
