"""Batches as JSON, for the spool: exact, and readable by a later version that knows more fields."""

from __future__ import annotations

from array import array
from typing import Any

import orjson

from alerts.model import (
    CheckState,
    Incident,
    IncidentPhase,
    Notification,
    Result,
    State,
    Subject,
    TargetState,
    TimelineEntry,
    Transition,
)
from monitor.records import Batch, CheckNow, Late, Rollup, TargetNow
from probes.model import Failure


def encode_batch(batch: Batch) -> bytes:
    """Return a batch as JSON: named tuples as arrays, everything else as objects."""
    return orjson.dumps(batch, default=_array, option=orjson.OPT_NON_STR_KEYS)


def _array(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(value)
    if isinstance(value, array):
        return value.tolist()  # NaN becomes null
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "items"):
        return dict(value)
    raise TypeError


def decode_batch(body: bytes) -> Batch:
    """Return the batch of `encode_batch`. Raises ValueError, KeyError or TypeError for anything else."""
    data = orjson.loads(body)
    return Batch(
        results=[_result(item) for item in data["results"]],
        transitions=[_transition(item) for item in data["transitions"]],
        incidents=[_incident(item) for item in data["incidents"]],
        notifications=[_notification(item) for item in data["notifications"]],
        checks=[_check_now(item) for item in data["checks"]],
        targets=[TargetNow(target, _target_state(state)) for target, state in data["targets"]],
        rollups=[_rollup(item) for item in data["rollups"] if len(item) == len(Rollup._fields)],
        late=_late(data),
    )


def _result(item: list[Any]) -> Result:
    check, agent, at_ms, duration_s, state, failure, message, samples = item
    # JSON has no NaN: what was not a number was not measured.
    measured = {name: value for name, value in samples.items() if value is not None}
    cause = None if failure is None else Failure(failure)
    return Result(check, agent, at_ms, duration_s, State(state), cause, message, measured)


def _rollup(item: list[Any]) -> Rollup:
    failures = tuple((failure, count) for failure, count in item[6])
    values = dict(zip(Rollup._fields, item, strict=True))
    return Rollup(**{**values, "failures": failures, "latency": bytes.fromhex(values["latency"])})


def _late(data: dict[str, Any]) -> list[Late]:
    """Return what came late, and the intervals of rollups without histograms: they are worked out anew."""
    old = [item for item in data["rollups"] if len(item) != len(Rollup._fields)]
    return [Late(*item) for item in data.get("late", ())] + [Late(item[0], item[1], item[1]) for item in old]


def _transition(item: dict[str, Any]) -> Transition:
    states = {"before": State(item["before"]), "after": State(item["after"])}
    return Transition(**{**item, "kind": Subject(item["kind"]), **states})


def _incident(item: dict[str, Any]) -> Incident:
    arrays = {"impact": tuple(item["impact"]), "announced": tuple(item["announced"])}
    timeline = tuple(TimelineEntry(*entry) for entry in item["timeline"])
    return Incident(**{**item, **arrays, "phase": IncidentPhase(item["phase"]), "timeline": timeline})


def _notification(item: dict[str, Any]) -> Notification:
    return Notification(**{**item, "targets": tuple(item["targets"])})


def _check_now(item: list[Any]) -> CheckNow:
    check, state, latency_s, loss_ratio, spark = item
    return CheckNow(check, _check_state(state), latency_s, loss_ratio, tuple(spark))


def _check_state(item: list[Any]) -> CheckState:
    state, since_ms, reason, message, last_at_ms, recent, history, flapping = item
    runs = tuple((at_ms, badness, why) for at_ms, badness, why in recent)
    return CheckState(State(state), since_ms, reason, message, last_at_ms, runs, tuple(history), flapping)


def _target_state(item: list[Any]) -> TargetState:
    state, *rest = item
    return TargetState(State(state), *rest)
