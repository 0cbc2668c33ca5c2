"""Jobs: checks made ready to run, with their probe, validated parameters and compiled conditions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alerts.model import Result
from probes import registry
from probes.conditions import Condition, compile_condition
from probes.model import Context, Failure, Layer, Measurement, Probe, Resources

if TYPE_CHECKING:
    from config.model import Check  # not on the cold path of `thongsuot probe`

_ANSWERED = frozenset({Layer.APPLICATION, Layer.DATA})
"""Layers whose failures are answers: the wrong ones, but the time that they took is a latency."""


@dataclass(frozen=True, slots=True)
class Job:
    """A check made ready to run.

    Attributes:
        id: the check's id.
        run: the probe's function; params: what it is given.
        timeout_s, interval_s, retry_interval_s: as configured, in seconds.
        down_when, degraded_when: compiled conditions.
        latency: name of the sample that is this kind's latency; "" for the whole duration.
        is_evidence: it tells why other checks of its target fail.
        recall: takes in its last result of before, as `Probe.recall`.

    """

    id: str
    run: Callable[[Any, Context], Awaitable[Measurement]]
    params: Any
    timeout_s: float
    interval_s: float
    retry_interval_s: float
    down_when: tuple[Condition, ...] = ()
    degraded_when: tuple[Condition, ...] = ()
    latency: str = ""
    is_evidence: bool = False
    recall: Callable[[Resources, str, int, Mapping[str, float]], None] | None = None

    def latency_of(self, result: Result) -> float | None:
        """Return the latency of a result in seconds; None where nobody answered: that is not 0, nor the time-out."""
        if result.failure is None and not self.latency:
            return result.duration_s
        return latency_of(result, self.latency)


def latency_of(result: Result, sample: str) -> float | None:
    """Return the latency of a result whose kind's latency is `sample` ("" for the whole duration); as in `Job`."""
    if sample:
        return result.samples.get(sample)
    failure = result.failure
    answered = failure is None or (failure.layer in _ANSWERED and failure is not Failure.TIMEOUT)
    return result.duration_s if answered else None


def job_of(check: Check) -> Job:
    """Make a job of a check from the inventory, whose parameters are validated already."""
    probe = registry.find(check.probe)
    return Job(
        id=check.id,
        run=probe.run,
        params=check.params,
        timeout_s=check.timeout_s,
        interval_s=check.interval_s,
        retry_interval_s=check.retry_interval_s,
        down_when=_compiled(check.down_when, probe),
        degraded_when=_compiled(check.degraded_when, probe),
        latency=probe.latency,
        is_evidence=probe.is_evidence,
        recall=probe.recall,
    )


def jobs_of(checks: Iterable[Check]) -> dict[str, Job]:
    """Make jobs of all checks, by id."""
    return {check.id: job_of(check) for check in checks}


_programs: dict[tuple[str, str], Condition] = {}


def _compiled(sources: Iterable[str], probe: Probe[Any]) -> tuple[Condition, ...]:
    # The same few conditions stand on thousands of checks: each is compiled once per kind.
    for source in sources:
        if (probe.kind, source) not in _programs:
            _programs[probe.kind, source] = compile_condition(source, probe)
    return tuple(_programs[probe.kind, source] for source in sources)
