"""Where a kind that speaks over TCP or UDP goes: `host:port`, IPv6 literals in brackets (RFC 3986, section 3.2.2)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

HOST_LIMIT = 253
"""Characters of a name (RFC 1035, section 2.3.4, less the root's length byte and dot)."""

SHOWN_LIMIT = 80
"""How much of a text that is no address an error repeats."""

_HOST = re.compile(r"(?!\.)[^\s\x00-$&-,/:-@\[-^`{-\x7f]+\Z")
"""No white space and no ASCII punctuation but `-`, `.`, `_` and, for the scope of an address, `%`."""

_PORT = re.compile(r"[0-9]{1,5}\Z")


class HostPort(NamedTuple):
    """A host (name or number, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int | None = None) -> HostPort:
    """Return the host and port of `host:port`, `1.2.3.4:port` or `[2001:db8::1]:port`.

    With a default port the port may be left out, and then an IPv6 number needs no brackets.
    Raises ValueError, saying what is expected.
    """
    text = text.strip()
    if default_port is not None and _is_ipv6(text):
        return HostPort(text, default_port)
    host, port = _split(text)
    if not port and default_port is not None:
        return HostPort(host, default_port)
    if not _PORT.match(port) or not 0 < int(port) <= 65535:
        message = f"{_shown(text)} is not an address: write host:port, such as example.vn:443 or [2001:db8::1]:443"
        raise ValueError(message)
    return HostPort(host, int(port))


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if bracket and _is_ipv6(host) and (not rest or rest.startswith(":")):
            return host, rest[1:]
    elif text.count(":") <= 1:
        host, _, port = text.partition(":")
        if _HOST.match(host) and len(host) <= HOST_LIMIT:
            return host, port
    hint = "; put an IPv6 address in brackets: [2001:db8::1]:443" if text.count(":") > 1 else ""
    message = f"{_shown(text)} is not an address: write host:port{hint}"
    raise ValueError(message)


def _shown(text: str) -> str:
    """Return what may be shown of something that is no address: a part of it, and nothing of a URL with a user."""
    if "@" in text:
        return "what is given, with a user in it,"
    return repr(text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}…")


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _server_name(value: str) -> str:
    if not _HOST.match(value) or len(value) > HOST_LIMIT or any(len(label) > 63 for label in value.split(".")):
        message = f"{value!r} is not a name"
        raise ValueError(message)
    return value


def _address(value: Any) -> Any:
    return parse_address(value) if isinstance(value, str) else value


Address = Annotated[
    HostPort,
    BeforeValidator(_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["example.vn:443", "[2001:db8::1]:443"], "description": "host:port"}),
]
"""A host and a port, written `host:port`."""

ServerName = Annotated[str, AfterValidator(_server_name)]
"""The name that a certificate must be for, where it is not the host's."""
