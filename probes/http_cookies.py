"""The cookies of one check: set on a redirect, sent on the next hops (RFC 6265), forgotten when it ends.

Smaller than a browser's on purpose: a cookie goes back to the very host that set it. Its Domain attribute
can only make the jar refuse it, never send it more widely, since telling `gov.vn` from `a.gov.vn` needs the list
of public suffixes, and leaking a session to a neighbour is worse than not having it there.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from yarl import URL

COOKIES_LIMIT = 50
"""Cookies kept of one check; further ones are dropped."""

COOKIE_BYTES_LIMIT = 4096
"""Length of one cookie's name and value together (RFC 6265, section 6.1, asks for no more)."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class _Cookie(NamedTuple):
    name: str
    value: str
    host: str
    path: str
    secure: bool


class Jar:
    """Takes what `Set-Cookie` says and gives what `Cookie` should say."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}

    def take(self, header: str, url: URL) -> None:
        """Keep (or drop, when it has expired) the cookie of one Set-Cookie header of an answer from `url`."""
        pair, *attributes = header.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals) or _CONTROL.search(pair) or len(name) + len(value) > COOKIE_BYTES_LIMIT:
            return
        named = _attributes(attributes)
        host = (url.raw_host or "").lower()
        secure = "secure" in named
        if not _may_set(host, named.get("domain", "")) or (secure and url.scheme != "https"):
            return
        path = named.get("path", "")
        cookie = _Cookie(name, value, host, path if path.startswith("/") else _default_path(url), secure)
        key = (cookie.name, cookie.host, cookie.path)
        if _has_expired(named):
            self._cookies.pop(key, None)
        elif key in self._cookies or len(self._cookies) < COOKIES_LIMIT:
            self._cookies[key] = cookie

    def header_for(self, url: URL) -> str:
        """Return the value of Cookie for a request to `url`, "" when there is none; longer paths come first."""
        if not self._cookies:
            return ""
        host = (url.raw_host or "").lower()
        matching = [
            cookie
            for cookie in self._cookies.values()
            if cookie.host == host
            and (url.scheme == "https" or not cookie.secure)
            and _path_matches(url.raw_path, cookie.path)
        ]
        matching.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in matching)


def _attributes(parts: list[str]) -> dict[str, str]:
    """Return attributes by lower-case name; the last of a name counts (RFC 6265, section 5.3)."""
    pairs = (part.partition("=") for part in parts)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _may_set(host: str, domain: str) -> bool:
    """Say whether `host` may speak of `domain` at all (RFC 6265, section 5.1.3)."""
    wanted = domain.lower().removeprefix(".")
    return not wanted or host == wanted or host.endswith(f".{wanted}")


def _has_expired(named: dict[str, str]) -> bool:
    age = named.get("max-age", "")
    if re.fullmatch(r"-?\d{1,18}", age):
        return int(age) <= 0
    try:
        expires = parsedate_to_datetime(named.get("expires", ""))
    except ValueError:
        return False
    return expires.replace(tzinfo=expires.tzinfo or UTC) <= datetime.now(UTC)


def _default_path(url: URL) -> str:
    """Return the path up to its last slash (RFC 6265, section 5.1.4)."""
    return url.raw_path.rpartition("/")[0] or "/"


def _path_matches(path: str, cookie_path: str) -> bool:
    """Say whether a request's path is the cookie's or lies below it (RFC 6265, section 5.1.4)."""
    if path == cookie_path:
        return True
    return path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")
