"""Rollups: results of one check added up, and rollups added up to longer ones.

Everything is a whole number (latencies in microseconds, loss in millionths), so that the sums of parts equal the
sum of the whole in whatever order results came.
"""

from __future__ import annotations

from collections.abc import Mapping

from alerts.model import Result, State
from monitor.histogram import LIMIT, Histogram, decode, encode, sketch
from monitor.records import Rollup

MILLION = 1_000_000
INTERVAL_MS = 300_000
"""Length of the finest rollup: 5 minutes, the sampling interval of the capacity rule."""
HOUR_MS = 3_600_000
_LATENCY_LIMIT_S = LIMIT // MILLION


def histogram_of(rollup: Rollup) -> Histogram:
    """Return a rollup's latencies. Raises CorruptError for a body that does not belong to its figures.

    One from before there were histograms has no body: its latencies are taken to be where their mean is.
    """
    figures = rollup.latency_min_us, rollup.latency_max_us, rollup.latency_sum_us
    if rollup.latency:
        return decode(rollup.latency, *figures)
    return sketch(rollup.latency_count, *figures)


def results_in(rollup: Rollup) -> int:
    """Return how many results are in a rollup."""
    return rollup.up + rollup.degraded + rollup.down + rollup.unknown


class Tally:
    """The rollup of one check that is still being added to."""

    __slots__ = (
        "degraded",
        "down",
        "failures",
        "latency",
        "loss_count",
        "loss_sum_ppm",
        "received",
        "sent",
        "unknown",
        "up",
    )

    def __init__(self) -> None:
        self.up = self.degraded = self.down = self.unknown = 0
        self.failures: dict[str, int] | None = None
        self.latency: Histogram | None = None
        self.loss_count = self.loss_sum_ppm = self.sent = self.received = 0

    def add(self, result: Result, latency_s: float | None, loss_ratio: float | None) -> None:
        """Count a result with its latency and loss, None where it had none."""
        state = result.state
        if state is State.UP:
            self.up += 1
        else:
            self._add_trouble(state)
        if result.failure is not None:
            self._add_failures({result.failure.value: 1})
        # What no clock can have measured is not a latency; NaN is not from 0 to anything.
        if latency_s is not None and 0 <= latency_s < _LATENCY_LIMIT_S:
            if self.latency is None:
                self.latency = Histogram()
            self.latency.add(round(latency_s * MILLION))
        if loss_ratio is not None and 0 <= loss_ratio <= 1:
            self.loss_count += 1
            self.loss_sum_ppm += round(loss_ratio * MILLION)
            self._add_packets(result.samples)

    def _add_trouble(self, state: State) -> None:
        if state is State.DEGRADED:
            self.degraded += 1
        elif state is State.DOWN:
            self.down += 1
        else:
            self.unknown += 1

    def _add_failures(self, failures: Mapping[str, int]) -> None:
        if self.failures is None:
            self.failures = {}
        for failure, count in failures.items():
            self.failures[failure] = self.failures.get(failure, 0) + count

    def _add_packets(self, samples: Mapping[str, float]) -> None:
        sent, received = samples.get("sent"), samples.get("received")
        if sent is not None and received is not None and 0 <= received <= sent < LIMIT:
            self.sent += int(sent)
            self.received += int(received)

    def merge(self, rollup: Rollup) -> None:
        """Add all that a finer rollup counts. Raises CorruptError."""
        self.up += rollup.up
        self.degraded += rollup.degraded
        self.down += rollup.down
        self.unknown += rollup.unknown
        if rollup.failures:
            self._add_failures(dict(rollup.failures))
        if rollup.latency_count:
            if self.latency is None:
                self.latency = Histogram()
            self.latency.merge(histogram_of(rollup))
        self.loss_count += rollup.loss_count
        self.loss_sum_ppm += rollup.loss_sum_ppm
        self.sent += rollup.sent
        self.received += rollup.received

    def rollup(self, check: str, start_ms: int) -> Rollup:
        """Return what has been counted."""
        latency = self.latency
        return Rollup(
            check,
            start_ms,
            self.up,
            self.degraded,
            self.down,
            self.unknown,
            tuple(sorted(self.failures.items())) if self.failures else (),
            0 if latency is None else latency.count,
            0 if latency is None else latency.sum,
            0 if latency is None else latency.minimum,
            0 if latency is None else latency.maximum,
            b"" if latency is None else encode(latency),
            self.loss_count,
            self.loss_sum_ppm,
            self.sent,
            self.received,
        )
