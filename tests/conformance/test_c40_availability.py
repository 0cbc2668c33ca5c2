"""C40 to C44: what is counted, over which period, and how it is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from alerts.availability import combine, format_availability, measure
from alerts.model import Result, State
from alerts.periods import start_of_month_ms
from alerts.timeline import Change
from monitor.availability import availability_from_results
from probes.model import Failure

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
UP, DOWN, UNKNOWN = State.UP, State.DOWN, State.UNKNOWN


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def hourly(check: str, from_ms: int, to_ms: int, down_from_ms: int) -> list[Result]:
    found = []
    for at_ms in range(from_ms, to_ms, HOUR_MS):
        is_down = at_ms >= down_from_ms
        failure = Failure.CONNECT_TIMEOUT if is_down else None
        found.append(Result(check, "a", at_ms, 0.5, DOWN if is_down else UP, failure, "", {}))
    return found


def measured(*changes: tuple[int, State], to_ms: int, **options):
    """Measure [0, to) of a timeline given as (at, state), in milliseconds."""
    timeline = tuple(Change(at_ms, state) for at_ms, state in changes)
    defaults = {"first_result_ms": 0, "now_ms": to_ms}
    return measure(timeline, 0, to_ms, **(defaults | options))


def test_c40_down_since_15_november_seen_on_15_january():
    starts = {month: start_of_month_ms(2026, month, HANOI) for month in (11, 12, 13)}
    failed_ms = starts[11] + 14 * DAY_MS
    results = hourly("link/icmp", starts[11], starts[13] + 14 * DAY_MS, failed_ms)
    now_ms = results[-1].known_at_ms
    november, december = (
        availability_from_results(None, results, starts[month], starts[month + 1], now_ms)[0] for month in (11, 12)
    )
    assert november.availability == 14 / 30
    assert (november.up_ms, november.down_ms) == (14 * DAY_MS, 16 * DAY_MS)
    assert december.availability == 0
    assert december.down_ms == 31 * DAY_MS


def test_c41_two_days_old_and_down_for_one_of_them():
    figures = measured((16 * DAY_MS, UP), (17 * DAY_MS, DOWN), to_ms=18 * DAY_MS, first_result_ms=16 * DAY_MS)
    assert figures.availability == 0.5
    assert figures.coverage == 1
    assert figures.service_ms == 2 * DAY_MS


def test_c41_no_results_are_no_figure():
    figures = measured(to_ms=DAY_MS, first_result_ms=None, objective=0.99).as_json()
    for key in ("availability", "availability_with_maintenance", "coverage", "met", "error_budget_left_s"):
        assert figures[key] is None
    assert figures["service_s"] == 0


def test_c41_the_time_to_come_is_not_counted():
    figures = measured((0, UP), to_ms=30 * DAY_MS, now_ms=10 * DAY_MS)
    assert figures.service_ms == figures.up_ms == 10 * DAY_MS


def test_c42_periods_add_up_in_seconds():
    first = measured((0, UP), (3_000_000, UNKNOWN), to_ms=30 * DAY_MS)
    second = measured((0, DOWN), (1_000_000, UNKNOWN), to_ms=30 * DAY_MS)
    assert (first.availability, second.availability) == (1, 0)
    assert combine([first, second]).availability == 0.75


def test_c43_overlapping_windows_count_once():
    figures = measured((0, UP), to_ms=10_000, maintenance=[(1_000, 5_000), (4_000, 6_000), (2_000, 3_000)])
    assert figures.maintenance_ms == 5_000
    assert figures.up_ms == 5_000


def test_c43_an_outage_inside_maintenance_is_in_the_second_figure_only():
    figures = measured((0, UP), (2_000, DOWN), (4_000, UP), to_ms=10_000, maintenance=[(1_000, 5_000)])
    assert figures.availability == 1
    assert figures.availability_with_maintenance == 0.8
    assert figures.outages == 0


def test_c43_an_outage_inside_a_gap_counts_for_nothing():
    figures = measured((0, UP), (2_000, UNKNOWN), (8_000, UP), to_ms=10_000)
    assert figures.availability == figures.availability_with_maintenance == 1
    assert figures.coverage == 0.4
    assert figures.outages == 0


def test_c43_order_is_service_hours_then_maintenance_then_unknown_then_state():
    figures = measured(
        (0, DOWN),
        (4_000, UNKNOWN),
        (8_000, UP),
        to_ms=10_000,
        service=[(2_000, 9_000)],
        maintenance=[(0, 3_000), (5_000, 6_000)],
    )
    assert figures.as_json() == {
        "target": "",
        "from": "1970-01-01T00:00:00.000Z",
        "to": "1970-01-01T00:00:10.000Z",
        "service_s": 7,
        "up_s": 1,
        "degraded_s": 0,
        "down_s": 1,
        "unknown_s": 3,
        "maintenance_s": 2,
        "availability": 0.5,
        "availability_with_maintenance": 1 / 3,
        "coverage": 0.4,
        "outages": 1,
        "longest_outage_s": 1,
        "mttr_s": 1,
        "mtbf_s": 1,
        "objective": None,
        "met": None,
        "error_budget_left_s": None,
    }


YEAR_MS = 365 * DAY_MS


@pytest.mark.parametrize(("language", "text"), [("vi", "99,99 %"), ("en", "99.99 %")])
def test_c44_one_second_down_in_a_year_is_never_100_percent(language, text):
    figures = measured((0, UP), (DAY_MS, DOWN), (DAY_MS + 1_000, UP), to_ms=YEAR_MS)
    assert figures.availability < 1
    assert format_availability(figures.availability, outage=figures.outages > 0, language=language) == text


@pytest.mark.parametrize(
    ("ratio", "outage", "text"),
    [
        (0.99999, True, "99.99 %"),
        (0.99999, False, "99.99 %"),
        (1.0, False, "100 %"),
        (1.0, True, "99.99 %"),
        (0.29, True, "29.00 %"),
        (0.5799999, True, "57.99 %"),
        (0.0, True, "0.00 %"),
        (1e-9, True, "0.00 %"),
        (None, False, "—"),
    ],
)
def test_c44_shown_figures_are_rounded_down(ratio, outage, text):
    assert format_availability(ratio, outage=outage, language="en") == text


def test_c44_more_digits_when_asked():
    assert format_availability(1 - 1 / 31_536_000, outage=True, language="en", digits=4) == "99.9999 %"


def test_the_objective_is_compared_unrounded_and_as_it_was_written():
    exactly = measured((0, UP), (999_000, DOWN), to_ms=1_000_000, objective=0.999)
    assert (exactly.met, exactly.error_budget_left_ms) == (True, 0)
    missed = measured((0, UP), (998_999, DOWN), to_ms=1_000_000, objective=0.999)
    assert (missed.met, missed.error_budget_left_ms) == (False, -1)
    assert format_availability(missed.availability, outage=True) == "99,89 %"


def test_an_outage_is_one_until_it_is_seen_to_work():
    figures = measured(
        (0, UP), (1_000, DOWN), (2_000, UNKNOWN), (3_000, DOWN), (5_000, UP), (6_000, DOWN), (7_000, UP), to_ms=9_000
    )
    assert (figures.outages, figures.longest_outage_ms, figures.down_ms) == (2, 3_000, 4_000)
    assert (figures.as_json()["mttr_s"], figures.as_json()["mtbf_s"]) == (2, 2)
    planned = measured((0, DOWN), to_ms=9_000, maintenance=[(3_000, 4_000)])
    assert (planned.outages, planned.longest_outage_ms) == (1, 8_000)
    worked = measured((0, DOWN), (3_000, UP), (4_000, DOWN), to_ms=9_000, maintenance=[(3_000, 4_000)])
    assert (worked.outages, worked.longest_outage_ms) == (2, 5_000)
