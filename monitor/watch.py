"""What `thongsuot probe --watch` prints: a line per run, and the sum of them at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil

from alerts.model import Result, State
from alerts.wording import STATES, Said, in_language, reason_in_words
from monitor.explain import span
from monitor.jobs import Job
from probes.model import Failure

LATENCIES_MOST = 100_000
"""Latencies that are kept for the percentiles: the latest of a long watch."""
STATE_WIDTH = (8, 15)
"""Of the longest name of a state in English and in Vietnamese."""
_WORST_FIRST = (State.DOWN, State.UNKNOWN, State.DEGRADED, State.UP)


@dataclass(slots=True)
class Tally:
    """What many runs came to."""

    states: Counter[State] = field(default_factory=Counter)
    failures: Counter[Failure] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    @property
    def runs(self) -> int:
        """How many runs there were."""
        return self.states.total()

    @property
    def worst(self) -> State:
        """The worst that any run was."""
        return next((state for state in _WORST_FIRST if self.states[state]), State.UNKNOWN)

    def add(self, result: Result, latency_s: float | None) -> None:
        """Count one run."""
        self.states[result.state] += 1
        if result.failure is not None:
            self.failures[result.failure] += 1
        if latency_s is not None:
            self.latencies_s = [*self.latencies_s[-LATENCIES_MOST:], latency_s]


_WORDS: Mapping[str, Said] = {
    "runs": Said("lần đo", "runs"),
    "none": Said("không có", "none"),
    "latency": Said("độ trễ", "latency"),
    "loss": Said("mất gói", "loss"),
}


def line_of(job: Job, result: Result, language: str = "en") -> str:
    """Return one run in one line: when, what, how long, and why it is not up."""
    when = datetime.fromtimestamp(result.at_ms / 1000, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    latency_s = job.latency_of(result)
    latency = "—" if latency_s is None else span(latency_s)
    why = f"  {_named(result.failure, language)} {result.message}".rstrip() if result.state is not State.UP else ""
    loss = (
        f"  {_word('loss', language)} {result.samples['loss_ratio'] * 100:.4g} %"
        if result.samples.get("loss_ratio")
        else ""
    )
    state = _state(result.state, language)
    return f"{when}  {state:<{STATE_WIDTH[language == 'vi']}} {latency:>12}{loss}{why}"


def summary(tally: Tally, language: str = "en") -> Iterator[str]:
    """Yield what the runs came to."""
    counted = ", ".join(
        f"{count} {_state(state, language)}" for state in _WORST_FIRST[::-1] if (count := tally.states[state])
    )
    yield f"--- {tally.runs} {_word('runs', language)}: {counted or _word('none', language)}"
    for failure, count in tally.failures.most_common():
        yield f"    {count} × {_named(failure, language)}"
    if tally.latencies_s:
        ranked = sorted(tally.latencies_s)
        points = {"min": 0.0, "p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        figures = (f"{name} {span(ranked[max(0, ceil(q * len(ranked)) - 1)])}" for name, q in points.items())
        yield f"    {_word('latency', language)} {'  '.join(figures)}"


def _word(name: str, language: str) -> str:
    return in_language(_WORDS[name], language)


def _state(state: State, language: str) -> str:
    return STATES[state].vi.lower() if language == "vi" else state.value


def _named(failure: Failure | None, language: str) -> str:
    """Return a failure as machines name it; in Vietnamese its sentence comes first."""
    if failure is None:
        return ""
    return f"{reason_in_words(failure, language)} ({failure})" if language == "vi" else failure.value
