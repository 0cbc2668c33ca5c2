"""When each flight has its next turn, on a coarse tick that all flights of a socket share.

A timer per packet would cost more than the packet: thousands of flights wait here for one timer, which rings
only while there is anything to wait for. Putting in and taking out cost a dictionary entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from probes.packet_flight import Flight

TICKS_PER_S = 100
"""How fine turns are; round-trip times do not depend on it, the kernel stamps the packets."""

TICK_S = 1 / TICKS_PER_S


class Timetable:
    """Flights by the tick of their next turn.

    Args:
        loop: whose clock and timer are used.
        ring: called at every tick while anything waits, with the flights that are due, each taken out before.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[list[Flight]], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._turns: dict[int, dict[Flight, None]] = {}
        self._rung = 0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, flight: Flight, when: float) -> None:
        """Give a flight its turn at the first tick not before `when`, in place of the one that it had."""
        if not self._turns:
            self._rung = self._tick_of(self._loop.time())
        tick = max(self._tick_of(when), self._rung) + 1
        if tick == flight.tick:
            return
        self.remove(flight)
        flight.tick = tick
        self._turns.setdefault(tick, {})[flight] = None
        self._arm()

    def remove(self, flight: Flight) -> None:
        """Take a flight out, if it is in."""
        turn = self._turns.get(flight.tick)
        if turn is not None:
            turn.pop(flight, None)
            if not turn:
                del self._turns[flight.tick]
        flight.tick = -1

    def close(self) -> None:
        """Forget everything and stop the timer."""
        self._turns.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @staticmethod
    def _tick_of(when: float) -> int:
        # A time that is meant to be on a tick must not fall short of it by a rounding error.
        return int(when * TICKS_PER_S + 1e-6)

    def _arm(self) -> None:
        if self._turns and self._timer is None:
            self._timer = self._loop.call_at((self._rung + 1) * TICK_S, self._wake)

    def _wake(self) -> None:
        self._timer = None
        current = self._tick_of(self._loop.time())
        due: list[Flight] = []
        for tick in range(self._rung + 1, current + 1):
            due.extend(self._turns.pop(tick, ()))
        self._rung = max(self._rung, current)
        for flight in due:
            flight.tick = -1
        try:
            self._ring(due)
        finally:
            self._arm()
