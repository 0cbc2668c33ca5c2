"""State lines: timelines without reasons, one integer a change, for counting years of a whole country.

How long something was up does not depend on why it was down. Without reasons a change is a moment and one of four
states, which fit into one integer: such changes are sorted and compared as they are, take a fifth of the memory, and
the garbage collector never looks at them. A target's line is worked out in one pass over the changes of all its parts,
by counting how many of them are in which state.

`alerts.timeline` says the same with reasons; the tests hold both against each other, and against every moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from alerts.model import CheckRule, Rules, State, TargetRule
from alerts.target_state import ORDER
from alerts.timeline import Timeline, members_of, parts_first

Line = Sequence[int]
"""Changes in order of time, each `at_ms << 2 | state`, no two states alike in a row; unknown before the first one."""

STATE_BITS = 2
STATE = (1 << STATE_BITS) - 1
"""Masks the state of a change, which is its place in `target_state.ORDER`: the worst of several is the greatest."""
UP, DEGRADED, UNKNOWN, DOWN = (ORDER[state] for state in (State.UP, State.DEGRADED, State.UNKNOWN, State.DOWN))

# How a target sees its parts in each state, in the order of the states above. Members that are up and degraded are
# alike to it (DESIGN section 6.4); so are those states of a check that is not critical in which it degrades.
_CRITICAL = (UP, DEGRADED, UNKNOWN, DOWN)
_IGNORED, _CARRYING, _DOUBTFUL, _BROKEN = 4, 5, 6, 7
_UNCRITICAL = (UP, DEGRADED, _IGNORED, DEGRADED)
_MEMBER = (_CARRYING, _CARRYING, _DOUBTFUL, _BROKEN)
_CLASS_BITS = 3
_CLASS = (1 << _CLASS_BITS) - 1
_STEP_BITS = 2 * _CLASS_BITS


def line_of(timeline: Timeline) -> list[int]:
    """Return a timeline without its reasons."""
    line: list[int] = []
    last = UNKNOWN
    for at_ms, state, _ in timeline:
        after = ORDER[state]
        if after != last:
            line.append(at_ms << STATE_BITS | after)
            last = after
    return line


def lines_of(known: Iterable[tuple[str, int, int]]) -> dict[str, list[int]]:
    """Return the line of each check from (check, at_ms, state), those of one check together, as they became known.

    What becomes known later overrules what was known of the time from which it is dated.
    """
    lines: dict[str, list[int]] = {}
    current: str | None = None
    line: list[int] = []
    for check, at_ms, after in known:
        if check != current:
            current, line = check, lines.setdefault(check, [])
        _overrule(line, at_ms << STATE_BITS, after)
    return lines


def silenced(line: Line, at_ms: int) -> list[int]:
    """Return the line of what is unknown from a moment on."""
    found = list(line)
    _overrule(found, at_ms << STATE_BITS, UNKNOWN)
    return found


def _overrule(line: list[int], begins: int, after: int) -> None:
    while line and line[-1] >= begins:
        line.pop()
    if after != (line[-1] & STATE if line else UNKNOWN):
        line.append(begins | after)


class TargetLines:
    """The lines of many targets over the same checks; what several groups share is worked out once."""

    def __init__(self, rules: Rules, by_check: Mapping[str, Line]) -> None:
        self._rules = rules
        self._by_check = by_check
        self._found: dict[str, Line] = {}

    def of(self, target: str) -> Line:
        """Return the line of a target; a check without a line was never known.

        Raises KeyError when the rules do not have it, `graphlib.CycleError` when groups contain each other.
        """
        if target not in self._found:
            for part in parts_first(self._rules, target):
                if part not in self._found:
                    self._found[part] = self._work_out(self._rules.targets[part])
        return self._found[target]

    def _work_out(self, rule: TargetRule) -> Line:
        checks = [self._rules.checks[id_] for id_ in rule.checks if id_ in self._rules.checks]
        members = [self._found[member] for member in members_of(self._rules, rule)]
        return sweep(rule, checks, [self._by_check.get(check.id, ()) for check in checks], members)


def sweep(rule: TargetRule, checks: Sequence[CheckRule], by_check: Sequence[Line], members: Sequence[Line]) -> Line:
    """Return the target's line from those of its checks and of its members."""
    if not members and len(checks) == 1 and checks[0].critical:
        return by_check[0]  # a single check is its target
    seen = [_CRITICAL if check.critical else _UNCRITICAL for check in checks] + [_MEMBER] * len(members)
    numbers = [0] * (_CLASS + 1)
    for classes in seen:
        numbers[classes[UNKNOWN]] += 1
    steps = [
        step for classes, line in zip(seen, chain(by_check, members), strict=True) for step in _steps(classes, line)
    ]
    steps.sort()
    judge = _judge(rule, len(checks), len(members))
    line: list[int] = []
    last, at_ms = UNKNOWN, steps[0] >> _STEP_BITS if steps else 0
    for step in steps:
        if step >> _STEP_BITS != at_ms:
            state = judge(numbers)
            if state != last:
                line.append(at_ms << STATE_BITS | state)
                last = state
            at_ms = step >> _STEP_BITS
        numbers[step >> _CLASS_BITS & _CLASS] -= 1
        numbers[step & _CLASS] += 1
    if steps and judge(numbers) != last:
        line.append(at_ms << STATE_BITS | judge(numbers))
    return line


def _steps(classes: Sequence[int], line: Line) -> Iterable[int]:
    """Return the changes of a part that its target sees, each `at_ms << 6 | class before << 3 | class after`."""
    steps = []
    before = classes[UNKNOWN]
    for change in line:
        after = classes[change & STATE]
        if after != before:
            steps.append(change >> STATE_BITS << _STEP_BITS | before << _CLASS_BITS | after)
            before = after
    return steps


Judge = Callable[[Sequence[int]], int]
"""Returns the target's state from how many of its parts are in each class."""


def _judge(rule: TargetRule, checks: int, members: int) -> Judge:
    needed = rule.need or members

    def of_members(numbers: Sequence[int]) -> int:
        carrying = numbers[_CARRYING]
        if carrying == members:
            return UP
        if carrying >= needed:
            return DEGRADED
        return UNKNOWN if carrying + numbers[_DOUBTFUL] >= needed else DOWN

    def of_all(numbers: Sequence[int]) -> int:
        return max(_of_checks(numbers), of_members(numbers))

    return of_all if checks and members else of_members if members else _of_checks


def _of_checks(numbers: Sequence[int]) -> int:
    """Return the worst of the checks; those that are ignored count where there is nothing else to go by."""
    if numbers[DOWN]:
        return DOWN
    if numbers[UNKNOWN]:
        return UNKNOWN
    if numbers[DEGRADED]:
        return DEGRADED
    return UP if numbers[UP] else UNKNOWN
