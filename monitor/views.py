"""What pages, the API and `status` are given: plain values, one per question, as `monitor.queries` returns them.

Times are milliseconds since the Unix epoch, UTC. Names come in both languages; whoever draws picks one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from alerts.model import Incident, State, Transition


class Name(NamedTuple):
    """A name per language; `en` may be ""."""

    vi: str
    en: str


class TargetRow(NamedTuple):
    """One target in the overview.

    Attributes:
        id, name, type, agency, site, criticality: from the inventory.
        state, since_ms, reason, flapping: now.
        message: the last message of the check behind the state, "" when up.
        in_maintenance: a planned window is in force.
        latency_s: last latency of the check that stands for it (its first; of a group, of none: None).
        loss_ratio: last packet loss of that check, None where there is none.
        spark: that check's last latencies, oldest first.
        availability_today: ratio since midnight in the configured zone, None where nothing was known.
        outage_today: there was downtime today, however short (100 % may be shown only without one).
        checks: how many checks it has; members: how many members.

    """

    id: str
    name: Name
    type: str
    agency: str
    site: str
    criticality: int
    state: State
    since_ms: int
    reason: str
    flapping: bool
    message: str
    in_maintenance: bool
    latency_s: float | None
    loss_ratio: float | None
    spark: tuple[float | None, ...]
    availability_today: float | None
    outage_today: bool
    checks: int
    members: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the overview page shows.

    Attributes:
        now_ms: when it was read.
        heartbeat_ms: when the monitor last wrote; the page says so when that is long ago.
        simulated: the data is of the demo country.
        counts: targets by state.
        agencies: name by id, in display order.
        rows: all targets, worst first (down, unknown, degraded, up), then criticality, then name.
        incidents: the open ones, most severe first, then newest first.

    """

    now_ms: int
    heartbeat_ms: int
    simulated: bool
    counts: Mapping[State, int]
    agencies: Mapping[str, Name]
    rows: tuple[TargetRow, ...]
    incidents: tuple[Incident, ...]


class Segment(NamedTuple):
    """A stretch of one state, [from_ms, to_ms)."""

    from_ms: int
    to_ms: int
    state: State
    reason: str


class Point(NamedTuple):
    """One point of a latency chart: a result, or an interval's rollup.

    Attributes:
        at_ms: start of the result or of the interval.
        latency_s, low_s, high_s: mean, least and greatest latency, None when all packets were lost.
        loss_ratio: None where the kind has none.
        state: outcome of the result; the worst outcome in the interval.
        phases: seconds by phase name (`resolve_s`, …), only for single results.
        samples: all samples of a single result, empty for an interval.
        p50_s, p95_s, p99_s: percentiles of an interval's latencies, within 2 %; None for a single result.

    """

    at_ms: int
    latency_s: float | None
    low_s: float | None
    high_s: float | None
    loss_ratio: float | None
    state: State
    phases: Mapping[str, float]
    samples: Mapping[str, float]
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None


class Latency(NamedTuple):
    """Latency over a period; all but the percentiles are exact, and these are within 2 %.

    Attributes:
        results: that had a latency; where there is none, all but `loss_ratio` are None.
        mean_s, min_s, max_s, p50_s, p95_s, p99_s: of them.
        loss_ratio: share of packets lost, None where none were counted.

    """

    results: int
    mean_s: float | None
    min_s: float | None
    max_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    loss_ratio: float | None


class Revision(NamedTuple):
    """What late results have changed of the past.

    Attributes:
        id: rises with every change: whoever keeps figures asks for those after the last that it knows.
        at_ms: when it was changed.
        check: whose figures; [from_ms, to_ms): of which time.
        results: how many results came to its rollups.
        gone, new: transitions of the check that went and that came: (at_ms, before, after, reason).

    """

    id: int
    at_ms: int
    check: str
    from_ms: int
    to_ms: int
    results: int
    gone: tuple[tuple[int, State, State, str], ...]
    new: tuple[tuple[int, State, State, str], ...]


class Hop(NamedTuple):
    """One hop of a path.

    Attributes:
        ttl: 1 for the nearest.
        hosts: addresses in each of the path's routes; () where it is silent or the route ends before it.
        before: addresses that the first route had there before its last change, () where they are the same.
        rtt_s, loss_ratio: of the last run over all flows, None where there is none.

    """

    ttl: int
    hosts: tuple[tuple[str, ...], ...]
    before: tuple[str, ...]
    rtt_s: float | None
    loss_ratio: float | None


class Path(NamedTuple):
    """The hops that a check of the kind `path` found.

    Attributes:
        at_ms: start of the run whose figures these are.
        routes: how many different routes the flows take.
        is_whole: whether the destination answered.
        changed_ms: when the route changed last, 0 where that is not known.
        hops: nearest first.

    """

    at_ms: int
    routes: int
    is_whole: bool
    changed_ms: int
    hops: tuple[Hop, ...]


class CheckPanel(NamedTuple):
    """One check on a target page; `path` is None for what traces none."""

    id: str
    name: str
    probe: str
    address: str
    interval_s: float
    state: State
    since_ms: int
    reason: str
    message: str
    last_at_ms: int
    points: tuple[Point, ...]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class TargetPage:
    """Everything that a target's page shows.

    Attributes:
        now_ms, heartbeat_ms, simulated: as in the overview.
        row: the target as in the overview.
        agency_name, site_name: names of its owner and place.
        from_ms, to_ms: the window of the charts.
        timeline: the target's states over the window, gapless, oldest first.
        checks: its checks with their latency over the window.
        members: rows of its members.
        parents: rows of what it depends on.
        transitions: of the target and its checks, newest first, 200 at most.
        incidents: that it caused or was hurt by, newest first, 50 at most.
        availability: the figures of DESIGN section 6.5 over today and the last 30 days, by `today` and `30d`.
        months: the same of each month since it was first measured, oldest first: the last 12 that are over, and the
            running one.
        names: names of the targets that its incidents came from.

    """

    now_ms: int
    heartbeat_ms: int
    simulated: bool
    row: TargetRow
    agency_name: Name
    site_name: Name
    from_ms: int
    to_ms: int
    timeline: tuple[Segment, ...]
    checks: tuple[CheckPanel, ...]
    members: tuple[TargetRow, ...]
    parents: tuple[TargetRow, ...]
    transitions: tuple[Transition, ...]
    incidents: tuple[Incident, ...]
    availability: Mapping[str, Mapping[str, object]]
    months: tuple[Mapping[str, object], ...] = ()
    names: Mapping[str, Name] = field(default_factory=dict)
