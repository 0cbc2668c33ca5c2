"""How things stand: what the remembered states amount to, and what is certain of it.

Nothing is opened, announced or resolved on what is not certain. A part that is unknown or flapping may be anything,
so every target has two more states beside its own: the best and the worst that it may really be in. Trouble is
certain when even the best is trouble; it is over when even the worst is not.
"""

from __future__ import annotations

from collections.abc import Callable

from alerts.model import REDUNDANCY_LOST, CheckState, Memory, Rules, State, TargetState
from alerts.target_state import NOTHING_KNOWN, Part, Verdict, of_checks, of_target
from alerts.topology import Topology

FINE = 0
"""Level of a target without trouble of its own."""
REDUNDANCY = 1
"""Level of a link that carries traffic over fewer members than it has."""
OUTAGE = 2
"""Level of a target that is down."""

_GOOD = (State.UP, State.DEGRADED)
_BAD = 2


class Situation:
    """Reads the memory; changes nothing."""

    def __init__(self, rules: Rules, topology: Topology, memory: Memory) -> None:
        self._rules = rules.targets
        self._checks = rules.checks
        self._topology = topology
        self._memory = memory

    def parts(self, target: str) -> tuple[list[Part], list[Part]]:
        """Return the target's checks and its members as they are."""
        return self._parts(target, _as_it_is, _as_it_is)

    def verdict(self, target: str) -> Verdict:
        """Return what the target's parts amount to."""
        checks, members = self.parts(target)
        return of_target(self._rules[target], checks, members)

    def best(self, target: str) -> Verdict:
        """Return the best that the target may be: what is unknown or flapping taken as up."""
        return self._bound(target, State.UP)

    def worst(self, target: str) -> Verdict:
        """Return the worst that the target may be: what is unknown or flapping taken as down."""
        return self._bound(target, State.DOWN)

    def is_flapping(self, target: str) -> bool:
        """Say whether a critical check flaps, or flapping members leave it open what the target is."""
        states = self._memory.checks
        if any(states[id_].flapping and self._checks[id_].critical for id_ in self._topology.checks[target]):
            return True
        members = self._topology.members[target]
        if not any(self._memory.targets[member].flapping for member in members):
            return False
        return self.best(target).state is not self.worst(target).state

    def trouble(self, target: str) -> int:
        """Return the level of trouble that is certain."""
        return self.level(target, self.best(target))

    def is_over(self, target: str) -> bool:
        """Say whether it is certain that the target has no trouble."""
        return self.level(target, self.worst(target)) == FINE

    def level(self, target: str, verdict: Verdict) -> int:
        """Return what a state of this target is worth: FINE, REDUNDANCY (links only) or OUTAGE."""
        if verdict.state is State.DOWN:
            return OUTAGE
        is_short = verdict == Verdict(State.DEGRADED, REDUNDANCY_LOST) and self._rules[target].type == "link"
        return REDUNDANCY if is_short else FINE

    def own_checks_are_down(self, target: str) -> bool:
        """Say whether the target's own checks, without its members, certainly have it down."""
        checks, _ = self._parts(target, _substitute(State.UP), _as_it_is)
        return bool(checks) and of_checks(checks).state is State.DOWN

    def has_answered_well(self, target: str, since_ms: int) -> bool:
        """Say whether results started since then show that the target is not down."""
        if self._memory.targets[target].state not in _GOOD:
            return False
        checks, members = self._topology.checks[target], self._topology.members[target]
        deciding = [id_ for id_ in checks if self._checks[id_].critical] or checks
        if not all(_is_good_since(self._memory.checks[id_], since_ms) for id_ in deciding):
            return False
        if not members:
            return True
        needed = self._rules[target].need or len(members)
        return sum(self.has_answered_well(member, since_ms) for member in members) >= needed

    def message(self, target: str) -> str:
        """Return the last message behind the target's trouble: of its first check that is down, or of a member's."""
        for part in self._topology.with_members((target,)):
            for id_ in self._topology.checks[part]:
                state = self._memory.checks[id_]
                if state.state is State.DOWN:
                    return state.message
        return ""

    def is_muted(self, target: str, now_ms: int) -> bool:
        """Say whether notifications about the target are muted now.

        A link or group is muted as well when its trouble comes from members alone that are muted, each of them:
        planned work on one channel announces no lost redundancy, but the loss of another channel meanwhile is.
        """
        if self._topology.is_covered(target, now_ms):
            return True
        members = [m for m in self._topology.members[target] if self._memory.targets[m].state not in _GOOD]
        if not members or self.own_checks_are_down(target):
            return False
        return all(self.is_muted(member, now_ms) for member in members)

    def _bound(self, target: str, stands_for: State) -> Verdict:
        state = self._memory.targets[target]
        if not (self._topology.members[target] or state.flapping or self._is_uncertain(target)):
            return Verdict(state.state, state.reason)
        checks, members = self._parts(target, _substitute(stands_for), _as_it_is)
        members = [
            part._replace(state=bound.state, reason=bound.reason)
            for part, bound in zip(
                members, (self._bound(m, stands_for) for m in self._topology.members[target]), strict=True
            )
        ]
        if not checks and not members:
            return NOTHING_KNOWN._replace(state=stands_for)
        return of_target(self._rules[target], checks, members)

    def _is_uncertain(self, target: str) -> bool:
        checks = self._topology.checks[target]
        states = self._memory.checks
        return not checks or any(states[id_].state is State.UNKNOWN or states[id_].flapping for id_ in checks)

    def _parts(
        self, target: str, of_check: Callable[[CheckState], State], of_member: Callable[[TargetState], State]
    ) -> tuple[list[Part], list[Part]]:
        checks, targets = self._memory.checks, self._memory.targets
        return (
            [
                Part(of_check(state := checks[id_]), state.since_ms, state.reason, self._checks[id_].critical)
                for id_ in self._topology.checks[target]
            ],
            [
                Part(of_member(member := targets[id_]), member.since_ms, member.reason)
                for id_ in self._topology.members[target]
            ],
        )


def _as_it_is(state: CheckState | TargetState) -> State:
    return state.state


def _substitute(stands_for: State) -> Callable[[CheckState], State]:
    def of_check(state: CheckState) -> State:
        return stands_for if state.state is State.UNKNOWN or state.flapping else state.state

    return of_check


def _is_good_since(state: CheckState, since_ms: int) -> bool:
    return state.last_at_ms >= since_ms and (not state.recent or 0 <= state.recent[-1][1] < _BAD)
