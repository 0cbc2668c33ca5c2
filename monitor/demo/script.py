"""The script of faults: what goes wrong where and when, and what a good monitor should conclude from it.

Script time is seconds since the start; the scenes repeat every `CYCLE_S`, each time with other victims, drawn
from the seed. The first cycle is always the same (`docs/demo.md`). Scenes may run over the end of their cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from monitor.demo.plan import Plan

CYCLE_S = 600.0
MAX_AGE_S = 60.0
"""How old the newest row of a database may be: `max_age` in the configuration."""
FLAP_S = 2.0
FLAPS = "10110010100110101100100"
"""A flapping service is bad in each span of `FLAP_S` that has a 1: irregular, so that no rhythm of checks hides it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a far end does differently.

    Attributes:
        cut: nothing gets there or back: packets vanish, connections are never answered.
        refuse: nobody listens any more.
        loss_ratio: share of packets lost beside the usual.
        detour_s: round-trip time added.
        added_s: service time added, give or take a fifth.
        expired: the certificate shown is one that ran out.
        soap_fault: answers are SOAP faults inside a 200.
        status: HTTP status of every answer, 0 for the usual.
        health: the `status` inside the JSON of a health answer, "" for the usual.
        stalled_since_s: script time of the newest row, None when rows keep coming.
        refuse_login: the password is no longer accepted.
        answer: a name server's `servfail`, `nxdomain`, `empty` or `wrong`.

    """

    cut: bool = False
    refuse: bool = False
    loss_ratio: float = 0.0
    detour_s: float = 0.0
    added_s: float = 0.0
    expired: bool = False
    soap_fault: bool = False
    status: int = 0
    health: str = ""
    stalled_since_s: float | None = None
    refuse_login: bool = False
    answer: str = ""


NOTHING = Effect()


def both(one: Effect, other: Effect) -> Effect:
    """Return two effects at once; where both speak, `other` wins, but losses and delays add up."""
    if other is NOTHING:
        return one
    if one is NOTHING:
        return other
    return Effect(
        cut=one.cut or other.cut,
        refuse=one.refuse or other.refuse,
        loss_ratio=min(1.0, one.loss_ratio + other.loss_ratio),
        detour_s=one.detour_s + other.detour_s,
        added_s=one.added_s + other.added_s,
        expired=one.expired or other.expired,
        soap_fault=one.soap_fault or other.soap_fault,
        status=other.status or one.status,
        health=other.health or one.health,
        stalled_since_s=one.stalled_since_s if other.stalled_since_s is None else other.stalled_since_s,
        refuse_login=one.refuse_login or other.refuse_login,
        answer=other.answer or one.answer,
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, at one place, for a while.

    Attributes:
        what: its kind, such as `fibre_cut`.
        where: id of the channel, host or service that it happens to.
        from_s, to_s: script time; it lasts from the first to just before the second.
        effect: what it does, at its worst.
        expect: what a good monitor concludes in the end: state and reason by target.
        visible_s: how long after `from_s` there is anything to see (a stalled database is not yet stale).

    """

    what: str
    where: str
    from_s: float
    to_s: float
    effect: Effect
    expect: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    visible_s: float = 0.0

    def at(self, script_s: float) -> Effect:
        """Return the effect at that moment."""
        if not self.from_s <= script_s < self.to_s:
            return NOTHING
        elapsed_s = script_s - self.from_s
        if self.what == "flapping" and FLAPS[int(elapsed_s // FLAP_S) % len(FLAPS)] == "0":
            return NOTHING
        if self.what == "packet_loss":
            # It begins with every fifth packet and grows to the full extent half-way through.
            share = min(1.0, 2 * elapsed_s / (self.to_s - self.from_s))
            return replace(self.effect, loss_ratio=0.2 + share * (self.effect.loss_ratio - 0.2))
        return self.effect


@dataclass(frozen=True, slots=True)
class Scene:
    """A fault of every cycle: when, to whom in the first cycle, to whom it could happen, and what it does."""

    from_s: float
    to_s: float
    first: str
    others: Callable[[Plan], tuple[str, ...]]
    play: Callable[[Plan, str, float, float], tuple[Fault, ...]]


class Script:
    """All faults of a country, cycle by cycle.

    Deterministic: the same plan and seed give the same faults.
    """

    def __init__(self, plan: Plan, scenes: tuple[Scene, ...], seed: int) -> None:
        self._plan = plan
        self._scenes = scenes
        self._seed = seed
        self._cycles: dict[int, tuple[Fault, ...]] = {}

    def cycle(self, number: int) -> tuple[Fault, ...]:
        """Return the faults that begin in that cycle (the first is 0), in time order."""
        if number < 0:
            return ()
        if number not in self._cycles:
            # Only the running cycle and the one before it are ever asked for: older ones are forgotten.
            self._cycles = {n: faults for n, faults in self._cycles.items() if n >= number - 1}
            self._cycles[number] = tuple(sorted(self._play(number), key=lambda fault: fault.from_s))
        return self._cycles[number]

    def _play(self, number: int) -> Iterator[Fault]:
        victims = self._overrunning(number)
        taken = {place for n in (number - 1, number) for v in self._overrunning(n).values() for place in self._place(v)}
        for index, scene in enumerate(self._scenes):
            if index not in victims:
                victims[index] = self._choose(number, index, taken)
                taken.update(self._place(victims[index]))
            start_s = number * CYCLE_S
            if victims[index]:
                yield from scene.play(self._plan, victims[index], start_s + scene.from_s, start_s + scene.to_s)

    def _overrunning(self, number: int) -> dict[int, str]:
        """Choose the victims of scenes that run into the next cycle, first: nothing else may happen to them then."""
        if number < 0:
            return {}
        chosen: dict[int, str] = {}
        for index, scene in enumerate(self._scenes):
            if scene.to_s > CYCLE_S:
                taken = {place for victim in chosen.values() for place in self._place(victim)}
                chosen[index] = self._choose(number, index, taken)
        return chosen

    def _choose(self, number: int, index: int, taken: set[str]) -> str:
        """Choose a victim where nothing else happens in that cycle; "" when there is none."""
        scene = self._scenes[index]
        choice = [where for where in scene.others(self._plan) if not self._place(where) & taken]
        if number == 0 and scene.first in choice:
            return scene.first
        random = Random(f"{self._seed}/{number}/{index}")  # noqa: S311 - a play, not a secret
        return random.choice(choice) if choice else ""

    def _place(self, where: str) -> set[str]:
        """Return what belongs together: a link and all behind it, or a host and all on it."""
        if where in self._plan.services:
            host = self._plan.hosts[self._plan.services[where].host]
            # A gateway's own link is another place: nearly everything is behind some link.
            return {host.id, host.behind} if where.startswith("lgsp-") else {host.id}
        return {where} if where else set()

    def active(self, script_s: float) -> tuple[Fault, ...]:
        """Return the faults that last at that moment."""
        number = int(script_s // CYCLE_S)
        near = (*self.cycle(number - 1), *self.cycle(number))
        return tuple(fault for fault in near if fault.from_s <= script_s < fault.to_s)

    def edges(self, after_s: float, until_s: float) -> list[tuple[float, bool, Fault]]:
        """Return what begins (True) and ends (False) in (after, until], in time order."""
        first, last = int(max(after_s, 0.0) // CYCLE_S), int(until_s // CYCLE_S)
        found = []
        for number in range(first - 1, last + 1):
            for fault in self.cycle(number):
                found += [(at, begins, fault) for at, begins in ((fault.from_s, True), (fault.to_s, False))]
        return sorted((e for e in found if after_s < e[0] <= until_s), key=lambda e: (e[0], e[1]))

    def next_edge(self, after_s: float) -> float:
        """Return when the next fault begins or ends."""
        return self.edges(after_s, after_s + CYCLE_S)[0][0]
