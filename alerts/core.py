"""The core: results and time in, events out. Live and in a replay it is this very object that decides.

Deterministic: the same rules, memory, results (in the order in which they were known) and times give the same events.
Each step (one result, or one timer) gives its events in this order: transitions of the check, of its target and of
what that is a member of; flapping; what to run at once; incidents; notifications.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from enum import IntEnum

from alerts.check_state import confirming, evaluate, expire, stale_at_ms
from alerts.flapping import CALM
from alerts.incidents import Incidents
from alerts.model import (
    NO_RESULTS,
    CheckRule,
    CheckState,
    Event,
    Flapping,
    Memory,
    Result,
    Rules,
    State,
    Subject,
    TargetState,
    Transition,
)
from alerts.situation import Situation
from alerts.target_state import dated, of_target
from alerts.topology import Topology


class _Timer(IntEnum):
    """What falls due; at the same millisecond in this order."""

    STALE = 0
    SETTLE = 1
    MUTE_END = 2


class Core:
    """Turns results and the passing of time into transitions, incidents and notifications.

    A core that is given a memory takes up where that was left. What fell due before its first `advance` is detected
    then, because nobody was there to see it before; a result that it is fed before that is history, and what falls
    due between such results falls due at its own time.

    Attributes:
        memory: what it remembers now; it changes in place.
        changed_checks: checks that changed in state or flapping since the caller last cleared it.
        changed_targets: the same of targets, and those whose reason changed.

    """

    def __init__(self, rules: Rules, memory: Memory | None = None) -> None:
        """Begin with these rules. Raises ValueError when groups contain each other."""
        self.memory = memory if memory is not None else Memory()
        self.changed_checks: set[str] = set()
        self.changed_targets: set[str] = set()
        self._now_ms = 0
        self._is_resuming = self._is_unsettled = any(state.last_at_ms for state in self.memory.checks.values())
        self._take(rules)

    def feed(self, result: Result) -> list[Event]:
        """Let time pass until the result was known, then decide on it.

        What falls due at that very millisecond is decided after it: a result is a better witness than its absence.
        A result of an unknown check, or one that did not start after the last one of its check, changes nothing.
        """
        check = result.check
        if check not in self._rules.checks:
            return []
        now_ms = result.known_at_ms
        events: list[Event] = []
        if self._timers and self._timers[0][0] < now_ms:
            self._pass_time(now_ms - 1, 0, events)
        if self._is_unsettled:
            self._settle_in(now_ms, events)
        self._now_ms = max(self._now_ms, now_ms)
        at_ms, before = result.at_ms, self.memory.checks[check]
        if at_ms <= before.last_at_ms:
            return events
        if (
            result.state is State.UP
            and before.state is State.UP
            and not before.recent
            and not before.flapping
            and (before.history is CALM or not any(before.history))
        ):
            # Up again, as nearly always: only the time and the length of an uneventful history are new.
            calm = CALM[: len(before.history) + 1]
            self.memory.checks[check] = CheckState(State.UP, before.since_ms, "", "", at_ms, (), calm, False)
            if check in self._incidents.watched:
                self._incidents.answered(check, now_ms)
                events += self._incidents.flush(now_ms)
            return events
        self._evaluate(check, before, result, now_ms, events)
        return events

    def advance(self, now_ms: int) -> list[Event]:
        """Let time pass until `now_ms`: silence, waits and mutes end. Asking twice changes nothing more."""
        events: list[Event] = []
        self._pass_time(now_ms, now_ms if self._is_resuming else 0, events)
        self._is_resuming = False
        if self._is_unsettled:
            self._settle_in(now_ms, events)
        self._now_ms = max(self._now_ms, now_ms)
        return events

    def next_ms(self) -> int | None:
        """Return when `advance` may have something to do, None when only results can change anything."""
        return self._timers[0][0] if self._timers else None

    def confirming(self, check_id: str) -> bool:
        """Say whether a change of the check is being confirmed, so that it should run at its retry interval."""
        state = self.memory.checks.get(check_id)
        return state is not None and bool(state.recent) and confirming(state)

    @property
    def now_ms(self) -> int:
        """Until when time has passed."""
        return self._now_ms

    def silent_at_ms(self, check: str) -> int:
        """Return when silence after its last result makes a check unknown, or has made it so."""
        return stale_at_ms(self._rules.checks[check], self.memory.checks[check])

    def correct(self, check: str, state: CheckState) -> list[Event]:
        """Go on from another state of a check, which results that came late have shown to be the true one.

        What it amounts to is worked out as of now; the check's own transitions are for whoever found that out.
        """
        rule = self._rules.checks[check]
        self.memory.checks[check] = state
        self.changed_checks.add(check)
        if state.last_at_ms and check not in self._armed:
            self._arm(rule, state)
        events: list[Event] = []
        if not self._is_unsettled and rule.target in self._rules.targets:
            self._decide({rule.target: state.since_ms}, self._now_ms, events)
            events += self._incidents.flush(self._now_ms)
        return events

    def replace_rules(self, rules: Rules) -> list[Event]:
        """Take other rules; the states of checks and targets that they still have stay.

        Open incidents of targets that are gone are resolved; the states of targets whose parts are others now are
        worked out anew, as of now. Raises ValueError, changing nothing, when groups contain each other.
        """
        self._take(rules)
        events: list[Event] = []
        if not self._is_unsettled:
            self._settle_in(self._now_ms, events)
        return events

    def _take(self, rules: Rules) -> None:
        topology, memory = Topology(rules), self.memory
        memory.checks = {id_: memory.checks.get(id_, CheckState()) for id_ in rules.checks}
        memory.targets = {id_: memory.targets.get(id_, TargetState()) for id_ in rules.targets}
        memory.waiting = {id_: waiting for id_, waiting in memory.waiting.items() if id_ in rules.targets}
        self.changed_checks &= memory.checks.keys()
        self.changed_targets &= memory.targets.keys()
        self._rules = rules
        self._topology = topology
        self._timers: list[tuple[int, _Timer, str]] = []
        self._armed: set[str] = set()
        self._situation = Situation(rules, topology, memory)
        self._incidents = Incidents(rules, topology, self._situation, memory, self._wake_at)
        for id_, state in memory.checks.items():
            if state.last_at_ms and (state.state is not State.UNKNOWN or state.recent or state.reason != NO_RESULTS):
                self._arm(rules.checks[id_], state)
        for to_ms in {window.to_ms for window in (*rules.maintenance, *rules.silences)}:
            if to_ms > self._now_ms:
                heapq.heappush(self._timers, (to_ms, _Timer.MUTE_END, ""))

    def _settle_in(self, now_ms: int, events: list[Event]) -> None:
        """Work everything out once, after a start or a reload: what was saved may be of other rules."""
        self._is_unsettled = False
        register = self._incidents.register
        for id_, incident in list(self.memory.incidents.items()):
            if incident.target not in self._rules.targets:
                register.resolve(id_, now_ms, detail="no longer in the configuration")
        self._decide(dict.fromkeys(self._topology.rank, now_ms), now_ms, events)
        register.reconsider(self.memory.incidents)
        events += self._incidents.flush(now_ms)

    def _evaluate(self, check: str, before: CheckState, result: Result, now_ms: int, events: list[Event]) -> None:
        rule = self._rules.checks[check]
        after, transition, flapping = evaluate(rule, before, result)
        self.memory.checks[check] = after
        if check not in self._armed:
            self._arm(rule, after)
        if self._has_changed(rule, before, after, (transition, flapping), events):
            self._decide({rule.target: after.since_ms}, now_ms, events)
        if check in self._incidents.watched:
            self._incidents.answered(check, now_ms)
        events += self._incidents.flush(now_ms)

    def _has_changed(
        self,
        rule: CheckRule,
        before: CheckState,
        after: CheckState,
        found: Iterable[Transition | Flapping | None],
        events: list[Event],
    ) -> bool:
        """Note what happened to a check, and say whether it can matter to its target."""
        changes = [change for change in found if change is not None]
        if changes:
            self.changed_checks.add(rule.id)
            events += changes
        return bool(changes or before.reason != after.reason) and rule.target in self._rules.targets

    def _decide(self, causes: dict[str, int], now_ms: int, events: list[Event]) -> None:
        """Work out targets and, where they changed, what they are members of; then review the incidents of all.

        `causes` are the targets to begin with, and the time that the change behind each is dated at.
        """
        rank, containers = self._topology.rank, self._topology.containers
        queue = [(rank[target], target) for target in causes]
        heapq.heapify(queue)
        while queue:
            _, target = heapq.heappop(queue)
            if not self._work_out(target, causes[target], now_ms, events):
                continue
            since_ms = self.memory.targets[target].since_ms
            for container in containers[target]:
                if container not in causes:
                    heapq.heappush(queue, (rank[container], container))
                causes[container] = max(causes.get(container, 0), since_ms)
        self._incidents.review(sorted(causes, key=rank.__getitem__), now_ms)

    def _work_out(self, target: str, cause_ms: int, now_ms: int, events: list[Event]) -> bool:
        """Work out one target's state, reason and flapping; return whether any of them changed."""
        before = self.memory.targets[target]
        checks, members = self._situation.parts(target)
        verdict = of_target(self._rules.targets[target], checks, members)
        stands_otherwise = self._situation.work_out(target, verdict)
        since_ms = before.since_ms
        if verdict.state is not before.state:
            since_ms = dated(since_ms, verdict.state, cause_ms, (*checks, *members))
            change = Transition(Subject.TARGET, target, before.state, verdict.state, since_ms, now_ms, verdict.reason)
            events.append(change)
        is_flapping = self._situation.is_flapping(target)
        if is_flapping is not before.flapping:
            events.append(Flapping(Subject.TARGET, target, now_ms, is_flapping))
        after = TargetState(verdict.state, since_ms, verdict.reason, is_flapping)
        if after == before:
            return stands_otherwise
        self.memory.targets[target] = after
        self.changed_targets.add(target)
        return True

    def _pass_time(self, until_ms: int, floor_ms: int, events: list[Event]) -> None:
        """Fire the timers due until then, each at its own time, or at `floor_ms` or what has been decided if later."""
        while self._timers and self._timers[0][0] <= until_ms:
            # A result that took longer than its check's patience sets a timer for a time that is over.
            now_ms = max(self._timers[0][0], floor_ms, self._now_ms)
            self._now_ms = max(self._now_ms, now_ms)
            self._fall_silent(now_ms, events)
            if self._timers and self._timers[0][0] <= now_ms:
                _, kind, id_ = heapq.heappop(self._timers)
                if kind is _Timer.SETTLE:
                    self._incidents.due(id_, now_ms)
                elif kind is _Timer.MUTE_END:
                    self._incidents.register.reconsider(self.memory.incidents)
                events += self._incidents.flush(now_ms)

    def _fall_silent(self, now_ms: int, events: list[Event]) -> None:
        """Decide on all silence that is due by now as one step: a group whose members all fall silent does so once."""
        causes: dict[str, int] = {}
        while self._timers and self._timers[0][0] <= now_ms and self._timers[0][1] is _Timer.STALE:
            due_ms, _, check = self._timers[0]
            rule, before = self._rules.checks[check], self.memory.checks[check]
            actual_ms = stale_at_ms(rule, before)
            if actual_ms > due_ms:
                # Results have come since the timer was set: set it anew here rather than at every result.
                heapq.heapreplace(self._timers, (actual_ms, _Timer.STALE, check))
                continue
            heapq.heappop(self._timers)
            self._armed.discard(check)
            after, transition = expire(rule, before, now_ms)
            self.memory.checks[check] = after
            if self._has_changed(rule, before, after, (transition,), events):
                causes[rule.target] = max(causes.get(rule.target, 0), after.since_ms)
        if causes:
            self._decide(causes, now_ms, events)
            events += self._incidents.flush(now_ms)

    def _arm(self, rule: CheckRule, state: CheckState) -> None:
        self._armed.add(rule.id)
        heapq.heappush(self._timers, (stale_at_ms(rule, state), _Timer.STALE, rule.id))

    def _wake_at(self, at_ms: int, target: str) -> None:
        heapq.heappush(self._timers, (at_ms, _Timer.SETTLE, target))
