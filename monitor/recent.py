"""What is kept in memory of the latest results: the overview's latencies, open rollups, the last result."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from math import nan

from alerts.model import CheckState, Result, State
from monitor.jobs import Job
from monitor.records import SPARK_POINTS, CheckNow, Rollup

ROLLUP_MS = 300_000
"""Length of the finest rollup: 5 minutes, the sampling interval of the capacity rule."""


class _Open:
    """The rollup of one check that is still being added to."""

    __slots__ = (
        "degraded",
        "down",
        "latency_count",
        "latency_max",
        "latency_min",
        "latency_sum",
        "loss_count",
        "loss_sum",
        "unknown",
        "up",
    )

    def __init__(self) -> None:
        self.up = self.degraded = self.down = self.unknown = 0
        self.latency_count = 0
        self.latency_sum = 0.0
        self.latency_min: float | None = None
        self.latency_max: float | None = None
        self.loss_count = 0
        self.loss_sum = 0.0

    def add(self, state: State, latency_s: float | None, loss_ratio: float | None) -> None:
        match state:
            case State.UP:
                self.up += 1
            case State.DEGRADED:
                self.degraded += 1
            case State.DOWN:
                self.down += 1
            case State.UNKNOWN:
                self.unknown += 1
        if latency_s is not None:
            self.latency_count += 1
            self.latency_sum += latency_s
            if self.latency_min is None or latency_s < self.latency_min:
                self.latency_min = latency_s
            if self.latency_max is None or latency_s > self.latency_max:
                self.latency_max = latency_s
        if loss_ratio is not None:
            self.loss_count += 1
            self.loss_sum += loss_ratio

    def rollup(self, check: str, start_ms: int) -> Rollup:
        return Rollup(
            check,
            start_ms,
            self.up,
            self.degraded,
            self.down,
            self.unknown,
            self.latency_count,
            self.latency_sum,
            self.latency_min,
            self.latency_max,
            self.loss_count,
            self.loss_sum,
        )


class Recent:
    """The latest of every check, fed one result at a time.

    Attributes:
        last: the last result by check, for `/metrics`.

    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.jobs = jobs
        self.last: dict[str, Result] = {}
        self._sparks: dict[str, array[float]] = {}
        self._latest: dict[str, tuple[float | None, float | None]] = {}
        self._open: dict[tuple[str, int], _Open] = {}
        self._touched_checks: set[str] = set()
        self._touched_rollups: set[tuple[str, int]] = set()

    def restore(self, now: Iterable[CheckNow]) -> None:
        """Take up the latencies that were saved."""
        for row in now:
            self._sparks[row.check] = array("f", (nan if point is None else point for point in row.spark))
            self._latest[row.check] = (row.latency_s, row.loss_ratio)

    def add(self, result: Result, *, to_spark: bool = True) -> None:
        """Take one result. In recovery `to_spark` is False for what the saved latencies hold already."""
        check = result.check
        job = self.jobs.get(check)
        if job is None:
            return
        latency_s = job.latency_of(result)
        loss_ratio = result.samples.get("loss_ratio")
        if to_spark:
            self.last[check] = result
            spark = self._sparks.get(check)
            if spark is None:
                spark = self._sparks[check] = array("f")
            spark.append(nan if latency_s is None else latency_s)
            if len(spark) > SPARK_POINTS:
                del spark[0]
            self._latest[check] = (latency_s, loss_ratio)
            self._touched_checks.add(check)
        bucket = (check, result.at_ms - result.at_ms % ROLLUP_MS)
        rollup = self._open.get(bucket)
        if rollup is None:
            rollup = self._open[bucket] = _Open()
        rollup.add(result.state, latency_s, loss_ratio)
        self._touched_rollups.add(bucket)

    def check_now(self, check: str, state: CheckState) -> CheckNow:
        """Return the check as it is now."""
        latency_s, loss_ratio = self._latest.get(check, (None, None))
        # NaN is the one number that is not equal to itself.
        spark = tuple(point if point == point else None for point in self._sparks.get(check, ()))  # noqa: PLR0124
        return CheckNow(check, state, latency_s, loss_ratio, spark)

    def take_touched_checks(self) -> set[str]:
        """Return the checks that had a result since this was last asked."""
        touched, self._touched_checks = self._touched_checks, set()
        return touched

    def take_rollups(self, now_ms: int) -> list[Rollup]:
        """Return the rollups that changed since this was last asked, and forget those that are over."""
        rollups = [self._open[bucket].rollup(*bucket) for bucket in self._touched_rollups]
        self._touched_rollups = set()
        # One interval of grace: a check with a long time-out delivers into the interval in which it started.
        over_ms = now_ms - now_ms % ROLLUP_MS - ROLLUP_MS
        for bucket in [bucket for bucket in self._open if bucket[1] < over_ms]:
            del self._open[bucket]
        return rollups
