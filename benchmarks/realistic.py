"""Results as they come from real networks: phases with log-normal jitter to the microsecond, and some failures."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from alerts.model import Result, State
from probes.model import Failure

PHASES = (("resolve_s", 0.0012, 0.35), ("connect_s", 0.006, 0.15), ("tls_s", 0.012, 0.2))
ANSWER = (("first_byte_s", 0.03, 0.35), ("transfer_s", 0.0008, 0.4))
FAILED_SHARE = 0.005


def http_results(checks: int, turns: int, start_ms: int, interval_ms: int = 10_000) -> Iterator[Result]:
    """Yield results of the `http` kind of many checks in time order, each check with a distance of its own."""
    rng = random.Random(11)
    places = [(f"target-{n:05d}/http", rng.lognormvariate(0, 0.5), rng.randint(300, 15_000)) for n in range(checks)]
    rng.shuffle(places)
    for turn in range(turns):
        for place, (check, distance, size) in enumerate(places):
            late_ms = min(20, int(rng.lognormvariate(-0.5, 0.8)))
            at_ms = start_ms + turn * interval_ms + place * interval_ms // checks + late_ms
            yield _result(rng, check, at_ms, distance, size)


def _result(rng: random.Random, check: str, at_ms: int, distance: float, size: int) -> Result:
    samples: dict[str, float] = {name: _jittered(rng, mean * distance, spread) for name, mean, spread in PHASES}
    overhead_s = rng.lognormvariate(-9.2, 0.3)
    if rng.random() < FAILED_SHARE:
        duration_s = round(sum(samples.values()) + overhead_s, 6)
        message = "the server closed the connection"
        return Result(check, "hn-1", at_ms, duration_s, State.DOWN, Failure.CONNECTION_CLOSED, message, samples)
    samples |= {name: _jittered(rng, mean * distance, spread) for name, mean, spread in ANSWER}
    duration_s = round(sum(samples.values()) + overhead_s, 6)
    samples |= {"status": 200, "body_bytes": size + rng.choice((0, 0, 0, 0, 0, 0, 1, 2, -1))}
    return Result(check, "hn-1", at_ms, duration_s, State.UP, None, "", samples)


def _jittered(rng: random.Random, mean_s: float, spread: float) -> float:
    return round(mean_s * math.exp(rng.gauss(0, spread)), 6)
