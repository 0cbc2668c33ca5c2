"""SOAP messages without I/O: envelopes to send, and what came back (SOAP 1.1; SOAP 1.2 part 1; WSS UsernameToken 1.1).

What comes back is an adversary's: it is parsed as `probes/xml_tree.py` does, and text that is shown is bounded.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from xml.parsers import expat

from probes.failures import TroubleError, plain_line
from probes.http_body import media_type
from probes.model import Failure
from probes.multipart import MultipartError, parts_of
from probes.xml_tree import Element, XmlError, escaped, parse

NAMESPACES: Final[Mapping[str, str]] = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
"""The envelope's namespace by version."""

XML_TYPES = frozenset({"text/xml", "application/xml", "application/soap+xml", "application/xop+xml"})

_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_DIGEST = f"{_WSS}-username-token-profile-1.0#PasswordDigest"
_TEXT = f"{_WSS}-username-token-profile-1.0#PasswordText"
_BASE64 = f"{_WSS}-soap-message-security-1.0#Base64Binary"
_NCNAME = re.compile(r"[^\W\d][\w.-]*\Z")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes:
        code: its code, without the prefix; in SOAP 1.2 with the subcode after a dot.
        reason: its reason or string.
        detail: the text of its detail, bounded.

    """

    code: str
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.reason) if part) or "without a reason"


@dataclass(frozen=True, slots=True)
class Answer:
    """An envelope that came.

    Attributes:
        version: `1.1` or `1.2`.
        root: the envelope.
        fault: the fault in its body, or None.

    """

    version: str
    root: Element
    fault: Fault | None

    @property
    def body(self) -> Element | None:
        """The first element in the body."""
        body = self.root.first("Body", self.root.namespace)
        return body.children[0] if body is not None and body.children else None


class Template:
    """An envelope to send, into which a header may be put.

    Raises ValueError for what is no envelope.
    """

    def __init__(self, envelope: str) -> None:
        # Sent as UTF-8 whatever a file's declaration says: the declaration goes.
        self._data = re.sub(r"\A\ufeff?\s*<\?xml[^>]*\?>\s*", "", envelope).encode("utf-8")
        try:
            root = parse(self._data)
        except XmlError as error:
            message = f"the envelope cannot be sent: {error}"
            raise ValueError(message) from None
        version = next((version for version, space in NAMESPACES.items() if space == root.namespace), "")
        if root.name != "Envelope" or not version:
            raise ValueError("the envelope is no Envelope of SOAP 1.1 or 1.2")
        if root.first("Body", root.namespace) is None:
            raise ValueError("the envelope has no Body")
        self.version = version
        self._place = _place_of_header(self._data, root.namespace)

    def encoded(self, header: str = "") -> bytes:
        """Return the bytes to send, with an entry added to the header."""
        if not header:
            return self._data
        at, has_header = self._place
        space = NAMESPACES[self.version]
        inside = header if has_header else f'<h:Header xmlns:h="{space}">{header}</h:Header>'
        return self._data[:at] + inside.encode("utf-8") + self._data[at:]


def _place_of_header(data: bytes, namespace: str) -> tuple[int, bool]:
    """Return where a header's entry is put, and whether that is inside of a header."""
    parser = expat.ParserCreate(namespace_separator=" ")
    path: list[str] = []
    starts: dict[str, int] = {}
    ends: dict[str, int] = {}

    def start(name: str, _attributes: dict[str, str]) -> None:
        path.append(name)
        if len(path) == 2:
            starts.setdefault(name, parser.CurrentByteIndex)

    def end(name: str) -> None:
        if len(path) == 2:
            ends.setdefault(name, parser.CurrentByteIndex)
        path.pop()

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(data, True)
    header = f"{namespace} Header"
    if header not in starts:
        return starts[f"{namespace} Body"], False
    if ends[header] == starts[header]:
        raise ValueError("write the empty Header of the envelope as <Header></Header>, or leave it out")
    return ends[header], True


def minimal(version: str, operation: str, namespace: str, arguments: Mapping[str, str], header: str = "") -> str:
    """Return an envelope that calls an operation, its arguments as elements of its namespace.

    Raises ValueError for what is no name of an element.
    """
    for name in (operation, *arguments):
        if not _NCNAME.match(name):
            message = f"{plain_line(name, 40)!r} is not the name of an element"
            raise ValueError(message)
    inside = "".join(f"<m:{name}>{escaped(value)}</m:{name}>" for name, value in arguments.items())
    head = f"<e:Header>{header}</e:Header>" if header else ""
    return (
        f'<e:Envelope xmlns:e="{NAMESPACES[version]}">{head}<e:Body>'
        f'<m:{operation} xmlns:m="{escaped(namespace)}">{inside}</m:{operation}></e:Body></e:Envelope>'
    )


def content_lines(version: str, action: str) -> list[tuple[str, str]]:
    """Return the headers that say what is sent (SOAP 1.1, section 6.1; SOAP 1.2: RFC 3902)."""
    accept = [("Accept", "text/xml, application/soap+xml, multipart/related")]
    if version == "1.1":
        return [("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", f'"{action}"'), *accept]
    more = f'; action="{action}"' if action else ""
    return [("Content-Type", f"application/soap+xml; charset=utf-8{more}"), *accept]


def username_token(
    version: str, username: str, password: str, *, digest: bool, nonce: bytes = b"", at: str = ""
) -> str:
    """Return the header entry that says who asks (WSS UsernameToken Profile 1.1, section 3.1)."""
    nonce = nonce or secrets.token_bytes(16)
    created = at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    if digest:
        # Password_Digest = Base64(SHA-1(nonce + created + password)): the profile knows no other hash.
        hashed = hashlib.sha1(nonce + created.encode() + password.encode("utf-8"), usedforsecurity=False).digest()
        told, kind = base64.b64encode(hashed).decode("ascii"), _DIGEST
    else:
        told, kind = escaped(password), _TEXT
    return (
        f'<wsse:Security xmlns:wsse="{_WSS}-wssecurity-secext-1.0.xsd" xmlns:wsu="{_WSS}-wssecurity-utility-1.0.xsd" '
        f'xmlns:s="{NAMESPACES[version]}" s:mustUnderstand="1">'
        f"<wsse:UsernameToken><wsse:Username>{escaped(username)}</wsse:Username>"
        f'<wsse:Password Type="{kind}">{told}</wsse:Password>'
        f'<wsse:Nonce EncodingType="{_BASE64}">{base64.b64encode(nonce).decode("ascii")}</wsse:Nonce>'
        f"<wsu:Created>{created}</wsu:Created></wsse:UsernameToken></wsse:Security>"
    )


def read_answer(content: bytes, content_type: str) -> Answer:
    """Return the envelope in a body, also where attachments follow it (multipart/related, RFC 2387).

    Raises TroubleError (`protocol`).
    """
    try:
        if media_type(content_type) == "multipart/related":
            content = parts_of(content, content_type)[0].content
        root = parse(content)
    except (XmlError, MultipartError) as error:
        kind = plain_line(media_type(content_type), 60) or "none"
        raise TroubleError(Failure.PROTOCOL, f"the answer is not SOAP (content type {kind}): {error}") from None
    version = next((version for version, space in NAMESPACES.items() if space == root.namespace), "")
    if root.name != "Envelope" or not version or root.first("Body", root.namespace) is None:
        raise TroubleError(Failure.PROTOCOL, f"the answer is not a SOAP envelope but <{plain_line(root.name, 60)}>")
    return Answer(version, root, _fault_in(root))


def _fault_in(root: Element) -> Fault | None:
    body = root.first("Body", root.namespace)
    fault = body.first("Fault", root.namespace) if body is not None else None
    if fault is None:
        return None
    code = _local(fault.text_at("faultcode")) or _local(fault.text_at("Code", "Value"))
    subcode = _local(fault.text_at("Code", "Subcode", "Value"))
    reason = fault.text_at("faultstring") or fault.text_at("Reason", "Text")
    detail = fault.first("detail") or fault.first("Detail")
    told = " ".join(filter(None, _texts(detail, 20))) if detail is not None else ""
    return Fault(
        plain_line(f"{code}.{subcode}" if subcode else code, 120), plain_line(reason, 200), plain_line(told, 200)
    )


def _texts(element: Element, most: int) -> list[str]:
    found = [element.text]
    for child in element.children[:most]:
        found += _texts(child, most)
    return found[:most]


def _local(qname: str) -> str:
    """Return a fault's code without its prefix; X-Road's codes have dots and no prefix."""
    return qname.rpartition(":")[2]
