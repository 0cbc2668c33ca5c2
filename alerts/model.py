"""The plain values that decisions are made of and give.

Times are integers: milliseconds since the Unix epoch, UTC (`_ms`). Spans of time are seconds (`_s`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from probes.model import Failure


class State(StrEnum):
    """What a result, a check, a target or a group is."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


BADNESS: Mapping[State, int] = {State.UP: 0, State.DEGRADED: 1, State.DOWN: 2}
"""The order of the states that a result can confirm; `unknown` confirms nothing."""

REDUNDANCY_LOST = "redundancy_lost"
"""Reason of a group that still carries traffic, with fewer members up than it has."""

NO_RESULTS = "no_results"
"""Reason of a check that is unknown because its results stopped."""


class Result(NamedTuple):
    """A measurement stamped by the runner.

    Attributes:
        check: id of the check, `<target>/<name>`.
        agent: id of the agent that ran it.
        at_ms: when it started.
        duration_s: how long it took, from the monotonic clock.
        state: the outcome of this one result.
        failure: why it is not up, or None.
        message: one line for a person, "" when up without news.
        samples: numbers by name, units at the end of the names.

    """

    check: str
    agent: str
    at_ms: int
    duration_s: float
    state: State
    failure: Failure | None
    message: str
    samples: Mapping[str, float]

    @property
    def known_at_ms(self) -> int:
        """When the result was known: its start plus its duration."""
        return self.at_ms + round(self.duration_s * 1000)


class Confirm(NamedTuple):
    """How many results confirm a change: `needed` of the last `window` (consecutive when they are equal)."""

    needed: int
    window: int


THREE_IN_A_ROW = Confirm(3, 3)


@dataclass(frozen=True, slots=True)
class CheckRule:
    """What decides a check's state.

    Attributes:
        id: `<target>/<name>`.
        target: id of its target.
        interval_s: time between two starts.
        stale_after_s: how long after the last start silence makes it `unknown`.
        down: what confirms a worse state.
        up: how many consecutive results confirm a better one.
        critical: whether it can take its target down; if not it can only degrade it.

    """

    id: str
    target: str
    interval_s: float
    stale_after_s: float
    down: Confirm = THREE_IN_A_ROW
    up: int = 2
    critical: bool = True


@dataclass(frozen=True, slots=True)
class TargetRule:
    """What decides a target's state and its incidents.

    Attributes:
        id: the target.
        type: `link`, `endpoint`, `connector` or `group`.
        criticality: 1 (highest) to 4.
        agency: id of the owner, or "".
        checks: ids of its checks.
        members: ids of its members.
        need: how many members must be up (only with members).
        depends_on: needed parents; each entry is the alternatives of which one must hold.
        settle_s: how long to wait for the parents' answer.

    """

    id: str
    type: str
    criticality: int = 3
    agency: str = ""
    checks: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    need: int = 0
    depends_on: tuple[tuple[str, ...], ...] = ()
    settle_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Window:
    """A planned window on targets: maintenance, or a silence when used as one. [from_ms, to_ms).

    The targets are all that it covers: whoever makes it adds the members of the links and groups that were named.
    """

    targets: frozenset[str]
    from_ms: int
    to_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Which incidents go to which receivers; an empty set matches everything.

    Attributes:
        receivers: ids of the receivers.
        agencies: owners of the incident's target.
        types: target types.
        targets: ids of targets.
        severity_max: the least severe that still matches (1 is the most severe, 4 the least).
        stop: whether later routes are not tried after a match.

    """

    receivers: tuple[str, ...]
    agencies: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    severity_max: int = 4
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that decisions depend on besides results: what the configuration says.

    Attributes:
        checks: by id.
        targets: by id.
        maintenance: planned windows.
        silences: mutes of notifications.
        routes: tried in order.
        timezone: IANA name; the year in an incident's number is cut there.

    """

    checks: Mapping[str, CheckRule]
    targets: Mapping[str, TargetRule]
    maintenance: tuple[Window, ...] = ()
    silences: tuple[Window, ...] = ()
    routes: tuple[Route, ...] = ()
    timezone: str = "Asia/Ho_Chi_Minh"


class CheckState(NamedTuple):
    """What is remembered of a check between two results.

    Attributes:
        state: the confirmed state.
        since_ms: the time that the confirmed state is dated at; 0 before the first result.
        reason: the failure (or NO_RESULTS) behind a state that is not up, "" when up.
        message: the last message behind it.
        last_at_ms: start of the last result; 0 before the first.
        recent: the last known outcomes that can still confirm something, oldest first: (start, badness, reason);
            at most the confirm window. Outcomes `unknown` since the last known one follow, with badness -1.
        history: the last 21 known outcomes as badness, oldest first, for flapping.
        flapping: whether it is flagged as flapping.

    """

    state: State = State.UNKNOWN
    since_ms: int = 0
    reason: str = ""
    message: str = ""
    last_at_ms: int = 0
    recent: tuple[tuple[int, int, str], ...] = ()
    history: tuple[int, ...] = ()
    flapping: bool = False


class TargetState(NamedTuple):
    """A target's (or group's) state, the time it is dated at, and why."""

    state: State = State.UNKNOWN
    since_ms: int = 0
    reason: str = ""
    flapping: bool = False


class Subject(StrEnum):
    """What a transition is of."""

    CHECK = "check"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state.

    Attributes:
        kind: of a check or of a target.
        subject: its id.
        before: the state that it leaves (`from` in JSON).
        after: the state that it enters (`to` in JSON).
        at_ms: start of the first result of the run that confirmed it.
        detected_at_ms: when it was known.
        reason: failure, `no_results`, `redundancy_lost`, or "" when up.

    """

    kind: Subject
    subject: str
    before: State
    after: State
    at_ms: int
    detected_at_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Flapping:
    """A check or target began or ceased to flap."""

    kind: Subject
    subject: str
    at_ms: int
    flapping: bool


class IncidentPhase(StrEnum):
    """Where an incident is in its life."""

    OPEN = "open"
    RESOLVED = "resolved"


class TimelineEntry(NamedTuple):
    """One line of an incident's timeline: when, what, detail.

    What: `opened`, `impact` (the target that joined), `worsened`, `eased`, `merged` (the incident that it became
    part of), `notified` (`<kind>: <receivers>`), `resolved`.
    """

    at_ms: int
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """One cause and all that it hurts.

    Attributes:
        id: `SC-<year>-<number>`.
        target: the cause.
        severity: 1 (highest) to 4.
        started_ms: when the trouble is dated.
        opened_ms: when it was discovered: T0.
        reason: failure or `redundancy_lost`.
        message: the last message behind it.
        impact: ids of the targets it hurts, in the order they joined.
        phase: open or resolved.
        resolved_ms: when it was found to be over, or None.
        announced: receivers that have been told that it opened: only they are told that it ended.
        timeline: what happened, oldest first.

    """

    id: str
    target: str
    severity: int
    started_ms: int
    opened_ms: int
    reason: str
    message: str = ""
    impact: tuple[str, ...] = ()
    phase: IncidentPhase = IncidentPhase.OPEN
    resolved_ms: int | None = None
    announced: tuple[str, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()


class IncidentChange(StrEnum):
    """What happened to an incident; the `event` in a replay is `incident_` and this."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """An incident was opened, updated or resolved; `incident` is as it is afterwards."""

    change: IncidentChange
    at_ms: int
    incident: Incident


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that must reach a receiver; saved before it is sent.

    Attributes:
        at_ms: when it was decided.
        incident: id of the incident.
        kind: `opened`, `worsened` or `resolved`.
        receiver: id of the receiver.
        targets: the cause, then what it hurts.

    """

    at_ms: int
    incident: str
    kind: str
    receiver: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunNow:
    """Checks that should be run at once, because their answer decides something (a failing child's parents)."""

    at_ms: int
    checks: tuple[str, ...]


Event = Transition | Flapping | IncidentEvent | Notification | RunNow


class Waiting(NamedTuple):
    """A target in trouble that has no incident yet.

    Attributes:
        since_ms: when its trouble was known; an answer of its parents counts from then.
        until_ms: when it opens an incident of its own for want of another explanation; None while something else
            that has no incident yet explains it.
        asked: whether its parents have been asked, so that their answer can end the wait early.

    """

    since_ms: int
    until_ms: int | None
    asked: bool


@dataclass(slots=True)
class Memory:
    """What the core remembers, to be saved and restored.

    Attributes:
        checks: state by check id.
        targets: state by target id.
        incidents: the open ones by id.
        numbers: the last incident number used, by year.
        waiting: targets in trouble without an incident, by id. It need not be saved: a core that starts without
            it asks the parents again.

    """

    checks: dict[str, CheckState] = field(default_factory=dict)
    targets: dict[str, TargetState] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
