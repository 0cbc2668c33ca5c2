"""The hops of a traced path as a small table: who, how far, how much lost, and what is not as it was."""

from __future__ import annotations

from typing import Any

from dashboards.formats import NOTHING, Formats
from dashboards.wording import say
from monitor.views import Hop, Path

ROUTES_LIMIT = 4
"""Routes that have a column; more are counted."""
_NOTICED = 0.005
"""Loss from which a figure stands out."""


def hops_data(path: Path | None, formats: Formats) -> dict[str, Any] | None:
    """Return what the table draws; None where there is no path, or nobody on it answered."""
    if path is None or not path.hops:
        return None
    language = formats.language
    shown = max(1, min(len(path.hops[0].hosts), ROUTES_LIMIT))
    more = path.routes - shown
    changed = say("path.changed", language, time=formats.date_time(path.changed_ms, seconds=True))
    columns = [say("path.hop", language), *_addresses(shown, formats)]
    is_answered = path.is_whole and not path.hops[-1].loss_ratio
    notes = [
        changed if path.changed_ms else "",
        say("path.more_routes", language, count=formats.number(more)) if more > 0 else "",
        "" if path.is_whole else say("path.broken", language),
        say("path.note", language) if is_answered and any(hop.loss_ratio for hop in path.hops) else "",
    ]
    return {
        "title": say("path.title", language, time=formats.date_time(path.at_ms, seconds=True)),
        "columns": [*columns, say("path.rtt", language), say("path.loss", language)],
        "rows": [_row(hop, shown, formats) for hop in path.hops],
        "notes": [note for note in notes if note],
    }


def _addresses(count: int, formats: Formats) -> list[str]:
    if count == 1:
        return [say("path.address", formats.language)]
    return [say("path.route", formats.language, number=number) for number in range(1, count + 1)]


def _row(hop: Hop, shown: int, formats: Formats) -> dict[str, Any]:
    language = formats.language
    # Without a message that names the route there are figures, but nobody is known to be silent.
    unknown = NOTHING if hop.rtt_s is not None or not hop.hosts else say("path.silent", language)
    hosts = [" · ".join(hosts) or unknown for hosts in hop.hosts[:shown]] or [unknown]
    return {
        "ttl": formats.number(hop.ttl),
        "hosts": hosts,
        "before": say("path.before", language, hosts=" · ".join(hop.before)) if hop.before else "",
        "rtt": formats.latency(hop.rtt_s),
        "loss": formats.loss(hop.loss_ratio),
        "lossy": (hop.loss_ratio or 0) > _NOTICED,
    }
