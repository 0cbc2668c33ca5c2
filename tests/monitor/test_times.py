"""Moments as people type them."""

import pytest

from monitor.times import parse_time_ms

NOVEMBER_MS = 1_793_466_000_000  # 2026-11-01 00:00 in Hà Nội


@pytest.mark.parametrize(
    "text",
    ["2026-11", "2026-11-01", "2026-11-01T00:00:00", "2026-10-31T17:00:00Z", "2026-10-31T18:00:00+01:00"],
)
def test_a_moment_without_an_offset_is_local(text: str) -> None:
    assert parse_time_ms(text, "Asia/Ho_Chi_Minh") == NOVEMBER_MS


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13", "2026-11-31", "01/11/2026", "1793466000"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_time_ms(text, "Asia/Ho_Chi_Minh")


def test_a_day_with_a_change_of_the_clock_begins_at_its_own_midnight() -> None:
    spring, next_day = (parse_time_ms(day, "Europe/Riga") for day in ("2026-03-29", "2026-03-30"))
    assert next_day - spring == 23 * 3_600_000
