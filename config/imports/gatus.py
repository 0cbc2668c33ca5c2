"""Gatus's configuration: each endpoint becomes a target with one check, its conditions turned round (`down_when`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from config.imports.translation import (
    ForeignError,
    Translation,
    basic_auth_of,
    drop_empty,
    is_reference,
    mapping,
    plain_id,
    quoted,
    sequence,
)
from probes.units import parse_duration

_KNOWN = frozenset(
    {
        "body",
        "client",
        "conditions",
        "dns",
        "enabled",
        "graphql",
        "group",
        "headers",
        "interval",
        "method",
        "name",
        "url",
    }
)
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_CONDITION = re.compile(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*\Z")
_CALL = re.compile(r"(len|has|pat|any)\((.*)\)\Z", re.DOTALL)
_ANY_PLACEHOLDER = re.compile(r"(?:(?:len|has)\()?\[[A-Z_]+\]")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+\Z")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?\Z")
_BODY_PATH = re.compile(r"\[BODY\]((?:\.[^.\[\]]+|\[\d+\])*)\Z")
_STEP = re.compile(r"\.([^.\[\]]+)|(\[\d+\])")
_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*\Z")
_CEL_WORD = re.compile(
    r"(as|break|const|continue|else|false|for|function|if|import|in|let|loop|namespace|null|package|return|true|var|void"
    r"|while)\Z"
)
"""What is no name in CEL (language definition, "Syntax")."""
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)\}|\$(\w+)")
_DAY_S, _TIMEOUT_S = 86_400.0, 10.0
"""The second is what Gatus gives a request unless its client says otherwise."""


class _Untranslatable(ValueError):  # noqa: N818 - not an error of anybody's
    """A condition that has no counterpart."""


def translate(document: Any) -> Translation:
    """Return the endpoints of a Gatus configuration as targets.

    Raises ForeignError when it is none.
    """
    root = mapping(document, "the file")
    endpoints = sequence(root.get("endpoints", root.get("services")), "endpoints")
    if not endpoints and not root.get("external-endpoints"):
        raise ForeignError("there are no endpoints in it: is it a configuration of Gatus?")
    found = Translation("a configuration of Gatus")
    targets: dict[str, dict[str, Any]] = {}
    for raw in endpoints:
        endpoint = mapping(_filled(raw, found), "an endpoint")
        name = str(endpoint.get("name") or endpoint.get("url") or "")
        group = str(endpoint.get("group") or "")
        where = f"endpoint {group}/{name}" if group else f"endpoint {name}"
        if endpoint.get("enabled", True) is False:
            found.leave_out(where, "it is disabled")
            continue
        check = _check(endpoint, where, found)
        if check is None:
            continue
        for key in endpoint:
            if key not in _KNOWN:
                found.leave_out(where, key)
        id_ = plain_id(f"{group}-{name}" if group else name, targets)
        type_ = "link" if check["probe"] == "icmp" else "endpoint"
        labels = drop_empty({"labels": {"group": group} if group else {}})
        targets[id_] = {"id": id_, "type": type_, "name": name, **labels, "checks": [check]}
    for raw in sequence(root.get("external-endpoints"), "external-endpoints"):
        target = _external(mapping(raw, "an external endpoint"), targets, found)
        targets[target["id"]] = target
    for key in root:
        if key not in ("endpoints", "services", "external-endpoints"):
            found.leave_out("the file", key)
    found.document["targets"] = list(targets.values())
    return found


def _filled(value: Any, found: Translation) -> Any:
    """Return a value of the file with our references in place of its environment variables."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: found.variable(match[1] or match[2]) if match[0] != "$$" else "$", value)
    if isinstance(value, Mapping):
        return {key: _filled(item, found) for key, item in value.items()}
    return [_filled(item, found) for item in value] if isinstance(value, list) else value


def _external(endpoint: Mapping[str, Any], taken: Mapping[str, Any], found: Translation) -> dict[str, Any]:
    """Return what others push: a job that must be heard of as often as it says."""
    name, group = str(endpoint.get("name") or ""), str(endpoint.get("group") or "")
    where = f"external endpoint {group}/{name}" if group else f"external endpoint {name}"
    period = str(mapping(endpoint.get("heartbeat"), "heartbeat").get("interval") or "1h")
    found.leave_out(where, "what pushes must call /heartbeat/<token> of our listener from now on")
    for key in endpoint:
        if key not in {"enabled", "group", "heartbeat", "name", "token"}:
            found.leave_out(where, key)
    check = {"probe": "heartbeat", "schedule": period, "token": found.secret(where, "token"), "confirm": 1}
    labels = {"labels": {"group": group}} if group else {}
    id_ = plain_id(f"{group}-{name}" if group else name, taken)
    return {"id": id_, "type": "endpoint", "name": name, **labels, "checks": [check]}


def _check(endpoint: Mapping[str, Any], where: str, found: Translation) -> dict[str, Any] | None:
    url = str(endpoint.get("url") or "")
    dns = mapping(endpoint.get("dns"), "dns")
    scheme = "dns" if dns else url.partition("://")[0].lower()
    worker = _SCHEMES.get(scheme)
    if worker is None or (dns and "://" in url and not url.startswith(_DNS_SCHEMES)):
        found.leave_out(where, f"there is no kind for {url!r}")
        return None
    check = worker(endpoint, url, where, found)
    client = mapping(endpoint.get("client"), "client")
    _client(check, client, where, found)
    down_when = []
    for text in sequence(endpoint.get("conditions"), "conditions"):
        try:
            down_when += _failed_by(str(text), check)
        except _Untranslatable as error:
            found.leave_out(where, f"the condition {text}: {error}")
    interval = _interval(str(endpoint.get("interval") or "60s"), where, found)
    if _seconds(str(check.get("timeout", ""))) > parse_duration(interval):
        found.leave_out(where, f"client.timeout {check.pop('timeout')}: it is longer than the interval")
    check.setdefault("timeout", f"{min(_TIMEOUT_S, parse_duration(interval)):g}s")
    found.one_credential(where, check)
    return drop_empty({**check, "interval": interval, "confirm": 1, "down_when": down_when})


def _interval(text: str, where: str, found: Translation) -> str:
    """Return an interval within our bounds."""
    interval_s = _seconds(text)
    if 1.0 <= interval_s <= _DAY_S:
        return text
    found.leave_out(where, f"the interval {text}: ours are from a second to a day")
    return "1d" if interval_s > _DAY_S else "1s" if interval_s else "60s"


def _seconds(text: str) -> float:
    """Return a duration in seconds, 0 for what is none."""
    try:
        return parse_duration(text)
    except ValueError:
        return 0.0


def _http(endpoint: Mapping[str, Any], url: str, where: str, found: Translation) -> dict[str, Any]:
    headers = found.headers(where, mapping(endpoint.get("headers"), "headers"))
    body = endpoint.get("body")
    if endpoint.get("graphql"):
        body = json.dumps({"query": str(body or "")}, ensure_ascii=False)
        headers.setdefault("Content-Type", "application/json")
    method = endpoint.get("method", "GET")
    url, basic_auth = basic_auth_of(url, where, found)
    # Gatus judges by conditions alone: every status is fine until one says otherwise.
    return {"probe": "http", "url": url, "method": method, "headers": headers, "body": body, **basic_auth} | {
        "status": _ANY_STATUS
    }


_ANY_STATUS = ["1xx", "2xx", "3xx", "4xx", "5xx"]


def _place(default_port: int) -> Callable[[str], str]:
    def place(url: str) -> str:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{parts.port or default_port}"

    return place


def _tcp(_endpoint: Mapping[str, Any], url: str, _where: str, _found: Translation) -> dict[str, Any]:
    return {"probe": "tcp", "address": _place(80)(url)}


def _icmp(_endpoint: Mapping[str, Any], url: str, _where: str, _found: Translation) -> dict[str, Any]:
    return {"probe": "icmp", "address": urlsplit(url).hostname or "", "count": 1}


def _tls(_endpoint: Mapping[str, Any], url: str, _where: str, _found: Translation) -> dict[str, Any]:
    return {"probe": "tls", "address": _place(443)(url)}


def _starttls(_endpoint: Mapping[str, Any], url: str, _where: str, _found: Translation) -> dict[str, Any]:
    dialogue = [
        {"expect": "^220 "},
        {"send": "EHLO thongsuot"},
        {"expect": "^250[ -]STARTTLS"},
        {"send": "STARTTLS"},
        {"expect": "^220 "},
        {"starttls": True},
    ]
    return {"probe": "tcp", "address": _place(25)(url), "dialogue": dialogue}


def _websocket(endpoint: Mapping[str, Any], url: str, where: str, found: Translation) -> dict[str, Any]:
    dialogue = []
    if endpoint.get("body"):  # the message to send; the answer is waited for
        dialogue = [{"send": str(endpoint["body"])}, {"expect": ""}]
    headers = found.headers(where, mapping(endpoint.get("headers"), "headers"))
    return {"probe": "websocket", "url": url, "headers": headers, "dialogue": dialogue}


def _grpc(_endpoint: Mapping[str, Any], url: str, _where: str, _found: Translation) -> dict[str, Any]:
    parts = urlsplit(url)
    return {"probe": "grpc", "address": _place(50051)(url), **({"tls": True} if parts.scheme == "grpcs" else {})}


def _dns(endpoint: Mapping[str, Any], url: str, _where: str, _found: Translation) -> dict[str, Any]:
    dns = mapping(endpoint.get("dns"), "dns")
    scheme, _, server = url.rpartition("://")
    return {
        "probe": "dns",
        "name": str(dns.get("query-name", "")),
        "type": str(dns.get("query-type", "A")),
        "server": server,
        "rcode": ["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"],
        "min_answers": 0,
        **({"transport": "tcp"} if scheme == "tcp" else {}),
    }


_DNS_SCHEMES = ("dns://", "udp://", "tcp://")

_SCHEMES: Mapping[str, Callable[[Mapping[str, Any], str, str, Translation], dict[str, Any]]] = {
    "http": _http,
    "https": _http,
    "tcp": _tcp,
    "icmp": _icmp,
    "tls": _tls,
    "starttls": _starttls,
    "ws": _websocket,
    "wss": _websocket,
    "grpc": _grpc,
    "grpcs": _grpc,
    "dns": _dns,
}


_CERTIFICATE = frozenset({"certificate-file", "private-key-file", "renegotiation"})


def _client(check: dict[str, Any], client: Mapping[str, Any], where: str, found: Translation) -> None:
    known = {"timeout"}
    if client.get("timeout"):
        check["timeout"] = str(client["timeout"])
    if check["probe"] in ("http", "tls", "tcp", "websocket", "grpc"):
        known.add("insecure")
        if client.get("insecure"):
            check["verify"] = False
    if client.get("network") in ("ip4", "ip6"):
        known.add("network")
        check["ip_version"] = int(str(client["network"])[-1])
    tls = mapping(client.get("tls"), "tls")
    if check["probe"] in ("http", "tls", "websocket", "grpc") and set(tls) <= _CERTIFICATE:
        known.add("tls")
        names = (("client_cert_file", "certificate-file"), ("client_key_file", "private-key-file"))
        check |= {ours: str(tls[theirs]) for ours, theirs in names if tls.get(theirs)}
    if check["probe"] == "http":
        known |= {"ignore-redirect", "oauth2", "proxy-url"}
        if client.get("ignore-redirect"):
            check["follow_redirects"] = False
        if client.get("proxy-url"):
            check["proxy"] = found.without_password(f"{where}_proxy", str(client["proxy-url"]))
        oauth2 = mapping(client.get("oauth2"), "oauth2")
        if oauth2:
            check["oauth2"] = {
                "token_url": oauth2.get("token-url"),
                "client_id": oauth2.get("client-id"),
                "client_secret": found.secret(where, "client_secret"),
                "scope": " ".join(map(str, sequence(oauth2.get("scopes"), "scopes"))),
            }
    for key in client:
        if key not in known:
            found.leave_out(where, f"client.{key}")


def _failed_by(text: str, check: Mapping[str, Any]) -> list[str]:
    """Return what must not hold so that a condition of Gatus holds; nothing for what goes without saying."""
    if is_reference(text):
        raise _Untranslatable("it holds an environment variable")
    match = _CONDITION.match(text)
    if match is None:
        raise _Untranslatable("it is no comparison")
    left, sign, right = match.groups()
    if left == "[CONNECTED]":
        if (sign, right) in (("==", "true"), ("!=", "false")):
            return []  # a check that cannot connect is down
        raise _Untranslatable("a check that connects cannot be down here")
    value, kind = _placeholder(left, check)
    call = _CALL.match(right)
    if call is not None and call[1] == "pat":
        return [_pattern(value, sign, call[2])]
    if call is not None and call[1] == "any":
        options = [option.strip() for option in call[2].split(",")]
        if any(_CALL.match(option) for option in options):
            raise _Untranslatable("it holds a pattern within any()")
        alternatives = " || ".join(f"{value} == {_literal(option, kind)}" for option in options)
        return [f"!({alternatives})" if sign == "==" else f"({alternatives})"]
    if kind == "has":
        wanted = (right == "true") is (sign == "==")
        return [f"!({value})" if wanted else value]
    if _ANY_PLACEHOLDER.match(right):
        return [f"{value} {_OPPOSITE[sign]} {_placeholder(right, check)[0]}"]
    return [f"{value} {_OPPOSITE[sign]} {_literal(right, kind)}"]


def _placeholder(text: str, check: Mapping[str, Any]) -> tuple[str, str]:
    """Return a placeholder of Gatus in CEL, and of what kind its value is."""
    call = _CALL.match(text)
    if call is not None and call[1] in ("len", "has"):
        inner, _ = _placeholder(call[2].strip(), check)
        if call[1] == "has" and not re.search(r"\.\w+\Z", inner):
            raise _Untranslatable("it asks for something that cannot be asked for here")
        return (f"size({inner})", "number") if call[1] == "len" else (f"has({inner})", "has")
    kind = check["probe"]
    known = {
        "[RESPONSE_TIME]": ("duration", "milliseconds"),
        **({"[STATUS]": ("status", "number")} if kind == "http" else {}),
        **({"[DNS_RCODE]": ("rcode_name", "text"), "[BODY]": ("records[0]", "text")} if kind == "dns" else {}),
        **({"[CERTIFICATE_EXPIRATION]": ("cert.expires_in", "duration")} if kind in ("http", "tls", "tcp") else {}),
    }
    if text in known:
        return known[text]
    path = _BODY_PATH.match(text)
    if kind == "http" and path is not None:
        return (f"json{_STEP.sub(_step, path[1])}", "any") if path[1] else ("body", "text")
    message = f"{text} has no counterpart"
    raise _Untranslatable(message)


def _step(match: re.Match[str]) -> str:
    """Return one step into a JSON document in CEL."""
    key = match[1]
    if key is None:
        return match[0]
    return f".{key}" if _PLAIN_KEY.match(key) and not _CEL_WORD.match(key) else f"[{quoted(key)}]"


def _literal(text: str, kind: str) -> str:
    text = text.strip()
    if kind == "milliseconds":
        if _NUMBER.match(text):
            return f"duration('{text}ms')"
        kind = "duration"
    if kind == "duration":
        if not _DURATION.match(text):
            raise _Untranslatable("it compares with no span of time")
        return f"duration('{text}')"
    if kind in ("number", "any") and _NUMBER.match(text):
        return text
    if kind == "any" and text in ("true", "false", "null"):
        return text
    if kind == "number":
        raise _Untranslatable("it compares with no number")
    return quoted(text.strip("\"'"))


def _pattern(value: str, sign: str, pattern: str) -> str:
    """Return the condition that a pattern with `*` for anything is not (or is) met."""
    regex = ".*".join(re.escape(part) for part in pattern.split("*"))
    matches = f"{value}.matches({quoted(f'(?s)^{regex}$')})"
    return f"!{matches}" if sign == "==" else matches
