"""`thongsuot status`: what is not up, and why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from alerts.model import State
from alerts.periods import utc_text
from monitor.cli_base import FINE, NOT_FINE, NOT_MEASURED, fail, say
from monitor.queries import Queries
from monitor.store import StoreError
from monitor.store.sizes import Forecast
from monitor.views import Overview, TargetRow

MIB = 1 << 20
OLD_S = 15.0
"""A monitor that has not written for this long is not running, or cannot write."""


async def show_status(store: str, *, as_json: bool) -> int:
    """Print what is not up; return 1 when something is not, 3 when the monitor has not written lately."""
    now_ms = time.time_ns() // 1_000_000
    try:
        queries = await Queries.open(store)
        try:
            overview = await queries.overview(now_ms)
            forecast = await queries.forecast()
        finally:
            await queries.aclose()
    except StoreError as error:
        fail(NOT_MEASURED, str(error))
    age_s = (now_ms - overview.heartbeat_ms) / 1000
    is_old = age_s > OLD_S
    if as_json:
        found = status_object(overview, is_old=is_old) | {"store": store_object(forecast)}
        say(orjson.dumps(found).decode())
    else:
        if is_old:
            ever = overview.heartbeat_ms > 0
            say(f"the monitor last wrote {age_s:.0f} s ago: what follows is old" if ever else "no monitor has written")
        for line in status_lines(overview):
            say(line)
        if forecast is not None:
            say(store_line(forecast))
    if is_old:
        return NOT_MEASURED
    return FINE if all(row.state is State.UP for row in overview.rows) else NOT_FINE


def status_object(overview: Overview, *, is_old: bool) -> dict[str, Any]:
    """Return what is not up, for machines."""
    return {
        "at": utc_text(overview.now_ms),
        "heartbeat_at": utc_text(overview.heartbeat_ms) if overview.heartbeat_ms else None,
        "stale": is_old,
        "simulated": overview.simulated,
        "counts": {state.value: overview.counts.get(state, 0) for state in State},
        "targets": [
            {
                "target": row.id,
                "name": row.name.vi or row.name.en,
                "agency": row.agency,
                "state": row.state.value,
                "since": utc_text(row.since_ms) if row.since_ms else None,
                "reason": row.reason,
                "message": row.message,
                "flapping": row.flapping,
                "maintenance": row.in_maintenance,
            }
            for row in overview.rows
            if row.state is not State.UP
        ],
        "incidents": [
            {
                "incident": incident.id,
                "target": incident.target,
                "severity": incident.severity,
                "started_at": utc_text(incident.started_ms),
                "opened_at": utc_text(incident.opened_ms),
                "reason": incident.reason,
                "impact": list(incident.impact),
            }
            for incident in overview.incidents
        ],
    }


def store_object(forecast: Forecast | None) -> dict[str, Any] | None:
    """Return the store's size and what becomes of it, for machines."""
    if forecast is None:
        return None
    return {
        "at": utc_text(forecast.at_ms),
        "bytes": forecast.total_bytes,
        "bytes_by_kind": dict(forecast.kinds),
        "free_bytes": forecast.free_bytes,
        "growth_bytes_per_day": forecast.growth_bytes,
        "full_at": utc_text(forecast.full_ms) if forecast.full_ms else None,
        "level_at": utc_text(forecast.level_ms) if forecast.level_ms else None,
    }


def store_line(forecast: Forecast) -> str:
    """Return the store's size and what becomes of it, for a person."""
    parts = [f"store {forecast.total_bytes / MIB:,.1f} MiB"]
    if forecast.kinds:
        largest = sorted(forecast.kinds.items(), key=lambda pair: -pair[1])[:3]
        parts.append("(" + ", ".join(f"{kind} {size / MIB:,.1f}" for kind, size in largest) + ")")
    if forecast.growth_bytes is not None:
        parts.append(f"{forecast.growth_bytes / MIB:+,.1f} MiB a day")
    if forecast.full_ms is not None:
        parts.append(f"DISK FULL on {datetime.fromtimestamp(forecast.full_ms / 1000).astimezone():%d/%m/%Y}")
    elif forecast.growth_bytes is not None and forecast.free_bytes is not None:
        parts.append("the disk is not filled at this rate")
    return "  ".join(parts)


def status_lines(overview: Overview) -> Iterator[str]:
    """Yield what is not up, for a person at a terminal."""
    counts = ", ".join(f"{overview.counts.get(state, 0)} {state}" for state in State)
    yield f"{'simulated data: ' if overview.simulated else ''}{counts}"
    for incident in overview.incidents:
        impact = f", hurts {len(incident.impact)} more" if incident.impact else ""
        yield f"{incident.id}  severity {incident.severity}  {incident.target}  {incident.reason}{impact}"
    for row in overview.rows:
        if row.state is not State.UP:
            yield _row_line(row)


def _row_line(row: TargetRow) -> str:
    since = datetime.fromtimestamp(row.since_ms / 1000).astimezone() if row.since_ms else None
    when = f"since {since:%d/%m %H:%M:%S}" if since else "never measured"
    marks = "".join(
        f" [{mark}]" for mark, on in (("flapping", row.flapping), ("maintenance", row.in_maintenance)) if on
    )
    why = row.message or row.reason
    return f"{row.state.value:<9} {row.id:<32} {when}  {why}{marks}"
