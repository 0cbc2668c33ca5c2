"""What is kept in memory of the latest results: the overview's latencies, open rollups, the last result."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from math import nan

from alerts.model import CheckState, Result
from monitor.jobs import Job
from monitor.records import SPARK_POINTS, CheckNow, Rollup
from monitor.rollup import INTERVAL_MS, Tally

ROLLUP_AGE_MS = 60_000
"""How long an open rollup may differ from the saved one: after a kill it is added up again from its results."""


class Recent:
    """The latest of every check, fed one result at a time.

    Attributes:
        last: the last result by check, for `/metrics`.
        closed_ms: intervals that started before this are over, and no longer added to.

    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self.jobs = jobs
        self.last: dict[str, Result] = {}
        self._sparks: dict[str, array[float]] = {}
        self._latest: dict[str, tuple[float | None, float | None]] = {}
        self.closed_ms = 0
        self._open: dict[tuple[str, int], Tally] = {}
        self._touched_checks: set[str] = set()
        self._touched_rollups: dict[tuple[str, int], int] = {}

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
        at_ms = result.at_ms
        bucket = (check, at_ms - at_ms % INTERVAL_MS)
        tally = self._open.get(bucket)
        if tally is None:
            tally = self._open[bucket] = Tally()
        tally.add(result, latency_s, loss_ratio)
        self._touched_rollups.setdefault(bucket, at_ms)

    def check_now(self, check: str, state: CheckState) -> CheckNow:
        """Return the check as it is now."""
        latency_s, loss_ratio = self._latest.get(check, (None, None))
        spark = self._sparks.get(check)
        return CheckNow(check, state, latency_s, loss_ratio, () if spark is None else spark[:])

    def take_touched_checks(self) -> set[str]:
        """Return the checks that had a result since this was last asked."""
        touched, self._touched_checks = self._touched_checks, set()
        return touched

    def take_rollups(self, now_ms: int, *, all_of_them: bool = False) -> list[Rollup]:
        """Return the rollups that have changed for a while or are over, and forget those that are over."""
        # One interval of grace: a check with a long time-out delivers into the interval in which it started.
        over_ms = now_ms - now_ms % INTERVAL_MS - INTERVAL_MS
        aged_ms = now_ms - ROLLUP_AGE_MS
        due = [
            bucket
            for bucket, at_ms in self._touched_rollups.items()
            if at_ms <= aged_ms or all_of_them or at_ms > now_ms or bucket[1] < over_ms
        ]
        rollups = [self._open[bucket].rollup(*bucket) for bucket in due]
        for bucket in due:
            del self._touched_rollups[bucket]
        if over_ms > self.closed_ms:
            self.closed_ms = over_ms
            for bucket in [bucket for bucket in self._open if bucket[1] < over_ms]:
                del self._open[bucket]
        return rollups
