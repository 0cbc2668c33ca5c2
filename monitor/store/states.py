"""States, transitions and incidents: what the core decided, into rows and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.flapping import CALM
from alerts.model import (
    CheckState,
    Incident,
    IncidentPhase,
    Memory,
    State,
    Subject,
    TargetState,
    TimelineEntry,
    Transition,
)
from monitor.records import Batch, CheckNow, TargetNow
from monitor.store.classes import IncidentRow, IncidentTargetRow, TargetRow, metadata
from monitor.store.codec import decode_spark, encode_spark, state_no, state_of
from monitor.store.names import checks
from monitor.store.periods import note_late
from monitor.store.statements import add, storable, to_json, upsert, upsert_tuples
from monitor.store.tables import check_states, target_states, transitions

incidents = metadata.tables[IncidentRow.__tablename__]
incident_targets = metadata.tables[IncidentTargetRow.__tablename__]
targets = metadata.tables[TargetRow.__tablename__]


async def save(connection: AsyncConnection, batch: Batch, check_nos: Mapping[str, int]) -> None:
    """Save all of a batch but its results, rollups and notifications."""
    await add_transitions(connection, batch.transitions)
    await note_late(connection, batch.transitions)
    await upsert(connection, incidents, [_incident_row(incident) for incident in batch.incidents], ("id",))
    await add(connection, incident_targets, _incident_targets(batch.incidents))
    # One order for all writers: two transactions that take the same rows never wait for each other in a circle.
    now = sorted(((check_nos[row.check], row) for row in batch.checks), key=itemgetter(0))
    await upsert_tuples(connection, check_states, _CHECK_COLUMNS, _check_rows(now), ("check_no",))
    await upsert(connection, target_states, [_target_row(row) for row in sorted(batch.targets)], ("target",))


async def add_transitions(connection: AsyncConnection, changes: Iterable[Transition]) -> None:
    """Insert transitions that are not there yet."""
    await add(connection, transitions, [_transition_row(transition) for transition in changes])


async def save_check_state(connection: AsyncConnection, number: int, state: CheckState) -> None:
    """Replace what the core remembers of a check, and leave alone what the overview shows of it."""
    (cells,) = _check_rows([(number, CheckNow("", state, None, None, ()))])
    row = zip(_CHECK_COLUMNS, cells, strict=True)
    shown = ("check_no", "latency_s", "loss_ratio", "spark")
    values = {name: value for name, value in row if name not in shown}
    await connection.execute(update(check_states).where(check_states.c.check_no == number).values(values))


def _transition_row(transition: Transition) -> dict[str, Any]:
    return {
        "kind": transition.kind.value,
        "subject": transition.subject,
        "detected_ms": transition.detected_at_ms,
        "at_ms": transition.at_ms,
        "before": state_no(transition.before),
        "after": state_no(transition.after),
        "reason": transition.reason,
    }


def transition_of(row: Row[Any]) -> Transition:
    """Return the transition of a row of `transitions`."""
    return Transition(
        kind=Subject(row.kind),
        subject=row.subject,
        before=state_of(row.before),
        after=state_of(row.after),
        at_ms=row.at_ms,
        detected_at_ms=row.detected_ms,
        reason=row.reason,
    )


def _incident_row(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "target": incident.target,
        "severity": incident.severity,
        "started_ms": incident.started_ms,
        "opened_ms": incident.opened_ms,
        "reason": incident.reason,
        "message": storable(incident.message),
        "impact": to_json(incident.impact),
        "phase": incident.phase.value,
        "resolved_ms": incident.resolved_ms,
        "announced": to_json(incident.announced),
        "timeline": to_json(incident.timeline),
    }


def incident_of(row: Row[Any]) -> Incident:
    """Return the incident of a row of `incidents`."""
    return Incident(
        id=row.id,
        target=row.target,
        severity=row.severity,
        started_ms=row.started_ms,
        opened_ms=row.opened_ms,
        reason=row.reason,
        message=row.message,
        impact=tuple(orjson.loads(row.impact)),
        phase=IncidentPhase(row.phase),
        resolved_ms=row.resolved_ms,
        announced=tuple(orjson.loads(row.announced)),
        timeline=tuple(TimelineEntry(*entry) for entry in orjson.loads(row.timeline)),
    )


def _incident_targets(changed: Iterable[Incident]) -> list[dict[str, str]]:
    pairs = {(target, incident.id) for incident in changed for target in (incident.target, *incident.impact)}
    return [{"target": target, "incident": incident} for target, incident in sorted(pairs)]


_CHECK_COLUMNS = (
    "check_no",
    "state",
    "since_ms",
    "last_at_ms",
    "flapping",
    "reason",
    "message",
    "memory",
    "latency_s",
    "loss_ratio",
    "spark",
)


def _check_rows(now: Iterable[tuple[int, CheckNow]]) -> list[tuple[Any, ...]]:
    """Return the rows of checks, in the order of _CHECK_COLUMNS; at every snapshot there is one of each check."""
    rows = []
    calm, calm_memory = CALM, _memory_of((), CALM)
    for no, (_, of_check, latency_s, loss_ratio, spark) in now:
        state, since_ms, reason, message, last_at_ms, recent, history, flapping = of_check
        line = storable(message) if message else ""
        memory = calm_memory if history is calm and not recent else _memory_of(recent, history)
        row = (
            no,
            0 if state is State.UP else state_no(state),
            since_ms,
            last_at_ms,
            flapping,
            reason,
            line,
            memory,
            latency_s,
            loss_ratio,
            encode_spark(spark),
        )
        rows.append(row)
    return rows


def _memory_of(recent: tuple[Any, ...], history: tuple[int, ...]) -> str:
    """Return what is remembered of a check's outcomes."""
    return to_json((recent, history))


def check_now_of(check: str, row: Row[Any]) -> CheckNow:
    """Return the check of a row of `check_states`."""
    recent, history = orjson.loads(row.memory)
    state = CheckState(
        state=state_of(row.state),
        since_ms=row.since_ms,
        reason=row.reason,
        message=row.message,
        last_at_ms=row.last_at_ms,
        recent=tuple((at_ms, badness, reason) for at_ms, badness, reason in recent),
        history=tuple(history),
        flapping=row.flapping,
    )
    return CheckNow(check, state, row.latency_s, row.loss_ratio, decode_spark(row.spark))


def _target_row(now: TargetNow) -> dict[str, Any]:
    state = now.state
    return {
        "target": now.target,
        "state": state_no(state.state),
        "since_ms": state.since_ms,
        "flapping": state.flapping,
        "reason": state.reason,
    }


def target_state_of(row: Row[Any]) -> TargetState:
    """Return the state of a row of `target_states`."""
    return TargetState(state_of(row.state), row.since_ms, row.reason, row.flapping)


async def load(connection: AsyncConnection) -> tuple[Memory, dict[str, CheckNow]]:
    """Return what the core remembers and what the overview shows of every check that is configured."""
    now = {}
    statement = (
        select(checks.c.id, check_states)
        .join(check_states, check_states.c.check_no == checks.c.no)
        .where(checks.c.removed_ms.is_(None))
        .order_by(checks.c.position)
    )
    for row in await connection.execute(statement):
        now[row.id] = check_now_of(row.id, row)
    memory = Memory(checks={check: row.state for check, row in now.items()})
    of_targets = (
        select(target_states)
        .join(targets, targets.c.id == target_states.c.target)
        .where(targets.c.removed_ms.is_(None))
        .order_by(targets.c.position)
    )
    memory.targets = {row.target: target_state_of(row) for row in await connection.execute(of_targets)}
    still_open = select(incidents).where(incidents.c.phase == IncidentPhase.OPEN.value)
    found = [incident_of(row) for row in await connection.execute(still_open.order_by(incidents.c.opened_ms))]
    memory.incidents = {incident.id: incident for incident in found}
    memory.numbers = _last_numbers(list(await connection.scalars(select(incidents.c.id))))
    return memory, now


def _last_numbers(ids: Sequence[str]) -> dict[int, int]:
    numbers: dict[int, int] = {}
    for incident in ids:
        _, year, number = incident.split("-")
        numbers[int(year)] = max(numbers.get(int(year), 0), int(number))
    return numbers


async def incidents_by_id(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Incident]:
    """Return those incidents that are there."""
    found = await connection.execute(select(incidents).where(incidents.c.id.in_(sorted(ids))))
    return {row.id: incident_of(row) for row in found}
