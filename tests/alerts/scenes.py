"""Scenes for the core: targets in a few words, results as strings, and what came of them.

A string of outcomes has one letter a result: u up, g degraded, d down, x unknown, and `.` for none.
"""

from __future__ import annotations

from collections.abc import Iterable

from alerts.core import Core
from alerts.model import (
    THREE_IN_A_ROW,
    CheckRule,
    Confirm,
    Event,
    Flapping,
    IncidentChange,
    IncidentEvent,
    Notification,
    Result,
    Route,
    Rules,
    State,
    Subject,
    TargetRule,
    Transition,
    Window,
)
from monitor.replay import run
from probes.model import Failure

T0 = 1_790_812_800_000
"""2026-10-01T00:00:00Z"""
STEP_S = 10
TOOK_S = 0.03
TOOK_MS = 30

_OUTCOMES = {"u": State.UP, "g": State.DEGRADED, "d": State.DOWN, "x": State.UNKNOWN}
_FAILURES = {"d": Failure.HTTP_STATUS, "g": Failure.CONDITION, "x": Failure.PERMISSION}


def at(seconds: float) -> int:
    return T0 + round(seconds * 1000)


def result(check: str, letter: str, seconds: float, took_s: float = TOOK_S) -> Result:
    return Result(check, "a", at(seconds), took_s, _OUTCOMES[letter], _FAILURES.get(letter), f"message {letter}", {})


def results(check: str, letters: str, start_s: float = 0, step_s: float = STEP_S) -> list[Result]:
    return [result(check, letter, start_s + number * step_s) for number, letter in enumerate(letters) if letter != "."]


def watch(
    *targets: TargetRule,
    down: Confirm = THREE_IN_A_ROW,
    up: int = 2,
    interval_s: float = STEP_S,
    maintenance: Iterable[Window] = (),
    silences: Iterable[Window] = (),
    routes: Iterable[Route] = (Route(("noc",)),),
    uncritical: Iterable[str] = (),
) -> Rules:
    """Rules for these targets; every check has the same confirmation."""
    checks = {
        check: CheckRule(
            check, target.id, interval_s, 3 * interval_s, down=down, up=up, critical=check not in set(uncritical)
        )
        for target in targets
        for check in target.checks
    }
    return Rules(
        checks,
        {target.id: target for target in targets},
        tuple(maintenance),
        tuple(silences),
        tuple(routes),
    )


def endpoint(
    id_: str,
    *depends_on: str | tuple[str, ...],
    criticality: int = 2,
    settle_s: float = 20,
    checks: Iterable[str] = ("http",),
    type_: str = "endpoint",
    agency: str = "",
) -> TargetRule:
    return TargetRule(
        id_,
        type_,
        criticality,
        agency,
        checks=tuple(f"{id_}/{name}" for name in checks),
        depends_on=tuple((entry,) if isinstance(entry, str) else entry for entry in depends_on),
        settle_s=settle_s,
    )


def group(
    id_: str,
    *members: str,
    need: int,
    type_: str = "group",
    depends_on: tuple[str, ...] = (),
    criticality: int = 2,
    checks: Iterable[str] = (),
) -> TargetRule:
    return TargetRule(
        id_,
        type_,
        criticality,
        members=members,
        need=need,
        checks=tuple(f"{id_}/{name}" for name in checks),
        depends_on=tuple((parent,) for parent in depends_on),
        settle_s=20,
    )


def link(id_: str, *members: str, need: int = 1, depends_on: tuple[str, ...] = (), criticality: int = 2) -> TargetRule:
    return group(id_, *members, need=need, type_="link", depends_on=depends_on, criticality=criticality)


def play(rules: Rules, *runs: list[Result], until_s: float | None = None, core: Core | None = None) -> list[Event]:
    """Feed all results in the order in which they were known; the clock stops at `until_s` or at the last one."""
    until_ms = None if until_s is None else at(until_s)
    return list(run(core or Core(rules), [one for some in runs for one in some], until_ms))


def transitions(events: Iterable[Event], subject: str, kind: Subject | None = None) -> list[tuple[float, str, float]]:
    """(dated at, new state, detected at) in seconds from the start."""
    return [
        (_seconds(event.at_ms), event.after.value, _seconds(event.detected_at_ms))
        for event in events
        if isinstance(event, Transition) and event.subject == subject and kind in (None, event.kind)
    ]


def opened(events: Iterable[Event]) -> list[tuple[str, float, tuple[str, ...]]]:
    """(cause, when in seconds, impact at that time) of each incident."""
    return [
        (event.incident.target, _seconds(event.at_ms), event.incident.impact)
        for event in events
        if isinstance(event, IncidentEvent) and event.change is IncidentChange.OPENED
    ]


def resolved(events: Iterable[Event]) -> list[tuple[str, float]]:
    return [
        (event.incident.target, _seconds(event.at_ms))
        for event in events
        if isinstance(event, IncidentEvent) and event.change is IncidentChange.RESOLVED
    ]


def told(events: Iterable[Event]) -> list[tuple[str, str, float, tuple[str, ...]]]:
    """(kind, receiver, when, targets) of each notification."""
    return [
        (event.kind, event.receiver, _seconds(event.at_ms), event.targets)
        for event in events
        if isinstance(event, Notification)
    ]


def kinds(events: Iterable[Event]) -> list[tuple[str, str]]:
    """(kind, cause) of each notification."""
    return [(kind, targets[0]) for kind, _, _, targets in told(events)]


def flaps(events: Iterable[Event], subject: str) -> list[bool]:
    return [event.flapping for event in events if isinstance(event, Flapping) and event.subject == subject]


def window(from_s: float, to_s: float, *targets: str) -> Window:
    return Window(frozenset(targets), at(from_s), at(to_s))


def _seconds(ms: int) -> float:
    return (ms - T0) / 1000
