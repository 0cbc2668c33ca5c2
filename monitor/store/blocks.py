"""How the results of an hour of one check are sealed into one block of bytes, and nothing is lost.

Results become columns of integers: start, agent, duration, outcome, message, shape, and the numbers of each shape's
samples (see `codec`). A column is coded in three steps:

1. *Predicted.* What is stored is the difference from nothing, from the value before, from the column before it, or
   (durations) from the sum of the phases: whichever leaves the narrowest spread.
2. *Folded* around the median of those differences, so that small ones of either sign become small numbers
   (zigzag: 0, −1, 1, −2 … become 0, 1, 2, 3 …).
3. *Split* into low bits, which are noise and are packed as they are, and what is above them: small numbers that fall
   off alike in every column, so that one Huffman table, Zstandard's, serves them all.

A column of one value costs a few bytes. A number whose upper part does not fit a byte is listed apart.

    block   = version, results, shapes, shape number …, length, heads, length, uppers, length, texts, low bits
    heads   = head …, one for each column: start, agent, outcome, message, shape; then for each shape
              its samples, how many of them are summed, which, duration
    head    = predictor, median (zigzag) [, low bits, exceptions, (gap, number) …]

All numbers are LEB128 varints (DWARF 5, section 7.6). `texts` is a JSON array of distinct messages and of the bodies of
results without a shape. `uppers` and `texts` are Zstandard frames without their magic number, or empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import orjson
import zstandard

from monitor.store.codec import Shape, varint

VERSION = 1
HOUR_MS = 3_600_000
PHASES = frozenset(
    ("resolve_s", "connect_s", "tls_s", "login_s", "first_byte_s", "transfer_s", "dialogue_s", "query_s")
)
"""Samples whose sum is nearly a run's duration. A block says which it summed: another set here breaks none."""

NOTHING, BEFORE, COLUMN, SUM, CONSTANT = range(5)
"""What a column's numbers are the difference from; the last: they are all the same."""
_ESCAPE = 255
_SPREAD_BITS = 2
"""How many bits of the spread between the quartiles go to the upper part."""

_COMPRESSION = zstandard.ZstdCompressionParameters.from_level(
    9, source_size=4096, min_match=7, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=True
)
"""Uppers are nearly random: short matches in them cost more than they save."""


class Entry(NamedTuple):
    """A result in a block.

    Attributes:
        offset_ms: its start within the hour.
        numbers: what its shape's codes make of its samples; the JSON of its samples where it has no shape.

    """

    offset_ms: int
    agent_no: int
    duration_us: int
    outcome: int
    message: str
    shape_no: int
    numbers: tuple[int, ...] | bytes


Shapes = Mapping[int, Shape]


class _Writer:
    """Collects columns: their heads, their upper parts and their low bits."""

    def __init__(self) -> None:
        self.heads = bytearray()
        self.uppers = bytearray()
        self.bits: list[str] = []

    def column(
        self, values: Sequence[int], before: Sequence[int] | None = None, summed: Sequence[int] | None = None
    ) -> None:
        """Add a column; `before` is the column before it and `summed` the sum of some, if they may predict it."""
        first = values[0]
        if values.count(first) == len(values):
            self._head(CONSTANT, _zigzag(first))
            return
        spread, predictor, differences, ordered = _narrowest(values, before, summed)
        low_bits = max(0, spread.bit_length() - _SPREAD_BITS)
        median = ordered[len(ordered) // 2]
        folded = [(v - median) << 1 if v >= median else ((median - v) << 1) - 1 for v in differences]
        uppers = [v >> low_bits for v in folded]
        self._head(predictor, _zigzag(median), low_bits)
        self._exceptions(uppers)
        self.uppers += bytes(uppers)
        if low_bits:
            mask, form = (1 << low_bits) - 1, f"0{low_bits}b"
            self.bits += [format(v & mask, form) for v in folded]

    def _exceptions(self, uppers: list[int]) -> None:
        """List what does not fit a byte, and leave the escape in its place."""
        found = [place for place, upper in enumerate(uppers) if upper >= _ESCAPE] if max(uppers) >= _ESCAPE else []
        self._head(len(found))
        for last, place in pairwise([-1, *found]):
            self._head(place - last - 1, uppers[place])
            uppers[place] = _ESCAPE

    def _head(self, *numbers: int) -> None:
        for number in numbers:
            self.heads += varint(number)

    def lows(self) -> bytes:
        """Return all low bits, filled up to whole bytes."""
        text = "".join(self.bits)
        length = -(-len(text) // 8)
        return int(text.ljust(length * 8, "0"), 2).to_bytes(length, "big") if text else b""


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(number: int) -> int:
    """Return the number of either sign that a zigzag number stands for."""
    return -((number + 1) >> 1) if number & 1 else number >> 1


def _narrowest(
    values: Sequence[int], before: Sequence[int] | None, summed: Sequence[int] | None
) -> tuple[int, int, Sequence[int], list[int]]:
    """Return the spread between the quartiles, the predictor, the differences, and these in order."""
    candidates: list[tuple[int, Sequence[int]]] = [
        (NOTHING, values),
        (BEFORE, [values[0], *(b - a for a, b in pairwise(values))]),
    ]
    if before is not None:
        candidates.append((COLUMN, [v - b for v, b in zip(values, before, strict=True)]))
    if summed is not None:
        candidates.append((SUM, [v - s for v, s in zip(values, summed, strict=True)]))
    best: tuple[int, int, Sequence[int], list[int]] | None = None
    for predictor, differences in candidates:
        ordered = sorted(differences)
        spread = ordered[len(ordered) * 3 // 4] - ordered[len(ordered) // 4]
        if best is None or spread < best[0]:
            best = spread, predictor, differences, ordered
    assert best is not None  # noqa: S101 - there are candidates
    return best


def encode(entries: Sequence[Entry], shapes: Shapes) -> bytes:
    """Return the block of some results of one check and hour, in the order of their starts, then agents."""
    texts: dict[str, int] = {"": 0}
    groups: dict[int, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.shape_no, []).append(entry)
    order = {shape_no: place for place, shape_no in enumerate(groups)}
    out = _Writer()
    out.column([entry.offset_ms for entry in entries])
    out.column([entry.agent_no for entry in entries])
    out.column([entry.outcome for entry in entries])
    out.column([texts.setdefault(entry.message, len(texts)) if entry.message else 0 for entry in entries])
    out.column([order[entry.shape_no] for entry in entries])
    for shape_no, group in groups.items():
        _encode_group(out, group, shapes.get(shape_no), texts)
    head = b"".join(map(varint, (VERSION, len(entries), len(groups), *groups)))
    text = orjson.dumps(list(texts)[1:]) if len(texts) > 1 else b""
    parts = (bytes(out.heads), _compressed(bytes(out.uppers)), _compressed(text))
    return b"".join((head, *(piece for part in parts for piece in (varint(len(part)), part)), out.lows()))


def _compressed(part: bytes) -> bytes:
    return zstandard.ZstdCompressor(compression_params=_COMPRESSION).compress(part) if part else b""


def _encode_group(out: _Writer, group: list[Entry], shape: Shape | None, texts: dict[str, int]) -> None:
    """Add the durations and samples of the results of one shape."""
    if shape is None:
        out.column([texts.setdefault(bytes(e.numbers).decode(), len(texts)) for e in group])
        out.heads += varint(0)
        out.column([entry.duration_us for entry in group])
        return
    columns = list(zip(*(entry.numbers for entry in group), strict=True))
    previous: Sequence[int] | None = None
    for column in columns:
        out.column(column, previous)
        previous = column
    phases = [j for j, (name, code) in enumerate(zip(*shape, strict=True)) if code == "m" and name in PHASES]
    out.heads += b"".join(map(varint, (len(phases), *phases)))
    summed = [sum(row) for row in zip(*(columns[j] for j in phases), strict=True)] if phases else None
    out.column([entry.duration_us for entry in group], None, summed)
