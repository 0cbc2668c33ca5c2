"""The body of an answer: decoded as it comes, and never more of it held than was allowed.

The limit is on decoded bytes: what a small compressed body unfolds to is counted while it unfolds (RFC 9110,
section 8.4, on content codings). Of text, the character encoding is the one that the peer names, if it is one of
a list: Python knows encodings that take quadratic time, and some that are no character encodings at all.
"""

from __future__ import annotations

import codecs
import zlib
from typing import Protocol

from probes.failures import TroubleError, plain_line
from probes.model import Failure

CHARSETS = frozenset(
    codecs.lookup(name).name
    for name in (
        *("ascii", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"),
        *(f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)),
        *(f"cp125{page}" for page in range(9)),
        *("koi8-r", "koi8-u", "gbk", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "tis-620"),
    )
)
"""Character encodings that are decoded; every other name is read as UTF-8. All take linear time."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GZIP_WBITS = 16 + zlib.MAX_WBITS


class _Decoder(Protocol):
    """What unfolds a content coding."""

    def feed(self, data: bytes, room: int) -> bytes:
        """Return at most `room` decoded bytes; what does not fit is lost."""

    @property
    def complete(self) -> bool:
        """The coding's own end has been seen, or nothing has been fed."""


class Body:
    """Takes a body's bytes as they come.

    Args:
        limit: how many decoded bytes may be held.
        coding: value of the header Content-Encoding.

    Attributes:
        size: decoded bytes seen so far; one past the limit, at least, when there were more.

    """

    __slots__ = ("_chunks", "_coding", "_decoder", "_limit", "size")

    def __init__(self, limit: int, coding: str) -> None:
        self._chunks: list[bytes] = []
        self._limit = limit
        self._coding = coding.strip().lower()
        self._decoder = _decoder_for(self._coding)
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises TroubleError: `body_too_large` past the limit, `body_decode` for what is not of the coding.
        """
        if self._decoder is not None:
            try:
                data = self._decoder.feed(data, self._limit + 1 - self.size)
            except zlib.error as error:
                reason = plain_line(str(error).rpartition(": ")[2], 80)
                raise TroubleError(Failure.BODY_DECODE, f"the body is not {self._coding}: {reason}") from None
        self.size += len(data)
        if self.size > self._limit:
            self._chunks.clear()
            raise too_large(self._limit)
        self._chunks.append(data)

    def finish(self) -> bytes:
        """Return the whole body at its end.

        Raises TroubleError (`body_decode`) when its coding has not come to an end.
        """
        if self._decoder is not None and not self._decoder.complete:
            raise TroubleError(Failure.BODY_DECODE, f"the body ends in the middle of its {self._coding} data")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


def too_large(limit: int) -> TroubleError:
    """Return what says that a body is larger than `limit` bytes."""
    return TroubleError(Failure.BODY_TOO_LARGE, f"the body is larger than {limit} bytes")


def text_of(body: bytes, content_type: str) -> str:
    """Return a body as text: by its byte order mark, else by the charset of its Content-Type, else as UTF-8.

    What is no character there becomes U+FFFD; nothing is refused.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    return body.decode(charset_of(content_type), "replace")


def charset_of(content_type: str) -> str:
    """Return the codec of a Content-Type's charset (RFC 9110, section 8.3.2), `utf-8` where it is of no use."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            try:
                found = codecs.lookup(value.strip().strip("\"'")[:40]).name
            except (LookupError, ValueError):
                return "utf-8"
            return found if found in CHARSETS else "utf-8"
    return "utf-8"


def media_type(content_type: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


class _Gzip:
    """RFC 1952; a body may be several members, one behind the other (section 2.2)."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_WBITS)
        self.complete = True

    def feed(self, data: bytes, room: int) -> bytes:
        plain = b""
        while data and len(plain) < room:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(_GZIP_WBITS)
            plain += self._inflate.decompress(data, room - len(plain))
            data = self._inflate.unused_data
            self.complete = self._inflate.eof
        return plain


class _Deflate:
    """RFC 9110, section 8.4.1.2: the zlib format, or bare deflate data, which many servers send instead."""

    def __init__(self) -> None:
        self._inflate: zlib._Decompress | None = None
        self._first = b""

    def feed(self, data: bytes, room: int) -> bytes:
        if self._inflate is None:
            self._first += data
            if len(self._first) < 2:
                return b""
            data = self._first
            # RFC 1950, section 2.2: compression method 8, and a header that is a multiple of 31.
            framed = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS if framed else -zlib.MAX_WBITS)
        return self._inflate.decompress(data, room) if not self._inflate.eof else b""

    @property
    def complete(self) -> bool:
        return not self._first if self._inflate is None else self._inflate.eof


def _decoder_for(coding: str) -> _Decoder | None:
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip"):
        return _Gzip()
    if coding == "deflate":
        return _Deflate()
    shown = plain_line(coding, 40)
    raise TroubleError(Failure.BODY_DECODE, f"the body has the content coding {shown!r}, which was not asked for")
