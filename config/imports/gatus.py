"""Gatus's configuration: each endpoint becomes a target with one check, its conditions turned round (`down_when`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from config.imports.translation import ForeignError, Translation, drop_empty, mapping, plain_id, quoted, sequence

_KNOWN = frozenset(
    {"body", "client", "conditions", "dns", "enabled", "group", "headers", "interval", "method", "name", "url"}
)
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_CONDITION = re.compile(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*\Z")
_CALL = re.compile(r"(len|has|pat|any)\((.*)\)\Z", re.DOTALL)
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+\Z")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?\Z")
_BODY_PATH = re.compile(r"\[BODY\]((?:\.[A-Za-z_]\w*|\[\d+\])*)\Z")


class _Untranslatable(ValueError):  # noqa: N818 - not an error of anybody's
    """A condition that has no counterpart."""


def translate(document: Any) -> Translation:
    """Return the endpoints of a Gatus configuration as targets.

    Raises ForeignError when it is none.
    """
    root = mapping(document, "the file")
    endpoints = sequence(root.get("endpoints", root.get("services")), "endpoints")
    if not endpoints:
        raise ForeignError("there are no endpoints in it: is it a configuration of Gatus?")
    found = Translation("a configuration of Gatus")
    targets: dict[str, dict[str, Any]] = {}
    for raw in endpoints:
        endpoint = mapping(raw, "an endpoint")
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
    for key in root:
        if key not in ("endpoints", "services"):
            found.leave_out("the file", key)
    found.document["targets"] = list(targets.values())
    return found


def _check(endpoint: Mapping[str, Any], where: str, found: Translation) -> dict[str, Any] | None:
    url = str(endpoint.get("url") or "")
    dns = mapping(endpoint.get("dns"), "dns")
    scheme = "dns" if dns else url.partition("://")[0].lower()
    worker = _SCHEMES.get(scheme)
    if worker is None:
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
    return drop_empty({**check, "interval": str(endpoint.get("interval", "60s")), "confirm": 1, "down_when": down_when})


def _http(endpoint: Mapping[str, Any], url: str, where: str, found: Translation) -> dict[str, Any]:
    headers = dict(mapping(endpoint.get("headers"), "headers"))
    for name in headers:
        if re.search(r"authorization|token|cookie|api-?key|secret", name, re.IGNORECASE):
            headers[name] = found.secret(where, name)
    body = endpoint.get("body")
    method = endpoint.get("method", "GET")
    # Gatus judges by conditions alone: every status is fine until one says otherwise.
    return {"probe": "http", "url": url, "method": method, "headers": headers, "body": body, "status": _ANY_STATUS}


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


def _websocket(_endpoint: Mapping[str, Any], url: str, _where: str, _found: Translation) -> dict[str, Any]:
    return {"probe": "websocket", "url": url}


def _dns(endpoint: Mapping[str, Any], url: str, _where: str, _found: Translation) -> dict[str, Any]:
    dns = mapping(endpoint.get("dns"), "dns")
    server = url.removeprefix("dns://")
    return {
        "probe": "dns",
        "name": str(dns.get("query-name", "")),
        "type": str(dns.get("query-type", "A")),
        "server": server,
        "rcode": ["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"],
        "min_answers": 0,
    }


_SCHEMES: Mapping[str, Callable[[Mapping[str, Any], str, str, Translation], dict[str, Any]]] = {
    "http": _http,
    "https": _http,
    "tcp": _tcp,
    "icmp": _icmp,
    "tls": _tls,
    "starttls": _starttls,
    "ws": _websocket,
    "wss": _websocket,
    "dns": _dns,
}


def _client(check: dict[str, Any], client: Mapping[str, Any], where: str, found: Translation) -> None:
    known = {"timeout"}
    if client.get("timeout"):
        check["timeout"] = str(client["timeout"])
    if check["probe"] in ("http", "tls", "tcp", "websocket"):
        known.add("insecure")
        if client.get("insecure"):
            check["verify"] = False
    if check["probe"] == "http":
        known |= {"ignore-redirect", "oauth2", "proxy-url"}
        if client.get("ignore-redirect"):
            check["follow_redirects"] = False
        if client.get("proxy-url"):
            check["proxy"] = str(client["proxy-url"])
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
        alternatives = " || ".join(f"{value} == {_literal(option, kind)}" for option in options)
        return [f"!({alternatives})" if sign == "==" else f"({alternatives})"]
    if kind == "has":
        wanted = (right == "true") is (sign == "==")
        return [f"!({value})" if wanted else value]
    return [f"{value} {_OPPOSITE[sign]} {_literal(right, kind)}"]


def _placeholder(text: str, check: Mapping[str, Any]) -> tuple[str, str]:
    """Return a placeholder of Gatus in CEL, and of what kind its value is."""
    call = _CALL.match(text)
    if call is not None and call[1] in ("len", "has"):
        inner, _ = _placeholder(call[2].strip(), check)
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
        return (f"json{path[1]}", "any") if path[1] else ("body", "text")
    message = f"{text} has no counterpart"
    raise _Untranslatable(message)


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
