"""How targets are counted under one configuration, and the fingerprint of all that decides it but transitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b

from alerts.counted import NOTHING, Counted, Outage, count_line, measured_intervals, outages
from alerts.intervals import Interval, intersection, joined
from alerts.model import Rules
from alerts.state_lines import TargetLines
from alerts.timeline import TargetTimelines
from config.model import Inventory
from monitor.availability import checks_below, promised_intervals

_VERSION = 1
"""To be raised when the same transitions under the same rules are counted otherwise than before."""


class Counting:
    """Counts targets; `first_ms` is the start of each check's first result."""

    def __init__(self, inventory: Inventory, rules: Rules, first_ms: Mapping[str, int]) -> None:
        self._inventory = inventory
        self._rules = rules
        self._first_ms = first_ms
        self._below: dict[str, tuple[str, ...]] = {}
        self._firsts: dict[str, int | None] = {}
        self._structures: dict[str, str] = {}
        self._promised: dict[tuple[str, int, int], tuple[list[Interval], str]] = {}
        self._windows: dict[str, list[Interval]] = {}
        for window in rules.maintenance:
            for target in window.targets:
                self._windows.setdefault(target, []).append((window.from_ms, window.to_ms))

    def below(self, target: str) -> tuple[str, ...]:
        """Return the checks of the target and of all that it is made of."""
        if target not in self._below:
            self._below[target] = tuple(checks_below(self._rules, target))
        return self._below[target]

    def few_checks_each(self, targets: Iterable[str], most: int) -> Iterator[list[str]]:
        """Cut targets into runs that have at most so many checks together; one that has more is a run of its own."""
        some, checks = list[str](), set[str]()
        for target in targets:
            below = self.below(target)
            if some and len(checks) + sum(check not in checks for check in below) > most:
                yield some
                some, checks = [], set()
            some.append(target)
            checks.update(below)
        if some:
            yield some

    def first_ms(self, target: str) -> int | None:
        """Return the start of the target's first result, None when it has none."""
        if target not in self._firsts:
            starts = (self._first_ms[check] for check in self.below(target) if check in self._first_ms)
            self._firsts[target] = min(starts, default=None)
        return self._firsts[target]

    def count(self, lines: TargetLines, target: str, from_ms: int, to_ms: int) -> Counted:
        """Count a target over [from_ms, to_ms), which ends before now."""
        start_ms = self._start_ms(target, from_ms)
        if start_ms is None or start_ms >= to_ms:
            return NOTHING
        service, windows = self._served(target, from_ms, to_ms)[0], self._windows.get(target, ())
        return count_line(lines.of(target), start_ms, to_ms, service=service, maintenance=windows)

    def outages(self, timelines: TargetTimelines, target: str, from_ms: int, to_ms: int) -> list[Outage]:
        """Return the outages of a target over [from_ms, to_ms), which ends before now."""
        start_ms = self._start_ms(target, from_ms)
        if start_ms is None:
            return []
        service, windows = self._served(target, from_ms, to_ms)[0], self._windows.get(target, ())
        return outages(timelines.of(target), start_ms, to_ms, service=service, maintenance=windows)

    def measured(self, target: str, from_ms: int, to_ms: int) -> list[Interval]:
        """Return what is measured of [from_ms, to_ms), which ends before now."""
        start_ms = self._start_ms(target, from_ms)
        if start_ms is None:
            return []
        service, windows = self._served(target, from_ms, to_ms)[0], self._windows.get(target, ())
        return measured_intervals(start_ms, to_ms, service=service, maintenance=windows)

    def fingerprint(self, target: str, from_ms: int, to_ms: int) -> str:
        """Return what tells one way of counting [from_ms, to_ms) from all others: all of it but the transitions."""
        start_ms = self._start_ms(target, from_ms)
        served = self._served(target, from_ms, to_ms)[1]
        windows = self._windows.get(target)
        planned = intersection(joined(windows), [(from_ms, to_ms)]) if windows else []
        return _digest(f"{_VERSION} {self._structure(target)} {start_ms} {to_ms} {served} {planned}")

    def _start_ms(self, target: str, from_ms: int) -> int | None:
        first_ms = self.first_ms(target)
        return None if first_ms is None else max(from_ms, first_ms)

    def _served(self, target: str, from_ms: int, to_ms: int) -> tuple[list[Interval] | None, str]:
        """Return the promised intervals (None: always) and their digest."""
        known = self._inventory.targets.get(target)
        if known is None or not known.service_hours:
            return None, ""
        key = (known.service_hours, from_ms, to_ms)
        if key not in self._promised:
            found = promised_intervals(self._inventory, *key)
            self._promised[key] = (found, _digest(repr(found)))
        return self._promised[key]

    def _structure(self, target: str) -> str:
        """Return the digest of what a target is made of, all the way down."""
        if target not in self._structures:
            self._structures[target] = _digest(repr(list(self._made_of(target))))
        return self._structures[target]

    def _made_of(self, target: str) -> Iterable[tuple[object, ...]]:
        seen, todo = {target}, [target]
        while todo:
            rule = self._rules.targets[todo.pop()]
            checks = [(id_, self._rules.checks[id_].critical) for id_ in rule.checks if id_ in self._rules.checks]
            members = [member for member in rule.members if member in self._rules.targets]
            yield rule.id, checks, members, rule.need
            todo += [member for member in members if member not in seen]
            seen.update(members)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
