"""Made-up results, states and batches for tests of the store, in all their shapes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from hypothesis import strategies as st

from alerts.model import (
    CheckState,
    Incident,
    IncidentPhase,
    Notification,
    Result,
    State,
    Subject,
    TargetState,
    TimelineEntry,
    Transition,
)
from monitor.jobs import latency_of
from monitor.records import Batch, CheckNow, Rollup, TargetNow
from monitor.rollup import INTERVAL_MS, Tally
from probes.model import Failure

START_MS = 1_790_000_100_000
"""A multiple of 5 minutes."""


def http_result(check: str, at_ms: int, rng: random.Random, agent: str = "local") -> Result:
    """Return what the `http` kind measures: seven samples, rounded to the microsecond as the runner does."""
    phases = {
        "resolve_s": rng.uniform(0.0003, 0.003),
        "connect_s": rng.uniform(0.001, 0.01),
        "tls_s": rng.uniform(0.003, 0.03),
        "first_byte_s": rng.uniform(0.01, 0.05),
        "transfer_s": rng.uniform(0.0001, 0.003),
    }
    samples: dict[str, float] = {name: round(value, 6) for name, value in phases.items()}
    duration_s = round(sum(samples.values()) + 0.0002, 6)
    samples |= {"status": 200, "body_bytes": rng.randint(300, 15_000)}
    return Result(check, agent, at_ms, duration_s, State.UP, None, "", samples)


def http_results(checks: int, turns: int, interval_ms: int = 10_000, start_ms: int = START_MS) -> Iterator[Result]:
    """Yield results of many checks in time order, spread over the interval as the schedule does: by a hash."""
    rng = random.Random(7)
    order = rng.sample(range(checks), checks)
    for turn in range(turns):
        for place, number in enumerate(order):
            at_ms = start_ms + turn * interval_ms + place * interval_ms // checks
            yield http_result(f"target-{number:05d}/http", at_ms, rng)


def rollups_of(results: Iterable[Result], sample: str = "") -> list[Rollup]:
    """Return the rollups of 5 minutes that the engine would save; `sample` is the kind's latency."""
    tallies: dict[tuple[str, int], Tally] = {}
    for one in results:
        tally = tallies.setdefault((one.check, one.at_ms - one.at_ms % INTERVAL_MS), Tally())
        tally.add(one, latency_of(one, sample), one.samples.get("loss_ratio"))
    return [tally.rollup(check, start_ms) for (check, start_ms), tally in tallies.items()]


def full_batch(at_ms: int = START_MS, target: str = "link-cao-bang", number: int = 1) -> Batch:
    """Return a batch that has one of everything."""
    check, incident = f"{target}/icmp", f"SC-2026-{number:04d}"
    down = Result(check, "hn-1", at_ms, 1.5, State.DOWN, Failure.PACKET_LOSS, "loss 100 %", {"loss_ratio": 1.0})
    state = CheckState(
        State.DOWN, at_ms, "packet_loss", "loss 100 %", at_ms, ((at_ms, 2, "packet_loss"),), (0, 2), True
    )
    timeline = (TimelineEntry(at_ms, "opened"), TimelineEntry(at_ms + 1, "impact", "ndxp"))
    return Batch(
        results=[down, down._replace(agent="hn-2")],
        transitions=[
            Transition(Subject.CHECK, check, State.UNKNOWN, State.DOWN, at_ms, at_ms + 20_000, "packet_loss"),
            Transition(Subject.TARGET, target, State.UNKNOWN, State.DOWN, at_ms, at_ms + 20_000, "packet_loss"),
        ],
        incidents=[
            Incident(
                id=incident,
                target=target,
                severity=2,
                started_ms=at_ms,
                opened_ms=at_ms + 20_000,
                reason="packet_loss",
                message="loss 100 %",
                impact=("ndxp",),
                phase=IncidentPhase.OPEN,
                announced=("noc",),
                timeline=timeline,
            )
        ],
        notifications=[Notification(at_ms + 20_000, incident, "opened", "noc", (target, "ndxp"))],
        checks=[CheckNow(check, state, None, 1.0, (0.5, None, 0.25))],
        targets=[TargetNow(target, TargetState(State.DOWN, at_ms, "packet_loss", flapping=False))],
        rollups=rollups_of([down, down._replace(agent="hn-2")], "rtt_mean_s"),
    )


NAMES = st.sampled_from(["rtt_min_s", "loss_ratio", "status", "body_bytes", "rate_bps", "tuổi_s", 'a "b" c', "x y"])
NUMBERS = (
    st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(0, 10**12).map(lambda n: n / 1_000_000)
    | st.integers(0, 10**6).map(lambda n: n / 1_000_000)
)
RESULTS = st.builds(
    Result,
    check=st.sampled_from(["a/http", "b/icmp", "bộ-công-an/tls"]),
    agent=st.sampled_from(["local", "hn-1"]),
    at_ms=st.integers(START_MS, START_MS + 50_000_000),
    duration_s=st.integers(0, 10**11).map(lambda n: n / 1_000_000),
    state=st.sampled_from(State),
    failure=st.none() | st.sampled_from(Failure),
    message=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    samples=st.dictionaries(NAMES, NUMBERS, max_size=6),
)
"""Any result that a probe can give."""
