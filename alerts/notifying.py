"""Who is told what of an incident, and when: routes, mutes and the three kinds of notification.

- `opened` goes to the receivers of the routes that match, when the incident opens; while it is muted it waits, and
  is sent when the mute ends if the trouble is still there.
- `worsened` goes to those who were told before; whom only the new severity reaches is told `opened`.
- `resolved` goes to those who were told that it opened, and to nobody else; no mute swallows it.
"""

from __future__ import annotations

from collections.abc import Sequence

from alerts.model import Incident, Notification, Route, TargetRule

OPENED = "opened"
WORSENED = "worsened"
RESOLVED = "resolved"
NOTIFIED = "notified"


def receivers_of(routes: Sequence[Route], target: TargetRule, severity: int) -> tuple[str, ...]:
    """Return the receivers of all routes that match, in order, each once; `stop` ends the search."""
    found: dict[str, None] = {}
    for route in routes:
        if _matches(route, target, severity):
            found.update(dict.fromkeys(route.receivers))
            if route.stop:
                break
    return tuple(found)


def to_announce(incident: Incident, receivers: Sequence[str]) -> list[tuple[str, str]]:
    """Return (kind, receiver) for everything about an open incident that has not been said yet."""
    if not incident.announced:
        return [(OPENED, receiver) for receiver in receivers]
    if not has_worsened_untold(incident):
        return []
    told = [(WORSENED, receiver) for receiver in incident.announced]
    return told + [(OPENED, receiver) for receiver in receivers if receiver not in incident.announced]


def has_worsened_untold(incident: Incident) -> bool:
    """Say whether the incident has become worse since anybody was last told of it, and is still so."""
    for entry in reversed(incident.timeline):
        if entry.what in (WORSENED, NOTIFIED, "eased"):
            return entry.what == WORSENED
    return False


def notification(incident: Incident, kind: str, receiver: str, now_ms: int) -> Notification:
    """Return the message's intent: the cause first, then what it hurts."""
    return Notification(now_ms, incident.id, kind, receiver, (incident.target, *incident.impact))


def _matches(route: Route, target: TargetRule, severity: int) -> bool:
    return (
        (not route.agencies or target.agency in route.agencies)
        and (not route.types or target.type in route.types)
        and (not route.targets or target.id in route.targets)
        and severity <= route.severity_max
    )
