"""A target page's data."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

import orjson

from alerts.model import State
from dashboards.formats import Formats
from dashboards.live import TARGET_EVERY_S
from dashboards.target import CHECKS_LIMIT, ROWS_LIMIT, SEGMENTS_LIMIT, WINDOWS_S, target_data
from dashboards.wording import WORDS
from monitor.views import Name, Segment
from tests.dashboards import sample

VI = Formats("vi", ZoneInfo("Asia/Ho_Chi_Minh"))


def test_months_stand_newest_first_and_one_that_was_not_measured_has_no_verdict() -> None:
    measured = {**sample.FIGURES, "from": "2026-09-30T17:00:00.000Z", "availability": 0.99999, "down_s": 20}
    nothing = {**sample.FIGURES, "from": "2026-10-31T17:00:00.000Z", "availability": None, "outages": 0}
    november, october = target_data(sample.target_page(months=(measured, nothing)), VI, "dark")["months"]
    assert (october["month"], november["month"]) == ("10/2026", "11/2026")
    assert october["value"] == "99,999%"
    assert (november["value"], november["met"], november["verdict"], november["downtime"]) == ("—", None, "", "—")


def test_every_window_has_words_and_a_pace() -> None:
    for window_s in WINDOWS_S:
        assert f"target.window.{window_s}" in WORDS
        assert TARGET_EVERY_S[window_s] > 0


def test_the_head_says_what_since_when_why_and_whose():
    head = target_data(sample.target_page(), VI, "dark")["head"]
    assert head["word"] == "Ngừng hoạt động"
    assert head["since"].startswith("từ 03/08/2026 ")
    assert head["reason"] == "Quá thời gian chờ kết nối"
    assert dict(head["facts"])["Cơ quan chủ quản"] == "Ủy ban nhân dân tỉnh Cao Bằng"
    assert dict(head["facts"])["Cam kết sẵn sàng"] == "99,9%"


def test_what_was_never_measured_has_no_figures():
    page = sample.target_page(availability={"today": {"availability": None, "coverage": None, "outages": 0}, "30d": {}})
    for period in target_data(page, VI, "dark")["availability"]:
        assert period["value"] == "—"
        assert period["verdict"] == "Chưa có số liệu"
        assert period["met"] is None
        assert {value for _, value in period["rows"]} == {"—"}


def test_an_objective_that_was_missed_is_said_to_be_missed():
    today, month = target_data(sample.target_page(), VI, "dark")["availability"]
    assert (today["met"], today["verdict"]) == (False, "Không đạt cam kết 99,9%")
    assert (month["met"], month["value"]) == (True, "99,929%")


def test_the_timeline_is_gapless_and_fills_the_window():
    segments = target_data(sample.target_page(), VI, "dark")["timeline"]["segments"]
    assert segments[0][0] == 0
    assert all(a[0] + a[1] == b[0] for a, b in pairwise(segments))
    assert segments[-1][0] + segments[-1][1] == 10_000
    assert "unknown" in [segment[2] for segment in segments]


def test_a_flapping_timeline_is_bounded_and_never_looks_better_than_it_was():
    page = sample.target_page()
    width = (page.to_ms - page.from_ms) / 5000
    flapping = tuple(
        Segment(
            round(page.from_ms + i * width),
            round(page.from_ms + (i + 1) * width),
            State.DOWN if i % 2 else State.UP,
            "",
        )
        for i in range(5000)
    )
    segments = target_data(sample.target_page(timeline=flapping), VI, "dark")["timeline"]["segments"]
    assert len(segments) <= SEGMENTS_LIMIT
    assert {segment[2] for segment in segments} == {"down"}


def test_a_group_of_thousands_is_counted():
    page = sample.target_page()
    rows = tuple(sample.many(3000))
    checks = page.checks[:1] * 40
    data = target_data(sample.target_page(members=rows, checks=checks), VI, "dark")
    assert len(data["members"]) == ROWS_LIMIT
    assert data["moreMembers"] == "và 2.900 nữa"
    assert len(data["checks"]) == CHECKS_LIMIT


def test_a_page_is_plain_data_and_light():
    assert len(orjson.dumps(target_data(sample.target_page(), VI, "light"))) < 300_000


def test_an_incident_of_another_cause_links_to_it():
    first, second = target_data(sample.target_page(), VI, "dark")["incidents"]
    assert (first["cause"], first["target"], first["open"]) == (True, "link-04", True)
    assert (second["cause"], second["phase"]) == (False, "Đã khắc phục")


def test_a_window_without_single_runs_says_where_their_phases_are_if_the_kind_has_any():
    page = sample.target_page()
    icmp, http = page.checks
    plain = tuple(point._replace(phases={}) for point in http.points)
    long = [icmp._replace(points=plain), http._replace(points=plain), http._replace(probe="unheard-of", points=plain)]
    notes = [one["phasesNote"] for one in target_data(sample.target_page(checks=tuple(long)), VI, "dark")["checks"]]
    assert notes == ["", "Các giai đoạn của từng lần đo: xem ở khoảng 1 giờ.", ""]
    assert [one["phasesNote"] for one in target_data(page, VI, "dark")["checks"]] == ["", ""]


def test_what_to_look_at_next_is_told_of_a_failure_and_of_nothing_else():
    page = sample.target_page()
    icmp = page.checks[0]
    checks = tuple(
        icmp._replace(state=state, reason=reason)
        for state, reason in ((State.DOWN, "tls_expired"), (State.UNKNOWN, "no_results"), (State.UP, ""))
    )
    told = [one["advice"] for one in target_data(sample.target_page(checks=checks), VI, "dark")["checks"]]
    assert told == ["Xem tiếp: gia hạn chứng thư; kiểm tra cả đồng hồ của máy này", "", ""]
    assert target_data(page, VI, "dark")["incidents"][0]["name"] == "link-04", "an id where no name is known"


def test_an_incident_that_came_from_elsewhere_is_given_by_name():
    page = sample.target_page(names={"link-04": Name("Đường truyền cấp I Cao Bằng", "")})
    first = target_data(page, VI, "dark")["incidents"][0]
    assert (first["target"], first["name"], first["message"]) == (
        "link-04",
        "Đường truyền cấp I Cao Bằng",
        "5 of 5 packets lost",
    )
