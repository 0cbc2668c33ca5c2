"""Root cause: which trouble opens an incident, which joins another's as impact, and which has to wait.

A target is in trouble when it is certainly down, or, for a link with members, certainly short of them. Its trouble is
explained (and joins what explains it) by

- a needed parent that fails: all alternatives of an entry of `depends_on` are down, or not known to be well again
  since an incident of theirs. It joins their incident, or the one that they have themselves joined: one cause;
- the link that it is a member of, if it is down: a link's channels open no incidents of their own. It joins the
  link's own incident, or that of the link's parents, but not what the link has joined for another channel's sake;
- of a group: members that have, or have joined, an incident. Of a link: members that are down, when each of them is
  explained by what it depends on or consists of itself.

What explains it may have no incident yet, because it waits itself or flaps: then the target is held until it has one,
or has recovered. A target with parents that nothing explains asks them (`RunNow`) and waits: it opens its own
incident when each needed entry has answered well (a result started since then), or after `settle`. What an incident
explained until now, and still is in trouble when it is over, gets `settle` to recover as well. Everything else opens
at once. An incident opened for want of an answer is merged into the parent's when the parent turns out to be down.

An incident is resolved when its cause is certainly no longer in trouble: never by silence, never while it flaps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from alerts.model import Event, Memory, Rules, RunNow, State, Waiting
from alerts.register import UNANSWERED, Register
from alerts.situation import FINE, OUTAGE, REDUNDANCY, Situation
from alerts.topology import Topology


class Explanation(NamedTuple):
    """What explains a target's trouble.

    Attributes:
        incidents: the open incidents to join.
        is_held: something explains it that has no incident yet.
        is_fresh: something of its own has newly failed that nothing explains, so that there is nothing to wait for.

    """

    incidents: tuple[str, ...]
    is_held: bool
    is_fresh: bool


class Incidents:
    """Decides on incidents, one step at a time: `review` what changed, then `flush` the events.

    Attributes:
        register: the open incidents.
        watched: by check, the waiting targets whose parents' answer its results are part of.

    """

    def __init__(
        self,
        rules: Rules,
        topology: Topology,
        situation: Situation,
        memory: Memory,
        wake_at: Callable[[int, str], None],
    ) -> None:
        self._rules = rules.targets
        self._topology = topology
        self._situation = situation
        self._memory = memory
        self._wake_at = wake_at
        self._todo: deque[str] = deque()
        self._asked: dict[str, None] = {}
        self._failing = {target for target in rules.targets if memory.targets[target].state is State.DOWN}
        self.register = Register(rules, situation, memory)
        self.watched: dict[str, dict[str, None]] = {}
        for target, waiting in memory.waiting.items():
            self._arm(target, waiting)

    def review(self, targets: Iterable[str], now_ms: int) -> None:
        """Decide about targets that changed, and about all that this changes for others."""
        self._todo.extend(targets)
        while self._todo:
            self._consider(self._todo.popleft(), now_ms)

    def answered(self, check: str, now_ms: int) -> None:
        """Decide about the targets that wait for what this check says of their parents."""
        self.review(tuple(self.watched.get(check, ())), now_ms)

    def due(self, target: str, now_ms: int) -> None:
        """Decide about a target whose time to wait may be over."""
        waiting = self._memory.waiting.get(target)
        if waiting is None or waiting.until_ms is None or now_ms < waiting.until_ms:
            return
        if self._situation.trouble(target) == FINE:
            # Not known to be well either: it is placed anew when its trouble is certain again.
            self._stop_waiting(target)
            self._stir(target)
        self.review((target,), now_ms)

    def flush(self, now_ms: int) -> list[Event]:
        """Return the events of the step: what to run at once, the incidents, the notifications."""
        events: list[Event] = []
        if self._asked:
            events.append(RunNow(now_ms, tuple(self._asked)))
            self._asked.clear()
        return events + self.register.flush(now_ms)

    def _consider(self, target: str, now_ms: int) -> None:
        own = self.register.by_cause.get(target)
        if own is not None:
            self._follow(target, own, now_ms)
        elif self._situation.trouble(target) != FINE:
            self._place(target, now_ms)
        elif self._situation.is_over(target):
            self.register.leave(target)
            if self._stop_waiting(target):
                self._stir(target)
        fails = self._fails(target)
        if fails is not (target in self._failing):
            (self._failing.add if fails else self._failing.discard)(target)
            self._stir(target)

    def _follow(self, target: str, own: str, now_ms: int) -> None:
        """Keep a target's own incident in step with it."""
        situation, register = self._situation, self.register
        if situation.is_over(target):
            self._resolve(own, now_ms)
            return
        best = situation.best(target)
        causes = self._late_causes(target, own) if situation.level(target, best) != FINE else []
        if causes:
            self._resolve(own, now_ms, "merged", ", ".join(causes))
            self._join(target, causes, now_ms)
            return
        level = register.level(own)
        if situation.level(target, best) > level:
            register.worsen(own, best, now_ms)
        elif situation.level(target, situation.worst(target)) < level:
            register.ease(own, now_ms)
        register.reconsider((own,))

    def _late_causes(self, target: str, own: str) -> list[str]:
        """Return the incidents that the target's own should be part of.

        They are those that explain one opened for want of an answer, begun before that and known after it, and
        those of the link that the target has become a member of by a reload.
        """
        above = self._incidents_above(target)
        if above:
            return list(above)
        if not self.register.was_unanswered(target):
            return []
        incidents = self._memory.incidents
        opened_ms = incidents[own].opened_ms
        return [id_ for id_ in self._explain(target).incidents if incidents[id_].started_ms <= opened_ms]

    def _place(self, target: str, now_ms: int) -> None:
        """Find the place of trouble that has no incident of its own."""
        explanation = self._explain(target)
        self.register.leave(target, explanation.incidents)
        waiting = self._memory.waiting.get(target)
        if explanation.incidents:
            self._join(target, explanation.incidents, now_ms)
        elif waiting is None:
            self._place_new(target, explanation, now_ms)
        elif waiting.until_ms is None:
            if explanation.is_fresh and not explanation.is_held:
                self._open(target, now_ms)
            elif not explanation.is_held:
                self._wait(target, Waiting(waiting.since_ms, now_ms + self._settle_ms(target), asked=False))
        else:
            has_answer = waiting.asked and self._parents_are_well(target, waiting.since_ms)
            if explanation.is_held and (has_answer or now_ms >= waiting.until_ms):
                self._wait(target, Waiting(waiting.since_ms, None, asked=False))
                self._stir(target)
            elif has_answer or now_ms >= waiting.until_ms:
                self._open(target, now_ms, UNANSWERED if waiting.asked and not has_answer else "")

    def _place_new(self, target: str, explanation: Explanation, now_ms: int) -> None:
        until_ms = now_ms + self._settle_ms(target)
        if self.register.is_hurt(target) and not explanation.is_fresh:
            self._wait(target, Waiting(now_ms, until_ms, asked=False))
        elif self._topology.parents[target]:
            self._wait(target, Waiting(now_ms, until_ms, asked=True))
            self._asked.update(dict.fromkeys(self._topology.parent_checks(target)))
        elif explanation.is_held:
            self._wait(target, Waiting(now_ms, None, asked=False))
        else:
            self._open(target, now_ms)

    def _explain(self, target: str) -> Explanation:
        """Say what explains the target's trouble; see the top of the file."""
        failed = self._failed_parents(target)
        incidents = self._incidents_of_all(failed, target) or self._incidents_above(target)
        if incidents:
            return Explanation(incidents, is_held=False, is_fresh=False)
        by_members = self._explain_by_members(target, {})
        is_held = bool(failed or self._links(target)) or by_members.is_held
        return by_members._replace(is_held=is_held and not by_members.incidents)

    def _links(self, target: str) -> tuple[str, ...]:
        """Return the links that answer for a target that is down; one only short of members counts as up in them."""
        return self._topology.links[target] if self._situation.trouble(target) == OUTAGE else ()

    def _incidents_above(self, target: str) -> tuple[str, ...]:
        """Return the incidents of the links that the target is part of: their own, or those of their parents.

        Not those that a link has joined for the sake of another member: they explain nothing of this one.
        """
        found: dict[str, None] = {}
        seen: dict[str, None] = {}
        todo = list(self._links(target))
        while todo:
            link = todo.pop()
            if link not in seen:
                seen[link] = None
                causes = [link] if link in self.register.by_cause else self._failed_parents(link)
                found.update(dict.fromkeys(self._incidents_of_all(causes, target)))
                todo += self._topology.links[link]
        return tuple(found)

    def _incidents_of_all(self, causes: Iterable[str], target: str) -> tuple[str, ...]:
        """Return the incidents of all these, without the target's own."""
        own = self.register.by_cause.get(target)
        found = dict.fromkeys(id_ for cause in causes for id_ in self.register.incidents_of(cause))
        if own is not None:
            found.pop(own, None)
        return tuple(found)

    def _explain_by_members(self, target: str, seen: dict[str, tuple[str, ...]]) -> Explanation:
        """Say what members explain: `seen` is what is known already of those that are reached over many ways."""
        troubled = [m for m in self._topology.members[target] if self._situation.trouble(m) == OUTAGE]
        is_group = self._rules[target].type != "link"
        if not troubled or (not is_group and self._situation.own_checks_are_down(target)):
            is_fresh = bool(self._topology.members[target] and self.register.incidents_of(target))
            return Explanation((), is_held=False, is_fresh=is_fresh)
        own = self.register.by_cause.get(target)
        explained = {m: self.register.incidents_of(m) if is_group else self._causes_below(m, seen) for m in troubled}
        incidents = tuple(dict.fromkeys(id_ for ids in explained.values() for id_ in ids if id_ != own))
        unexplained = [member for member in troubled if not explained[member]]
        if incidents and (is_group or not unexplained):
            return Explanation(incidents, is_held=False, is_fresh=False)
        is_held = bool(unexplained) if is_group else any(map(self._is_undecided, unexplained))
        is_fresh = any(not self.register.is_hurt(member) for member in unexplained)
        return Explanation((), is_held, is_fresh)

    def _causes_below(self, member: str, seen: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Return the incidents that explain a link's member by what it depends on or consists of itself."""
        if member not in seen:
            by_parents = self._incidents_of_all(self._failed_parents(member), member)
            seen[member] = by_parents or self._explain_by_members(member, seen).incidents
        return seen[member]

    def _is_undecided(self, member: str) -> bool:
        """Say whether it is still open if parents explain a link's member: its own, or those of its members."""
        return any(
            self._waits_for_parents(part)
            for part in self._topology.with_members((member,))
            if part == member or (self._situation.trouble(part) != FINE and not self.register.incidents_of(part))
        )

    def _waits_for_parents(self, target: str) -> bool:
        waiting = self._memory.waiting.get(target)
        if waiting is not None and waiting.until_ms is not None:
            return True
        return any(not self.register.incidents_of(parent) for parent in self._failed_parents(target))

    def _failed_parents(self, target: str) -> list[str]:
        entries = self._topology.parents[target]
        return [parent for entry in entries if all(map(self._fails, entry)) for parent in entry]

    def _fails(self, target: str) -> bool:
        """Say whether the target fails those who depend on it: down, or not known to be well since an incident."""
        if self._memory.targets[target].state is State.DOWN:
            return True
        if not self.register.incidents_of(target):
            return False
        # A link that is only short of members carries traffic, whatever else is not known of it.
        own = self.register.by_cause.get(target)
        if own is not None and self.register.level(own) == REDUNDANCY:
            return False
        return self._situation.worst(target).state is State.DOWN

    def _parents_are_well(self, target: str, since_ms: int) -> bool:
        return all(
            any(self._situation.has_answered_well(parent, since_ms) for parent in entry)
            for entry in self._topology.parents[target]
        )

    def _open(self, target: str, now_ms: int, detail: str = "") -> None:
        self._stop_waiting(target)
        self.register.open(target, self._situation.best(target), now_ms, detail)
        self._stir(target)

    def _join(self, target: str, incidents: Iterable[str], now_ms: int) -> None:
        was_waiting = self._stop_waiting(target)
        joined = [self.register.join(id_, target, now_ms) for id_ in incidents]
        if was_waiting or any(joined):
            self._stir(target)

    def _resolve(self, own: str, now_ms: int, what: str = "resolved", detail: str = "") -> None:
        closed = self.register.resolve(own, now_ms, what, detail)
        self._todo.extend(target for target in closed.impact if target in self._rules)
        self._stir(closed.target)

    def _stir(self, target: str) -> None:
        """Let those be decided about again whose trouble this target may explain."""
        topology, register = self._topology, self.register
        # What a link waits for may be deep below it, so all that the target is part of is asked, at every height.
        for other in (*topology.children[target], *topology.members[target], *topology.above(target)):
            may_merge = register.was_unanswered(other) or (other in register.by_cause and topology.links[other])
            if other in self._memory.waiting or register.is_hurt(other) or may_merge:
                self._todo.append(other)

    def _wait(self, target: str, waiting: Waiting) -> None:
        self._stop_waiting(target)
        self._memory.waiting[target] = waiting
        self._arm(target, waiting)

    def _arm(self, target: str, waiting: Waiting) -> None:
        if waiting.until_ms is not None:
            self._wake_at(waiting.until_ms, target)
        if waiting.asked:
            for check in self._topology.parent_checks(target):
                self.watched.setdefault(check, {})[target] = None

    def _stop_waiting(self, target: str) -> bool:
        waiting = self._memory.waiting.pop(target, None)
        if waiting is not None and waiting.asked:
            for check in self._topology.parent_checks(target):
                targets = self.watched[check]
                targets.pop(target, None)
                if not targets:
                    del self.watched[check]
        return waiting is not None

    def _settle_ms(self, target: str) -> int:
        return round(self._rules[target].settle_s * 1000)
