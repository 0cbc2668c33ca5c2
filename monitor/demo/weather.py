"""What an undisturbed network does by itself: jitter, waves of congestion, a rare lost packet, service times.

Every channel and service draws from a generator of its own, seeded by the country's seed and its name, so that a
run repeats itself whatever else goes on beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log, pi, sin
from random import Random

JITTER_MEAN_S = 0.00008
QUEUE_MEAN_S = 0.0015
"""Mean of the queueing delay of one direction at the crest of a wave."""
WAVE_S = (140.0, 420.0)
"""Shortest and longest period of the congestion waves."""
BASE_LOSS_RATIO = 0.00002
TAIL_SIGMA = 0.35
"""Spread of service times: log-normal, so that p95 is near 1.8 times the median."""


@dataclass(slots=True)
class Channel:
    """The way to a far end and back.

    Attributes:
        round_trip_s: what light and equipment need at least, both directions together.

    """

    round_trip_s: float
    _random: Random
    _period_s: float = field(init=False)
    _phase: float = field(init=False)

    def __post_init__(self) -> None:
        self._period_s = self._random.uniform(*WAVE_S)
        self._phase = self._random.random()

    def congestion(self, script_s: float) -> float:
        """Return how full the queues are at that moment of the script, 0 to 1."""
        return float(max(0.0, sin(2 * pi * (script_s / self._period_s + self._phase))) ** 4)

    def one_way_s(self, script_s: float) -> float:
        """Draw the delay of one packet in one direction."""
        queue_s = QUEUE_MEAN_S * self.congestion(script_s)
        return self.round_trip_s / 2 + self._random.expovariate(1 / (JITTER_MEAN_S + queue_s))

    def loses(self, extra_ratio: float) -> bool:
        """Draw whether a packet is lost; `extra_ratio` is the loss that a fault adds."""
        return self._random.random() < BASE_LOSS_RATIO + extra_ratio


@dataclass(slots=True)
class Work:
    """A service at work: log-normal times around a median."""

    median_s: float
    _random: Random

    def time_s(self, slowness: float = 1.0) -> float:
        """Draw how long one request takes; `slowness` multiplies it."""
        return slowness * exp(log(self.median_s) + TAIL_SIGMA * max(-2.0, min(2.5, self._random.gauss(0.0, 1.0))))


def channel(seed: int, name: str, round_trip_s: float) -> Channel:
    """Return the weather of a channel."""
    return Channel(round_trip_s, Random(f"{seed}/{name}"))  # noqa: S311 - weather, not a secret


def work(seed: int, name: str, median_s: float) -> Work:
    """Return the service times of a service."""
    return Work(median_s, Random(f"{seed}/{name}"))  # noqa: S311 - weather, not a secret


BUSY_QUEUE_S = QUEUE_MEAN_S
"""Mean of the queueing delay of one direction, over a long time, where everybody is at work."""
BUSY_LOSS = 0.0008
BUSY_WORK = 0.6
"""How much longer services take then."""
_HOUR_MS, _EAST_H, _THURSDAY = 3_600_000, 7, 3
_DAY = (2, 1, 1, 1, 2, 5, 12, 35, 80, 96, 100, 85, 45, 60, 92, 97, 88, 55, 32, 30, 28, 22, 12, 5)
"""Percent of the day's crest, by the hour: offices from 8 to 17 with a break at noon, homes in the evening."""
_WEEK = (1.0, 0.97, 0.96, 0.96, 0.92, 0.5, 0.3)


def busy(at_ms: int) -> float:
    """Return how busy the country is at that moment, 0 to 1, by hour and weekday in Vietnam."""
    hours, past_ms = divmod(at_ms, _HOUR_MS)
    hours += _EAST_H
    share = past_ms / _HOUR_MS
    now = _DAY[hours % 24] * (1 - share) + _DAY[(hours + 1) % 24] * share
    return now / 100 * _WEEK[(hours // 24 + _THURSDAY) % 7]
