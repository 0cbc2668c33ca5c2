"""Results as JSON Lines (DESIGN section 6.2), plain, gzipped (`.gz`) or Zstandard (`.zst`).

A file is a stranger: every line is bounded and checked, what is decompressed is read a line at a time, and an error
names the file and the line. Keys that are not known are left alone, so that files of `probe --json` and of later
versions can be read; known keys must be what they say.
"""

from __future__ import annotations

import difflib
import gzip
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

import orjson
import zstandard

from alerts.model import Result, State
from alerts.periods import utc_text
from probes.conditions import one_line
from probes.model import Failure

LINE_BYTES = 1 << 18
"""Longest line that is read."""
SAMPLES = 256
"""Most samples of one result."""
NAME_LENGTH = 300
"""Longest id or sample name."""
DURATION_MAX_S = 86_400.0 * 366
"""Longest duration that is believed."""
MESSAGE_LENGTH = 1_000
"""Longest message that is kept; a longer one is cut."""
_WINDOW_BYTES = 1 << 27
"""Largest Zstandard window that is accepted: what `zstd --long` writes at most without being told otherwise."""
_SLICE_BYTES = 1 << 10

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LATEST_MS = 253_402_300_800_000
_CHECK = re.compile(r"[^\s/]+/[^\s/]+\Z")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_STATES = {state.value: state for state in State}
_FAILURES = {failure.value: failure for failure in Failure}


class ResultError(ValueError):
    """A line is not a result; the message says why, and in which file and line."""


def result_object(result: Result) -> dict[str, Any]:
    """Return the result as the object of DESIGN section 6.2."""
    return {
        "check": result.check,
        "agent": result.agent,
        "at": utc_text(result.at_ms),
        "duration_s": result.duration_s,
        "state": result.state.value,
        "failure": None if result.failure is None else result.failure.value,
        "message": result.message,
        "samples": dict(result.samples),
    }


def result_line(result: Result) -> bytes:
    """Return the result as one JSON line, with its end of line."""
    return orjson.dumps(result_object(result), option=orjson.OPT_APPEND_NEWLINE)


def parse_result(line: bytes | str) -> Result:
    """Return the result of one JSON line.

    `check`, `at` and `state` are needed; the rest may be missing. Raises ResultError.
    """
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        message = f"not JSON: {error}"
        raise ResultError(message) from None
    if not isinstance(found, dict):
        raise ResultError("not a JSON object")
    return Result(
        _check(found.get("check")),
        _agent(found),
        parse_at_ms(found.get("at")),
        _duration_s(found.get("duration_s")),
        _state(found.get("state")),
        _failure(found.get("failure")),
        _message(found),
        _samples(found.get("samples")),
    )


def parse_at_ms(value: object) -> int:
    """Return milliseconds since the epoch for an RFC 3339 time with its offset; finer digits are cut off.

    Raises ResultError.
    """
    if not isinstance(value, str):
        raise ResultError(_expected("at", "a time such as 2026-10-01T00:00:10.000Z", value))
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            message = f"at: {_shown(value)} has no offset: end it with Z or an offset such as +07:00"
            raise ResultError(message)
        at_ms = (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        if isinstance(error, ResultError):
            raise
        raise ResultError(_expected("at", "a time such as 2026-10-01T00:00:10.000Z", value)) from None
    if not 0 < at_ms < _LATEST_MS:
        message = f"at: {_shown(value)} is not a time after 1970"
        raise ResultError(message)
    return at_ms


def read_results(path: Path | str) -> Iterator[Result]:
    """Give the results of a file in its order, decompressing by its name; empty lines are passed over.

    Raises ResultError with file and line, OSError when the file cannot be read.
    """
    with _open_to_read(Path(path)) as stream:
        number = 0
        while True:
            number += 1
            try:
                line = stream.readline(LINE_BYTES + 1)
            except (zlib.error, gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
                message = f"{path}:{number}: damaged: {error}"
                raise ResultError(message) from None
            if not line:
                return
            yield from _results_of(line, path, number)


def write_results(path: Path | str, results: Iterable[Result]) -> int:
    """Write results to a file, compressing by its name, and return how many.

    The file appears under its name only when it is whole. Raises OSError.
    """
    count = 0
    with result_writer(path) as write:
        for result in results:
            write(result)
            count += 1
    return count


@contextmanager
def result_writer(path: Path | str) -> Iterator[Callable[[Result], None]]:
    """Give a function that writes one result to the file, as `write_results` does. Raises OSError."""
    final = Path(path)
    partial = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with _open_to_write(partial, final.suffix) as stream:
            yield lambda result: _write(stream, result)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def _write(stream: IO[bytes], result: Result) -> None:
    stream.write(result_line(result))


def _results_of(line: bytes, path: Path | str, number: int) -> Iterator[Result]:
    if len(line) > LINE_BYTES:
        message = f"{path}:{number}: longer than {LINE_BYTES} bytes"
        raise ResultError(message)
    text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    if not text.strip():
        return
    try:
        yield parse_result(text)
    except ResultError as error:
        message = f"{path}:{number}: {error}"
        raise ResultError(message) from None


@contextmanager
def _open_to_read(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw) as stream:
                yield cast("IO[bytes]", stream)
        elif path.suffix == ".zst":
            yield cast("IO[bytes]", _ZstdLines(raw))
        else:
            yield raw


@contextmanager
def _open_to_write(path: Path, suffix: str) -> Iterator[IO[bytes]]:
    with path.open("wb") as raw:
        if suffix == ".gz":
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as stream:
                yield cast("IO[bytes]", stream)
        elif suffix == ".zst":
            with zstandard.ZstdCompressor().stream_writer(raw, closefd=False) as writer:
                yield cast("IO[bytes]", writer)
        else:
            yield raw
        raw.flush()
        os.fsync(raw.fileno())


class _ZstdLines:
    """Lines of a Zstandard file: one frame or several, each of which must be whole (RFC 8878, section 3).

    It is fed in slices, because four bytes can stand for a block of 128 KiB: what one slice gives, and one line, is
    all that is held.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        self._frame: Any = None
        self._rest = b""
        self._held = bytearray()

    def readline(self, limit: int) -> bytes:
        """Return the next line, at most `limit` bytes of it; b"" at the end."""
        searched = 0
        while (end := self._held.find(b"\n", searched, limit)) < 0 and len(self._held) < limit:
            searched = len(self._held)
            if not self._feed():
                break
        size = end + 1 if end >= 0 else min(len(self._held), limit)
        line = bytes(self._held[:size])
        del self._held[:size]
        return line

    def _feed(self) -> bool:
        if not self._rest:
            self._rest = self._raw.read(1 << 16)
            if not self._rest:
                if self._frame is not None:
                    raise EOFError("it ends in the middle of a frame")
                return False
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        piece, self._rest = self._rest[:_SLICE_BYTES], self._rest[_SLICE_BYTES:]
        self._held += self._frame.decompress(piece)
        if self._frame.eof:
            self._rest = self._frame.unused_data + self._rest
            self._frame = None
        return True


def _check(value: object) -> str:
    if not isinstance(value, str) or not _CHECK.match(value) or len(value) > NAME_LENGTH or _has_controls(value):
        raise ResultError(_expected("check", "an id such as ndxp-dancu/http", value))
    return value


def _text(found: Mapping[str, object], key: str, limit: int) -> str:
    value = found.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit:
        raise ResultError(_expected(key, f"a text of at most {limit} characters", value))
    return value


def _agent(found: Mapping[str, object]) -> str:
    agent = _text(found, "agent", NAME_LENGTH)
    if _has_controls(agent):
        raise ResultError(_expected("agent", "a text without control characters", agent))
    return agent


def _has_controls(name: str) -> bool:
    """Say whether a name has what no name has, and PostgreSQL refuses some of."""
    return not name.isprintable() and _CONTROLS.search(name) is not None


def _message(found: Mapping[str, object]) -> str:
    text = _text(found, "message", LINE_BYTES)
    return text if len(text) <= MESSAGE_LENGTH and text.isprintable() else one_line(text, MESSAGE_LENGTH)


def _duration_s(value: object) -> float:
    if value is None:
        return 0.0
    if not _is_number(value) or not 0 <= cast("float", value) <= DURATION_MAX_S:
        raise ResultError(_expected("duration_s", "a number of seconds", value))
    return float(cast("float", value))


def _state(value: object) -> State:
    state = _STATES.get(value) if isinstance(value, str) else None
    if state is None:
        raise ResultError(_expected("state", f"one of {', '.join(_STATES)}", value))
    return state


def _failure(value: object) -> Failure | None:
    if value is None:
        return None
    failure = _FAILURES.get(value) if isinstance(value, str) else None
    if failure is None:
        near = difflib.get_close_matches(str(value)[:40], _FAILURES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ResultError(_expected("failure", "null or one of the failures", value) + hint)
    return failure


def _samples(value: object) -> Mapping[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > SAMPLES:
        raise ResultError(_expected("samples", f"an object of at most {SAMPLES} numbers by name", value))
    for name, number in value.items():
        if not _is_number(number):
            raise ResultError(_expected(f"samples.{_shown(name)}", "a finite number", number))
        if not name or len(name) > NAME_LENGTH or _has_controls(name):
            raise ResultError(_expected("samples", "numbers by names of their own", name))
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _expected(key: str, what: str, value: object) -> str:
    return f"{key}: expected {what}, found {'nothing' if value is None else _shown(value)}"


def _shown(value: object) -> str:
    return one_line(value if isinstance(value, str) else orjson.dumps(value).decode(), 80)
