"""Uptime Kuma's JSON backup: each monitor becomes a target with one check, each group a group."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from config.imports.connection_strings import TRANSLATORS
from config.imports.translation import (
    ForeignError,
    Translation,
    basic_auth_of,
    drop_empty,
    mapping,
    plain_id,
    quoted,
    sequence,
    whole,
)

_RANGE = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?\Z")
_CONTENT_TYPES = {"json": "application/json", "xml": "text/xml", "form": "application/x-www-form-urlencoded"}
"""What Uptime Kuma says a body is."""
_INTERVAL_MOST_S, _CONFIRM_MOST = 86_400, 100
_EXPIRY_WARNING = "cert.expires_in < duration('504h')"
"""Uptime Kuma's last warning but one comes 14 days before; its first 21 days."""


def translate(document: Any) -> Translation:
    """Return the monitors of a backup as targets.

    Raises ForeignError when it is none.
    """
    root = mapping(document, "the file")
    monitors = [mapping(raw, "a monitor") for raw in sequence(root.get("monitorList"), "monitorList")]
    if not monitors:
        raise ForeignError("there are no monitors in it: is it a backup of Uptime Kuma?")
    found = Translation("a backup of Uptime Kuma")
    ids: dict[int, str] = {}
    for number, monitor in enumerate(monitors):
        ids[number] = plain_id(str(monitor.get("name") or "monitor"), set(ids.values()))
    targets = []
    for number, monitor in enumerate(monitors):
        where = f"monitor {monitor.get('name')}"
        target = _target(number, monitors, ids, where, found)
        if target is not None:
            targets.append(target)
    found.document["targets"] = _without_empty_groups(targets, found)
    for entry in sequence(root.get("notificationList"), "notificationList"):
        found.leave_out(f"notification {mapping(entry, 'a notification').get('name')}", "write it under receivers:")
    return found


def _without_empty_groups(targets: list[dict[str, Any]], found: Translation) -> list[dict[str, Any]]:
    """Return the targets, groups with the members that are left; a group that was of empty ones alone is empty too."""
    while True:
        kept = {target["id"] for target in targets}
        for target in targets:
            if "members" in target:
                target["members"] = [member for member in target["members"] if member in kept]
        empty = [target for target in targets if not target.get("members", True)]
        if not empty:
            return targets
        for target in empty:
            found.leave_out(f"group {target['name']}", "it has no members that could be carried over")
        targets = [target for target in targets if target not in empty]


def _target(
    number: int, monitors: list[Mapping[str, Any]], ids: Mapping[int, str], where: str, found: Translation
) -> dict[str, Any] | None:
    monitor, id_ = monitors[number], ids[number]
    name = str(monitor.get("name") or "")
    if not monitor.get("active", True):
        found.leave_out(where, "it is paused")
        return None
    kind = str(monitor.get("type"))
    if kind == "group":
        own = monitor.get("id")
        members = [ids[place] for place, other in enumerate(monitors) if other.get("parent", ids) == own]
        return {"id": id_, "type": "group", "name": name, "policy": "all", "members": members}
    worker = _TYPES.get(kind)
    if worker is None:
        found.leave_out(where, f"the type {kind!r} has no counterpart")
        return None
    if monitor.get("upsideDown"):
        found.leave_out(where, "upside down mode")
        return None
    check = worker(monitor, where, found)
    if check is None:
        return None
    tags = [mapping(tag, "a tag") for tag in sequence(monitor.get("tags"), "tags")]
    type_ = {"icmp": "link", "snmp": "link"}
    type_ |= dict.fromkeys(("postgresql", "mysql", "redis", "mongodb", "sqlserver"), "connector")
    return drop_empty(
        {
            "id": id_,
            "type": type_.get(check["probe"], "endpoint"),
            "name": name,
            "labels": {str(tag.get("name")): str(tag.get("value") or "") for tag in tags},
            "checks": [drop_empty({**check, **_times(monitor)})],
        }
    )


def _times(monitor: Mapping[str, Any]) -> dict[str, Any]:
    interval_s = min(max(1, whole(monitor.get("interval"), "interval", 60)), _INTERVAL_MOST_S)
    retry_s = whole(monitor.get("retryInterval"), "retryInterval", 0)
    timeout_s = whole(monitor.get("timeout"), "timeout", 0) or interval_s * 0.8
    return {
        "interval": f"{interval_s}s",
        "timeout": f"{min(timeout_s, interval_s):g}s",
        "confirm": {"down": min(whole(monitor.get("maxretries"), "maxretries", 0) + 1, _CONFIRM_MOST), "up": 1},
        "retry_interval": f"{min(retry_s, interval_s)}s" if retry_s else None,
    }


def _http(monitor: Mapping[str, Any], where: str, found: Translation) -> dict[str, Any]:
    url, basic_auth = basic_auth_of(str(monitor.get("url") or ""), where, found)
    check: dict[str, Any] = {
        "probe": "http",
        "url": url,
        "method": str(monitor.get("method") or "GET"),
        "status": _statuses(monitor, where, found),
        "body": monitor.get("body"),
        "headers": _headers(monitor, where, found),
        **basic_auth,
    }
    if monitor.get("ignoreTls"):
        check["verify"] = False
    redirects = monitor.get("maxredirects")
    if redirects == 0:
        check["follow_redirects"] = False
    elif redirects is not None:
        check["max_redirects"] = min(50, whole(redirects, "maxredirects", 10))
    if monitor.get("proxyId"):
        found.leave_out(where, "its proxy: write it as the parameter proxy")
    _credentials(check, monitor, where, found)
    found.one_credential(where, check)
    down_when = []
    if monitor.get("type") == "keyword" and monitor.get("keyword"):
        contains = f"body.contains({quoted(str(monitor['keyword']))})"
        down_when.append(contains if monitor.get("invertKeyword") else f"!{contains}")
    if monitor.get("type") == "json-query":
        found.leave_out(where, f"the JSON query {monitor.get('jsonPath')!r} == {monitor.get('expectedValue')!r}")
    check["down_when"] = down_when
    if monitor.get("expiryNotification"):
        check["degraded_when"] = [_EXPIRY_WARNING]
    return check


def _statuses(monitor: Mapping[str, Any], where: str, found: Translation) -> list[str]:
    statuses: list[str] = []
    for text in sequence(monitor.get("accepted_statuscodes") or ["200-299"], "accepted_statuscodes"):
        codes = _RANGE.match(str(text))
        if codes is None:
            found.leave_out(where, f"the accepted status codes {text}")
            continue
        first, last = int(codes[1]), int(codes[2] or codes[1])
        if first % 100 == 0 and last >= first + 99:
            statuses.append(f"{first // 100}xx")
        else:
            statuses += [str(code) for code in range(first, min(last, first + 99) + 1)]
    return statuses


def _headers(monitor: Mapping[str, Any], where: str, found: Translation) -> dict[str, str]:
    raw = monitor.get("headers")
    try:
        headers = json.loads(raw) if isinstance(raw, str) and raw.strip() else raw or {}
    except ValueError:
        found.leave_out(where, "headers that are not JSON")
        headers = {}
    kept = found.headers(where, mapping(headers, "headers"))
    content_type = _CONTENT_TYPES.get(str(monitor.get("httpBodyEncoding") or "json"))
    if monitor.get("body") and content_type and "content-type" not in {name.lower() for name in kept}:
        kept["Content-Type"] = content_type
    return kept


def _credentials(check: dict[str, Any], monitor: Mapping[str, Any], where: str, found: Translation) -> None:
    method = str(monitor.get("authMethod") or "")
    if monitor.get("basic_auth_user") and method in ("", "basic"):
        password = found.secret(where, "password")
        check["basic_auth"] = {"username": str(monitor["basic_auth_user"]), "password": password}
    elif method == "oauth2-cc":
        check["oauth2"] = {
            "token_url": monitor.get("oauth_token_url"),
            "client_id": monitor.get("oauth_client_id"),
            "client_secret": found.secret(where, "client_secret"),
            "scope": monitor.get("oauth_scopes") or "",
        }
    elif method not in ("", "basic", "null", "None"):
        found.leave_out(where, f"the authentication {method}")


def _ping(monitor: Mapping[str, Any], _where: str, _found: Translation) -> dict[str, Any]:
    size = whole(monitor.get("packetSize"), "packetSize", 56)
    return {"probe": "icmp", "address": str(monitor.get("hostname") or ""), "count": 1, "size": max(16, size)}


def _port(monitor: Mapping[str, Any], _where: str, _found: Translation) -> dict[str, Any]:
    return {"probe": "tcp", "address": _address(monitor)}


def _address(monitor: Mapping[str, Any]) -> str:
    host = str(monitor.get("hostname") or "")
    return f"[{host}]:{monitor.get('port')}" if ":" in host else f"{host}:{monitor.get('port')}"


def _dns(monitor: Mapping[str, Any], where: str, found: Translation) -> dict[str, Any]:
    server, *others = [part.strip() for part in str(monitor.get("dns_resolve_server") or "").split(",")]
    if others:
        found.leave_out(where, f"the name servers beside {server}: a check asks one")
    port = monitor.get("port") or 53
    return {
        "probe": "dns",
        "name": str(monitor.get("hostname") or ""),
        "type": str(monitor.get("dns_resolve_type") or "A"),
        "server": server if port == 53 else _address({"hostname": server, "port": port}),
    }


def _push(_monitor: Mapping[str, Any], where: str, found: Translation) -> dict[str, Any]:
    interval_s = whole(_monitor.get("interval"), "interval", 60)
    token = found.secret(where, "push_token")
    found.leave_out(where, "the job must call /heartbeat/<token> of the monitor's listener from now on")
    return {"probe": "heartbeat", "schedule": f"{interval_s}s", "grace": f"{interval_s}s", "token": token}


def _database(monitor: Mapping[str, Any], where: str, found: Translation) -> dict[str, Any] | None:
    check = TRANSLATORS[str(monitor["type"])](str(monitor.get("databaseConnectionString") or ""), where, found)
    query = monitor.get("databaseQuery")
    if check is None:
        return None
    if query and check["probe"] in ("redis", "mongodb"):
        found.leave_out(where, "its query")
        query = None
    return {**check, "query": query}


def _mqtt(monitor: Mapping[str, Any], where: str, found: Translation) -> dict[str, Any]:
    host = str(monitor.get("hostname") or "")
    scheme, _, place = host.rpartition("://")
    if monitor.get("mqttSuccessMessage") or monitor.get("mqttTopic"):
        found.leave_out(where, "the message that it waits for: only that the broker takes and gives is watched")
    check: dict[str, Any] = {"probe": "mqtt", "address": _address({**monitor, "hostname": place})}
    if monitor.get("mqttUsername"):
        check |= {"username": str(monitor["mqttUsername"]), "password": found.secret(where, "password")}
        check |= {} if scheme == "mqtts" else {"clear_password": True}  # as it is given there
    return {**check, "tls": True} if scheme == "mqtts" else check


def _smtp(monitor: Mapping[str, Any], _where: str, _found: Translation) -> dict[str, Any]:
    tls = {"secure": "implicit", "starttls": "starttls", "nostarttls": "none"}
    security = str(monitor.get("smtpSecurity") or "")
    return {"probe": "smtp", "address": _address(monitor), "tls": tls.get(security, "prefer")}


def _websocket(monitor: Mapping[str, Any], _where: str, _found: Translation) -> dict[str, Any]:
    return {"probe": "websocket", "url": str(monitor.get("url") or ""), "ping": False}


_TYPES: Mapping[str, Callable[[Mapping[str, Any], str, Translation], dict[str, Any] | None]] = {
    "http": _http,
    "keyword": _http,
    "json-query": _http,
    "ping": _ping,
    "port": _port,
    "dns": _dns,
    "push": _push,
    "mqtt": _mqtt,
    "smtp": _smtp,
    "websocket-upgrade": _websocket,
    **dict.fromkeys(TRANSLATORS, _database),
}
