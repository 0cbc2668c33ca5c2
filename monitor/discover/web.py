"""Proposes a check for a web address: by what it answers now."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from monitor.discover.proposal import Discovery, NothingFoundError, Proposed, Text, why_not
from monitor.discover.trials import Trials
from monitor.runner import Observation
from probes.conditions import AbsentError
from probes.http_request import web_url
from probes.model import Failure

EXPIRY = "cert.expires_in < duration('720h')"
_UNTRUSTED = frozenset({Failure.TLS_UNTRUSTED, Failure.TLS_NAME, Failure.TLS_EXPIRED})
_WELL = frozenset({"up", "ok", "pass", "healthy", "green", "available", "running", "alive", "success"})
"""What health answers say when all is well: Spring Boot's actuator, health+json, ASP.NET, Elasticsearch and others."""

_HEALTH_KEYS = ("status", "Status", "state", "health")


async def discover(url: str, trials: Trials) -> Discovery:
    """Ask a URL once, and propose how to watch it.

    Raises NothingFoundError, ValueError for what is no URL.
    """
    where = web_url(url)
    checks, notes = await propose(str(where), trials)
    if not checks:
        raise NothingFoundError(notes[0].en if notes else "there is no answer")
    about = Text(f"Đã hỏi {where} một lần.", f"{where} was asked once.")
    host = where.host or "web"
    return Discovery(f"{host}".replace(":", "-"), "endpoint", host, about, checks, notes)


async def propose(url: str, trials: Trials, name: str = "") -> tuple[list[Proposed], list[Text]]:
    """Return the checks for a URL and notes on it; no check where nobody answers."""
    parameters: dict[str, Any] = {"url": url, "status": ["1xx", "2xx", "3xx", "4xx", "5xx"]}
    seen = await trials.run("http", parameters)
    unsafe = seen is not None and seen.result.failure in _UNTRUSTED
    distrust = why_not(seen.result) if seen is not None and unsafe else Text("", "")
    if unsafe:
        seen = await trials.run("http", {**parameters, "verify": False})
    if seen is None or seen.result.failure is not None:
        why = why_not(seen.result) if seen is not None else Text("?", "?")
        return [], [Text(f"{url} không trả lời: {why.vi}", f"{url} does not answer: {why.en}")]
    check, notes = _check(url, seen, name, is_unsafe=unsafe)
    checks = [check]
    if unsafe:
        notes.append(
            Text(
                f"Nên đặt ca_file thay cho verify: false. {distrust.vi}.",
                f"Better give ca_file than verify: false. The certificate is not trusted here: {distrust.en}.",
            )
        )
    return checks, notes


def _check(url: str, seen: Observation, name: str, *, is_unsafe: bool) -> tuple[Proposed, list[Text]]:
    """Return the check that an answer suggests, purely."""
    samples, facts = seen.result.samples, seen.measurement.facts
    status, final = int(samples["status"]), str(facts["url"])
    parameters: dict[str, Any] = {"url": url, "status": ["2xx"] if 200 <= status < 300 else [status]}
    notes = []
    if samples.get("redirects"):
        notes.append(Text(f"{url} chuyển hướng đến {final}.", f"{url} redirects to {final}."))
    degraded = [f"duration > duration('{_slow_ms(seen.result.duration_s)}ms')"]
    if final.startswith("https:"):
        parameters["require_tls"] = True
        degraded.append(EXPIRY)
    if is_unsafe:
        parameters["verify"] = False
    down_when, health = _health(facts)
    what = Text(f"trả lời {status}{health.vi}", f"answered {status}{health.en}")
    if status in (401, 403):
        notes.append(
            Text(
                f"{url} đòi đăng nhập ({status}): thêm basic_auth, oauth2 hoặc bearer_token thì biết nhiều hơn.",
                f"{url} asks who is there ({status}): basic_auth, oauth2 or bearer_token would tell more.",
            )
        )
    elif status >= 400:
        notes.append(Text(f"{url} đang trả lời lỗi {status}.", f"{url} answers with the error {status} now."))
    check = Proposed("http", parameters, what, name, interval="30s", down_when=down_when, degraded_when=tuple(degraded))
    return check, notes


def _health(facts: Mapping[str, Any]) -> tuple[tuple[str, ...], Text]:
    """Return the condition for an answer that tells its own health in JSON, and how to say so."""
    try:
        told = facts["json"]
    except AbsentError:
        return (), Text("", "")
    for key in _HEALTH_KEYS if isinstance(told, dict) else ():
        value = told.get(key)
        if isinstance(value, str) and value.lower() in _WELL:
            said = f', JSON {key} = "{value}"'
            return (f"json.{key} != '{value}'",), Text(said, said)
    return (), Text(", JSON", ", JSON")


def _slow_ms(duration_s: float) -> int:
    """Return when an answer counts as slow: five times what it took, in steps of half a second."""
    return max(1, ceil(duration_s * 5 / 0.5)) * 500
