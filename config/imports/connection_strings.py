"""Databases' addresses as Uptime Kuma has them become parameters of ours, with a reference in place of the password."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from config.imports.translation import Translation, drop_empty, split_user

Translator = Callable[[str, str, Translation], dict[str, Any] | None]
"""From an address, whose it is and what is being translated to a check; None, noted, where it has no counterpart."""

_SQLSERVER_NAMES = {
    "server": "server",
    "data source": "server",
    "address": "server",
    "addr": "server",
    "database": "database",
    "initial catalog": "database",
    "user id": "user",
    "uid": "user",
    "user": "user",
    "password": "password",
    "pwd": "password",
    "encrypt": "encrypt",
    "trustservercertificate": "trustServerCertificate",
}
"""Keys of a connection string of ADO.NET by what they mean."""


def _url(kind: str, parameter: str, known: Mapping[str, str]) -> Translator:
    """Return a translator of URLs; `known` are the options that both sides have, by their name over there."""

    def translate(text: str, where: str, found: Translation) -> dict[str, Any] | None:
        place, _, options = text.partition("?")
        hosts = split_user(place)[0].partition("://")[2].partition("/")[0]
        if not hosts or "+" in place.partition("://")[0] or "," in hosts:
            found.leave_out(where, "its address: a check watches one server, host:port")
            return None
        kept = []
        for name, value in parse_qsl(options, keep_blank_values=True):
            if name in known:
                kept.append((known[name], value))
            else:
                found.leave_out(where, f"the option {name} of its address")
        rest = found.without_password(where, place).partition("://")[2]
        return {"probe": kind, parameter: f"{kind}://{rest}" + (f"?{urlencode(kept)}" if kept else "")}

    return translate


def _redis(text: str, where: str, found: Translation) -> dict[str, Any] | None:
    bare, user, has_password = split_user(text)
    scheme, _, rest = bare.partition("://")
    address, _, database = rest.partition("?")[0].partition("/")
    if not address:
        found.leave_out(where, "its address: there is none")
        return None
    return drop_empty(
        {
            "probe": "redis",
            "address": address,
            "user": unquote(user) if has_password and user != "default" else None,
            "password": found.secret(where, "password") if has_password else None,
            "database": int(database) if database.isascii() and database.isdigit() else None,
            "tls": True if scheme == "rediss" else None,
        }
    )


def _sqlserver(text: str, where: str, found: Translation) -> dict[str, Any] | None:
    given: dict[str, str] = {}
    for part in text.split(";"):
        name, sign, value = part.partition("=")
        meaning = _SQLSERVER_NAMES.get(name.strip().lower())
        if meaning is not None:
            given[meaning] = value.strip()
        elif sign:
            found.leave_out(where, f"{name.strip()} of its connection string")
    server = re.sub(r"\Atcp:", "", given.get("server", "")).replace(",", ":")
    if not server or "\\" in server:
        found.leave_out(where, "its server: an instance is named by its port here")
        return None
    user = quote(given.get("user", ""), safe="")
    who = f"{user}:{found.secret(where, 'password')}@" if user else ""
    yes_or_no = {"true": "yes", "false": "no", "mandatory": "yes", "optional": "no"}
    told = [(name, given[name].lower()) for name in ("encrypt", "trustServerCertificate") if name in given]
    options = urlencode([(name, yes_or_no.get(value, value)) for name, value in told])
    dsn = f"sqlserver://{who}{server}/{quote(given.get('database', ''), safe='')}"
    return {"probe": "sqlserver", "dsn": f"{dsn}?{options}" if options else dsn}


_MONGODB_OPTIONS = ("tls", "tlsCAFile", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames", "authSource")

TRANSLATORS: Mapping[str, Translator] = {
    "postgres": _url("postgresql", "dsn", {name: name for name in ("sslmode", "sslrootcert", "application_name")}),
    "mysql": _url("mysql", "dsn", {}),
    "mongodb": _url("mongodb", "uri", {name: name for name in _MONGODB_OPTIONS} | {"ssl": "tls"}),
    "redis": _redis,
    "sqlserver": _sqlserver,
}
"""By the type of Uptime Kuma's monitor."""
