"""Availability of targets from recorded results: the core finds the transitions, then every target is measured."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from statistics import median_low
from zoneinfo import ZoneInfo

from alerts.availability import Availability, measure, windows_on
from alerts.intervals import Interval
from alerts.model import CheckRule, Result, Rules, Subject, TargetRule, Transition
from alerts.service_hours import service_intervals
from alerts.timeline import TargetTimelines, Timeline, check_timeline
from config.hours import parse_days, parse_hours
from config.model import Inventory
from config.rules import rules_of
from monitor.replay import replay

INTERVAL_S = 30.0
"""Interval that is assumed of a check with a single result and no configuration."""
STALE_INTERVALS = 3
"""How many intervals of silence make a check unknown where no configuration says otherwise."""


class UnknownTargetError(LookupError):
    """There is no target of that name; the message suggests one."""


def availability_from_results(
    inventory: Inventory | None,
    results: Iterable[Result],
    from_ms: int,
    to_ms: int,
    now_ms: int,
    target: str | None = None,
) -> list[Availability]:
    """Return the availability of every target, or of one, over [from_ms, to_ms), in the configuration's order.

    Without a configuration the targets are those that the checks are named after, and a check's interval is the
    median time between its results. What was known after `now_ms` is left out.
    Raises UnknownTargetError.
    """
    known = [result for result in results if result.known_at_ms <= now_ms]
    rules = rules_from_results(known) if inventory is None else rules_of(inventory)
    targets = list(rules.targets) if target is None else [target]
    if target is not None and target not in rules.targets:
        near = difflib.get_close_matches(target, rules.targets, n=1)
        message = f"there is no target {target!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        raise UnknownTargetError(message)
    by_check = check_timelines(event for event in replay(rules, known, now_ms) if isinstance(event, Transition))
    first_ms: dict[str, int] = {}
    for result in known:
        first_ms[result.check] = min(first_ms.get(result.check, result.at_ms), result.at_ms)
    return measure_targets(inventory or Inventory(), rules, by_check, first_ms, from_ms, to_ms, now_ms, targets)


def measure_targets(
    inventory: Inventory,
    rules: Rules,
    by_check: Mapping[str, Timeline],
    first_ms: Mapping[str, int],
    from_ms: int,
    to_ms: int,
    now_ms: int,
    targets: Sequence[str],
) -> list[Availability]:
    """Measure targets from the timelines of the checks; `first_ms` is the start of each check's first result."""
    timelines = TargetTimelines(rules, by_check)
    promised: dict[str, list[Interval] | None] = {"": None}
    found = []
    for target in targets:
        known = inventory.targets.get(target)
        hours = known.service_hours if known is not None else ""
        if hours not in promised:
            promised[hours] = promised_intervals(inventory, hours, from_ms, min(to_ms, now_ms))
        starts = [first_ms[check] for check in checks_below(rules, target) if check in first_ms]
        figures = measure(
            timelines.of(target),
            from_ms,
            to_ms,
            first_result_ms=min(starts, default=None),
            now_ms=now_ms,
            service=promised[hours],
            maintenance=windows_on(target, rules.maintenance),
            objective=known.objective.availability if known is not None else None,
            target=target,
        )
        found.append(figures)
    return found


def promised_intervals(inventory: Inventory, hours: str, from_ms: int, to_ms: int) -> list[Interval]:
    """Return the intervals inside [from_ms, to_ms) in which the service hours of that id promise the service."""
    wanted = inventory.service_hours[hours]
    calendars = [inventory.holidays[id_] for id_ in wanted.holidays]
    return service_intervals(
        parse_days(wanted.days),
        parse_hours(wanted.hours),
        ZoneInfo(inventory.settings.timezone),
        from_ms,
        to_ms,
        days_off=frozenset[date]().union(*(calendar.days_off for calendar in calendars)),
        days_on=frozenset[date]().union(*(calendar.works_on for calendar in calendars)),
    )


def check_timelines(transitions: Iterable[Transition]) -> dict[str, Timeline]:
    """Return the timeline of every check that the transitions speak of."""
    by_check: dict[str, list[Transition]] = {}
    for transition in transitions:
        if transition.kind is Subject.CHECK:
            by_check.setdefault(transition.subject, []).append(transition)
    return {check: check_timeline(changes) for check, changes in by_check.items()}


def rules_from_results(results: Iterable[Result]) -> Rules:
    """Return the rules that results alone suggest: targets as the checks are named, everything else by default."""
    starts: dict[str, set[int]] = {}
    for result in results:
        starts.setdefault(result.check, set()).add(result.at_ms)
    checks, by_target = {}, dict[str, list[str]]()
    for check, moments in starts.items():
        target = check.partition("/")[0]
        interval_s = _interval_s(moments)
        checks[check] = CheckRule(check, target, interval_s, STALE_INTERVALS * interval_s)
        by_target.setdefault(target, []).append(check)
    targets = {id_: TargetRule(id_, "endpoint", checks=tuple(ids)) for id_, ids in by_target.items()}
    return Rules(checks, targets)


def _interval_s(moments: Iterable[int]) -> float:
    spaces = [later - earlier for earlier, later in pairwise(sorted(moments))]
    return median_low(spaces) / 1000 if spaces else INTERVAL_S


def checks_below(rules: Rules, target: str) -> Iterable[str]:
    """Give the checks of the target and of all that it is made of."""
    seen, todo = {target}, [target]
    while todo:
        rule = rules.targets[todo.pop()]
        yield from rule.checks
        below = [member for member in rule.members if member in rules.targets and member not in seen]
        seen.update(below)
        todo += below
