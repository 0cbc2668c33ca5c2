"""Takes sealed blocks apart: all of one, a stretch of its time, or only who measured when. `blocks` makes them."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, repeat, starmap
from operator import add
from typing import Any

import orjson
import zstandard

from monitor.store.blocks import BEFORE, COLUMN, CONSTANT, HOUR_MS, NOTHING, SUM, VERSION, Entry, Shapes, unzigzag
from monitor.store.codec import MILLION, CorruptError, Shape, value_of
from monitor.store.names import PLAIN_SHAPE

_RESULTS_LIMIT = 1 << 24
"""More than any block holds."""
_BLOCK_LIMIT_BYTES = 1 << 26
"""More than any block decompresses to."""

Line = tuple[int, int, int, int, str, dict[str, float]]
"""A result as an Entry without its shape, with its samples by name."""


class _Reader:
    """Takes a block apart, one column after the other."""

    def __init__(self, block: bytes) -> None:
        self._numbers, self._at = block, 0
        if self.number() != VERSION:
            raise ValueError
        self.results = self.number()
        self.shape_nos = [self.number() for _ in range(self.number())]
        if not 0 < self.results <= _RESULTS_LIMIT or not 0 < len(self.shape_nos) <= self.results:
            raise ValueError
        heads, uppers, self._texts = self._part(), self._part(), self._part()
        lows = block[self._at :]
        self._uppers, self._upper_at = _decompressed(uppers), 0
        self._bits, self._bit_at = bin(int.from_bytes(b"\1" + lows, "big"))[3:], 0
        self._numbers, self._at = heads, 0

    def _part(self) -> bytes:
        length = self.number()
        self._at += length
        if self._at > len(self._numbers):
            raise ValueError
        return self._numbers[self._at - length : self._at]

    def number(self) -> int:
        """Return the next varint."""
        value = shift = 0
        while (byte := self._numbers[self._at]) > 0x7F:
            value |= (byte & 0x7F) << shift
            shift += 7
            self._at += 1
        self._at += 1
        return value | byte << shift

    def column(
        self, count: int, span: slice, before: Sequence[int] | None = None, summed: Sequence[int] | None = None
    ) -> Sequence[int]:
        """Return a span of the next column, which has `count` numbers; `before` and `summed` are of that span."""
        predictor, median = self.number(), unzigzag(self.number())
        if predictor == CONSTANT:
            return [median] * (span.stop - span.start)
        wanted = slice(0, span.stop) if predictor == BEFORE else span
        folded = self._folded(count, wanted)
        values = [median - ((u + 1) >> 1) if u & 1 else median + (u >> 1) for u in folded]
        if predictor == BEFORE:
            return list(accumulate(values))[span.start :]
        if predictor == NOTHING:
            return values
        other = {COLUMN: before, SUM: summed}[predictor]
        if other is None:
            raise ValueError
        return list(map(add, values, other))

    def _folded(self, count: int, span: slice) -> Sequence[int]:
        low_bits = self.number()
        uppers: Sequence[int] = self._uppers[self._upper_at : self._upper_at + count][span]
        self._upper_at += count
        exceptions = self.number()
        if exceptions:
            uppers, place = list(uppers), -1
            for _ in range(exceptions):
                place += self.number() + 1
                upper = self.number()
                if span.start <= place < span.stop:
                    uppers[place - span.start] = upper
        if not low_bits:
            return uppers
        begin = self._bit_at
        self._bit_at += count * low_bits
        bits = self._bits[begin + span.start * low_bits : begin + span.stop * low_bits]
        lows = [int(bits[at : at + low_bits], 2) for at in range(0, len(bits), low_bits)]
        return [upper << low_bits | low for upper, low in zip(uppers, lows, strict=True)]

    def texts(self) -> list[str]:
        """Return the distinct texts; the first is the empty one."""
        return ["", *orjson.loads(_decompressed(self._texts))] if self._texts else [""]


def _decompressed(part: bytes) -> bytes:
    if not part:
        return b""
    return zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS).decompress(part, _BLOCK_LIMIT_BYTES)


def decode(block: bytes, shapes: Shapes) -> list[Entry]:
    """Return the results of a block, in their order.

    Raises CorruptError for what is not a block of these shapes.
    """
    return list(starmap(Entry, _lines(block, shapes, 0, HOUR_MS, _as_they_are)))


def decode_values(block: bytes, shapes: Shapes, from_ms: int = 0, to_ms: int = HOUR_MS) -> list[Line]:
    """Return the results of a block that start in [from_ms, to_ms) within its hour, in their order.

    Raises CorruptError for what is not a block of these shapes.
    """
    lines = []
    for *line, shape_no, values in _lines(block, shapes, from_ms, to_ms, _values):
        samples = dict(zip(shapes[shape_no][0], values, strict=True)) if shape_no else orjson.loads(values)
        lines.append((*line, samples))
    return lines


def decode_keys(block: bytes) -> list[tuple[int, int]]:
    """Return (start within the hour, agent) of every result of a block, in their order; quicker than all of it.

    Raises CorruptError for what is not a block.
    """
    with _corrupt_as_such(block):
        reader = _Reader(block)
        everything = slice(0, reader.results)
        starts = reader.column(reader.results, everything)
        return list(zip(starts, reader.column(reader.results, everything), strict=True))


def shapes_of(block: bytes) -> list[int]:
    """Return the numbers of the shapes that a block needs.

    Raises CorruptError for what is not a block.
    """
    with _corrupt_as_such(block):
        return [shape_no for shape_no in _Reader(block).shape_nos if shape_no != PLAIN_SHAPE]


def _lines(
    block: bytes, shapes: Shapes, from_ms: int, to_ms: int, convert: Callable[[Sequence[int], str], Sequence[Any]]
) -> list[tuple[Any, ...]]:
    with _corrupt_as_such(block):
        reader = _Reader(block)
        count = reader.results
        starts = reader.column(count, slice(0, count))
        span = slice(bisect_left(starts, from_ms), bisect_left(starts, to_ms))
        agents, outcomes, messages = (reader.column(count, span) for _ in range(3))
        places = reader.column(count, slice(0, count))
        texts = reader.texts()
        groups = [
            _decode_group(reader, _span_of(place, places, span), shape_no, shapes.get(shape_no), texts, convert)
            for place, shape_no in enumerate(reader.shape_nos)
        ]
        lines = []
        for start, agent, outcome, message, place in zip(
            starts[span], agents, outcomes, messages, places[span], strict=True
        ):
            duration_us, numbers = next(groups[place])
            lines.append((start, agent, duration_us, outcome, texts[message], reader.shape_nos[place], numbers))
        return lines


def _span_of(place: int, places: Sequence[int], span: slice) -> tuple[int, slice]:
    """Return how many results a shape has, and which of them are in a span of all results."""
    begin = places[: span.start].count(place)
    return places.count(place), slice(begin, begin + places[span].count(place))


def _decode_group(
    reader: _Reader,
    sizes: tuple[int, slice],
    shape_no: int,
    shape: Shape | None,
    texts: list[str],
    convert: Callable[[Sequence[int], str], Sequence[Any]],
) -> Iterator[tuple[int, Any]]:
    """Return an iterator over durations and numbers of the results of one shape."""
    size, span = sizes
    if shape_no == PLAIN_SHAPE:
        bodies = [texts[place].encode() for place in reader.column(size, span)]
        reader.number()
        return zip(reader.column(size, span), bodies, strict=True)
    if shape is None:
        raise ValueError
    columns: list[Sequence[int]] = []
    for _ in shape[0]:
        columns.append(reader.column(size, span, columns[-1] if columns else None))
    summed = [columns[reader.number()] for _ in range(reader.number())]
    durations = reader.column(size, span, None, [sum(row) for row in zip(*summed, strict=True)] if summed else None)
    rows: Iterable[Any] = zip(*map(convert, columns, shape[1]), strict=True) if columns else repeat(())
    return zip(durations, rows, strict=False)


def _as_they_are(column: Sequence[int], _code: str) -> Sequence[int]:
    return column


def _values(column: Sequence[int], code: str) -> Sequence[float]:
    if code == "m":
        return [number / MILLION for number in column]
    if code == "i":
        return column
    if code == "d":
        return struct.unpack(f"<{len(column)}d", struct.pack(f"<{len(column)}Q", *column))
    return [value_of(code, number) for number in column]


@contextmanager
def _corrupt_as_such(block: bytes) -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError, struct.error, zstandard.ZstdError, StopIteration, RuntimeError) as error:
        message = f"a sealed block of {len(block)} bytes cannot be read"
        raise CorruptError(message) from error
