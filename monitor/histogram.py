"""A sparse exponential histogram: few bytes, mergeable, and any quantile within 1.1 % of the true value.

The data model is OpenTelemetry's (opentelemetry.io, "Metrics Data Model", ExponentialHistogram), for whole numbers
from 0 up; ours are microseconds. With base = 2^(2^-scale), bucket *i* counts the values in (base^i, base^(i+1)];
zeros are counted apart. The rules:

- A quantile is answered with the point of its bucket whose relative error is the least at both ends; it is at most
  (base - 1) / (base + 1): 1.09 % at scale 5. The least and the greatest value are exact, so q = 0 and q = 1 are.
- Only buckets that hold something are kept, MOST_BUCKETS at most. One more, and neighbours are joined: the scale
  falls by one and bucket i becomes i >> 1. At scale 5 that many buckets span 1 µs to 71 minutes without a hole, so
  that latencies never come to it.
- A value's bucket at a coarser scale is always its bucket at scale 5, shifted. The scale of a merge is therefore the
  finest at which its buckets fit, in whatever order it came about: merging is associative and commutative.
- count, sum, least and greatest are whole numbers: sums of parts equal the sum of the whole, exactly.

The body that is stored: one octet of scale, then LEB128 varints: the count of zeros, then for each bucket, in rising
order, the distance of its index from the one before (the first from -2, so that no distance is 0) and its count.
Least, greatest and sum travel beside it, where SQL can read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log2

SCALE = 5
"""The finest scale, and the one to begin with."""
MOST_BUCKETS = 1_024
RELATIVE_ERROR = (2 ** (2**-SCALE) - 1) / (2 ** (2**-SCALE) + 1)
"""How far from the true value a quantile is at most, at scale 5."""
LIMIT = 1 << 53
"""Values are below this; in microseconds it is 285 years."""

_PER_OCTAVE = 1 << SCALE
_BEFORE_FIRST = -2
_INDEX_LIMIT = 53 * _PER_OCTAVE
_BODY_LIMIT = 16 * MOST_BUCKETS
_VARINT_BITS_LIMIT = 63


class CorruptError(ValueError):
    """A stored body is not one of a histogram."""


class Histogram:
    """Counts of values by size.

    Attributes:
        scale: 5, or less where values spread too far or came from a coarser histogram.
        zeros: how many values were 0.
        buckets: count by index; none is 0.
        sum: of all values.
        minimum, maximum: the least and the greatest value; of an empty histogram minimum is the greater.

    """

    __slots__ = ("buckets", "maximum", "minimum", "scale", "sum", "zeros")

    def __init__(self, scale: int = SCALE) -> None:
        """Begin empty. Raises ValueError for a scale that is not from 0 to 5."""
        if not 0 <= scale <= SCALE:
            message = f"the scale {scale} is not from 0 to {SCALE}"
            raise ValueError(message)
        self.scale = scale
        self.zeros = 0
        self.buckets: dict[int, int] = {}
        self.sum = 0
        self.minimum = LIMIT
        self.maximum = -1

    @property
    def count(self) -> int:
        """How many values there are."""
        return self.zeros + sum(self.buckets.values())

    def add(self, value: int) -> None:
        """Count a value, a whole number from 0 to below LIMIT."""
        self.sum += value
        if value < self.minimum:  # noqa: PLR1730 - min() and max() cost as much again as all the rest
            self.minimum = value
        if value > self.maximum:  # noqa: PLR1730
            self.maximum = value
        if not value:
            self.zeros += 1
            return
        index = (ceil(log2(value) * _PER_OCTAVE) - 1) >> (SCALE - self.scale)
        buckets = self.buckets
        if index in buckets:
            buckets[index] += 1
        else:
            buckets[index] = 1
            self._fit()

    def merge(self, other: Histogram) -> None:
        """Count all that another one has counted; the coarser scale of the two is kept."""
        if other.scale < self.scale:
            self._coarsen(other.scale)
        shift, buckets = other.scale - self.scale, self.buckets
        for index, count in other.buckets.items():
            index >>= shift  # noqa: PLW2901 - at this scale
            buckets[index] = buckets.get(index, 0) + count
        self.zeros += other.zeros
        self.sum += other.sum
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self._fit()

    def quantile(self, q: float) -> float | None:
        """Return the value of rank ⌈q · count⌉ (at least 1), None when empty; q is from 0 to 1."""
        count = self.count
        rank = max(1, ceil(q * count))
        if not count:
            return None
        if rank in (1, count):
            return float(self.minimum if rank == 1 else self.maximum)
        seen = self.zeros
        if rank <= seen:
            return 0.0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if seen >= rank:
                return min(max(_middle(index, self.scale), self.minimum), self.maximum)
        raise AssertionError  # ranks end at the count

    def _fit(self) -> None:
        while len(self.buckets) > MOST_BUCKETS:
            self._coarsen(self.scale - 1)

    def _coarsen(self, scale: int) -> None:
        shift, joined = self.scale - scale, dict[int, int]()
        for index, count in self.buckets.items():
            joined[index >> shift] = joined.get(index >> shift, 0) + count
        self.scale, self.buckets = scale, joined

    def _figures(self) -> tuple[object, ...]:
        return self.scale, self.zeros, self.buckets, self.sum, self.minimum, self.maximum

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self._figures() == other._figures()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} values at scale {self.scale}>"


def _middle(index: int, scale: int) -> float:
    """Return 2LU / (L + U) of a bucket (L, U]: as far from L, measured by L, as from U, measured by U."""
    base: float = 2 ** (2**-scale)
    low: float = base**index
    return 2 * low * base / (1 + base)


def sketch(count: int, minimum: int, maximum: int, total: int) -> Histogram:
    """Return a histogram of `count` values of which only these figures are known.

    All but the least and the greatest are put where their mean is.
    """
    histogram = Histogram()
    if not count:
        return histogram
    histogram.add(minimum)
    if count > 1:
        histogram.add(maximum)
    if count > 2:
        mean = min(max((total - minimum - maximum) // (count - 2), minimum), maximum)
        between = Histogram()
        between.add(mean)
        between.zeros, between.buckets = between.zeros * (count - 2), dict.fromkeys(between.buckets, count - 2)
        histogram.merge(between)
    histogram.sum = total
    return histogram


_SHORT = tuple(bytes([number]) for number in range(0x80))


def encode(histogram: Histogram) -> bytes:
    """Return the body; least, greatest and sum are not in it."""
    parts = [_SHORT[histogram.scale], _varint(histogram.zeros)]
    before = _BEFORE_FIRST
    for index, count in sorted(histogram.buckets.items()):
        distance, before = index - before, index
        parts.append(_SHORT[distance] if distance < 0x80 else _varint(distance))
        parts.append(_SHORT[count] if count < 0x80 else _varint(count))
    return b"".join(parts)


def decode(body: bytes, minimum: int, maximum: int, total: int) -> Histogram:
    """Return the histogram of a body and the figures that belong to it.

    Raises CorruptError for anything that `encode` does not give, or that these figures cannot be of.
    """
    if not 2 <= len(body) <= _BODY_LIMIT or body[0] > SCALE:
        message = f"a body of {len(body)} bytes is none of a histogram"
        raise CorruptError(message)
    histogram = Histogram(body[0])
    numbers = _varints(body)
    histogram.zeros = next(numbers)
    histogram.buckets = _buckets(numbers, _INDEX_LIMIT >> (SCALE - histogram.scale))
    histogram.sum, histogram.minimum, histogram.maximum = total, minimum, maximum
    _refuse_contradictions(histogram)
    return histogram


def _buckets(numbers: Iterator[int], index_limit: int) -> dict[int, int]:
    buckets: dict[int, int] = {}
    index = _BEFORE_FIRST
    for distance in numbers:
        index += distance
        count = next(numbers, 0)
        if not distance or not count or index >= index_limit or len(buckets) == MOST_BUCKETS:
            message = f"bucket {index} of a stored histogram cannot be"
            raise CorruptError(message)
        buckets[index] = count
    return buckets


def _refuse_contradictions(histogram: Histogram) -> None:
    count, least, greatest = histogram.count, histogram.minimum, histogram.maximum
    shift = SCALE - histogram.scale
    is_right = 0 <= least <= greatest < LIMIT and least * count <= histogram.sum <= greatest * count
    if is_right and histogram.buckets:
        is_right = _index(greatest) >> shift == max(histogram.buckets)
        if not histogram.zeros:
            is_right = is_right and _index(least) >> shift == min(histogram.buckets)
    if is_right and histogram.zeros:
        is_right = least == 0 and (bool(histogram.buckets) or greatest == 0)
    if count and not is_right:
        message = f"a histogram of {count} values contradicts its least, greatest or sum"
        raise CorruptError(message)


def _index(value: int) -> int:
    return ceil(log2(value) * _PER_OCTAVE) - 1 if value else _BEFORE_FIRST


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varints(body: bytes) -> Iterator[int]:
    """Yield the numbers after the first octet."""
    number = shift = 0
    for octet in body[1:]:
        number |= (octet & 0x7F) << shift
        if octet > 0x7F:
            shift += 7
            if shift >= _VARINT_BITS_LIMIT:
                break
            continue
        yield number
        number = shift = 0
    if shift:
        message = "a number in a stored histogram has no end"
        raise CorruptError(message)
