"""Multipart bodies, read whole and bounded (RFC 2046, section 5.1; related parts: RFC 2387)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from probes.http_body import media_type

PARTS_LIMIT = 100
HEAD_LIMIT = 16384
"""Bytes of one part's header."""

_PARAMETER = re.compile(r';\s*([A-Za-z0-9_-]+)\s*=\s*(?:"([^"]*)"|([^;\s]*))')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,200}\Z")  # RFC 2046 allows 70; X-Road and others use more


class MultipartError(ValueError):
    """The body is not what its content type says; the message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        headers: by lower-case name; the first of a name counts.
        content: its bytes, as they came: no transfer encoding is undone.

    """

    headers: dict[str, str]
    content: bytes

    @property
    def media_type(self) -> str:
        """Its content type without parameters."""
        return media_type(self.headers.get("content-type", "text/plain"))


def parameters_of(value: str) -> dict[str, str]:
    """Return the parameters of a content type, by lower-case name."""
    return {found[1].lower(): found[2] or found[3] or "" for found in _PARAMETER.finditer(value[:4096])}


def parts_of(body: bytes, content_type: str) -> list[Part]:
    """Return the parts of a body, one at the least.

    Raises MultipartError.
    """
    boundary = parameters_of(content_type).get("boundary", "")
    if not _BOUNDARY.match(boundary):
        raise MultipartError("its content type names no boundary")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("ascii"), PARTS_LIMIT + 2)
    parts: list[Part] = []
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        if len(parts) >= PARTS_LIMIT:
            message = f"it has more than {PARTS_LIMIT} parts"
            raise MultipartError(message)
        parts.append(_part(piece))
    else:
        raise MultipartError("it ends before its last boundary")
    if not parts:
        raise MultipartError("it has no part")
    return parts


def _part(piece: bytes) -> Part:
    # The boundary's own line may end in white space; a part without a header begins with an empty line.
    _, end_of_line, rest = piece.partition(b"\r\n")
    if not end_of_line:
        raise MultipartError("a boundary is no line")
    if rest.startswith(b"\r\n"):
        return Part({}, rest[2:])
    head, gap, content = rest.partition(b"\r\n\r\n")
    if not gap and rest.endswith(b"\r\n"):  # a part that is a header alone: its empty line is the boundary's
        head, gap, content = rest[:-2], rest[-2:], b""
    if not gap or len(head) > HEAD_LIMIT:
        raise MultipartError("the header of a part has no end")
    headers: dict[str, str] = {}
    for line in re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n"):
        name, _, value = line.decode("utf-8", "replace").partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return Part(headers, content)
