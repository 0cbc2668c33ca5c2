"""Charts as plain dictionaries: gaps stay gaps, loss stands apart, nothing grows without bound."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import orjson
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.model import State
from dashboards.figures import POINTS_LIMIT, connected, latency_figure, loss_step, phases_figure, thin
from dashboards.formats import Formats
from dashboards.palette import PALETTES
from monitor.views import Point
from tests.dashboards import sample

VI = Formats("vi", ZoneInfo("Asia/Ho_Chi_Minh"))
DARK = PALETTES["dark"]
WINDOW = (sample.NOW_MS - 3_600_000, sample.NOW_MS)


def point(at_s: float, latency_s: float | None = 0.02, loss: float | None = 0.0, state: State = State.UP) -> Point:
    return Point(round(at_s * 1000), latency_s, latency_s, latency_s, loss, state, {}, {})


def trace(figure, kind, **wanted):
    return next(t for t in figure["data"] if t["type"] == kind and all(t.get(k) == v for k, v in wanted.items()))


@pytest.mark.parametrize("window_s", [3600, 604_800])
def test_plotly_knows_every_property_of_both_charts(window_s):
    points = sample.points(window_s, window_s // 360, phases=True)
    for figure in (
        latency_figure(sample.points(), WINDOW, 10, VI, DARK),
        phases_figure(points, WINDOW, 10, VI, DARK),
    ):
        go.Figure(figure)


def test_a_chart_is_plain_data():
    assert orjson.loads(orjson.dumps(latency_figure(sample.points(), WINDOW, 10, VI, DARK)))["data"]


def test_a_lost_packet_is_a_gap_in_the_line_and_full_loss_below():
    figure = latency_figure([point(0), point(10, None, 1.0, State.DOWN), point(20)], WINDOW, 10, VI, DARK)
    line = trace(figure, "scatter", mode="lines", connectgaps=False)
    assert [y for y in line["y"] if y is not None] == [20.0, 20.0]
    assert line["y"] == [20.0, None, 20.0, None]
    assert trace(figure, "bar")["y"] == [100.0]
    assert 0 not in [y for t in figure["data"] for y in t["y"]]


def test_percentiles_are_bands_where_points_stand_for_many_results():
    many = [point(at)._replace(low_s=0.01, high_s=0.9, p50_s=0.02, p95_s=0.05, p99_s=0.2) for at in (0, 10, 20)]
    figure = latency_figure([*many, point(30, None, 1.0, State.DOWN)], WINDOW, 10, VI, DARK)
    inner, outer = trace(figure, "scatter", name="p50 – p95"), trace(figure, "scatter", name="p95 – p99")
    assert inner["y"] == [50.0, 50.0, 50.0, 20.0, 20.0, 20.0, 50.0, None]
    assert outer["y"] == [200.0, 200.0, 200.0, 50.0, 50.0, 50.0, 200.0, None]
    go.Figure(figure)
    single = latency_figure([point(0), point(10)], WINDOW, 10, VI, DARK)
    assert not [t for t in single["data"] if t["name"].startswith("p")]


def test_silence_is_a_gap_too():
    assert [len(run) for run in connected([point(0), point(10), point(40), point(50)], 10_000)] == [2, 2]


def test_a_slow_check_is_not_broken_by_its_own_interval():
    assert [len(run) for run in connected([point(0), point(300), point(600)], 300_000)] == [3]


def test_the_smoke_reaches_from_least_to_greatest():
    smoky = point(0)._replace(low_s=0.010, high_s=0.050)
    band = trace(latency_figure([smoky, point(10)], WINDOW, 10, VI, DARK), "scatter", fill="toself")
    assert (min(y for y in band["y"] if y is not None), max(y for y in band["y"] if y is not None)) == (10.0, 50.0)


def test_points_are_coloured_by_loss_and_shaped_too():
    figure = latency_figure([point(i * 10, loss=x) for i, x in enumerate((0, 0.1, 0.5, 0.9))], WINDOW, 10, VI, DARK)
    markers = [t["marker"] for t in figure["data"] if t.get("mode") == "markers"]
    assert len({m["color"] for m in markers}) == len({m["symbol"] for m in markers}) == 4
    assert [loss_step(x) for x in (None, 0, 0.01, 0.1, 0.11, 0.5, 0.51, 1)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_failed_run_without_a_loss_figure_is_marked():
    figure = latency_figure([point(0, None, None, State.DOWN)], WINDOW, 10, VI, DARK)
    assert trace(figure, "scatter", name="Lần đo hỏng")["yaxis"] == "y2"


def test_no_data_says_so():
    figure = latency_figure([], WINDOW, 10, VI, DARK)
    assert figure["layout"]["annotations"][0]["text"] == "Chưa có số liệu trong khoảng này"
    go.Figure(figure)


def test_times_stand_in_the_local_zone():
    figure = latency_figure([point(sample.NOW_MS / 1000)], WINDOW, 10, VI, DARK)
    assert trace(figure, "scatter", mode="markers")["x"] == ["2026-08-03 12:25:30.000"]


def test_phases_are_stacked_in_the_order_they_happen():
    figure = phases_figure(sample.points(phases=True), WINDOW, 10, VI, DARK)
    assert [t["name"] for t in figure["data"]] == [
        "Phân giải tên", "Kết nối", "Bắt tay TLS", "Chờ byte đầu", "Truyền tải",
    ]  # fmt: skip
    assert figure["layout"]["barmode"] == "stack"


def test_a_kind_without_phases_has_no_phase_chart():
    assert phases_figure(sample.points(), WINDOW, 10, VI, DARK) is None


def test_a_hundred_thousand_points_stay_light():
    many = [point(i * 6) for i in range(100_000)]
    assert len(orjson.dumps(latency_figure(many, WINDOW, 6, VI, DARK))) < 400_000


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(1e-6, 10)), st.one_of(st.none(), st.floats(0, 1)), st.sampled_from(State)
        ),
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_thinning_keeps_extremes_and_the_worst_and_invents_nothing(values, limit):
    points = [point(i, latency, loss, state) for i, (latency, loss, state) in enumerate(values)]
    thinned = thin(points, limit)
    assert len(thinned) <= limit
    known = [p.latency_s for p in points if p.latency_s is not None]
    assert min((p.low_s for p in thinned if p.low_s is not None), default=None) == min(known, default=None)
    assert max((p.high_s for p in thinned if p.high_s is not None), default=None) == max(known, default=None)
    assert any(p.state is State.DOWN for p in thinned) == any(p.state is State.DOWN for p in points)
    assert all((p.latency_s is None) == (p.low_s is None) for p in thinned)


def test_what_is_few_is_not_thinned():
    points = [point(i) for i in range(POINTS_LIMIT)]
    assert thin(points) == points


def axes_used(figure):
    return {t.get("yaxis", "y") for t in figure["data"]}


@pytest.mark.parametrize("window_s", [3600, 2_592_000])
def test_a_chart_without_losses_or_failures_leaves_no_room_for_them(window_s):
    step = window_s // 300
    quiet = [point(at, loss=None) for at in range(0, window_s, step)]
    figure = latency_figure(quiet, (0, window_s * 1000), 10, VI, DARK)
    assert axes_used(figure) == {"y"}
    assert "yaxis2" not in figure["layout"]
    assert figure["layout"]["yaxis"].get("domain", [0, 1]) == [0, 1]
    failed = latency_figure([*quiet, point(window_s, None, None, State.DOWN)], (0, window_s * 1000), 10, VI, DARK)
    assert axes_used(failed) == {"y", "y2"}
    assert failed["layout"]["xaxis"]["anchor"] == "y2"
    assert failed["layout"]["yaxis"]["domain"][0] > failed["layout"]["yaxis2"]["domain"][1]


def test_an_empty_chart_says_why_and_makes_no_scale_up():
    lost = [point(at, None, 1.0, State.DOWN) for at in (0, 10, 20)]
    for points, words in (([], "Chưa có số liệu trong khoảng này"), (lost, "Không có lần đo nào được trả lời")):
        layout = latency_figure(points, WINDOW, 10, VI, DARK)["layout"]
        assert words in layout["annotations"][0]["text"]
        assert layout["yaxis"]["showticklabels"] is False
        go.Figure(latency_figure(points, WINDOW, 10, VI, DARK))
    assert "annotations" not in latency_figure([*lost, point(30)], WINDOW, 10, VI, DARK)["layout"]
