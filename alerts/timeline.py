"""Timelines: what a check or target was at every moment, put together from the transitions of checks alone.

A target's own transitions say when it was known to change. Its timeline is exact instead: at every moment it is what
its checks, and those of its members, are known today to have been then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from alerts.model import REDUNDANCY_LOST, CheckRule, Rules, State, TargetRule, Transition
from alerts.target_state import ORDER, Part, Verdict, of_checks, of_members, of_target


class Change(NamedTuple):
    """From `at_ms` on, until the next change."""

    at_ms: int
    state: State
    reason: str = ""


Timeline = tuple[Change, ...]
"""Changes in order of time, no two alike in a row; before the first one the state is unknown."""


def check_timeline(transitions: Iterable[Transition]) -> Timeline:
    """Return the timeline of one check from its transitions, in any order.

    A transition overrules whatever was known earlier of the time from which it is dated.
    """
    changes: list[Change] = []
    for transition in sorted(transitions, key=_detected_at):
        while changes and changes[-1].at_ms >= transition.at_ms:
            changes.pop()
        _append(changes, transition.at_ms, Verdict(transition.after, transition.reason))
    return tuple(changes)


def target_timeline(
    rules: Rules, target: str, by_check: Mapping[str, Timeline], until_ms: int | None = None
) -> Timeline:
    """Return the timeline of a target, cut off at `until_ms`; a check without a timeline was never known.

    Raises `graphlib.CycleError`, a ValueError, when groups contain each other.
    """
    return cut(TargetTimelines(rules, by_check).of(target), until_ms)


class TargetTimelines:
    """The timelines of many targets over the same checks; what several groups share is worked out once."""

    def __init__(self, rules: Rules, by_check: Mapping[str, Timeline]) -> None:
        self._rules = rules
        self._by_check = by_check
        self._found: dict[str, Timeline] = {}

    def of(self, target: str) -> Timeline:
        """Return the timeline of a target. Raises KeyError when the rules do not have it."""
        if target not in self._found:
            for part in parts_first(self._rules, target):
                if part not in self._found:
                    self._found[part] = self._work_out(self._rules.targets[part])
        return self._found[target]

    def _work_out(self, rule: TargetRule) -> Timeline:
        checks = [self._rules.checks[id_] for id_ in rule.checks if id_ in self._rules.checks]
        members = members_of(self._rules, rule)
        timelines = [self._by_check.get(check.id, ()) for check in checks]
        timelines += [self._found[member] for member in members]
        return sweep(rule, checks, timelines)


def parts_first(rules: Rules, target: str) -> Iterable[str]:
    """Give the target and all that it is made of, members before those they are members of."""
    members: dict[str, list[str]] = {}
    todo = [target]
    while todo:
        part = todo.pop()
        if part not in members:
            members[part] = members_of(rules, rules.targets[part])
            todo += members[part]
    return TopologicalSorter(members).static_order()


def members_of(rules: Rules, rule: TargetRule) -> list[str]:
    """Return the members of a target, each once, as far as the rules have them."""
    return [member for member in dict.fromkeys(rule.members) if member in rules.targets]


def sweep(rule: TargetRule, checks: Sequence[CheckRule], timelines: Sequence[Timeline]) -> Timeline:
    """Return the target's timeline; `timelines` are those of its checks, then those of its members."""
    if len(timelines) == 1 and checks and checks[0].critical:
        return timelines[0]  # a single check is its target
    parts = [Part(State.UNKNOWN, critical=check.critical) for check in checks]
    parts += [Part(State.UNKNOWN)] * (len(timelines) - len(checks))
    if not checks:
        verdict = _of_members(rule, parts)
    elif len(checks) == len(parts) and all(check.critical for check in checks):
        verdict = _of_checks(parts)
    else:
        verdict = _of_all(rule, parts, len(checks))
    moments = [(change.at_ms, index, change) for index, timeline in enumerate(timelines) for change in timeline]
    moments.sort()
    later_ms = [*(at_ms for at_ms, _, _ in moments[1:]), None]
    changes: list[Change] = []
    for (at_ms, index, change), then_ms in zip(moments, later_ms, strict=False):
        found = verdict(index, Part(change.state, at_ms, change.reason, parts[index].critical), then_ms == at_ms)
        if found is not None:
            _append(changes, at_ms, found)
    return tuple(changes)


Judge = Callable[[int, Part, bool], Verdict | None]
"""Takes which part has changed, to what, and whether another one changes at the same time: then there is no verdict."""


def _of_all(rule: TargetRule, parts: list[Part], checks: int) -> Judge:
    def judge(index: int, part: Part, more: bool) -> Verdict | None:
        parts[index] = part
        return None if more else of_target(rule, parts[:checks], parts[checks:])

    return judge


def _of_checks(parts: list[Part]) -> Judge:
    """Return a judge that counts how many checks are in each state: one that stands alone is the reason."""
    numbers = [0, 0, len(parts), 0]

    def judge(index: int, part: Part, more: bool) -> Verdict | None:
        numbers[ORDER[parts[index].state]] -= 1
        numbers[ORDER[part.state]] += 1
        parts[index] = part
        if more:
            return None
        if numbers[0] == len(parts):
            return _ALL_UP
        worst = 3 if numbers[3] else 2 if numbers[2] else 1
        if numbers[worst] == 1 and ORDER[part.state] == worst:
            return Verdict(part.state, part.reason)
        return of_checks(parts)

    return judge


def _of_members(rule: TargetRule, parts: list[Part]) -> Judge:
    """Return a judge that counts which members work: most changes of a large group leave it at one glance's verdict."""
    number, needed, working = len(parts), rule.need or len(parts), 0

    def judge(index: int, part: Part, more: bool) -> Verdict | None:
        nonlocal working
        working += (part.state in _WORKING) - (parts[index].state in _WORKING)
        parts[index] = part
        if more:
            return None
        if needed <= working:
            return _ALL_UP if working == number else _LESS_REDUNDANT
        return of_members(rule.need, parts)

    return judge


_WORKING = (State.UP, State.DEGRADED)
_ALL_UP, _LESS_REDUNDANT = Verdict(State.UP), Verdict(State.DEGRADED, REDUNDANCY_LOST)


def cut(timeline: Timeline, until_ms: int | None) -> Timeline:
    """Return the timeline without what is known of the time from `until_ms` on."""
    return timeline if until_ms is None else tuple(change for change in timeline if change.at_ms < until_ms)


def segments(timeline: Timeline, from_ms: int, to_ms: int) -> list[tuple[int, int, State, str]]:
    """Return (from, to, state, reason) over [from_ms, to_ms), gapless and in order."""
    if from_ms >= to_ms:
        return []
    first = bisect_right(timeline, from_ms, key=lambda change: change.at_ms)
    current = timeline[first - 1] if first else Change(from_ms, State.UNKNOWN)
    found, start_ms = [], from_ms
    for change in timeline[first:]:
        if change.at_ms >= to_ms:
            break
        found.append((start_ms, change.at_ms, current.state, current.reason))
        current, start_ms = change, change.at_ms
    found.append((start_ms, to_ms, current.state, current.reason))
    return found


def _append(changes: list[Change], at_ms: int, verdict: Verdict) -> None:
    state, reason = verdict
    if changes:
        _, last_state, last_reason = changes[-1]
        if state is last_state and reason == last_reason:
            return
    elif state is State.UNKNOWN and not reason:
        return
    changes.append(Change(at_ms, state, reason))


def _detected_at(transition: Transition) -> int:
    return transition.detected_at_ms
