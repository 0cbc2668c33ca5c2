"""What a notification says: a subject, a text and the same facts for machines, in Vietnamese or English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2

from alerts.model import REDUNDANCY_LOST, Incident, Notification
from alerts.registry import Message
from alerts.wording import reason_in_words
from probes.conditions import one_line

IMPACT_SHOWN = 20
"""How many affected targets a message names; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a message is made of.

    Attributes:
        notification, incident: what was decided.
        names: display name by target id; an id stands for itself where it is missing.
        owner: the name of the agency that owns the cause.
        language: `vi` or `en`; timezone: IANA name; simulated: the data is of the demo country.

    """

    notification: Notification
    incident: Incident
    names: Mapping[str, str]
    owner: str
    language: str
    timezone: str
    simulated: bool


def render(facts: Facts, key: str) -> Message:
    """Render the message of a notification."""
    values = _values(facts)
    subject = one_line(_template("subject", facts.language).render(values), 200)
    text = _template("text", facts.language).render(values)
    return Message(key, subject, text, _data(facts))


def _values(facts: Facts) -> dict[str, Any]:
    incident = facts.incident
    zone = ZoneInfo(facts.timezone)

    def local(at_ms: int | None) -> str:
        return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, zone).strftime("%d/%m/%Y %H:%M:%S")

    impact = [facts.names.get(target, target) for target in incident.impact]
    lasted_ms = (incident.resolved_ms or facts.notification.at_ms) - incident.started_ms
    return {
        "kind": facts.notification.kind,
        "incident": incident,
        "target": facts.names.get(incident.target, incident.target),
        "owner": facts.owner,
        "impact": impact[:IMPACT_SHOWN],
        "impact_more": max(0, len(impact) - IMPACT_SHOWN),
        "impact_count": len(impact),
        "reason": reason_in_words(incident.reason, facts.language),
        "redundancy_lost": incident.reason == REDUNDANCY_LOST,
        "started": local(incident.started_ms),
        "opened": local(incident.opened_ms),
        "resolved": local(incident.resolved_ms),
        "lasted": _lasted(lasted_ms, facts.language),
        "zone": facts.timezone,
        "simulated": facts.simulated,
    }


def _lasted(span_ms: int, language: str) -> str:
    hours, rest = divmod(max(0, span_ms) // 1000, 3600)
    minutes, seconds = divmod(rest, 60)
    units = ("giờ", "phút", "giây") if language == "vi" else ("h", "min", "s")
    parts = [f"{n} {unit}" for n, unit in zip((hours, minutes, seconds), units, strict=True) if n]
    return " ".join(parts[:2]) or f"0 {units[2]}"


def _data(facts: Facts) -> dict[str, Any]:
    incident = facts.incident

    def utc(at_ms: int | None) -> str | None:
        if at_ms is None:
            return None
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    return {
        "kind": facts.notification.kind,
        "incident": incident.id,
        "target": incident.target,
        "target_name": facts.names.get(incident.target, incident.target),
        "owner": facts.owner,
        "severity": incident.severity,
        "reason": incident.reason,
        "message": incident.message,
        "impact": list(incident.impact),
        "started_at": utc(incident.started_ms),
        "opened_at": utc(incident.opened_ms),
        "resolved_at": utc(incident.resolved_ms),
        "simulated": facts.simulated,
    }


@cache
def _template(part: str, language: str) -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    # Plain text: nothing is HTML here, and escaping would spoil names. Markup is not executed by any channel.
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )
    return environment.get_template(f"incident_{part}.{language}.txt.jinja")
