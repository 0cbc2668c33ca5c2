"""Where the script is played: what the clock says, what happens to whom now, and the log of the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Protocol

import orjson

from monitor.demo import weather
from monitor.demo.plan import Host, Plan, Service
from monitor.demo.script import NOTHING, Effect, Fault, Script, both

LOG_LIMIT_BYTES = 8 * 1024 * 1024
TICK_S = 1.0


class Clock(Protocol):
    """Tells script time."""

    def now(self) -> float:
        """Return seconds since the start."""


class RealClock:
    """Script time that goes as real time does, or `speed` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        self._started = time.monotonic()
        self._speed = speed

    def now(self) -> float:
        """Return seconds since the start."""
        return (time.monotonic() - self._started) * self._speed


@dataclass(slots=True)
class HandClock:
    """Script time that is set by hand."""

    script_s: float = 0.0

    def now(self) -> float:
        """Return the time that was set."""
        return self.script_s


class Log:
    """JSON Lines on disk, bounded: a full file is set aside as `<name>.1`, in place of an older one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(b"")

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        if self.path.stat().st_size > LOG_LIMIT_BYTES:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        with self.path.open("ab") as file:
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


@dataclass(slots=True)
class Stage:
    """The country's state at the moment: the faults that last, by place.

    Attributes:
        clock: script time.
        active: the faults that last.
        on_change: called after faults began or ended, before the truth is written.

    """

    plan: Plan
    script: Script
    clock: Clock
    truth: Log
    seed: int
    on_change: Callable[[], Awaitable[None]]
    active: tuple[Fault, ...] = ()
    _played_s: float = -1.0
    _by_place: dict[str, tuple[Fault, ...]] = field(default_factory=dict)

    async def play(self) -> None:
        """Bring everything up to the clock: listeners first, then the log, in the order in which it happened."""
        now_s = self.clock.now()
        edges = self.script.edges(self._played_s, now_s)
        if not edges and self._played_s >= 0:
            return
        self._played_s = now_s
        self.active = self.script.active(now_s)
        self._by_place = {}
        for fault in self.active:
            self._by_place[fault.where] = (*self._by_place.get(fault.where, ()), fault)
        await self.on_change()
        for at_s, begins, fault in edges:
            self.truth.write(self._line(at_s, begins, fault))

    def _line(self, at_s: float, begins: bool, fault: Fault) -> dict[str, Any]:
        return {
            "at": self.utc(at_s),
            "event": "began" if begins else "ended",
            "what": fault.what,
            "where": fault.where,
            "from": self.utc(fault.from_s),
            "to": self.utc(fault.to_s),
            "visible_from": self.utc(fault.from_s + fault.visible_s),
            "expect": {target: {"state": state, "reason": reason} for target, (state, reason) in fault.expect.items()},
            "script_s": at_s,
        }

    def utc(self, script_s: float) -> str:
        """Return that moment of the script as it stands in the log."""
        return self.moment(script_s).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def moment(self, script_s: float) -> datetime:
        """Return that moment of the script as a UTC time, reckoned from now at the clock's pace of real time."""
        return datetime.fromtimestamp(time.time() + script_s - self.clock.now(), UTC)

    def effect(self, *places: str) -> Effect:
        """Return what happens now at these places, all together."""
        effect = NOTHING
        now_s = self.clock.now()
        for place in places:
            for fault in self._by_place.get(place, ()):
                effect = both(effect, fault.at(now_s))
        return effect

    def host_effect(self, host: Host) -> Effect:
        """Return what happens to a host: its own troubles, and those of the link that it is behind.

        A host is cut off when every channel of its link is cut; the other channel carries it otherwise.
        """
        effect = self.effect(host.id)
        if host.behind in self.plan.links:
            channels = self.plan.links[host.behind].channels
            if all(self.effect(channel.id).cut for channel in channels):
                effect = both(effect, Effect(cut=True))
        return effect

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            await self.play()
            now_s = self.clock.now()
            await asyncio.sleep(min(TICK_S, max(0.005, self.script.next_edge(now_s) - now_s)))


class Actor:
    """A service as its far end knows it: what happens to it, and how long it works."""

    def __init__(self, stage: Stage, service: Service, way: weather.Channel) -> None:
        self.service = service
        self._stage = stage
        self._places = tuple(dict.fromkeys((service.id, service.host)))
        self._way = way
        self._work = weather.work(stage.seed, service.id, service.median_s)
        self._random = Random(f"{stage.seed}/{service.id}/more")  # noqa: S311 - a play, not a secret

    def effect(self) -> Effect:
        """Return what happens to it now."""
        return self._stage.effect(*self._places)

    def script_s(self) -> float:
        """Return the script's time."""
        return self._stage.clock.now()

    def utc(self, script_s: float) -> datetime:
        """Return that moment of the script as a UTC time."""
        return self._stage.moment(script_s)

    def draw_s(self, *, is_new: bool = True) -> float:
        """Draw the time between a question sent and its answer read: the way there and back, and the work.

        A slow gateway holds up what is new to it; a conversation under way passes.
        """
        now_s = self.script_s()
        added_s = self.effect().added_s * self._random.uniform(0.8, 1.2) if is_new else 0.0
        return self._way.one_way_s(now_s) + self._way.one_way_s(now_s) + self._work.time_s() + added_s

    async def take_time(self, *, is_new: bool = True) -> None:
        """Let that time pass."""
        await asyncio.sleep(self.draw_s(is_new=is_new))
