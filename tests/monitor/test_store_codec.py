"""The packing of samples: nothing lost, few bytes, and nothing believed that does not fit."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.model import State
from monitor.store.codec import (
    CorruptError,
    decode_samples,
    decode_spark,
    encode_samples,
    encode_spark,
    pack_outcome,
    unpack_outcome,
)
from probes.model import Failure
from tests.monitor.samples import NAMES, NUMBERS, http_result


@given(st.dictionaries(NAMES, NUMBERS | st.integers() | st.booleans(), max_size=8))
def test_samples_survive_exactly(samples: dict[str, float]) -> None:
    shape, body = encode_samples(samples)
    found = decode_samples(shape, body)
    assert found == samples
    assert list(found) == list(samples)
    for name, value in found.items():
        assert math.copysign(1, value) == math.copysign(1, samples[name])
        assert isinstance(value, float) == isinstance(samples[name], float)


@given(st.floats())
def test_what_is_not_finite_is_left_out(value: float) -> None:
    shape, body = encode_samples({"a": 1, "b": value})
    assert ("b" in decode_samples(shape, body)) == math.isfinite(value)


def test_a_usual_http_result_takes_few_bytes() -> None:
    rng = random.Random(5)
    bodies = [encode_samples(http_result("a/http", 0, rng).samples)[1] for _ in range(200)]
    assert sum(map(len, bodies)) / len(bodies) < 17


@given(st.binary(max_size=20), st.text("ijmnwdx", max_size=4))
def test_garbage_is_refused_or_is_samples(body: bytes, codes: str) -> None:
    shape = (tuple("abcd"[: len(codes)]), codes)
    try:
        samples = decode_samples(shape, body)
    except CorruptError:
        return
    assert list(samples) == list(shape[0])
    assert all(isinstance(value, int | float) for value in samples.values())


def test_a_body_that_is_too_short_or_too_long_is_refused() -> None:
    shape, body = encode_samples({"a_s": 0.5, "b": 7, "c": 1e300})
    for wrong in (body[:-1], body + b"\0", b""):
        with pytest.raises(CorruptError, match="does not fit"):
            decode_samples(shape, wrong)


def test_every_outcome_has_its_own_number() -> None:
    pairs = [(state, failure) for state in State for failure in (None, *Failure)]
    numbers = [pack_outcome(*pair) for pair in pairs]
    assert len(set(numbers)) == len(pairs)
    assert [unpack_outcome(number) for number in numbers] == pairs
    assert pack_outcome(State.UP, None) == 0
    with pytest.raises(CorruptError):
        unpack_outcome(max(numbers) + 1)


def test_stored_outcomes_keep_their_numbers() -> None:
    """What old stores hold must not change its meaning: new failures are appended."""
    assert pack_outcome(State.DOWN, Failure.DNS_NXDOMAIN) == 6
    assert pack_outcome(State.DOWN, Failure.HTTP_STATUS) == 74
    assert pack_outcome(State.UNKNOWN, Failure.INTERNAL) == 135


@given(st.lists(st.none() | st.floats(0, 1e6, width=32), max_size=60))
def test_sparks_survive_to_seven_digits(spark: list[float | None]) -> None:
    assert decode_spark(encode_spark(spark)) == tuple(spark)
