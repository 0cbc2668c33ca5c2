"""The outcome of one result: what the probe says and what the check's conditions say of its measurement."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.model import State
from probes.conditions import Condition, one_line
from probes.model import Failure, Layer, Measurement


def judge(
    measurement: Measurement,
    duration_s: float,
    down_when: Sequence[Condition],
    degraded_when: Sequence[Condition],
) -> tuple[State, Failure | None, str]:
    """Return the outcome, the failure behind it, and one line for a person.

    A failure in the layer `self` says nothing about the target: the outcome is unknown. Any other failure is
    down, or degraded where the probe says that it is no worse. A `down_when` that holds is down, as `condition`.
    Where the probe has failed and a `down_when` holds as well, the failure stays the probe's and the message is the
    condition's, which is the operator's own wording.
    """
    failure = measurement.failure
    failed = failure is not None and not measurement.is_degraded
    if failure is not None and failure.layer is Layer.SELF:
        return State.UNKNOWN, failure, one_line(measurement.message)
    for condition in down_when:
        holds, message = _evaluate(condition, measurement, duration_s, failed=failed)
        if holds:
            return State.DOWN, failure if failed and failure is not None else Failure.CONDITION, message
    if failure is not None:
        return State.DOWN if failed else State.DEGRADED, failure, one_line(measurement.message)
    for condition in degraded_when:
        holds, message = condition.holds(measurement, duration_s)
        if holds:
            return State.DEGRADED, Failure.CONDITION, message
    return State.UP, None, one_line(measurement.message) if measurement.message else ""


def _evaluate(condition: Condition, measurement: Measurement, duration_s: float, *, failed: bool) -> tuple[bool, str]:
    """Evaluate a condition; after a failed probe only one whose names were all measured has anything to add."""
    if failed and not all(name in measurement.samples for name in condition.names):
        return False, ""
    return condition.holds(measurement, duration_s)
