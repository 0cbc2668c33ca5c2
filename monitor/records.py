"""What the engine hands to the store, and what the store hands back to start again from."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from alerts.model import CheckState, Incident, Notification, Result, TargetState, Transition

SPARK_POINTS = 60
"""How many of a check's last latencies are kept at hand for the overview."""


class CheckNow(NamedTuple):
    """A check as it is now: what the core remembers of it and what the overview shows of it.

    Attributes:
        check: its id.
        state: the core's memory of it.
        latency_s: latency of the last result, None when it had none (a lost packet has no RTT).
        loss_ratio: packet loss of the last result, None where the kind has none.
        spark: the last latencies in seconds, oldest first, None (in an array NaN) for a result without one;
            SPARK_POINTS at most.

    """

    check: str
    state: CheckState
    latency_s: float | None
    loss_ratio: float | None
    spark: tuple[float | None, ...] | array[float]


class TargetNow(NamedTuple):
    """A target as it is now."""

    target: str
    state: TargetState


class Rollup(NamedTuple):
    """Results of one check in 5 minutes, an hour or a day; absolute figures, so that saving twice is harmless.

    Attributes:
        check: its id.
        start_ms: start of the interval.
        up, degraded, down, unknown: results by outcome.
        failures: results by failure, in the order of names.
        latency_count, latency_sum_us, latency_min_us, latency_max_us: over the results that had a latency.
        latency: body of their histogram (`monitor.histogram`), empty where there is none.
        loss_count, loss_sum_ppm: over the results that had a loss ratio, in millionths.
        sent, received: packets of those results.

    """

    check: str
    start_ms: int
    up: int
    degraded: int
    down: int
    unknown: int
    failures: tuple[tuple[str, int], ...]
    latency_count: int
    latency_sum_us: int
    latency_min_us: int
    latency_max_us: int
    latency: bytes
    loss_count: int
    loss_sum_ppm: int
    sent: int
    received: int


class Late(NamedTuple):
    """Results of a check that started in [from_ms, to_ms] came after that time had been decided on."""

    check: str
    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Batch:
    """One transaction: everything here is saved, or nothing is.

    Attributes:
        results: inserted; one that is there already (same check, agent and start) is left as it is.
        transitions: inserted; one that is there already (same subject, detected_at and new state) is left as it is.
        incidents: inserted or replaced by id.
        notifications: inserted as pending; one that is there already (same incident, kind, receiver and
            at_ms) is left as it is.
        checks, targets: inserted or replaced by id.
        rollups: of 5 minutes; inserted or replaced by (check, start).
        late: noted, for that time to be decided on again.

    """

    results: list[Result] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)
    checks: list[CheckNow] = field(default_factory=list)
    targets: list[TargetNow] = field(default_factory=list)
    rollups: list[Rollup] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)


class PendingNotification(NamedTuple):
    """A notification that the dispatcher has claimed.

    Attributes:
        id: its row.
        notification: what was decided.
        attempts: how often it was tried before.

    """

    id: int
    notification: Notification
    attempts: int
