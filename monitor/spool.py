"""Where batches wait on disk while the store is away: bounded, in order, and safe against being killed.

A spool is a directory of segments, `<number>.spool`, that are only ever appended to. A record is

    magic "TSB1" · length of the body, u32 · CRC-32 of the body, u32 · body (zstd of JSON); little-endian

What has been delivered is the file `position`: segment and offset, with their CRC-32; finished segments are
deleted. A record that was being written when the process or the machine died fails its CRC and is cut off: its
batch was never confirmed to be spooled. Damage in the middle costs the records that it touches and no more.

A batch may be delivered twice when the process dies between saving it and noting so; saving is idempotent.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

import structlog
import zstandard

from monitor.records import Batch
from monitor.spool_format import decode_batch, encode_batch

log = structlog.get_logger()

MAGIC = b"TSB1"
_HEADER = struct.Struct("<4sII")
_POSITION = struct.Struct("<QQ")
SEGMENT_BYTES = 8 << 20
"""A segment that has grown beyond this is followed by a new one."""
RECORD_LIMIT_BYTES = 256 << 20
"""A length beyond this is damage, not a record."""


class SpoolFullError(Exception):
    """The spool takes no more before something is delivered."""


class Token(NamedTuple):
    """Where a record ends: what `done` wants to know. Tokens are ordered as the records are."""

    segment: int
    offset: int


class Spool:
    """A directory of batches that wait.

    Attributes:
        damaged_bytes: how much could not be read since the spool was opened.

    """

    def __init__(self, directory: Path, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._active: BinaryIO | None = None
        self._active_no = 0
        self.damaged_bytes = 0
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sizes = {int(path.stem): path.stat().st_size for path in sorted(directory.glob("*.spool"))}
        self._position = self._read_position()
        for number in [number for number in self._sizes if number < self._position.segment]:
            self._delete(number)
        self._cut_torn_tail()
        self._next_no = max((*self._sizes, self._position.segment), default=0) + 1
        with contextlib.suppress(OSError):  # a disk that is full now: it is needed only when something is delivered
            self._write_position()

    def append(self, batch: Batch) -> None:
        """Write a batch to the disk; when this returns, it will survive a power failure.

        Raises SpoolFullError when there is no room under the limit, OSError when the disk refuses. In both cases
        the spool is as it was.
        """
        body = zstandard.ZstdCompressor(level=3).compress(encode_batch(batch))
        record = _HEADER.pack(MAGIC, len(body), crc32(body)) + body
        with self._lock:
            if self._pending() + len(record) > self._limit_bytes:
                message = f"the spool holds {self._pending()} of {self._limit_bytes} bytes"
                raise SpoolFullError(message)
            self._write(record)

    def _write(self, record: bytes) -> None:
        file = self._writable()
        size = self._sizes[self._active_no]
        try:
            view = memoryview(record)
            while view:
                view = view[file.write(view) :]
            os.fdatasync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            self._close_active()  # never after half a record
            raise
        self._sizes[self._active_no] = size + len(record)

    def _writable(self) -> BinaryIO:
        if self._active is not None and self._sizes[self._active_no] < self._segment_bytes:
            return self._active
        self._close_active()
        path = self._path(self._next_no)
        self._active = path.open("xb", buffering=0)
        self._active_no = self._next_no
        self._sizes[self._active_no] = 0
        self._next_no += 1
        self._sync_directory()
        return self._active

    def _sync_directory(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def pending(self) -> int:
        """Return how many bytes wait; 0 when nothing does."""
        with self._lock:
            return self._pending()

    def _pending(self) -> int:
        return sum(self._sizes.values()) - (self._position.offset if self._position.segment in self._sizes else 0)

    def drain(self) -> Iterator[tuple[Token, Batch]]:
        """Yield what waits, oldest first. Whoever has saved a batch calls `done` with its token, in order.

        Without that a later call yields the same batch again.
        """
        while True:
            with self._lock:
                waiting = [number for number in self._sizes if number >= self._position.segment]
                if not waiting:
                    return
                number = min(waiting)
                offset = self._position.offset if number == self._position.segment else 0
                end = self._sizes[number]
            last = self._position
            for last, batch in self._records(number, offset, end):
                yield last, batch
            with self._lock:
                if self._position < last:
                    return  # the caller has not confirmed what it was given
                if self._position.segment <= number:
                    self._finish(number, end)  # whatever is left of it cannot be read

    def _records(self, number: int, offset: int, end: int) -> Iterator[tuple[Token, Batch]]:
        with self._path(number).open("rb") as file:
            while offset < end:
                body, offset = self._next_record(file, number, offset, end)
                batch = None if body is None else self._decoded(body, number, offset)
                if batch is not None:
                    yield Token(number, offset), batch

    def _decoded(self, body: bytes, number: int, end: int) -> Batch | None:
        """Return the batch in a body; put aside what this program cannot read, rather than stop at it for ever."""
        try:
            return decode_batch(zstandard.ZstdDecompressor().decompress(body))
        except (ValueError, KeyError, TypeError, zstandard.ZstdError) as error:
            aside = self._directory / f"{number:010d}-{end}.unreadable"
            aside.write_bytes(body)
            self.damaged_bytes += len(body)
            # Where it happened says nothing: what is in the file does.
            log.error("a batch in the spool cannot be read", put_aside=str(aside), error=repr(error))  # noqa: TRY400
            return None

    def _next_record(self, file: BinaryIO, number: int, offset: int, end: int) -> tuple[bytes | None, int]:
        """Return the first intact record at or after `offset`, and where it ends; None where there is none."""
        body = _record_at(file, offset, end)
        if body is not None:
            return body, offset + _HEADER.size + len(body)
        file.seek(offset)
        rest = file.read(end - offset)
        found = rest.find(MAGIC, 1)
        while found >= 0 and _record_at(file, offset + found, end) is None:
            found = rest.find(MAGIC, found + 1)
        skipped = found if found >= 0 else len(rest)
        self.damaged_bytes += skipped
        log.error("part of the spool is damaged and was skipped", segment=number, offset=offset, bytes=skipped)
        return None, offset + skipped

    def _last_record_end(self, number: int, offset: int, end: int) -> int:
        """Return where the last intact record after `offset` ends, `offset` when there is none."""
        last, rest = offset, self._path(number).read_bytes()[:end]
        with self._path(number).open("rb") as file:
            while (found := rest.find(MAGIC, offset)) >= 0:
                body = _record_at(file, found, end)
                offset = found + (len(MAGIC) if body is None else _HEADER.size + len(body))
                last = last if body is None else offset
        return last

    def done(self, token: Token) -> None:
        """Note that everything up to and with this batch is saved."""
        with self._lock:
            self._position = token
            self._write_position()
            if token.offset >= self._sizes.get(token.segment, 0):
                self._finish(token.segment, token.offset)

    def _finish(self, number: int, end: int) -> None:
        """Delete a segment of which nothing is needed any more, unless more has been appended to it."""
        if self._sizes.get(number, 0) > end:
            return
        if number == self._active_no:
            self._close_active()
        self._position = Token(number + 1, 0)
        self._write_position()
        for old in [old for old in self._sizes if old <= number]:
            self._delete(old)
        # Back after a power failure, it would be delivered over what has been saved since.
        self._sync_directory()

    def _delete(self, number: int) -> None:
        self._path(number).unlink(missing_ok=True)
        self._sizes.pop(number, None)

    def _read_position(self) -> Token:
        try:
            content = (self._directory / "position").read_bytes()
        except FileNotFoundError:
            return Token(0, 0)
        plain = content[: _POSITION.size]
        if len(content) != _POSITION.size + 4 or crc32(plain) != int.from_bytes(content[-4:], "little"):
            return Token(0, 0)  # deliver again what is there: nothing is stored twice
        return Token(*_POSITION.unpack(plain))

    def _write_position(self) -> None:
        plain = _POSITION.pack(*self._position)
        # A disk that is full takes this all the same: it is written over what is there.
        file = os.open(self._directory / "position", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, plain + crc32(plain).to_bytes(4, "little"), 0)
        finally:
            os.close(file)

    def _cut_torn_tail(self) -> None:
        if not self._sizes:
            return
        number = max(self._sizes)
        start = self._position.offset if number == self._position.segment else 0
        end = self._last_record_end(number, start, self._sizes[number])
        if end < self._sizes[number]:
            self.damaged_bytes += self._sizes[number] - end
            log.warning("the last record of the spool was cut off", bytes=self._sizes[number] - end)
            os.truncate(self._path(number), end)
            self._sizes[number] = end
        if end <= start:
            self._delete(number)

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:010d}.spool"

    def _close_active(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None
            self._active_no = 0

    def close(self) -> None:
        """Close the files; what waits stays on the disk."""
        with self._lock:
            self._close_active()


def _record_at(file: BinaryIO, offset: int, end: int) -> bytes | None:
    """Return the body of the record at `offset`, None when there is no intact one."""
    file.seek(offset)
    header = file.read(min(_HEADER.size, end - offset))
    if len(header) < _HEADER.size:
        return None
    magic, length, crc = _HEADER.unpack(header)
    if magic != MAGIC or length > min(RECORD_LIMIT_BYTES, end - offset - _HEADER.size):
        return None
    body = file.read(length)
    return body if len(body) == length and crc32(body) == crc else None
