"""Points of latency charts: raw results for short windows, rollups of the right length for long ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from alerts.model import Result, State
from alerts.periods import days
from monitor.histogram import Histogram
from monitor.jobs import latency_of
from monitor.queries.known import KnownCheck
from monitor.records import Rollup
from monitor.rollup import HOUR_MS, INTERVAL_MS, MILLION, Tally, histogram_of
from monitor.store import rollups
from monitor.store.names import Names
from monitor.store.results import read_check
from monitor.views import Latency, Point
from probes import registry
from probes.registry import UnknownKindError

RAW_WINDOW_S = 2 * 3600
"""Up to this length a window shows single results."""
POINTS = 750
"""About how many points a long window has at most."""
_DAY_MS = 24 * HOUR_MS
_SPANS_MS = (INTERVAL_MS, *(hours * HOUR_MS for hours in (1, 2, 6)), _DAY_MS)
"""What a point stands for. Beyond half a year it is a day: half days of a year would be added up from 8,760 hours."""
PHASES = tuple(
    f"{phase}_s"
    for phase in (
        *("resolve", "proxy", "token", "connect", "hello", "prelogin", "tls", "upgrade", "login", "first_byte"),
        *("transfer", "dialogue", "ping", "search", "query", "details", "in_step"),
    )
)
"""Samples that are consecutive phases of one run, in their order."""


async def read_points(
    connection: AsyncConnection, names: Names, check: KnownCheck, from_ms: int, to_ms: int, zone: ZoneInfo
) -> tuple[Point, ...]:
    """Return a check's points in [from_ms, to_ms), oldest first; days are cut in the zone."""
    if to_ms - from_ms <= RAW_WINDOW_S * 1000:
        sample = _latency_sample(check.probe)
        found = await read_check(connection, names, check.number, from_ms, to_ms)
        return tuple(_of_result(result, sample) for result in found)
    span_ms = next((span for span in _SPANS_MS if (to_ms - from_ms) / span <= POINTS), _DAY_MS)
    spans = _cut(from_ms, to_ms, span_ms, zone)
    found_in = await rollups.read(connection, check.number, spans[0][0], to_ms, span_ms, zone)
    return tuple(_of_rollup(rollup) for rollup in rollups.add_up(found_in, spans))


def _cut(from_ms: int, to_ms: int, span_ms: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Cut a window into spans, the first and the last of them whole."""
    if span_ms == _DAY_MS:
        return days(rollups.whole_days(from_ms, from_ms + 1, zone)[0], to_ms, zone)
    return [(start_ms, start_ms + span_ms) for start_ms in range(from_ms - from_ms % span_ms, to_ms, span_ms)]


async def read_latency(
    connection: AsyncConnection, checks: Iterable[KnownCheck], from_ms: int, to_ms: int, zone: ZoneInfo
) -> Latency:
    """Return the latency of some checks together over [from_ms, to_ms), cut at 5 minutes, from merged histograms."""
    from_ms, to_ms = from_ms - from_ms % INTERVAL_MS, to_ms + -to_ms % INTERVAL_MS
    together = Tally()
    for check in checks:
        for start_ms, end_ms, length_ms in _stretches(from_ms, to_ms, zone):
            for rollup in await rollups.read(connection, check.number, start_ms, end_ms, length_ms, zone):
                together.merge(rollup)
    latency = together.latency or Histogram()
    count = latency.count
    p50_s, p95_s, p99_s = _percentiles(latency)
    return Latency(
        results=count,
        mean_s=latency.sum / count / MILLION if count else None,
        min_s=latency.minimum / MILLION if count else None,
        max_s=latency.maximum / MILLION if count else None,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        loss_ratio=_loss(together),
    )


def _stretches(from_ms: int, to_ms: int, zone: ZoneInfo) -> list[tuple[int, int, int]]:
    """Cut [from_ms, to_ms) into (start, end, length of rollups): whole days, around them whole hours, and the rest."""
    found: list[tuple[int, int, int]] = []
    whole = [span for span in days(from_ms, to_ms, zone) if _is_whole_day(span, zone)]
    inner = (whole[0][0], whole[-1][1]) if whole else (to_ms, to_ms)
    if whole:
        found.append((*inner, _DAY_MS))
    for start_ms, end_ms in ((from_ms, inner[0]), (inner[1], to_ms)):
        first_ms, last_ms = start_ms + -start_ms % HOUR_MS, end_ms - end_ms % HOUR_MS
        if first_ms < last_ms:
            found += [(start_ms, first_ms, INTERVAL_MS), (first_ms, last_ms, HOUR_MS), (last_ms, end_ms, INTERVAL_MS)]
        else:
            found.append((start_ms, end_ms, INTERVAL_MS))
    return [stretch for stretch in found if stretch[0] < stretch[1]]


def _is_whole_day(span: tuple[int, int], zone: ZoneInfo) -> bool:
    return rollups.whole_days(*span, zone) == span


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


def _of_rollup(rollup: Rollup) -> Point:
    count = rollup.latency_count
    p50_s, p95_s, p99_s = _percentiles(histogram_of(rollup)) if count else (None, None, None)
    return Point(
        at_ms=rollup.start_ms,
        latency_s=rollup.latency_sum_us / count / MILLION if count else None,
        low_s=rollup.latency_min_us / MILLION if count else None,
        high_s=rollup.latency_max_us / MILLION if count else None,
        loss_ratio=_loss(rollup),
        state=_worst(rollup),
        phases={},
        samples={},
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
    )


def _percentiles(latency: Histogram) -> Sequence[float | None]:
    found = [latency.quantile(q) for q in (0.5, 0.95, 0.99)]
    return [None if value_us is None else value_us / MILLION for value_us in found]


def _loss(counted: Rollup | Tally) -> float | None:
    """Return the share of packets lost; of the runs' own shares the mean, where packets were not counted."""
    if counted.sent:
        return 1 - counted.received / counted.sent
    return counted.loss_sum_ppm / MILLION / counted.loss_count if counted.loss_count else None


def _worst(rollup: Rollup) -> State:
    """Return the worst outcome in an interval; unknown only when nothing else was there."""
    if rollup.down:
        return State.DOWN
    if rollup.degraded:
        return State.DEGRADED
    return State.UP if rollup.up else State.UNKNOWN
