"""The histogram: whatever is counted, in whatever order, merged from whatever parts."""

from __future__ import annotations

import random
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.histogram import (
    LIMIT,
    MOST_BUCKETS,
    RELATIVE_ERROR,
    SCALE,
    CorruptError,
    Histogram,
    decode,
    encode,
    sketch,
)

LATENCIES_US = st.one_of(st.integers(0, 10), st.integers(0, 10**7), st.integers(0, LIMIT - 1))
VALUES = st.lists(LATENCIES_US, max_size=60)
SCALES = st.integers(0, SCALE)
EVERYWHERE = [round(2 ** (octave / 64)) for octave in range(53 * 64)]
"""Values in more buckets than are kept."""


def histogram_of(values: list[int], scale: int = SCALE) -> Histogram:
    histogram = Histogram(scale)
    for value in values:
        histogram.add(value)
    return histogram


def merged(*parts: Histogram) -> Histogram:
    whole = Histogram()
    for part in parts:
        whole.merge(part)
    return whole


def restored(histogram: Histogram) -> Histogram:
    return decode(encode(histogram), histogram.minimum, histogram.maximum, histogram.sum)


@given(VALUES)
def test_count_sum_least_and_greatest_are_exact(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert histogram.count == len(values)
    assert histogram.sum == sum(values)
    if values:
        assert (histogram.minimum, histogram.maximum) == (min(values), max(values))


@given(VALUES.filter(bool), st.floats(0, 1), SCALES)
def test_any_quantile_is_within_the_stated_error(values: list[int], q: float, scale: int) -> None:
    true = sorted(values)[max(1, ceil(q * len(values))) - 1]
    base = 2 ** (2**-scale)
    found = histogram_of(values, scale).quantile(q)
    assert found is not None
    assert abs(found - true) <= true * (base - 1) / (base + 1) * (1 + 1e-9)


def test_the_error_at_the_usual_scale_is_below_two_per_cent() -> None:
    assert 0.0108 < RELATIVE_ERROR < 0.0109


@given(st.lists(st.tuples(VALUES, SCALES), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_parts_merge_to_the_same_in_any_order(parts: list[tuple[list[int], int]], rng: random.Random) -> None:
    histograms = [histogram_of(values, scale) for values, scale in parts]
    in_order = merged(*histograms)
    rng.shuffle(histograms)
    middle = len(histograms) // 2
    assert merged(merged(*histograms[:middle]), merged(*histograms[middle:])) == in_order
    everything = histogram_of([v for values, _ in parts for v in values], min(scale for _, scale in parts))
    assert everything == in_order


@settings(max_examples=20, deadline=None)  # each is a thousand values and more
@given(st.lists(st.lists(st.sampled_from(EVERYWHERE), min_size=300, max_size=700), min_size=2, max_size=4))
def test_merging_is_associative_where_buckets_run_out(parts: list[list[int]]) -> None:
    a, b, *rest = (histogram_of(part) for part in parts)
    left = merged(merged(a, b), *rest)
    assert left == merged(a, merged(b, *rest)) == histogram_of([value for part in parts for value in part])
    assert len(left.buckets) <= MOST_BUCKETS


def test_buckets_are_bounded_by_a_coarser_scale() -> None:
    histogram = histogram_of(EVERYWHERE)
    assert histogram.scale == SCALE - 1
    assert len(histogram.buckets) <= MOST_BUCKETS
    assert histogram.count == len(EVERYWHERE)


def test_latencies_up_to_an_hour_never_come_to_it() -> None:
    assert histogram_of([round(2 ** (n / 64)) for n in range(32 * 64)]).scale == SCALE


@given(VALUES, SCALES)
def test_a_body_gives_back_what_was_encoded(values: list[int], scale: int) -> None:
    histogram = histogram_of(values, scale)
    assert restored(histogram) == histogram


def test_five_minutes_take_some_tens_of_bytes() -> None:
    rng = random.Random(5)
    sizes = [len(encode(histogram_of([round(rng.lognormvariate(10.3, 0.2)) for _ in range(30)]))) for _ in range(200)]
    assert sum(sizes) / len(sizes) < 45


@given(st.binary(max_size=40), LATENCIES_US, LATENCIES_US, st.integers(0, 10**9))
def test_garbage_is_refused_or_is_a_sound_histogram(body: bytes, low: int, high: int, total: int) -> None:
    try:
        histogram = decode(body, low, high, total)
    except CorruptError:
        return
    assert histogram.count >= 0
    assert all(count > 0 for count in histogram.buckets.values())
    histogram.quantile(0.5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x05",
        b"\x06\x00",  # a scale that there is none of
        b"\x05\x80",  # a number without an end
        b"\x05" + b"\xff" * 10 + b"\x01",  # a number without bound
        b"\x05\x00\x05",  # a bucket without a count
        b"\x05\x00\x05\x00",  # an empty bucket
        b"\x05\x00\x05\x01\x00\x01",  # the same bucket twice
        b"\x05\x00\xff\x7f\x01",  # beyond every value
        b"\x05" + b"\x00" * (1 << 15),
    ],
)
def test_what_is_no_body_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptError):
        decode(body, 1, 1, 1)


@pytest.mark.parametrize("figures", [(9, 11, 30), (10, 12, 30), (10, 11, 29), (10, 11, 34), (11, 10, 30), (-1, 11, 30)])
def test_figures_that_are_another_histogram_s_are_refused(figures: tuple[int, int, int]) -> None:
    body = encode(histogram_of([10, 10, 11]))
    assert decode(body, 10, 11, 31).count == 3
    with pytest.raises(CorruptError):
        decode(body, *figures)


@given(VALUES.filter(bool))
def test_a_sketch_has_the_figures_that_it_was_made_of(values: list[int]) -> None:
    made = sketch(len(values), min(values), max(values), sum(values))
    assert (made.count, made.sum, made.minimum, made.maximum) == (
        len(values),
        sum(values),
        min(values),
        max(values),
    )
    assert restored(made) == made


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert sketch(0, 0, 0, 0) == Histogram()


@pytest.mark.parametrize("scale", [-1, SCALE + 1])
def test_a_scale_that_is_none_is_refused(scale: int) -> None:
    with pytest.raises(ValueError, match="scale"):
        Histogram(scale)
