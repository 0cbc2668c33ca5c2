"""Who is who in X-Road, and the headers that say so (PR-MESS, sections 2.1 and 2.2; PR-REST, sections 4.1 and 4.3)."""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from probes.failures import plain_line
from probes.xml_tree import Element, escaped

XROAD = "http://x-road.eu/xsd/xroad.xsd"
IDENTIFIERS = "http://x-road.eu/xsd/identifiers"
MONITORING = "http://x-road.eu/xsd/op-monitoring.xsd"

_SPACES = f'xmlns:x="{XROAD}" xmlns:i="{IDENTIFIERS}"'
# X-Road refuses these characters in identifiers; a slash or a percent sign would also change where a request goes.
_PART = re.compile(r"[^:;/\\%\x00-\x1f\x7f]{1,255}\Z")


class Identity(NamedTuple):
    """A member, a subsystem, a server or a service: instance, class, code, and what comes below, "" for nothing."""

    instance: str
    member_class: str
    member: str
    subsystem: str = ""
    service: str = ""
    version: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)

    @property
    def owner(self) -> Identity:
        """The member alone."""
        return Identity(*self[:3])

    @property
    def provider(self) -> Identity:
        """It without the service."""
        return Identity(*self[:4])


def parse_identity(text: str, least: int, most: int) -> Identity:
    """Return the identity that a text with slashes is.

    Raises ValueError.
    """
    parts = text.split("/")
    if not least <= len(parts) <= most or not all(_PART.match(part) and ".." not in part for part in parts):
        shape = "/".join(("INSTANCE", "CLASS", "MEMBER", "SUBSYSTEM", "SERVICE", "VERSION")[:most])
        message = f"{plain_line(text, 80)!r} is not an X-Road identifier such as {shape}"
        raise ValueError(message)
    return Identity(*parts)


def _typed(least: int, most: int, example: str) -> Any:
    return Annotated[
        Identity,
        BeforeValidator(lambda value: parse_identity(value, least, most) if isinstance(value, str) else value),
        PlainSerializer(str, return_type=str),
        WithJsonSchema({"type": "string", "examples": [example]}),
    ]


def soap_header(client: Identity, service: Identity, user: str, server: Identity | None = None) -> str:
    """Return the entries of a SOAP header; `server` asks for one server of a cluster (PR-TARGETSS)."""
    kind = "SUBSYSTEM" if client.subsystem else "MEMBER"
    version = _entry("i:serviceVersion", service.version) if service.version else ""
    code = _entry("i:serviceCode", service.service)
    entries = [
        f'<x:client {_SPACES} i:objectType="{kind}">{_parts(client[:4])}</x:client>',
        f'<x:service {_SPACES} i:objectType="SERVICE">{_parts(service[:4])}{code}{version}</x:service>',
    ]
    if server is not None:
        named = _parts(server[:3]) + _entry("i:serverCode", server.subsystem)
        entries.append(f'<x:securityServer {_SPACES} i:objectType="SERVER">{named}</x:securityServer>')
    if user:
        entries.append(f"<x:userId {_SPACES}>{escaped(user)}</x:userId>")
    entries.append(f"<x:id {_SPACES}>{message_id()}</x:id>")
    entries.append(f"<x:protocolVersion {_SPACES}>4.0</x:protocolVersion>")
    return "".join(entries)


def message_id() -> str:
    """Return an id that no other message has."""
    return f"thongsuot-{secrets.token_hex(16)}"


def rest_path(service: Identity) -> str:
    """Return the path of a service at a security server."""
    return "/r1/" + "/".join(quote(part, safe="") for part in service if part)


def rest_client(client: Identity) -> str:
    """Return the value of X-Road-Client."""
    return "/".join(quote(part, safe="") for part in client if part)


def identity_in(element: Element) -> Identity:
    """Return the identity that an element holds."""
    names = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode", "serviceCode", "serviceVersion")
    return Identity(*(plain_line(element.text_at(name), 255) for name in names))


def _parts(parts: tuple[str, ...]) -> str:
    names = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
    return "".join(_entry(f"i:{name}", part) for name, part in zip(names, parts, strict=False) if part)


def _entry(name: str, text: str) -> str:
    return f"<{name}>{escaped(text)}</{name}>"


Client = _typed(3, 4, "VN/GOV/BTC/THUE")
Service = _typed(4, 6, "VN/GOV/BCA/DANCU/tra-cuu/v1")
Server = _typed(4, 4, "VN/GOV/BTC/ss1")
