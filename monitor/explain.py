"""Explains one run of a probe to a person, as a good doctor would.

What was found, how long each part took, what was expected and what came, what the certificates say, and what to look
at next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from alerts.model import State
from alerts.wording import LAYERS, PHASES, STATES, in_language, reason_in_words
from monitor.advice import next_steps
from monitor.jobs import Job
from monitor.runner import Observation
from probes.conditions import AbsentError, one_line

BAR_WIDTH = 40
PHASE_WIDTH = 22
BODY_CHARACTERS = 240
"""How much of a body is shown where what came matters."""
CHAIN_MOST = 8
_COLOURS = {State.UP: "32", State.DEGRADED: "33", State.DOWN: "31", State.UNKNOWN: "35"}
_SIGNS = {State.UP: "●", State.DEGRADED: "◐", State.DOWN: "✖", State.UNKNOWN: "?"}
_EXPIRY_SOON_S = 30 * 86400.0

_WORDS: Mapping[str, tuple[str, str]] = {
    "in": ("trong", "in"),
    "layer": ("tầng", "layer"),
    "peer": ("địa chỉ đã kết nối:", "spoke to"),
    "phases": ("Các pha", "Phases"),
    "died": ("hết giờ ở đây", "time ran out here"),
    "expected": ("Điều kiện", "Conditions"),
    "certificates": ("Chứng thư", "Certificates"),
    "until": ("đến", "until"),
    "expired": ("ĐÃ HẾT HẠN", "EXPIRED"),
    "days": ("ngày", "days"),
    "measured": ("Số đo", "Measured"),
    "came": ("Trả lời", "What came"),
    "unseen": ("Không có quyền xem", "No right to see"),
    "next": ("Xem tiếp", "What to look at next"),
    "other": ("ngoài các pha", "outside the phases"),
}


class Style(NamedTuple):
    """How to say it.

    Attributes:
        language: `vi` or `en`.
        colour: whether the terminal shows colours.

    """

    language: str = "en"
    colour: bool = False

    def word(self, name: str) -> str:
        """Return a word of ours."""
        return _WORDS[name][self.language != "vi"]

    def painted(self, text: str, code: str) -> str:
        """Return text in a colour of the terminal, or as it is."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


def explain(kind: str, address: str, job: Job, seen: Observation, style: Style) -> Iterator[str]:
    """Yield the lines that tell a person what was found."""
    result = seen.result
    state = style.painted(f"{_SIGNS[result.state]} {state_word(result.state, style)}", f"1;{_COLOURS[result.state]}")
    yield f"{kind} {address}: {state} {style.word('in')} {span(result.duration_s)}"
    if result.failure is not None:
        said = reason_in_words(result.failure, style.language)
        layer = in_language(LAYERS[result.failure.layer], style.language)
        yield f"  {style.painted(said, '1')}: {result.failure} ({style.word('layer')}: {layer})"
    if result.message:
        yield f"  {result.message}"
    if seen.peer and seen.peer not in address:
        yield f"  {style.word('peer')} {seen.peer}"
    yield from _phases(seen, style)
    yield from _conditions(job, seen, style)
    yield from _chain(seen.measurement.facts, style)
    yield from _measured(seen, style)
    unseen = fact(seen.measurement.facts, "unseen")
    yield from _section(style.word("unseen"), [unseen] if isinstance(unseen, str) and unseen else [], style)
    if result.state is not State.UP:
        yield from _what_came(seen.measurement.facts, style)
    if result.failure is not None:
        steps = list(next_steps(result.failure, address, style.language))
        yield from _section(style.word("next"), (f"→ {line}" for line in steps), style)


def state_word(state: State, style: Style) -> str:
    """Return a state's name in capitals; the English one is the value that machines read."""
    return (STATES[state].vi if style.language == "vi" else state.value).upper()


def _section(title: str, lines: Iterable[str], style: Style) -> Iterator[str]:
    found = list(lines)
    if found:
        yield style.painted(title, "1")
        yield from (f"  {line}" for line in found)


def _phases(seen: Observation, style: Style) -> Iterator[str]:
    spans = {name: seen.result.samples[name] for name in seen.phases if name in seen.result.samples}
    return _section(style.word("phases"), _bars(spans, seen, style), style)


def _bars(spans: Mapping[str, float], seen: Observation, style: Style) -> Iterator[str]:
    """Yield one bar per phase, each beginning where the one before it ended: a waterfall."""
    whole_s = max(seen.result.duration_s, sum(spans.values()))
    if not spans or not whole_s:
        return
    failure = seen.result.failure
    died_in = seen.phases[-1] if failure is not None and failure.endswith("timeout") else ""
    started_s = 0.0
    for name, span_s in spans.items():
        before = min(round(BAR_WIDTH * started_s / whole_s), BAR_WIDTH - 1)
        width = min(max(1, round(BAR_WIDTH * span_s / whole_s)), BAR_WIDTH - before)
        bar = " " * before + style.painted("█" * width, "36")
        note = " " * (BAR_WIDTH - before - width) + f" ← {style.word('died')}" if name == died_in else ""
        yield f"{_phase(name, style):<{PHASE_WIDTH}} {span(span_s):>12}  {bar}{note}"
        started_s += span_s
    rest_s = whole_s - started_s
    if rest_s > 0.05 * whole_s:
        yield f"{style.word('other'):<{PHASE_WIDTH}} {span(rest_s):>12}"


def _phase(name: str, style: Style) -> str:
    """Return a phase's name in Vietnamese, or as conditions and machines name it."""
    said = PHASES.get(name)
    return said.vi if said is not None and style.language == "vi" else name.removesuffix("_s")


def _conditions(job: Job, seen: Observation, style: Style) -> Iterator[str]:
    return _section(style.word("expected"), _judged(job, seen, style), style)


def _judged(job: Job, seen: Observation, style: Style) -> Iterator[str]:
    for name, state, conditions in (
        ("down_when", State.DOWN, job.down_when),
        ("degraded_when", State.DEGRADED, job.degraded_when),
    ):
        for condition in conditions:
            holds, message = condition.holds(seen.measurement, seen.result.duration_s)
            sign = style.painted("✖", _COLOURS[state]) if holds else style.painted("✓", _COLOURS[State.UP])
            yield f"{sign} {name}: {message or condition.source}"


def _chain(facts: Mapping[str, Any], style: Style) -> Iterator[str]:
    certificates = fact(facts, "certs")
    if isinstance(certificates, list | tuple) and certificates:
        lines = [_certificate(item, style) for item in certificates[:CHAIN_MOST] if isinstance(item, Mapping)]
        return _section(style.word("certificates"), lines, style)
    subject, until = fact(facts, "cert.subject"), fact(facts, "cert.not_after")
    if subject is None:
        return iter(())
    alone = {"subject": subject, "issuer": fact(facts, "cert.issuer"), "not_after": until}
    return _section(style.word("certificates"), [_certificate(alone, style)], style)


def _certificate(item: Mapping[str, Any], style: Style) -> str:
    text = f"{item.get('subject', '?')}  ← {item.get('issuer', '?')}"
    until = item.get("not_after")
    if isinstance(until, str):
        until = datetime.fromisoformat(until)
    if isinstance(until, datetime):
        left = until - datetime.now(until.tzinfo)
        soon = left < timedelta(seconds=_EXPIRY_SOON_S)
        when = f"{style.word('until')} {until:%d/%m/%Y %H:%M} UTC, {left.days} {style.word('days')}"
        if left < timedelta():
            when = f"{style.word('expired')} {until:%d/%m/%Y %H:%M} UTC"
        text += "  " + (style.painted(when, "33") if soon else when)
    return one_line(text, 400)


def _measured(seen: Observation, style: Style) -> Iterator[str]:
    rest = {name: value for name, value in seen.result.samples.items() if name not in seen.phases}
    lines = (f"{name.removesuffix('_s'):<24} {figure(name, value):>14}" for name, value in rest.items())
    return _section(style.word("measured"), lines, style)


def _what_came(facts: Mapping[str, Any], style: Style) -> Iterator[str]:
    body = fact(facts, "body") or fact(facts, "log")
    lines = [one_line(body, BODY_CHARACTERS)] if isinstance(body, str) and body.strip() else []
    return _section(style.word("came"), lines, style)


def fact(facts: Mapping[str, Any], name: str) -> Any:
    """Return a fact, None where it is not there."""
    try:
        return facts[name]
    except (KeyError, AbsentError):
        return None


def figure(name: str, value: float) -> str:
    """Return a sample as a person reads it, by the unit that its name ends in."""
    if name.endswith("_s"):
        return span(value)
    if name.endswith("_ratio"):
        return f"{value * 100:.4g} %"
    if name.endswith("_bytes"):
        return f"{value:,.0f} B".replace(",", " ")
    if name.endswith("_bps"):
        return f"{value / 1e6:.4g} Mbit/s"
    return f"{value:.15g}"


def span(seconds: float) -> str:
    """Return a span of time as a person reads it."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.3f} ms"
    if abs(seconds) < 120:
        return f"{seconds:.3f} s"
    return f"{seconds / 86400:.1f} days" if abs(seconds) > 2 * 86400 else f"{seconds / 3600:.1f} h"
