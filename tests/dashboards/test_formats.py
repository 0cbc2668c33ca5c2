"""How figures read, in both languages."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.formats import NOTHING, Formats

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
VI, EN = Formats("vi", ZONE), Formats("en", ZONE)
MORNING_MS = 1_785_734_730_000


def test_vietnamese_puts_a_comma_before_decimals_and_points_between_thousands():
    assert VI.number(1234.56, 2) == "1.234,56"
    assert EN.number(1234.56, 2) == "1,234.56"


@pytest.mark.parametrize(
    ("ratio", "outage", "shown"),
    [
        (1.0, False, "100%"),
        (1.0, True, "99,99%"),
        (0.99999, True, "99,99%"),
        (0.99999, False, "99,99%"),
        (0.9993, True, "99,93%"),
        (0.29, True, "29,00%"),
        (0.0, True, "0,00%"),
        (None, False, NOTHING),
    ],
)
def test_availability_is_rounded_down_and_whole_only_without_an_outage(ratio, outage, shown):
    assert VI.ratio(ratio, outage=outage) == shown


@given(st.floats(0, 1, exclude_max=True))
def test_an_availability_below_one_is_never_shown_as_whole_or_above_itself(ratio):
    shown = EN.ratio(ratio, outage=False)
    assert shown != "100%"
    assert float(shown.removesuffix("%")) <= ratio * 100 + 1e-6


def test_an_objective_is_shown_as_it_was_promised():
    assert [VI.objective(o) for o in (0.999, 0.9995, 0.99, 1)] == ["99,9%", "99,95%", "99%", "100%"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, NOTHING),
        (0.00412, "4,12\u00a0ms"),
        (0.0421, "42,1\u00a0ms"),
        (0.421, "421\u00a0ms"),
        (1.5, "1.500\u00a0ms"),
        (12.34, "12,3\u00a0s"),
        (0.0099999, "10,0\u00a0ms"),
    ],
)
def test_a_latency_has_three_figures_and_a_unit_and_is_never_zero_when_absent(seconds, shown):
    assert VI.latency(seconds) == shown


def test_a_loss_that_is_not_zero_is_never_shown_as_zero():
    assert [VI.loss(x) for x in (None, 0.0, 0.0001, 0.004, 0.2, 1.0)] == [
        NOTHING, "0%", "<\u00a00,1%", "0,4%", "20%", "100%",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "vietnamese", "english"),
    [
        (-3, "0 giây", "0 s"),
        (59.9, "59 giây", "59 s"),
        (754, "12 phút", "12 min"),
        (11_100, "3 giờ 05 phút", "3 h 05 min"),
        (187_200, "2 ngày 4 giờ", "2 d 4 h"),
    ],
)
def test_a_span_is_told_by_its_two_largest_units(seconds, vietnamese, english):
    assert VI.span(seconds).replace("\u00a0", " ") == vietnamese
    assert EN.span(seconds).replace("\u00a0", " ") == english


def test_times_are_shown_in_the_configured_zone():
    assert VI.date_time(MORNING_MS) == "03/08/2026 12:25"
    assert Formats("vi", ZoneInfo("UTC")).date_time(MORNING_MS, seconds=True) == "03/08/2026 05:25:30"
    assert VI.axis(MORNING_MS + 7) == "2026-08-03 12:25:30.007"
    assert VI.date_time(0) == NOTHING


def test_since_is_as_short_as_it_can_be_without_doubt():
    assert VI.since(MORNING_MS - 3_600_000, MORNING_MS) == "11:25"
    assert VI.since(MORNING_MS - 86_400_000, MORNING_MS) == "02/08 12:25"
    assert VI.since(MORNING_MS - 365 * 86_400_000, MORNING_MS) == "03/08/2025 12:25"
