"""A SOAP fault inside an answer that HTTP calls fine (SOAP 1.1, section 4.4; SOAP 1.2 part 1, section 5.4).

What the answer calls itself does not matter: gateways send faults as `text/plain`, as `text/html` and without a type.
Only an envelope at the root of the document, or of the first part of one with attachments (RFC 2387), is looked into.

The body comes from an adversary: a document type declaration ends the reading (SOAP forbids one, and entities live
there), text is bounded, and what cannot be parsed is not a fault.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from probes.failures import plain_line
from probes.http_body import media_type
from probes.multipart import MultipartError, parts_of

_SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
_SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
_TEXT_LIMIT = 120
_CODE = {("faultcode",), ("Code", "Value")}
_REASON = {("faultstring",), ("Reason", "Text")}


class _DoneError(Exception):
    """Enough has been read."""


def fault_in(body: bytes, content_type: str) -> str | None:
    """Return `code: reason` of the fault in a SOAP envelope, None when there is no fault (or no envelope)."""
    if b"Fault" not in body and b"\0" not in body[:64]:  # UTF-16 has a zero in every other byte
        return None
    if media_type(content_type) == "multipart/related":
        try:
            body = parts_of(body, content_type)[0].content
        except MultipartError:
            return None
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body.lstrip(), True)
    except _DoneError:
        pass
    except (expat.ExpatError, ValueError, LookupError):  # not XML, or in an encoding that does not exist
        return None
    if not reader.found:
        return None
    code, reason = (plain_line(text, _TEXT_LIMIT) for text in (reader.code, reader.reason))
    return ": ".join(part for part in (code, reason) if part) or "without a reason"


class _Reader:
    """Follows the path Envelope / Body / Fault and keeps the fault's code and reason."""

    def __init__(self) -> None:
        self.found = False
        self.code = ""
        self.reason = ""
        self._path: list[str] = []

    def refuse(self, *_declaration: Any) -> None:
        raise _DoneError

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        self._path.append(local)
        depth = len(self._path)
        if depth == 1 and not (local == "Envelope" and namespace in (_SOAP_11, _SOAP_12)):
            raise _DoneError
        if depth == 3 and self._path[1] == "Body":
            if local != "Fault" or namespace not in (_SOAP_11, _SOAP_12):
                raise _DoneError  # a fault is the only child of Body
            self.found = True

    def end(self, _name: str) -> None:
        self._path.pop()
        if self.found and len(self._path) == 2:
            raise _DoneError

    def text(self, data: str) -> None:
        if not self.found:
            return
        below = tuple(self._path[3:])
        if below in _CODE:
            self.code = (self.code + data)[: _TEXT_LIMIT * 2]
        elif below in _REASON:
            self.reason = (self.reason + data)[: _TEXT_LIMIT * 2]
