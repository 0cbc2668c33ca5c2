"""The target page as plain data: worded, formatted and bounded, with its charts as plotly dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from alerts.model import Incident, State, Subject, Transition
from alerts.wording import PHASES, reason_in_words
from dashboards.causes import cause_in_words
from dashboards.figures import latency_figure, phases_figure
from dashboards.formats import NOTHING, Formats, Language
from dashboards.hops import hops_data
from dashboards.overview import flags_of, name_of, spark
from dashboards.palette import PALETTES, Theme
from dashboards.wording import say, state_in_words
from monitor.advice import next_steps
from monitor.views import CheckPanel, Name, Segment, TargetPage, TargetRow
from probes import registry
from probes.model import Failure

WINDOWS_S = (3600, 21_600, 86_400, 604_800, 2_592_000, 31_536_000)
CHECKS_LIMIT = 12
ROWS_LIMIT = 100
SEGMENTS_LIMIT = 400


def target_data(page: TargetPage, formats: Formats, theme: Theme) -> dict[str, Any]:
    """Return what a target's page draws."""
    return {
        "head": _head(page, formats),
        "availability": [_availability(key, page, formats) for key in ("today", "30d")],
        "months": [_month(figures, formats) for figures in reversed(page.months)],
        "timeline": _timeline(page, formats),
        "checks": [_check(panel, page, formats, theme) for panel in page.checks[:CHECKS_LIMIT]],
        "moreChecks": _more(len(page.checks), CHECKS_LIMIT, formats),
        "transitions": [_transition(change, page, formats) for change in page.transitions[:ROWS_LIMIT]],
        "moreTransitions": _more(len(page.transitions), ROWS_LIMIT, formats),
        "incidents": [_incident(incident, page, formats) for incident in page.incidents],
        "members": _related(page.members, page.now_ms, formats),
        "moreMembers": _more(len(page.members), ROWS_LIMIT, formats),
        "parents": _related(page.parents, page.now_ms, formats),
        "moreParents": _more(len(page.parents), ROWS_LIMIT, formats),
    }


def _more(total: int, limit: int, formats: Formats) -> str:
    return say("target.more", formats.language, count=formats.number(total - limit)) if total > limit else ""


def _head(page: TargetPage, formats: Formats) -> dict[str, Any]:
    row, language = page.row, formats.language
    known = row.since_ms > 0
    lasting = formats.span((page.now_ms - row.since_ms) / 1000)
    objective = _number(page.availability.get("30d", {}), "objective")
    facts = [
        ("target.agency", name_of(page.agency_name, row.agency, formats) or say("no_owner", language)),
        ("target.site", name_of(page.site_name, row.site, formats) or NOTHING),
        ("target.type", say(f"type.{row.type}", language)),
        ("target.criticality", say("level", language, level=row.criticality)),
        ("target.objective", NOTHING if objective is None else formats.objective(objective)),
        ("target.id", row.id),
    ]
    return {
        "id": row.id,
        "name": name_of(row.name, row.id, formats),
        "state": row.state.value,
        "word": state_in_words(row.state, language),
        "since": say("since", language, time=formats.date_time(row.since_ms, seconds=True)) if known else "",
        "lasting": say("target.lasting", language, span=lasting) if known else "",
        "reason": cause_in_words(row.reason, row.message, formats),
        "message": row.message,
        "flags": flags_of(row, formats),
        "facts": [[say(key, language), value] for key, value in facts],
    }


def _number(figures: Mapping[str, object], key: str) -> float | None:
    value = figures.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _availability(key: str, page: TargetPage, formats: Formats) -> dict[str, Any]:
    """Return one period's figures; what was not measured is a dash and a sentence, never a number."""
    figures, language = page.availability.get(key, {}), formats.language
    ratio, objective = _number(figures, "availability"), _number(figures, "objective")
    outages = _number(figures, "outages") or 0.0
    down_s = _number(figures, "down_s") or 0.0
    verdict = ""
    if ratio is None:
        verdict = say("target.nothing_known", language)
    elif objective is not None:
        verdict_key = "target.met" if figures.get("met") else "target.missed"
        verdict = say(verdict_key, language, objective=formats.objective(objective))
    rows = [
        ("target.coverage", formats.ratio(_number(figures, "coverage"))),
        ("target.outages", NOTHING if ratio is None else formats.number(outages)),
        ("target.downtime", NOTHING if ratio is None else formats.span(down_s)),
        ("target.longest", formats.span(_number(figures, "longest_outage_s") or 0.0) if outages else NOTHING),
    ]
    return {
        "period": say(f"target.{key}", language),
        "value": formats.ratio(ratio, outage=outages > 0 or down_s > 0, decimals=3),
        "verdict": verdict,
        "met": figures.get("met") if ratio is not None and objective is not None else None,
        "rows": [[say(word, language), value] for word, value in rows],
    }


def _month(figures: Mapping[str, object], formats: Formats) -> dict[str, Any]:
    """Return one row of the months; a month that was not measured has dashes."""
    language = formats.language
    ratio, objective = _number(figures, "availability"), _number(figures, "objective")
    outages, down_s = _number(figures, "outages") or 0.0, _number(figures, "down_s") or 0.0
    is_judged = ratio is not None and objective is not None
    verdict = "target.met" if figures.get("met") else "target.missed"
    return {
        "id": str(figures["from"]),
        "month": formats.month(str(figures["from"])),
        "value": formats.ratio(ratio, outage=outages > 0 or down_s > 0, decimals=3),
        "met": bool(figures.get("met")) if is_judged else None,
        "verdict": say(verdict, language, objective=formats.objective(objective)) if objective and is_judged else "",
        "coverage": formats.ratio(_number(figures, "coverage")),
        "outages": NOTHING if ratio is None else formats.number(outages),
        "downtime": NOTHING if ratio is None else formats.span(down_s),
        "longest": formats.span(_number(figures, "longest_outage_s") or 0.0) if outages else NOTHING,
    }


def _timeline(page: TargetPage, formats: Formats) -> dict[str, Any]:
    """Return the bar: shares of the window in hundredths of a percent, adding up to the whole."""
    width = max(1, page.to_ms - page.from_ms)
    segments: list[list[int | str]] = []
    spoken: list[str] = []
    for segment in _joined(page.timeline):
        start = max(segment.from_ms, page.from_ms)
        end = min(segment.to_ms, page.to_ms)
        if end <= start:
            continue
        left, right = (round((t - page.from_ms) / width * 10_000) for t in (start, end))
        told = _told(segment, formats)
        spoken.append(told)
        segments.append([left, right - left, segment.state.value, told])
    return {
        "segments": segments,
        "from": formats.date_time(page.from_ms),
        "to": formats.date_time(page.to_ms),
        "spoken": "; ".join(spoken[-10:]),
    }


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments with the shortest neighbours joined, the worse state winning, until they can be drawn."""
    joined = list(segments)
    while len(joined) > SEGMENTS_LIMIT:
        pairs = [joined[i : i + 2] for i in range(0, len(joined), 2)]
        joined = [
            max(pair, key=lambda s: _WORSE[s.state])._replace(from_ms=pair[0].from_ms, to_ms=pair[-1].to_ms)
            for pair in pairs
        ]
    return joined


_WORSE = {State.UP: 0, State.DEGRADED: 1, State.UNKNOWN: 2, State.DOWN: 3}


def _told(segment: Segment, formats: Formats) -> str:
    word = state_in_words(segment.state, formats.language)
    reason = f" ({reason_in_words(segment.reason, formats.language)})" if segment.reason else ""
    start, end = formats.date_time(segment.from_ms, seconds=True), formats.date_time(segment.to_ms, seconds=True)
    return f"{word}{reason}: {start} – {end}, {formats.span((segment.to_ms - segment.from_ms) / 1000)}"


def _check(panel: CheckPanel, page: TargetPage, formats: Formats, theme: Theme) -> dict[str, Any]:
    language, palette, window = formats.language, PALETTES[theme], (page.from_ms, page.to_ms)
    phases = phases_figure(panel.points, window, panel.interval_s, formats, palette)
    has_loss = any(point.loss_ratio is not None for point in panel.points)
    last = formats.date_time(panel.last_at_ms, seconds=True) if panel.last_at_ms > 0 else say("never", language)
    return {
        "id": panel.id,
        "name": panel.name,
        "probe": panel.probe,
        "address": panel.address,
        "state": panel.state.value,
        "word": state_in_words(panel.state, language),
        "since": say("since", language, time=formats.since(panel.since_ms, page.now_ms)) if panel.since_ms > 0 else "",
        "reason": cause_in_words(panel.reason, panel.message, formats),
        "message": panel.message,
        "advice": _advice(panel, language),
        "path": hops_data(panel.path, formats),
        "every": say("target.every", language, span=formats.span(panel.interval_s)),
        "last": say("target.last", language, time=last),
        "latency": latency_figure(panel.points, window, panel.interval_s, formats, palette),
        "latencyLabel": say("target.latency" if has_loss else "target.latency_short", language),
        "phases": phases,
        "phasesNote": say("target.phases_note", language) if phases is None and _has_phases(panel.probe) else "",
        "phasesLabel": say("target.phases", language),
    }


@cache
def _has_phases(kind: str) -> bool:
    """Say whether a kind's runs have several phases, which only single runs show."""
    try:
        return sum(sample in PHASES for sample in registry.find(kind).samples) > 1
    except registry.UnknownKindError:
        return False


def _advice(panel: CheckPanel, language: Language) -> str:
    """Return what to look at next, "" where nothing is wrong or what is wrong is not a failure."""
    if panel.state is State.UP or panel.reason not in set(Failure):
        return ""
    step = next(iter(next_steps(Failure(panel.reason), panel.address, language)))
    return say("next", language, step=step)


def _transition(change: Transition, page: TargetPage, formats: Formats) -> dict[str, Any]:
    language = formats.language
    itself = change.kind is Subject.TARGET
    return {
        "at": formats.date_time(change.at_ms, seconds=True),
        "detected": formats.date_time(change.detected_at_ms, seconds=True),
        "subject": say("target.itself", language) if itself else change.subject.removeprefix(f"{page.row.id}/"),
        "before": change.before.value,
        "beforeWord": state_in_words(change.before, language),
        "after": change.after.value,
        "afterWord": state_in_words(change.after, language),
        "reason": reason_in_words(change.reason, language) if change.reason else "",
    }


def _incident(incident: Incident, page: TargetPage, formats: Formats) -> dict[str, Any]:
    language = formats.language
    end_ms = incident.resolved_ms or page.now_ms
    return {
        "id": incident.id,
        "target": incident.target,
        "name": name_of(page.names.get(incident.target, Name("", "")), incident.target, formats),
        "message": incident.message,
        "level": incident.severity,
        "severity": say("severity", language, level=incident.severity),
        "cause": page.row.id != incident.target,
        "started": formats.date_time(incident.started_ms, seconds=True),
        "span": formats.span((end_ms - incident.started_ms) / 1000),
        "reason": cause_in_words(incident.reason, incident.message, formats),
        "open": incident.resolved_ms is None,
        "phase": say(f"phase.{incident.phase.value}", language),
    }


def _related(rows: Sequence[TargetRow], now_ms: int, formats: Formats) -> list[dict[str, Any]]:
    return [
        {
            "id": row.id,
            "name": name_of(row.name, row.id, formats),
            "type": say(f"type.{row.type}", formats.language),
            "state": row.state.value,
            "word": state_in_words(row.state, formats.language),
            "since": formats.since(row.since_ms, now_ms),
            "reason": reason_in_words(row.reason, formats.language) if row.reason else "",
            "spark": spark(row.spark),
            "latency": formats.latency(row.latency_s),
            "availability": formats.ratio(row.availability_today, outage=row.outage_today),
        }
        for row in rows[:ROWS_LIMIT]
    ]
