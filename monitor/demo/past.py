"""One check's past, streamed: measured, decided on by the core and counted, result by result, and none is kept.

A year at the check's own interval would be millions of results. While nothing happens it is therefore measured every
`CALM_S`, and every `TROUBLE_S` around a fault and in the last days; the core is told so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple
from zoneinfo import ZoneInfo

from alerts.core import Core
from alerts.intervals import Interval, joined
from alerts.model import CheckRule, Result, Rules, Transition
from alerts.periods import days
from monitor.demo import past_script
from monitor.demo.blueprint import draw
from monitor.demo.domain import read
from monitor.demo.witness import Watched, Witness
from monitor.jobs import latency_of
from monitor.records import Rollup
from monitor.rollup import HOUR_MS, INTERVAL_MS, Tally
from monitor.store.history import History
from monitor.store.rollups import add_up, hours_in, whole_days
from probes import registry

CALM_S, TROUBLE_S = 600, 60
MARGIN_MS = 900_000
"""So long before and after a fault it is measured more often: what confirms its end comes after it."""
FINE_MS = 3 * 24 * HOUR_MS
"""Of so long before its end there are 5 minutes: what a chart of a day shows."""


class Era(NamedTuple):
    """Which past: [from_ms, to_ms) of the country with that seed; both are whole hours."""

    from_ms: int
    to_ms: int
    seed: int
    zone: ZoneInfo


class Past:
    """The country's past, as its checks see it.

    Attributes:
        era, until_ms: of which time what goes wrong is drawn.
        plan: the whole country.
        away: when the monitor itself was away.

    """

    def __init__(self, era: Era, until_ms: int) -> None:
        """Draw all that goes wrong in the era and after it until `until_ms`."""
        self.era, self.until_ms = era, until_ms
        self.plan = draw(read())
        faults = past_script.faults(self.plan, era.seed, era.from_ms, until_ms, era.zone)
        self._by_place = past_script.by_place(faults)
        self.away = past_script.away(era.from_ms, until_ms, era.zone)

    def witness(self, check: Watched) -> Witness:
        """Return who measures that check."""
        return Witness(self.plan, check, self._by_place, self.era.seed)

    def history(self, check: Watched, rule: CheckRule) -> History:
        """Return what became of that check in the era."""
        witness, era = self.witness(check), self.era
        rule = replace(rule, interval_s=float(CALM_S), stale_after_s=3.0 * CALM_S)
        core = Core(Rules({rule.id: rule}, {}))
        counter = _Counter(check, era.to_ms - FINE_MS)
        transitions: list[Transition] = []
        first_ms = 0
        for at_ms in self._moments(witness):
            result = witness.measure(at_ms)
            first_ms = first_ms or at_ms
            transitions += [event for event in core.feed(result) if isinstance(event, Transition)]
            counter.add(result.at_ms, result)
        counter.close()
        spans = [span for span in days(era.from_ms, era.to_ms, era.zone) if whole_days(*span, era.zone) == span]
        whole_ms = spans[-1][1] if spans else era.from_ms
        inside = [hour for hour in counter.hours if spans and spans[0][0] <= hour.start_ms < whole_ms]
        return History(
            check.id,
            era.from_ms,
            era.to_ms,
            first_ms,
            tuple(transitions),
            tuple(counter.fine),
            tuple(counter.hours),
            tuple(add_up(inside, spans)),
        )

    def _moments(self, witness: Witness) -> Iterator[int]:
        """Yield when the check is run: at a phase of its own, oftener in trouble, never while the monitor is away."""
        fine_ms, end_ms = max(self.era.from_ms, self.era.to_ms - FINE_MS), self.era.to_ms
        faults = [(round(f.from_s * 1000) - MARGIN_MS, round(f.to_s * 1000) + MARGIN_MS) for f in witness.faults]
        often = joined([*faults, (fine_ms, end_ms)])
        phase_ms = round(witness.phase * TROUBLE_S * 1000)
        for from_ms, to_ms in _without(self.away, self.era.from_ms, end_ms):
            at_ms = from_ms + phase_ms
            while at_ms < to_ms:
                while often and often[0][1] <= at_ms:
                    del often[0]
                yield at_ms
                is_trouble = bool(often) and often[0][0] <= at_ms
                step_ms = (TROUBLE_S if is_trouble else CALM_S) * 1000
                if not is_trouble and often and at_ms + step_ms > often[0][0]:
                    step_ms = max(TROUBLE_S * 1000, often[0][0] - at_ms)
                at_ms += step_ms


def _without(away: Sequence[Interval], from_ms: int, to_ms: int) -> Iterator[Interval]:
    for start_ms, end_ms in away:
        if from_ms < start_ms < to_ms:
            yield from_ms, start_ms
            from_ms = min(end_ms, to_ms)
    yield from_ms, to_ms


class _Counter:
    """Counts hours, and the 5 minutes from `fine_ms` on; hours with 5 minutes are made of these."""

    def __init__(self, check: Watched, fine_ms: int) -> None:
        self.hours: list[Rollup] = []
        self.fine: list[Rollup] = []
        self._check = check
        self._sample = registry.find(check.probe).latency
        self._fine_ms = fine_ms
        self._start_ms = self._end_ms = -1
        self._tally = Tally()

    def add(self, at_ms: int, result: Result) -> None:
        """Count a result; none starts before the one before it."""
        if at_ms >= self._end_ms:
            self._next(at_ms)
        self._tally.add(result, latency_of(result, self._sample), result.samples.get("loss_ratio"))

    def _next(self, at_ms: int) -> None:
        self._keep()
        length_ms = INTERVAL_MS if at_ms >= self._fine_ms else HOUR_MS
        self._start_ms = at_ms - at_ms % length_ms
        self._end_ms = self._start_ms + length_ms
        self._tally = Tally()

    def _keep(self) -> None:
        if self._end_ms >= 0:
            found = self.fine if self._end_ms - self._start_ms == INTERVAL_MS else self.hours
            found.append(self._tally.rollup(self._check.id, self._start_ms))

    def close(self) -> None:
        """Take what was counted last, and make hours of the 5 minutes."""
        self._keep()
        if self.fine:
            first_ms = self.fine[0].start_ms - self.fine[0].start_ms % HOUR_MS
            self.hours += add_up(self.fine, hours_in(first_ms, self.fine[-1].start_ms + 1))
