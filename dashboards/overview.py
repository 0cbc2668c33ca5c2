"""The overview page as plain data: worded, formatted, filtered and bounded, so that the browser only draws.

What is drawn stays light whatever the size of the country: lists are cut with "và N nữa", and beyond
`TILES_LIMIT` an agency shows the targets that are not up and counts the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from alerts.model import Incident, State
from alerts.wording import reason_in_words
from dashboards.causes import cause_in_words
from dashboards.formats import NOTHING, Formats
from dashboards.naming import abbreviated, folded, grouped
from dashboards.wording import say, state_in_words
from monitor.views import Name, Overview, TargetRow

TILES_LIMIT = 600
"""Targets drawn one by one; more than this is counted."""

NOT_UP_LIMIT = 60
INCIDENTS_LIMIT = 30
IMPACT_LIMIT = 8
SEARCH_LIMIT = 100
"""Characters of a search that are looked at."""

STATES = (State.DOWN, State.UNKNOWN, State.DEGRADED, State.UP)
"""The order that states are shown in, worst first."""

TYPES = ("link", "endpoint", "connector", "group")
NOT_UP = "not_up"

_SPARK = "0123456789abcdefghijklmnopqrstuv"
_GAP = "."


@dataclass(frozen=True, slots=True)
class Filter:
    """What the viewer wants to see.

    Attributes:
        search: words that must all occur in name, id, agency or site; marks and case do not matter.
        state: a state, `not_up`, or "" for any; what is none of these counts as any.
        type: a target type, or "".

    """

    search: str = ""
    state: str = ""
    type: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "search", " ".join(folded(self.search[:SEARCH_LIMIT]).split()))
        known = {NOT_UP, *(state.value for state in State)}
        object.__setattr__(self, "state", self.state if self.state in known else "")
        object.__setattr__(self, "type", self.type if self.type in TYPES else "")

    def takes(self, row: TargetRow, agency: Name | None) -> bool:
        """Say whether the target is wanted."""
        if self.type and row.type != self.type:
            return False
        if self.state == NOT_UP and row.state is State.UP:
            return False
        if self.state not in ("", NOT_UP) and row.state.value != self.state:
            return False
        if not self.search:
            return True
        names = (*row.name, row.id, row.site, row.agency, *(agency or ()))
        text = folded(" ".join(names))
        return all(word in text for word in self.search.split())


def overview_data(overview: Overview, wanted: Filter, formats: Formats) -> dict[str, Any]:
    """Return what the overview page draws."""
    rows = [row for row in overview.rows if wanted.takes(row, overview.agencies.get(row.agency))]
    names = {row.id: row.name for row in overview.rows}
    blamed = _incident_by_target(overview.incidents)
    return {
        "counts": _counts(overview.counts, formats),
        "total": formats.number(len(overview.rows)),
        "matched": formats.number(len(rows)),
        "empty": not overview.rows,
        "incidents": _incidents(overview, names, formats),
        "notUp": _not_up(rows, overview, blamed, formats),
        "agencies": _agencies(rows, overview.agencies, formats),
    }


@lru_cache(maxsize=32_768)
def spark(values: tuple[float | None, ...]) -> str:
    """Return latencies as one letter each, `0` (least) to `v` (greatest), `.` where there was none.

    A range under a quarter of the greatest value is widened to that, so that noise does not look like trouble.
    """
    known = [value for value in values if value is not None]
    if not known:
        return _GAP * len(values)
    low, high = min(known), max(known)
    width = max(high - low, high / 4, 1e-9)
    low = max(0.0, (low + high - width) / 2)
    top = len(_SPARK) - 1
    return "".join(_GAP if v is None else _SPARK[min(top, round((v - low) / width * top))] for v in values)


def name_of(name: Name, identifier: str, formats: Formats) -> str:
    """Return the name in the viewer's language, or in the other one, or the id."""
    first, second = (name.en, name.vi) if formats.language == "en" else (name.vi, name.en)
    return first or second or identifier


def flags_of(row: TargetRow, formats: Formats) -> list[str]:
    """Return what qualifies a state, in words: flapping, maintenance."""
    flags = [("flapping", row.flapping), ("maintenance", row.in_maintenance)]
    return [say(key, formats.language) for key, holds in flags if holds]


def _counts(counts: Mapping[State, int], formats: Formats) -> list[dict[str, Any]]:
    return [
        {
            "state": state.value,
            "word": state_in_words(state, formats.language),
            "count": formats.number(counts.get(state, 0)),
            "none": not counts.get(state, 0),
        }
        for state in STATES
    ]


def _incident_by_target(incidents: Iterable[Incident]) -> dict[str, str]:
    blamed: dict[str, str] = {}
    for incident in incidents:
        for target in (incident.target, *incident.impact):
            blamed.setdefault(target, incident.id)
    return blamed


def _incidents(overview: Overview, names: Mapping[str, Name], formats: Formats) -> dict[str, Any]:
    shown = overview.incidents[:INCIDENTS_LIMIT]
    return {
        "total": formats.number(len(overview.incidents)),
        "hidden": len(overview.incidents) - len(shown),
        "rows": [_incident(incident, overview.now_ms, names, formats) for incident in shown],
    }


def _incident(incident: Incident, now_ms: int, names: Mapping[str, Name], formats: Formats) -> dict[str, Any]:
    language = formats.language
    hurt = len(incident.impact)
    impact_key = {0: "impact.none", 1: "impact.one"}.get(hurt, "impact")
    listed = [_named(target, names, formats) for target in incident.impact[:IMPACT_LIMIT]]
    return {
        "id": incident.id,
        "target": incident.target,
        "name": _named(incident.target, names, formats),
        "level": incident.severity,
        "severity": say("severity", language, level=incident.severity),
        "since": say("since", language, time=formats.since(incident.started_ms, now_ms)),
        "span": formats.span((now_ms - incident.started_ms) / 1000),
        "reason": cause_in_words(incident.reason, incident.message, formats),
        "message": incident.message,
        "impact": say(impact_key, language, count=formats.number(hurt)),
        "hurt": listed,
        "more": say("more", language, count=formats.number(hurt - len(listed))) if hurt > len(listed) else "",
    }


def _named(target: str, names: Mapping[str, Name], formats: Formats) -> str:
    return name_of(names.get(target, Name("", "")), target, formats)


def _not_up(
    rows: Sequence[TargetRow], overview: Overview, blamed: Mapping[str, str], formats: Formats
) -> dict[str, Any]:
    # What is planned is no trouble: it stands last. The order is kept otherwise.
    not_up = sorted((row for row in rows if row.state is not State.UP), key=lambda row: row.in_maintenance)
    shown = not_up[:NOT_UP_LIMIT]
    return {
        "total": formats.number(len(not_up)),
        "hidden": len(not_up) - len(shown),
        "rows": [_trouble(row, overview, blamed, formats) for row in shown],
    }


def _trouble(row: TargetRow, overview: Overview, blamed: Mapping[str, str], formats: Formats) -> dict[str, Any]:
    agency = overview.agencies.get(row.agency)
    return {
        "id": row.id,
        "name": name_of(row.name, row.id, formats),
        "agency": name_of(agency, row.agency, formats) if agency else row.agency,
        "type": say(f"type.{row.type}", formats.language),
        "state": row.state.value,
        "word": state_in_words(row.state, formats.language),
        "since": formats.since(row.since_ms, overview.now_ms),
        "span": formats.span((overview.now_ms - row.since_ms) / 1000) if row.since_ms > 0 else NOTHING,
        "reason": cause_in_words(row.reason, row.message, formats),
        "message": row.message,
        "flags": flags_of(row, formats),
        "incident": blamed.get(row.id, ""),
    }


def _agencies(rows: Sequence[TargetRow], agencies: Mapping[str, Name], formats: Formats) -> list[dict[str, Any]]:
    by_agency: dict[str, list[TargetRow]] = {agency: [] for agency in agencies}
    for row in rows:
        by_agency.setdefault(row.agency, []).append(row)
    shown = {agency: owned for agency, owned in by_agency.items() if owned}
    if len(rows) > TILES_LIMIT:
        shown = _fair({agency: [row for row in owned if row.state is not State.UP] for agency, owned in shown.items()})
    return [_agency(agency, agencies.get(agency), by_agency[agency], drawn, formats) for agency, drawn in shown.items()]


def _fair(shown: Mapping[str, list[TargetRow]]) -> dict[str, list[TargetRow]]:
    """Return at most TILES_LIMIT rows, each agency's worst first: what one agency leaves, the others may use."""
    limit, left = {}, TILES_LIMIT
    for rank, agency in enumerate(sorted(shown, key=lambda agency: len(shown[agency]))):
        limit[agency] = min(len(shown[agency]), left // (len(shown) - rank))
        left -= limit[agency]
    return {agency: rows[: limit[agency]] for agency, rows in shown.items()}


def _agency(
    agency: str, name: Name | None, owned: Sequence[TargetRow], shown: Sequence[TargetRow], formats: Formats
) -> dict[str, Any]:
    counts = {state: sum(row.state is state for row in owned) for state in STATES}
    unnamed = agency or say("no_owner", formats.language)
    full = name_of(name, unnamed, formats) if name else unnamed
    return {
        "id": agency,
        "name": abbreviated(full),
        "full": full,
        "counts": [[state.value, formats.number(counts[state])] for state in STATES if counts[state]],
        "hidden": len(owned) - len(shown),
        "groups": _groups(shown, full, formats),
    }


def _groups(rows: Sequence[TargetRow], owner: str, formats: Formats) -> list[dict[str, Any]]:
    by_id = {row.id: row for row in rows}
    # In the order of ids: the same targets are the same question, whatever state they are in.
    named = tuple(sorted((row.id, name_of(row.name, row.id, formats)) for row in rows))
    return [
        {"label": label, "rows": [_tile(by_id[identifier], short, formats) for identifier, short in members]}
        for label, members in grouped(named, owner)
    ]


def _tile(row: TargetRow, short: str, formats: Formats) -> list[str]:
    """Return one tile: id, name in full, its telling part, state, spark, latency, availability, note."""
    note = ""
    if row.state is not State.UP:
        reason = reason_in_words(row.reason, formats.language) if row.reason else ""
        note = " · ".join(part for part in (reason, *flags_of(row, formats)) if part)
    elif row.flapping or row.in_maintenance:
        note = " · ".join(flags_of(row, formats))
    return [
        row.id,
        name_of(row.name, row.id, formats),
        short,
        row.state.value,
        spark(row.spark),
        formats.latency(row.latency_s),
        formats.ratio(row.availability_today, outage=row.outage_today),
        note,
    ]
