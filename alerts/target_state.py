"""A target's state from its checks, a group's from its members: pure functions over parts.

- Checks: the worst of them in the order down, unknown, degraded, up. A check that is not critical can only degrade:
  down and degraded count as degraded, and unknown counts for nothing unless there is nothing else to go by.
- Members: at least `need` of them must be up, and `degraded` counts as up (DESIGN section 6.4, the truth table).
- A target with both checks and members is the worst of the two parts; where both are degraded, the lost redundancy
  is the reason, because it is what has to be repaired first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alerts.model import REDUNDANCY_LOST, State, TargetRule

ORDER = {State.UP: 0, State.DEGRADED: 1, State.UNKNOWN: 2, State.DOWN: 3}
"""Which state of its parts a target takes: the greatest."""


class Part(NamedTuple):
    """One check or member as its target sees it: its state, since when, why, and whether it is critical."""

    state: State
    since_ms: int = 0
    reason: str = ""
    critical: bool = True


class Verdict(NamedTuple):
    """What parts amount to, and why."""

    state: State
    reason: str = ""


NOTHING_KNOWN = Verdict(State.UNKNOWN)


def of_target(rule: TargetRule, checks: Sequence[Part], members: Sequence[Part]) -> Verdict:
    """Return the state of a target from its checks and its members."""
    if not members:
        return of_checks(checks) if checks else NOTHING_KNOWN
    together = of_members(rule.need, members)
    if not checks:
        return together
    alone = of_checks(checks)
    return alone if ORDER[alone.state] > ORDER[together.state] else together


def of_checks(parts: Sequence[Part]) -> Verdict:
    """Return the worst of a target's checks."""
    effective = [(_effective(part), part) for part in parts]
    counted = [pair for pair in effective if pair[1].critical or pair[0] is not State.UNKNOWN] or effective
    worst = max((state for state, _ in counted), key=ORDER.__getitem__)
    return Verdict(worst, _first_reason(part for state, part in counted if state is worst))


def of_members(need: int, parts: Sequence[Part]) -> Verdict:
    """Return the state of a group that needs `need` of its members."""
    up = [part for part in parts if part.state in (State.UP, State.DEGRADED)]
    unknown = [part for part in parts if part.state is State.UNKNOWN]
    needed = need or len(parts)
    if len(up) == len(parts):
        return Verdict(State.UP)
    if len(up) >= needed:
        return Verdict(State.DEGRADED, REDUNDANCY_LOST)
    if len(up) + len(unknown) >= needed:
        return Verdict(State.UNKNOWN, _first_reason(unknown))
    return Verdict(State.DOWN, _first_reason(part for part in parts if part.state is State.DOWN))


def dated(since_ms: int, after: State, cause_ms: int, parts: Iterable[Part]) -> int:
    """Return the time that a target's change is dated at: that of the change behind it.

    It is never before the target's last change (`since_ms`), and a target is not all up before the last of its
    parts is: a part whose recovery was confirmed late does not date the target's back over another's trouble.
    """
    if after is not State.UP:
        return max(since_ms, cause_ms)
    return max([since_ms, cause_ms, *(part.since_ms for part in parts if part.state is State.UP)])


def _effective(part: Part) -> State:
    return State.DEGRADED if part.state is State.DOWN and not part.critical else part.state


def _first_reason(parts: Iterable[Part]) -> str:
    """Return the reason of the part that has been so the longest; the first in order where several have."""
    return min(parts, key=lambda part: part.since_ms, default=Part(State.UNKNOWN)).reason
