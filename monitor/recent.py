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


class _OpenTally(Tally):
    """A rollup that may still be added to.

    Attributes:
        check, start_ms: whose it is, and of when.
        changed_ms: start of the first result that the saved one does not have, None where there is none.

    """

    __slots__ = ("changed_ms", "check", "start_ms")

    def __init__(self, check: str, start_ms: int) -> None:
        super().__init__()
        self.check = check
        self.start_ms = start_ms
        self.changed_ms: int | None = None


class _Latest:
    """The latest of one check: in one place, because a thousand times a second all of it is looked up."""

    __slots__ = ("is_touched", "job", "last", "latency_s", "loss_ratio", "spark", "tally")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.last: Result | None = None
        self.spark = array("f")
        self.latency_s: float | None = None
        self.loss_ratio: float | None = None
        self.tally: _OpenTally | None = None
        self.is_touched = False


class Recent:
    """The latest of every check, fed one result at a time.

    Attributes:
        closed_ms: intervals that started before this are over, and no longer added to.

    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._latest = {check: _Latest(job) for check, job in jobs.items()}
        self.closed_ms = 0
        self._open: dict[tuple[str, int], _OpenTally] = {}
        self._touched: list[str] = []
        self._changed: list[_OpenTally] = []

    def replace_jobs(self, jobs: Mapping[str, Job]) -> None:
        """Take other jobs; what is known of checks that are still there stays."""
        latest = {check: self._latest.get(check) or _Latest(job) for check, job in jobs.items()}
        for check, job in jobs.items():
            latest[check].job = job
        self._latest = latest

    def restore(self, now: Iterable[CheckNow]) -> None:
        """Take up the latencies that were saved."""
        for row in now:
            latest = self._latest.get(row.check)
            if latest is not None:
                latest.spark = array("f", (nan if point is None else point for point in row.spark))
                latest.latency_s, latest.loss_ratio = row.latency_s, row.loss_ratio

    def add(self, result: Result, *, to_spark: bool = True) -> None:
        """Take one result. In recovery `to_spark` is False for what the saved latencies hold already."""
        check = result.check
        latest = self._latest.get(check)
        if latest is None:
            return
        latency_s = latest.job.latency_of(result)
        loss_ratio = result.samples.get("loss_ratio")
        if to_spark:
            latest.last, latest.latency_s, latest.loss_ratio = result, latency_s, loss_ratio
            spark = latest.spark
            spark.append(nan if latency_s is None else latency_s)
            if len(spark) > SPARK_POINTS:
                del spark[0]
            if not latest.is_touched:
                latest.is_touched = True
                self._touched.append(check)
        at_ms = result.at_ms
        start_ms = at_ms - at_ms % INTERVAL_MS
        tally = latest.tally
        if tally is None or tally.start_ms != start_ms:
            tally = latest.tally = self._tally(check, start_ms)
        tally.add(result, latency_s, loss_ratio)
        if tally.changed_ms is None:
            tally.changed_ms = at_ms
            self._changed.append(tally)

    def _tally(self, check: str, start_ms: int) -> _OpenTally:
        tally = self._open.get((check, start_ms))
        if tally is None:
            tally = self._open[check, start_ms] = _OpenTally(check, start_ms)
        return tally

    def last_of(self, check: str) -> Result | None:
        """Return the last result of a check, None where it had none since this process began."""
        latest = self._latest.get(check)
        return None if latest is None else latest.last

    def last(self) -> dict[str, Result]:
        """Return the last results by check, for `/metrics`."""
        return {check: latest.last for check, latest in self._latest.items() if latest.last is not None}

    def now(self, checks: Iterable[str], states: Mapping[str, CheckState]) -> list[CheckNow]:
        """Return those of these checks that have a state, as they are now."""
        rows = []
        for check in checks:
            state, latest = states.get(check), self._latest.get(check)
            if state is None:
                continue
            if latest is None:
                rows.append(CheckNow(check, state, None, None, ()))
            else:
                rows.append(CheckNow(check, state, latest.latency_s, latest.loss_ratio, latest.spark[:]))
        return rows

    def take_touched_checks(self) -> list[str]:
        """Return the checks that had a result since this was last asked, each once."""
        touched, self._touched = self._touched, []
        for check in touched:
            if check in self._latest:
                self._latest[check].is_touched = False
        return touched

    def take_rollups(self, now_ms: int, *, all_of_them: bool = False) -> list[Rollup]:
        """Return the rollups that have changed for a while or are over, and forget those that are over."""
        # One interval of grace: a check with a long time-out delivers into the interval in which it started.
        over_ms = now_ms - now_ms % INTERVAL_MS - INTERVAL_MS
        aged_ms = now_ms - ROLLUP_AGE_MS
        rollups, left = [], []
        for tally in self._changed:
            changed_ms = tally.changed_ms or 0
            if changed_ms <= aged_ms or all_of_them or changed_ms > now_ms or tally.start_ms < over_ms:
                rollups.append(tally.rollup(tally.check, tally.start_ms))
                tally.changed_ms = None
            else:
                left.append(tally)
        self._changed = left
        if over_ms > self.closed_ms:
            self.closed_ms = over_ms
            for bucket in [bucket for bucket in self._open if bucket[1] < over_ms]:
                tally = self._open.pop(bucket)
                latest = self._latest.get(tally.check)
                if latest is not None and latest.tally is tally:
                    latest.tally = None
        return rollups
