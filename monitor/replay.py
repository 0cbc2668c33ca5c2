"""Recorded results through the pure core with a virtual clock (DESIGN section 6.6): what the rules would have done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from alerts.core import Core
from alerts.model import Event, Flapping, IncidentChange, IncidentEvent, Notification, Result, Rules, RunNow, Transition
from alerts.periods import utc_text


def replay(rules: Rules, results: Iterable[Result], until: int | None = None) -> Iterator[Event]:
    """Give what the rules would have done, in the order in which it would have been decided.

    Results are fed in the order in which they were known, of those at the same millisecond in that of their starts,
    whatever order they come in; silence, waits and mutes end at their own times between them. The clock
    stops at `until` (milliseconds), after which nothing is known, or at the last result.
    """
    return run(Core(rules), results, until)


def run(core: Core, results: Iterable[Result], until: int | None = None) -> Iterator[Event]:
    """Do as `replay` does, with a core that may have been fed before."""
    last_ms = 0
    for result in sorted(results, key=_decision_order):
        if until is not None and result.known_at_ms > until:
            break
        last_ms = result.known_at_ms
        yield from core.feed(result)
    yield from core.advance(last_ms if until is None else until)


def event_json(event: Event) -> dict[str, Any] | None:
    """Return the event as the object of DESIGN section 6.6, None for what a replay does not print."""
    match event:
        case Transition():
            return {
                "at": utc_text(event.at_ms),
                "event": "transition",
                "subject": event.subject,
                "from": event.before.value,
                "to": event.after.value,
                "detected_at": utc_text(event.detected_at_ms),
                "reason": event.reason,
            }
        case Flapping():
            word = "flapping_started" if event.flapping else "flapping_stopped"
            return {"at": utc_text(event.at_ms), "event": word, "subject": event.subject}
        case IncidentEvent():
            return _incident_json(event)
        case Notification():
            return {
                "at": utc_text(event.at_ms),
                "event": "notification",
                "incident": event.incident,
                "kind": event.kind,
                "receiver": event.receiver,
                "targets": list(event.targets),
            }
        case RunNow():
            return None


def _incident_json(event: IncidentEvent) -> dict[str, Any]:
    incident = event.incident
    line = {"at": utc_text(event.at_ms), "event": f"incident_{event.change.value}", "incident": incident.id}
    if event.change is IncidentChange.RESOLVED:
        return line
    return {**line, "target": incident.target, "severity": incident.severity, "impact": list(incident.impact)}


def _decision_order(result: Result) -> tuple[int, int, str, str]:
    return result.known_at_ms, result.at_ms, result.check, result.agent
