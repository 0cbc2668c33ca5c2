"""How things stand: what the remembered states amount to, and what is certain of it.

Nothing is opened, announced or resolved on what is not certain. A part that is unknown or flapping may be anything,
so every target has two more states beside its own: the best and the worst that it may really be in. Trouble is
certain when even the best is trouble; it is over when even the worst is not.
"""

from __future__ import annotations

from typing import NamedTuple

from alerts.model import REDUNDANCY_LOST, CheckState, Memory, Rules, State
from alerts.target_state import Part, Verdict, of_checks, of_target
from alerts.topology import Topology

FINE = 0
"""Level of a target without trouble of its own."""
REDUNDANCY = 1
"""Level of a link that carries traffic over fewer members than it has."""
OUTAGE = 2
"""Level of a target that is down."""

_GOOD = (State.UP, State.DEGRADED)
_BAD = 2


class Standing(NamedTuple):
    """The best and the worst that a target may really be in; the same unless something about it is uncertain."""

    best: Verdict
    worst: Verdict


class Situation:
    """Reads the memory, and keeps how every target stands; `work_out` is told which target may have changed."""

    def __init__(self, rules: Rules, topology: Topology, memory: Memory) -> None:
        self._rules = rules.targets
        self._checks = rules.checks
        self._topology = topology
        self._memory = memory
        self._standing: dict[str, Standing] = {}
        for target in topology.rank:
            self._standing[target] = self._stand(target, self.verdict(target))

    def parts(self, target: str) -> tuple[list[Part], list[Part]]:
        """Return the target's checks and its members as they are."""
        checks, targets = self._memory.checks, self._memory.targets
        return (
            [
                Part(state.state, state.since_ms, state.reason, self._checks[id_].critical)
                for id_, state in ((id_, checks[id_]) for id_ in self._topology.checks[target])
            ],
            [
                Part(member.state, member.since_ms, member.reason)
                for member in (targets[id_] for id_ in self._topology.members[target])
            ],
        )

    def verdict(self, target: str) -> Verdict:
        """Return what the target's parts amount to."""
        checks, members = self.parts(target)
        return of_target(self._rules[target], checks, members)

    def work_out(self, target: str, verdict: Verdict) -> bool:
        """Take note of what the target's parts amount to now; return whether it stands otherwise than before."""
        before, after = self._standing[target], self._stand(target, verdict)
        self._standing[target] = after
        return after != before

    def best(self, target: str) -> Verdict:
        """Return the best that the target may be: what is unknown or flapping taken as up."""
        return self._standing[target].best

    def worst(self, target: str) -> Verdict:
        """Return the worst that the target may be: what is unknown or flapping taken as down."""
        return self._standing[target].worst

    def is_flapping(self, target: str) -> bool:
        """Say whether a critical check flaps, or flapping members leave it open what the target is."""
        states, targets = self._memory.checks, self._memory.targets
        if any(states[id_].flapping and self._checks[id_].critical for id_ in self._topology.checks[target]):
            return True
        if not any(targets[member].flapping for member in self._topology.members[target]):
            return False
        best, worst = self._standing[target]
        return best.state is not worst.state

    def trouble(self, target: str) -> int:
        """Return the level of trouble that is certain."""
        return self.level(target, self._standing[target].best)

    def is_over(self, target: str) -> bool:
        """Say whether it is certain that the target has no trouble."""
        return self.level(target, self._standing[target].worst) == FINE

    def level(self, target: str, verdict: Verdict) -> int:
        """Return what a state of this target is worth: FINE, REDUNDANCY (links only) or OUTAGE."""
        if verdict.state is State.DOWN:
            return OUTAGE
        is_short = verdict == _SHORT and self._rules[target].type == "link"
        return REDUNDANCY if is_short else FINE

    def own_checks_are_down(self, target: str) -> bool:
        """Say whether the target's own checks, without its members, certainly have it down."""
        checks = self._checks_as(target, State.UP)
        return bool(checks) and of_checks(checks).state is State.DOWN

    def has_answered_well(self, target: str, since_ms: int, seen: dict[str, bool] | None = None) -> bool:
        """Say whether results started since then show that the target is not down.

        `seen` is what is known of others already: members may be reached over many ways.
        """
        seen = {} if seen is None else seen
        if target not in seen:
            seen[target] = self._has_answered_well(target, since_ms, seen)
        return seen[target]

    def message(self, target: str) -> str:
        """Return the last message behind the target's trouble: of its first check that is down, or of a member's."""
        for part in self._topology.with_members((target,)):
            for id_ in self._topology.checks[part]:
                state = self._memory.checks[id_]
                if state.state is State.DOWN:
                    return state.message
        return ""

    def is_muted(self, target: str, now_ms: int, seen: dict[str, bool] | None = None) -> bool:
        """Say whether notifications about the target are muted now.

        A link or group is muted as well when its trouble comes from members alone that are muted, each of them:
        planned work on one channel announces no lost redundancy, but the loss of another channel meanwhile is.
        """
        seen = {} if seen is None else seen
        if target not in seen:
            seen[target] = self._topology.is_covered(target, now_ms) or self._has_muted_cause(target, now_ms, seen)
        return seen[target]

    def _has_muted_cause(self, target: str, now_ms: int, seen: dict[str, bool]) -> bool:
        members = [m for m in self._topology.members[target] if self._memory.targets[m].state not in _GOOD]
        if not members or self.own_checks_are_down(target):
            return False
        return all(self.is_muted(member, now_ms, seen) for member in members)

    def _has_answered_well(self, target: str, since_ms: int, seen: dict[str, bool]) -> bool:
        if self._memory.targets[target].state not in _GOOD:
            return False
        checks, members = self._topology.checks[target], self._topology.members[target]
        deciding = [id_ for id_ in checks if self._checks[id_].critical] or checks
        if not all(_is_good_since(self._memory.checks[id_], since_ms) for id_ in deciding):
            return False
        needed = (self._rules[target].need or len(members)) if members else 0
        return sum(self.has_answered_well(member, since_ms, seen) for member in members) >= needed

    def _stand(self, target: str, verdict: Verdict) -> Standing:
        checks, members = self._topology.checks[target], self._topology.members[target]
        if not any(_is_uncertain(self._memory.checks[id_]) for id_ in checks) and all(
            self._standing[member].best == self._standing[member].worst for member in members
        ):
            return Standing(verdict, verdict) if checks or members else _ANYTHING
        return Standing(self._bound(target, State.UP), self._bound(target, State.DOWN))

    def _bound(self, target: str, stands_for: State) -> Verdict:
        """Return what the target would be if all that is uncertain of it were so."""
        members = []
        for id_ in self._topology.members[target]:
            best, worst = self._standing[id_]
            bound = best if stands_for is State.UP else worst
            members.append(Part(bound.state, self._memory.targets[id_].since_ms, bound.reason))
        return of_target(self._rules[target], self._checks_as(target, stands_for), members)

    def _checks_as(self, target: str, stands_for: State) -> list[Part]:
        states = ((id_, self._memory.checks[id_]) for id_ in self._topology.checks[target])
        return [
            Part(
                stands_for if _is_uncertain(state) else state.state,
                state.since_ms,
                state.reason,
                self._checks[id_].critical,
            )
            for id_, state in states
        ]


_SHORT = Verdict(State.DEGRADED, REDUNDANCY_LOST)
_ANYTHING = Standing(Verdict(State.UP), Verdict(State.DOWN))


def _is_uncertain(state: CheckState) -> bool:
    return state.flapping or state.state is State.UNKNOWN


def _is_good_since(state: CheckState, since_ms: int) -> bool:
    return state.last_at_ms >= since_ms and (not state.recent or 0 <= state.recent[-1][1] < _BAD)
