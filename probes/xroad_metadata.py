"""What security servers and configuration sources tell, parsed and bounded (PR-META, PR-MREST, PR-GCONF)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from probes.failures import TroubleError, plain_line
from probes.model import Failure
from probes.multipart import MultipartError, parts_of
from probes.soap_message import Answer
from probes.xml_tree import XmlError, parse
from probes.xroad_identity import Identity, identity_in

ITEMS_LIMIT = 20_000
"""Members, subsystems and services that are read."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A signed directory of global configuration; its signature is not verified here.

    Attributes:
        expires: until when it may be used.
        version: as it says, "" where it does not.
        parts: what it holds, such as `SHARED-PARAMETERS; instance="VN"`.

    """

    expires: datetime
    version: str
    parts: tuple[str, ...]


def clients_in(content: bytes) -> list[Identity]:
    """Return the members and subsystems of a `clientList` (PR-META, section 2 and annex C.1).

    Raises TroubleError (`protocol`).
    """
    try:
        root = parse(content, 8 * ITEMS_LIMIT)
    except XmlError as error:
        raise TroubleError(Failure.PROTOCOL, f"the list of clients: {error}") from None
    if root.name != "clientList":
        raise TroubleError(Failure.PROTOCOL, f"the answer is not a list of clients but <{plain_line(root.name, 60)}>")
    found = [identity_in(one) for member in list(root.all("member"))[:ITEMS_LIMIT] for one in member.all("id")]
    return [one for one in found if one.instance and one.member_class and one.member]


def services_of_soap(answer: Answer) -> list[Identity]:
    """Return the services of a `listMethodsResponse` or an `allowedMethodsResponse`.

    Raises TroubleError (`protocol`).
    """
    body = answer.body
    if body is None or body.name not in ("listMethodsResponse", "allowedMethodsResponse"):
        name = plain_line(body.name, 60) if body is not None else "nothing"
        raise TroubleError(Failure.PROTOCOL, f"the answer is not a list of services but <{name}>")
    return [identity_in(one) for one in list(body.all("service"))[:ITEMS_LIMIT]]


def services_of_rest(content: bytes) -> list[Identity]:
    """Return the services of a REST answer (PR-MREST, annex B).

    Raises TroubleError (`protocol`).
    """
    try:
        told: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise TroubleError(Failure.PROTOCOL, "the list of services is not JSON") from None
    listed = told.get("service") if isinstance(told, dict) else None
    if not isinstance(listed, list):
        raise TroubleError(Failure.PROTOCOL, "the answer is not a list of services")
    names = ("xroad_instance", "member_class", "member_code", "subsystem_code", "service_code", "service_version")
    return [
        Identity(*(plain_line(str(one.get(name) or ""), 255) for name in names))
        for one in listed[:ITEMS_LIMIT]
        if isinstance(one, dict)
    ]


def directory_in(content: bytes, content_type: str) -> Directory:
    """Return the directory in a signed configuration (PR-GCONF, sections 2.3 and 2.4).

    Raises TroubleError (`protocol`).
    """
    try:
        # The directory is text: its lines may end as the server's system ends them.
        outer = parts_of(re.sub(rb"\r?\n", b"\r\n", content), content_type)
        inner = parts_of(outer[0].content, outer[0].headers.get("content-type", ""))
    except MultipartError as error:
        raise TroubleError(Failure.PROTOCOL, f"the answer is not a signed configuration: {error}") from None
    head = inner[0].headers
    expires = moment_of(head.get("expire-date", ""))
    if expires is None:
        raise TroubleError(Failure.PROTOCOL, "the configuration does not say when it expires")
    parts = tuple(plain_line(one.headers.get("content-identifier", "?"), 120) for one in inner[1:])
    return Directory(expires, plain_line(head.get("version", ""), 20), parts)


def moment_of(text: Any) -> datetime | None:
    """Return a moment of ISO 8601, UTC where it names no zone; None for what is none."""
    try:
        moment = datetime.fromisoformat(str(text)[:40])
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
