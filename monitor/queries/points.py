"""Points of latency charts: raw results for short windows, rollups for long ones."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import Result, State
from monitor.jobs import latency_of
from monitor.queries import statements
from monitor.queries.known import KnownCheck
from monitor.store.names import Names
from monitor.store.results import read_check
from monitor.views import Point
from probes import registry
from probes.registry import UnknownKindError

RAW_WINDOW_S = 2 * 3600
"""Up to this length a window shows single results."""
POINTS = 1_000
"""About how many points a long window has at most."""
_MINUTE_MS = 60_000
_SPANS_MS = tuple(minutes * _MINUTE_MS for minutes in (5, 15, 30, 60, 120, 360, 720, 1440))
PHASES = ("resolve_s", "connect_s", "tls_s", "login_s", "first_byte_s", "transfer_s", "dialogue_s", "query_s")
"""Samples that are consecutive phases of one run, in their order."""


async def read_points(
    connection: AsyncConnection, names: Names, check: KnownCheck, from_ms: int, to_ms: int
) -> tuple[Point, ...]:
    """Return a check's points in [from_ms, to_ms), oldest first."""
    if to_ms - from_ms <= RAW_WINDOW_S * 1000:
        sample = _latency_sample(check.probe)
        found = await read_check(connection, names, check.number, from_ms, to_ms)
        return tuple(_of_result(result, sample) for result in found)
    span_ms = next((span for span in _SPANS_MS if (to_ms - from_ms) / span <= POINTS), _SPANS_MS[-1])
    window = {"number": check.number, "start": from_ms - from_ms % span_ms, "end": to_ms, "span": span_ms}
    rows = (await connection.execute(statements.ROLLUPS_OF, window)).all()
    return tuple(map(_of_rollups, rows))


def _latency_sample(kind: str) -> str:
    try:
        return registry.find(kind).latency
    except UnknownKindError:
        return ""


def _of_result(result: Result, sample: str) -> Point:
    samples, latency_s = result.samples, latency_of(result, sample)
    return Point(
        at_ms=result.at_ms,
        latency_s=latency_s,
        low_s=samples.get("rtt_min_s", latency_s),
        high_s=samples.get("rtt_max_s", latency_s),
        loss_ratio=samples.get("loss_ratio"),
        state=result.state,
        phases={phase: samples[phase] for phase in PHASES if phase in samples},
        samples=samples,
    )


def _of_rollups(row: Any) -> Point:
    return Point(
        at_ms=row.at_ms,
        latency_s=row.latency_sum_s / row.latency_count if row.latency_count else None,
        low_s=row.latency_min_s,
        high_s=row.latency_max_s,
        loss_ratio=row.loss_sum / row.loss_count if row.loss_count else None,
        state=_worst(row),
        phases={},
        samples={},
    )


def _worst(row: Any) -> State:
    """Return the worst outcome in an interval; unknown only when nothing else was there."""
    if row.down:
        return State.DOWN
    if row.degraded:
        return State.DEGRADED
    return State.UP if row.up else State.UNKNOWN
