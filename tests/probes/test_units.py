"""Durations, sizes, rates and shares as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from probes.units import Duration, Rate, Share, Size, parse_duration, parse_rate, parse_share, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("800ms", 0.8),
        ("5s", 5),
        ("5 s", 5),
        ("1h30m", 5400),
        ("0s", 0),
        ("250us", 0.00025),
        ("2d", 172800),
        ("1.5s", 1.5),
    ],
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["5", "", "s", "5x", "-5s", "5s later", "1h-3m", "٥s", "5,5s"])
def test_what_is_not_a_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write a number with a unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("128", 128), ("128B", 128), ("1 MiB", 1048576), ("64kB", 64000), ("1KiB", 1024)]
)
def test_a_size_is_bytes_unless_it_says_more(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "bps"), [("200Mbit/s", 2e8), ("1 Gbit/s", 1e9), ("64kbit/s", 64000)])
def test_a_rate_has_a_unit(text: str, bps: float) -> None:
    assert parse_rate(text) == bps


@pytest.mark.parametrize(("text", "ratio"), [("1%", 0.01), ("0.5", 0.5), ("100%", 1), ("0", 0), ("99.9%", 0.999)])
def test_a_share_is_a_percentage_or_a_ratio(text: str, ratio: float) -> None:
    assert parse_share(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["101%", "2", "-1%", "one", "nan", "inf"])
def test_a_share_beyond_the_whole_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a share"):
        parse_share(text)


@pytest.mark.parametrize(("kind", "value"), [(Duration, 5), (Duration, 0.5), (Rate, 200)])
def test_a_bare_number_is_refused_where_a_unit_is_needed(kind: type, value: float) -> None:
    with pytest.raises(ValidationError, match="has no unit"):
        TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(("kind", "value", "expected"), [(Size, 128, 128), (Share, 0.25, 0.25), (Size, "1KiB", 1024)])
def test_a_bare_number_is_taken_where_it_cannot_be_mistaken(kind: type, value: object, expected: float) -> None:
    assert TypeAdapter(kind).validate_python(value) == expected


@given(st.integers(0, 10**9))
def test_a_duration_is_exact_to_the_microsecond(us: int) -> None:
    assert round(parse_duration(f"{us}us") * 1e6) == us


@pytest.mark.parametrize("kind", [Size, Duration, Rate, Share])
def test_yes_is_no_amount(kind: type) -> None:
    with pytest.raises(ValidationError, match="true is not an amount"):
        TypeAdapter(kind).validate_python(True)
