"""The open incidents: their numbers, their timelines, whom they hurt, and what has been said of them.

It does what `incidents.py` decides, gathers all changes of one step, and gives them as events: one for each incident,
as it is after the step, then the notifications.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from alerts.model import (
    REDUNDANCY_LOST,
    Event,
    Incident,
    IncidentChange,
    IncidentEvent,
    IncidentPhase,
    Memory,
    Notification,
    Rules,
    TimelineEntry,
)
from alerts.notifying import NOTIFIED, RESOLVED, WORSENED, notification, receivers_of, to_announce
from alerts.situation import FINE, OUTAGE, REDUNDANCY, Situation
from alerts.target_state import Verdict

TIMELINE_ENTRIES = 1000
"""Most entries of one timeline; beyond it the oldest about impact go first."""
UNANSWERED = "no answer from what it depends on"
"""Detail of an incident's opening when its target's parents had not answered in time."""
_LEAST_SEVERE = 4


class Register:
    """The open incidents of a memory.

    Attributes:
        by_cause: id of the open incident by the target that is its cause.

    """

    def __init__(self, rules: Rules, situation: Situation, memory: Memory) -> None:
        self._rules = rules
        self._zone = ZoneInfo(rules.timezone)
        self._situation = situation
        self._memory = memory
        self._changes: dict[str, IncidentChange] = {}
        self._closed: dict[str, Incident] = {}
        self._born: set[str] = set()
        self._to_announce: dict[str, None] = {}
        self.by_cause = {incident.target: id_ for id_, incident in memory.incidents.items()}
        self._hurting: dict[str, dict[str, None]] = {}
        self._left: set[str] = set()
        for id_, incident in memory.incidents.items():
            for target in incident.impact:
                if target in rules.targets and not situation.is_over(target):
                    self._hurting.setdefault(target, {})[id_] = None

    def is_hurt(self, target: str) -> bool:
        """Say whether the target is, or was until this step, impact of an incident."""
        return target in self._hurting or target in self._left

    def incidents_of(self, target: str) -> list[str]:
        """Return the open incidents that the target is the cause of, or else is hurt by."""
        own = self.by_cause.get(target)
        if own is not None:
            return [own]
        return [id_ for id_ in self._hurting.get(target, ()) if id_ in self._memory.incidents]

    def level(self, incident_id: str) -> int:
        """Return how bad an open incident is now: REDUNDANCY or OUTAGE."""
        incident = self._memory.incidents[incident_id]
        for entry in reversed(incident.timeline):
            if entry.what in (WORSENED, "eased"):
                return OUTAGE if entry.what == WORSENED else REDUNDANCY
        return REDUNDANCY if incident.reason == REDUNDANCY_LOST else OUTAGE

    def was_unanswered(self, target: str) -> bool:
        """Say whether the target's own open incident was opened for want of an answer from its parents."""
        own = self.by_cause.get(target)
        return own is not None and self._memory.incidents[own].timeline[0].detail == UNANSWERED

    def open(self, target: str, verdict: Verdict, now_ms: int, detail: str = "") -> None:
        """Open an incident with the target as its cause."""
        id_ = self._next_id(now_ms)
        self.by_cause[target] = id_
        self._memory.incidents[id_] = Incident(
            id=id_,
            target=target,
            severity=self._severity(target, verdict),
            started_ms=self._memory.targets[target].since_ms,
            opened_ms=now_ms,
            reason=verdict.reason,
            message=self._situation.message(target),
            timeline=(TimelineEntry(now_ms, "opened", detail),),
        )
        self._changes[id_] = IncidentChange.OPENED
        self._to_announce[id_] = None

    def join(self, incident_id: str, target: str, now_ms: int) -> bool:
        """Add the target to what the incident hurts; return whether it was not there."""
        hurting = self._hurting.setdefault(target, {})
        if incident_id in hurting:
            return False
        hurting[incident_id] = None
        incident = self._memory.incidents[incident_id]
        if target not in incident.impact:
            entry = TimelineEntry(now_ms, "impact", target)
            self._change(replace(incident, impact=(*incident.impact, target)), entry)
        return True

    def leave(self, target: str, staying: Collection[str] = ()) -> None:
        """Forget that incidents hurt the target, but for those that it stays with; their impact still names it."""
        hurting = self._hurting.get(target)
        if hurting is None or hurting.keys() <= set(staying):
            return
        self._left.add(target)
        kept = {id_: None for id_ in hurting if id_ in staying}
        if kept:
            self._hurting[target] = kept
        else:
            del self._hurting[target]

    def worsen(self, incident_id: str, verdict: Verdict, now_ms: int) -> None:
        """Raise the incident's severity: its cause, short of members so far, is down."""
        incident = self._memory.incidents[incident_id]
        worse = replace(
            incident,
            severity=min(incident.severity, self._severity(incident.target, verdict)),
            reason=verdict.reason,
            message=self._situation.message(incident.target),
        )
        self._change(worse, TimelineEntry(now_ms, WORSENED, verdict.reason))
        self._to_announce[incident_id] = None

    def ease(self, incident_id: str, now_ms: int) -> None:
        """Note that the cause carries traffic again, short of members; the severity stays that of its worst."""
        self._change(self._memory.incidents[incident_id], TimelineEntry(now_ms, "eased", REDUNDANCY_LOST))

    def resolve(self, incident_id: str, now_ms: int, what: str = RESOLVED, detail: str = "") -> Incident:
        """Close the incident and return it."""
        incident = self._memory.incidents[incident_id]
        self._change(
            replace(incident, phase=IncidentPhase.RESOLVED, resolved_ms=now_ms), TimelineEntry(now_ms, what, detail)
        )
        if self._changes.get(incident_id) is IncidentChange.OPENED:
            self._born.add(incident_id)
        self._changes[incident_id] = IncidentChange.RESOLVED
        self._closed[incident_id] = closed = self._memory.incidents.pop(incident_id)
        del self.by_cause[incident.target]
        return closed

    def reconsider(self, incident_ids: Iterable[str]) -> None:
        """See at the end of the step whether there is something to announce of these incidents."""
        self._to_announce.update(dict.fromkeys(incident_ids))

    def flush(self, now_ms: int) -> list[Event]:
        """Return the events of the step: the incidents that changed, then the notifications."""
        self._left.clear()
        if not (self._changes or self._to_announce):
            return []
        notifications = self._announcements(now_ms)
        events: list[Event] = []
        for id_, change in self._changes.items():
            closed = self._closed.get(id_)
            if closed is not None and id_ in self._born:
                events.append(IncidentEvent(IncidentChange.OPENED, now_ms, closed))
            events.append(IncidentEvent(change, now_ms, closed or self._memory.incidents[id_]))
            if closed is not None:
                self._forget(closed)
        self._changes.clear()
        self._closed.clear()
        self._born.clear()
        return events + notifications

    def _announcements(self, now_ms: int) -> list[Event]:
        found: list[Event] = []
        for incident in self._closed.values():
            found += [notification(incident, RESOLVED, receiver, now_ms) for receiver in incident.announced]
        for id_ in self._to_announce:
            if id_ in self._memory.incidents:
                found += self._announce(self._memory.incidents[id_], now_ms)
        self._to_announce.clear()
        return found

    def _announce(self, incident: Incident, now_ms: int) -> list[Notification]:
        target = incident.target
        due = to_announce(incident, receivers_of(self._rules.routes, self._rules.targets[target], incident.severity))
        if not due or self._situation.trouble(target) == FINE or self._situation.is_muted(target, now_ms):
            return []
        announced = tuple(dict.fromkeys((*incident.announced, *(receiver for _, receiver in due))))
        kinds = dict.fromkeys(kind for kind, _ in due)
        told = "; ".join(f"{kind}: {', '.join(r for k, r in due if k == kind)}" for kind in kinds)
        self._change(replace(incident, announced=announced), TimelineEntry(now_ms, NOTIFIED, told))
        return [notification(incident, kind, receiver, now_ms) for kind, receiver in due]

    def _change(self, incident: Incident, entry: TimelineEntry) -> None:
        timeline = (*incident.timeline, entry)
        if len(timeline) > TIMELINE_ENTRIES:
            oldest = next((i for i, old in enumerate(timeline) if old.what == "impact"), 1)
            timeline = timeline[:oldest] + timeline[oldest + 1 :]
        self._memory.incidents[incident.id] = replace(incident, timeline=timeline)
        self._changes.setdefault(incident.id, IncidentChange.UPDATED)

    def _forget(self, closed: Incident) -> None:
        for target in closed.impact:
            hurting = self._hurting.get(target)
            if hurting is not None:
                hurting.pop(closed.id, None)
                if not hurting:
                    del self._hurting[target]

    def _severity(self, target: str, verdict: Verdict) -> int:
        criticality = self._rules.targets[target].criticality
        is_short = self._situation.level(target, verdict) == REDUNDANCY
        return min(_LEAST_SEVERE, criticality + 1) if is_short else criticality

    def _next_id(self, now_ms: int) -> str:
        year = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(self._zone).year
        number = self._memory.numbers.get(year, 0) + 1
        self._memory.numbers[year] = number
        return f"SC-{year}-{number:04d}"
