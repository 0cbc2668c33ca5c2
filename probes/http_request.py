"""What is sent: a URL and a request as bytes (RFC 9112), checked so that nothing in them can forge another.

Every request goes over a connection of its own and says so; none of the environment's proxies, credentials
(netrc) or cookies is used: two agents with the same configuration send the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from yarl import URL

from probes.failures import plain_line

HeaderLine = tuple[str, str]

URL_LIMIT = 8192
"""Characters of a URL (RFC 9110, section 4.1, asks for 8000 at least)."""

OUR_HEADERS = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
"""Headers that frame a message or a connection: the client's own business, and the way to smuggle requests."""

HARMLESS_HEADERS = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-type",
        "pragma",
        "soapaction",
        "user-agent",
    ]
)
"""Configured headers that may follow a redirect to another origin; any other may be a credential."""

_DEFAULT_HEADERS: tuple[HeaderLine, ...] = (("User-Agent", "thongsuot"), ("Accept", "*/*"))
_METHODS_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}\Z")
_TARGET = re.compile(r"[\x21-\x7e]+\Z")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")  # RFC 9110, section 5.5: no CR, no LF, no other control


class Origin(NamedTuple):
    """Scheme, host and port: what a credential belongs to (RFC 6454)."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        method: in capitals.
        url: absolute, without userinfo, checked by `web_url`.
        headers: those that may go anywhere.
        private: those that go to the first URL's origin alone.
        body: what is sent after the header.

    """

    method: str
    url: URL
    headers: tuple[HeaderLine, ...] = field(default=(), repr=False)
    private: tuple[HeaderLine, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)

    @cached_property
    def origin(self) -> Origin:
        """Where it goes."""
        return origin_of(self.url)

    @cached_property
    def host(self) -> str:
        """The host to resolve: a name as DNS spells it, or a number (`fe80::1%eth0`) without brackets."""
        return (self.url.raw_host or "").replace("%25", "%")

    @cached_property
    def encoded(self) -> bytes:
        """The bytes to send, without cookies of a jar; a check sends the same ones every time."""
        return self.encode()

    def elsewhere(self, url: URL) -> Request:
        """Return it sent to another URL, without what is private if that is of another origin."""
        private = self.private if origin_of(url) == self.origin else ()
        return replace(self, url=url, private=private)

    def as_get(self) -> Request:
        """Return it as a GET, without the body and the headers that speak of it (Fetch standard, 4.4)."""
        kept = tuple(line for line in self.headers if not line[0].lower().startswith("content-"))
        return replace(self, method="GET", headers=kept, body=b"")

    def lines(self, cookies: str = "", more: Iterable[HeaderLine] = ()) -> list[HeaderLine]:
        """Return the header, Host first, without what frames the message; `more` takes the place of what it names.

        `cookies` is added to a configured Cookie header.
        """
        given = [*self.headers, *self.private]
        if more:
            named = {name.lower() for name, _ in more}
            given = [*(line for line in given if line[0].lower() not in named), *more]
        if cookies:
            own = [value for name, value in given if name.lower() == "cookie"]
            given = [line for line in given if line[0].lower() != "cookie"]
            given.append(("Cookie", "; ".join([*own, cookies])))
        named = {name.lower() for name, _ in given}
        lines = [("Host", host_header(self.url))] if "host" not in named else []
        lines += [line for line in _DEFAULT_HEADERS if line[0].lower() not in named]
        return lines + given

    @property
    def has_content(self) -> bool:
        """Whether its length has to be told (RFC 9110, section 8.6)."""
        return bool(self.body) or self.method in _METHODS_WITH_CONTENT

    def encode(self, cookies: str = "", more: Iterable[HeaderLine] = (), absolute: bool = False) -> bytes:
        """Return it as the bytes to send over HTTP/1.1; `absolute` is for a proxy (RFC 9112, section 3.2.2)."""
        target = str(self.url) if absolute else self.url.raw_path_qs or "/"
        lines = [f"{self.method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.lines(cookies, more)]
        if self.has_content:
            lines.append(f"Content-Length: {len(self.body)}")
        lines.append("Connection: close\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8") + self.body


def web_url(text: str, base: URL | None = None) -> URL:
    """Return an absolute http or https URL, resolved against `base`, without userinfo and fragment.

    Raises ValueError, saying what is wrong without repeating a password.
    """
    if len(text) > URL_LIMIT:
        message = f"a URL of {len(text)} characters is too long"
        raise ValueError(message)
    try:
        # What is a URL already is sent as written: a signed query must not change its spelling.
        given = URL(text, encoded=bool(_TARGET.match(text)))
        url = base.join(given) if base is not None and not given.scheme else given
        url.port  # noqa: B018 - only when it is asked for is it found to be none
    except ValueError:  # its text may repeat a password
        raise ValueError("it is not a URL such as https://host:port/path") from None
    if url.scheme not in ("http", "https"):
        message = f"the scheme {plain_line(url.scheme, 20)!r} is neither http nor https"
        raise ValueError(message)
    if not url.raw_host:
        raise ValueError("the URL has no host")
    if not (":" in url.raw_host or _NAME.match(url.raw_host)) or not _TARGET.match(url.raw_path_qs or "/"):
        raise ValueError("the URL holds characters that no URL may hold")
    return url.with_user(None).with_fragment(None)


def shown(url: URL) -> str:
    """Return a URL for a message: bounded, without userinfo."""
    return plain_line(str(url.with_user(None)), 120)


def origin_of(url: URL) -> Origin:
    """Return the origin of a URL that `web_url` returned."""
    return Origin(url.scheme, (url.raw_host or "").lower(), url.port or 0)


def host_header(url: URL) -> str:
    """Return the value of Host (RFC 9110, section 7.2), without a zone, which means nothing to the peer."""
    host = (url.raw_host or "").partition("%")[0]
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if url.is_default_port() else f"{bracketed}:{url.port}"


def checked_method(method: str) -> str:
    """Return a method in capitals.

    Raises ValueError for what is no method, and for CONNECT, which would make the peer a proxy.
    """
    if not _TOKEN.match(method):
        raise ValueError("a method is one word such as GET or POST")
    if method.upper() == "CONNECT":
        raise ValueError("the method CONNECT asks for a tunnel, not for an answer")
    return method.upper()


def check_headers(headers: Iterable[HeaderLine]) -> None:
    """Refuse headers that would frame the message, or that hold line breaks (RFC 9112, section 11.1).

    Raises ValueError, which names the header and never shows its value.
    """
    for name, value in headers:
        if not _TOKEN.match(name):
            message = f"{plain_line(name, 40)!r} is not a header name"
            raise ValueError(message)
        if name.lower() in OUR_HEADERS:
            message = f"the header {name} is set by the probe itself"
            raise ValueError(message)
        if not _VALUE.match(value) or not value.isprintable():
            message = f"the value of the header {name} holds a line break or another control character"
            raise ValueError(message)


def sorted_by_trust(headers: Iterable[HeaderLine]) -> tuple[tuple[HeaderLine, ...], tuple[HeaderLine, ...]]:
    """Return headers as those that may follow to another origin, and those that may not."""
    lines = tuple(headers)
    return (
        tuple(line for line in lines if line[0].lower() in HARMLESS_HEADERS),
        tuple(line for line in lines if line[0].lower() not in HARMLESS_HEADERS),
    )
