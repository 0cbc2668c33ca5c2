"""What a run of a database's kind found, and what is to be said of it: role, replication, freshness, being in step."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from probes.database_memory import Memory
from probes.database_params import Replication, Role, RuleState
from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import INCOMPARABLE, Context, Failure, Measurement
from probes.tcp_facts import StreamFacts


@dataclass(slots=True)
class Findings:
    """Samples, facts, and the worst of what is not well.

    Attributes:
        samples, facts: as in a measurement, without the phases.
        unseen: what the login has no right to see, in words; a kind puts it in its facts.

    """

    samples: dict[str, float] = field(default_factory=dict)
    facts: StreamFacts = field(default_factory=StreamFacts)
    unseen: list[str] = field(default_factory=list)
    _worst: tuple[RuleState, Failure, str] | None = None

    def find(self, state: RuleState, failure: Failure, message: str) -> None:
        """Note what is not well. The first that makes the check down stands, else the first that degrades it."""
        if self._worst is None or (self._worst[0] == "degraded" and state == "down"):
            self._worst = (state, failure, message)

    def sample(self, name: str, value: float | None) -> None:
        """Take a sample in; one that was not measured, or is no number, is absent."""
        if value is not None and math.isfinite(value):
            self.samples[name] = value

    def measurement(self, ctx: Context, trouble: tuple[Failure, str] | None = None) -> Measurement:
        """Return all of it; `trouble` is what ended the run early, which then stands."""
        self.facts["unseen"] = ", ".join(self.unseen)
        samples = {**ctx.phases.samples, **self.samples}
        if trouble is not None:
            return Measurement(samples, *trouble, self.facts)
        if self._worst is None:
            return Measurement(samples, facts=self.facts)
        state, failure, message = self._worst
        return Measurement(samples, failure, message, self.facts, is_degraded=state == "degraded")


async def measured(
    ctx: Context,
    findings: Findings,
    work: Awaitable[object],
    errors: tuple[type[BaseException], ...] = NETWORK_ERRORS,
) -> Measurement:
    """Do the work of a run, and return what it found, and what ended it early."""
    trouble = None
    try:
        await work
    except errors as error:
        trouble = classify(error, ctx.phases.current)
    ctx.phases.end()
    return findings.measurement(ctx, trouble)


ROW_FACTS = {"row": "dyn", "value": "dyn"}
"""The first row that a query gave, and its first column."""

FACTS = {"role": "string", "role_before": "string", "unseen": "string"}
"""Facts that every kind of this sort gives."""

ROLE_SAMPLES = {"role_changed": "1 when the server has another role than in the run before, else 0"}
REPLICATION_SAMPLES = {
    "replication_running": "1 when the replica replicates, 0 when that is stopped; absent where nothing is replicated",
    "replication_lag_s": "how late the replica is, in seconds; absent where that is stopped",
}
GROWTH_SAMPLES = {
    "size_bytes": "size of the data, in bytes",
    "growth_bytes": "by how much it grew since the run before, in bytes",
    "daily_growth_bytes": "growth per day over the last day, or since the monitor was started, in bytes; from ten "
    "minutes on",
}
COMPARED = ("growth_bytes", "daily_growth_bytes")
"""Samples that need an earlier run."""

FRESHNESS_SAMPLES = {"freshness_s": "age of the newest data by the server's clock, in seconds"}
IN_STEP_SAMPLES = {
    "in_step_s": "time of asking the other database, in seconds",
    "gap": "by how much this database is behind the other; negative when the other is behind; seconds for times",
}

JUDGED_SAMPLES = {**ROLE_SAMPLES, **REPLICATION_SAMPLES, **GROWTH_SAMPLES, **FRESHNESS_SAMPLES, **IN_STEP_SAMPLES}
"""Samples of a kind that judges all of it."""


class AgeRule(Protocol):
    """What `Freshness` and its like of databases without SQL have in common."""

    @property
    def state(self) -> RuleState:
        """What too much of it makes of the check."""

    @property
    def max_age(self) -> float:
        """Seconds."""


class GapRule(Protocol):
    """What `InStep` and its like of databases without SQL have in common."""

    @property
    def state(self) -> RuleState:
        """What too much of it makes of the check."""

    @property
    def max_gap(self) -> float:
        """A count, or seconds."""


def judge_role(role: str, expected: Role, memory: Memory, findings: Findings) -> None:
    """Say which role the server has, whether that is another than before, and whether it is the right one."""
    before, memory.role = memory.role, role
    changed = bool(before) and before != role
    findings.samples["role_changed"] = float(changed)
    findings.facts["role"], findings.facts["role_before"] = role, before
    if expected not in ("any", role):
        was = f", and was a {before} in the run before" if changed else ""
        findings.find("down", Failure.CONDITION, f"the server is a {role}{was}; expected is a {expected}")


def judge_replica(stopped: str | None, lag_s: float | None, rule: Replication, findings: Findings) -> None:
    """Say how a replica does.

    Args:
        stopped: why nothing is replicated, in words; "" when something is, None when that is not known.
        lag_s: how late it is, None when that is not known.
        rule: what should hold.
        findings: where it is said.

    """
    if stopped is not None:
        findings.samples["replication_running"] = float(not stopped)
    if stopped:
        findings.find(rule.state, Failure.STALE, f"replication is stopped: {stopped}")
        return
    findings.sample("replication_lag_s", lag_s)
    if rule.max_lag is None:
        return
    if lag_s is None:
        findings.find(rule.state, Failure.STALE, "the replication's lag cannot be told")
    elif not lag_s <= rule.max_lag:
        message = f"the replica is {lag_s:.1f} s behind, allowed are {rule.max_lag:g} s"
        findings.find(rule.state, Failure.STALE, message)


def judge_replicas(count: int, rule: Replication, findings: Findings) -> None:
    """Say how many replicas a primary has."""
    findings.samples["replicas"] = count
    if count < rule.replicas:
        message = f"the primary has {count} replicas, expected are at least {rule.replicas}"
        findings.find(rule.state, Failure.CONDITION, message)


def judge_age(age_s: float | None, rule: AgeRule, findings: Findings) -> None:
    """Say how old the newest data is."""
    if age_s is None:
        findings.find(rule.state, Failure.STALE, "there is no newest row: the freshness query gives nothing")
        return
    findings.sample("freshness_s", age_s)
    if not age_s <= rule.max_age:
        message = f"the newest row is {age_s:.0f} s old, allowed are {rule.max_age:g} s"
        findings.find(rule.state, Failure.STALE, message)


def judge_gap(here: float | None, there: float | None, rule: GapRule, other: str, findings: Findings) -> None:
    """Say which of two databases is behind, and by how much; None is a database that has nothing."""
    if here is None or there is None:
        if here is not there:
            empty = "this database" if here is None else other
            findings.find(rule.state, Failure.STALE, f"not in step: {empty} has nothing, the other one has")
        return
    gap = there - here
    findings.sample("gap", gap)
    if not abs(gap) <= rule.max_gap:
        behind = "this database" if gap > 0 else other
        message = f"not in step: {behind} is behind by {abs(gap):.15g}, allowed are {rule.max_gap:.15g}"
        findings.find(rule.state, Failure.STALE, message)


def note_size(size_bytes: float, memory: Memory, findings: Findings) -> None:
    """Say how large the data is and how it grows."""
    findings.samples["size_bytes"] = size_bytes
    growth = memory.growth.add(time.monotonic(), size_bytes)
    findings.samples.update(growth)
    findings.facts.update((name, INCOMPARABLE) for name in COMPARED if name not in growth)


def seconds_of(text: str | None) -> float | None:
    """Return seconds that we asked a database for, None for NULL. Raises TroubleError."""
    try:
        return None if text is None else float(text)
    except ValueError:
        raise TroubleError(Failure.PROTOCOL, "the server's number is not one") from None


def figure_of(text: str | None) -> float | None:
    """Return what a database said as a figure to compare: a number, or a time as seconds since 1970.

    A time without a zone is taken for UTC: two of the same zone are compared. Raises TroubleError for other text.
    """
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = "what should be compared is neither a number nor a time"
        raise TroubleError(Failure.QUERY_FAILED, message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
