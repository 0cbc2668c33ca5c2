"""Timelines: what a check or target was at every moment, put together from the transitions of checks alone.

A target's own transitions say when it was known to change. Its timeline is exact instead: at every moment it is what
its checks, and those of its members, are known today to have been then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from alerts.model import CheckRule, Rules, State, TargetRule, Transition
from alerts.target_state import Part, Verdict, of_target


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


def timelines_of(known: Iterable[tuple[str, int, State, str]]) -> dict[str, Timeline]:
    """Return the timelines of many checks from (check, at_ms, state, reason), in the order in which they were known.

    It is `check_timeline` for a year of a country, without an object for each transition.
    """
    by_check: dict[str, list[Change]] = {}
    for check, at_ms, state, reason in known:
        changes = by_check.get(check)
        if changes is None:
            changes = by_check[check] = []
        while changes and changes[-1][0] >= at_ms:
            changes.pop()
        if changes:
            _, last_state, last_reason = changes[-1]
            if state is not last_state or reason != last_reason:
                changes.append(Change(at_ms, state, reason))
        elif state is not State.UNKNOWN or reason:
            changes.append(Change(at_ms, state, reason))
    return {check: tuple(changes) for check, changes in by_check.items()}


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
            for part in self._order(target):
                if part not in self._found:
                    self._found[part] = self._work_out(self._rules.targets[part])
        return self._found[target]

    def _order(self, target: str) -> Iterable[str]:
        """Return the target after all that it is made of."""
        members: dict[str, list[str]] = {}
        todo = [target]
        while todo:
            part = todo.pop()
            if part not in members:
                members[part] = self._members(self._rules.targets[part])
                todo += members[part]
        return TopologicalSorter(members).static_order()

    def _members(self, rule: TargetRule) -> list[str]:
        return [member for member in dict.fromkeys(rule.members) if member in self._rules.targets]

    def _work_out(self, rule: TargetRule) -> Timeline:
        checks = [self._rules.checks[id_] for id_ in rule.checks if id_ in self._rules.checks]
        members = self._members(rule)
        timelines = [self._by_check.get(check.id, ()) for check in checks]
        timelines += [self._found[member] for member in members]
        return sweep(rule, checks, timelines)


def sweep(rule: TargetRule, checks: Sequence[CheckRule], timelines: Sequence[Timeline]) -> Timeline:
    """Return the target's timeline; `timelines` are those of its checks, then those of its members."""
    parts = [Part(State.UNKNOWN, critical=check.critical) for check in checks]
    parts += [Part(State.UNKNOWN)] * (len(timelines) - len(checks))
    moments = sorted((change.at_ms, index, change) for index, timeline in enumerate(timelines) for change in timeline)
    changes: list[Change] = []
    for number, (at_ms, index, change) in enumerate(moments):
        parts[index] = parts[index]._replace(state=change.state, since_ms=at_ms, reason=change.reason)
        if number + 1 == len(moments) or moments[number + 1][0] != at_ms:
            _append(changes, at_ms, of_target(rule, parts[: len(checks)], parts[len(checks) :]))
    return tuple(changes)


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
    last = (changes[-1].state, changes[-1].reason) if changes else (State.UNKNOWN, "")
    if last != (verdict.state, verdict.reason):
        changes.append(Change(at_ms, verdict.state, verdict.reason))


def _detected_at(transition: Transition) -> int:
    return transition.detected_at_ms
