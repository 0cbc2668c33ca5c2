"""A check's past decided on again, because results of it came late: what would have been, had they come in time.

The very core that runs live decides. It begins at a moment at which what it remembers is known from the transitions
alone, takes all results from there, late or not, in the order in which they were known, and goes on until nothing can
be different any more:

- Right after a change to `up` or `unknown` the core remembers no outcome before it (`alerts.check_state`). So does one
  that begins further back from the last change than outcomes can count: after that many it remembers the same.
- Both are the same again when the state is, and no change was made in either for as many outcomes; or when both are
  `unknown` in silence.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import replace

from alerts.core import Core
from alerts.flapping import OUTCOMES
from alerts.model import CheckRule, CheckState, Memory, Result, Rules, State, Transition

_REMEMBERS_NOTHING = (State.UP, State.UNKNOWN)
FOREVER_MS = 1 << 62


class Redecision:
    """The core over one check's results around [from_ms, to_ms], in which late ones started.

    Attributes:
        begin_ms: what was known until then stays as it is.
        read_from_ms: from when on results are to be fed, in the order of their starts.
        end_ms: what became known after it stays as it is; FOREVER_MS until `is_over`.
        transitions: what the check did in between.

    """

    def __init__(
        self, rule: CheckRule, from_ms: int, to_ms: int, stored: Iterable[Transition], raw_from_ms: int = 0
    ) -> None:
        """Begin; `stored` are the check's transitions, of the time before `from_ms` at least the last ones.

        Results from before `raw_from_ms` are gone: it begins no earlier, and takes the stored state for granted.
        """
        self.rule = rule
        self.to_ms = to_ms
        self.end_ms = FOREVER_MS
        self.transitions: list[Transition] = []
        self._stored = sorted(stored, key=_detected_at)
        self._counting = max(rule.down.window, rule.up, OUTCOMES) + 1
        self.begin_ms, self._begin = _beginning(rule, self._counting, from_ms, self._stored)
        if self.begin_ms < raw_from_ms:
            self.begin_ms, self._begin = raw_from_ms, _standing(self._stored, raw_from_ms)
        self.read_from_ms = min(from_ms, self.begin_ms - round(rule.stale_after_s * 1000) - 1)
        self._core: Core | None = None
        self._waiting: list[tuple[int, int, str, Result]] = []
        self._next = sum(1 for transition in self._stored if transition.detected_at_ms <= self.begin_ms)
        self._outcomes = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing later can be different."""
        return self.end_ms < FOREVER_MS

    @property
    def state(self) -> CheckState:
        """What the core remembers of the check now."""
        return self._begin if self._core is None else self._core.memory.checks[self.rule.id]

    @property
    def replaced(self) -> list[Transition]:
        """The stored transitions in whose place these are."""
        return [one for one in self._stored if self.begin_ms < one.detected_at_ms <= self.end_ms]

    @property
    def is_last(self) -> bool:
        """Whether nothing that is stored became known later."""
        return not self._stored or self._stored[-1].detected_at_ms <= self.end_ms

    @property
    def stored_since_ms(self) -> int:
        """What the last stored state is dated at."""
        return self._stored[-1].at_ms if self._stored else 0

    def stop_at(self, end_ms: int) -> None:
        """End here: who decides now goes on from this state."""
        self.end_ms = end_ms

    def feed(self, result: Result) -> None:
        """Take a result; none may have started before the one that was fed last."""
        heapq.heappush(self._waiting, (result.known_at_ms, result.at_ms, result.agent, result))
        self._decide(result.at_ms)

    def pass_time(self, now_ms: int) -> None:
        """Let time pass until then; all results that started before have been fed."""
        self._decide(now_ms)
        if self.is_over or self._waiting:
            return
        self._keep(self._running().advance(now_ms))
        self._compare(now_ms)
        if now_ms > self.to_ms and self.state.state is State.UNKNOWN is self._stored_state:
            self.end_ms = now_ms

    def end_by(self, now_ms: int) -> None:
        """Let silence that is only going to be noticed be noticed now: nobody measures who would notice it.

        Whoever begins to measure before then would else be known earlier than the silence before it.
        """
        if not self.transitions or not self.state.last_at_ms <= now_ms < self.transitions[-1].detected_at_ms:
            return
        last = self.transitions[-1]
        self.transitions[-1] = replace(last, at_ms=min(last.at_ms, now_ms), detected_at_ms=now_ms)

    def finish(self) -> None:
        """Take what was fed last, after which there is nothing."""
        self._decide(FOREVER_MS)

    def _decide(self, until_ms: int) -> None:
        while self._waiting and self._waiting[0][0] < until_ms and not self.is_over:
            self._take(heapq.heappop(self._waiting)[-1])

    def _take(self, result: Result) -> None:
        if result.known_at_ms <= self.begin_ms:
            # It was decided on before: only that it was there counts, for silence begins after it.
            self._begin = self._begin._replace(last_at_ms=max(self._begin.last_at_ms, result.at_ms))
            return
        self._keep(self._running().feed(result))
        self._compare(result.known_at_ms)
        if result.at_ms <= self.to_ms:
            self._outcomes = 0
        elif result.state is not State.UNKNOWN:
            self._outcomes += 1
        if self._outcomes >= self._counting and self.state.state is self._stored_state:
            self.end_ms = result.known_at_ms

    def _running(self) -> Core:
        if self._core is None:
            begin = self._begin
            if not begin.last_at_ms and begin.state is not State.UNKNOWN:
                begin = begin._replace(last_at_ms=self.begin_ms)
            rules = Rules({self.rule.id: self.rule}, {})
            self._core = Core(rules, Memory(checks={self.rule.id: begin}))
            self._keep(self._core.advance(self.begin_ms))
        return self._core

    def _keep(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Transition):
                self.transitions.append(event)
                self._outcomes = 0

    def _compare(self, now_ms: int) -> None:
        """Note what is stored as known until now."""
        while self._next < len(self._stored) and self._stored[self._next].detected_at_ms <= now_ms:
            self._next += 1
            self._outcomes = 0

    @property
    def _stored_state(self) -> State:
        return self._stored[self._next - 1].after if self._next else State.UNKNOWN


def _beginning(rule: CheckRule, counting: int, from_ms: int, stored: Sequence[Transition]) -> tuple[int, CheckState]:
    """Return a moment before `from_ms`, and what was remembered then; 0 stands for the start of the last result."""
    # Twice as long as that many outcomes take: some may be missing, and silence would have been a change.
    calm_ms = round(2 * counting * rule.interval_s * 1000)
    until_ms = from_ms
    for change in reversed([one for one in stored if one.detected_at_ms < from_ms]):
        state = CheckState(change.after, change.at_ms, change.reason)
        if until_ms - change.detected_at_ms > calm_ms:
            return until_ms - calm_ms, state
        if change.after in _REMEMBERS_NOTHING:
            return change.detected_at_ms, state
        until_ms = min(until_ms, change.at_ms)
    return until_ms - calm_ms, CheckState()


def _standing(stored: Iterable[Transition], at_ms: int) -> CheckState:
    """Return the state that was known then, without what was remembered behind it."""
    state = CheckState()
    for change in stored:
        if change.detected_at_ms <= at_ms:
            state = CheckState(change.after, change.at_ms, change.reason)
    return state


def differences(before: Iterable[Transition], after: Iterable[Transition]) -> tuple[list[Transition], list[Transition]]:
    """Return the transitions that went and those that came, whenever they were known."""
    gone = {_what(one): one for one in before}
    come = {_what(one): one for one in after}
    return (
        [one for what, one in gone.items() if what not in come],
        [one for what, one in come.items() if what not in gone],
    )


def _what(transition: Transition) -> tuple[object, ...]:
    return transition.at_ms, transition.before, transition.after, transition.reason


def _detected_at(transition: Transition) -> int:
    return transition.detected_at_ms
