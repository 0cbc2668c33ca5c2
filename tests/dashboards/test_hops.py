"""The hops of a path, as the page is given them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from dashboards.formats import Formats
from dashboards.hops import ROUTES_LIMIT, hops_data
from tests.dashboards import sample

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
VI, EN = Formats("vi", ZONE), Formats("en", ZONE)


def test_a_hop_has_its_addresses_delay_and_loss_in_the_viewers_language():
    shown = hops_data(sample.traced(), VI)
    assert shown["columns"] == ["Chặng", "Địa chỉ, tuyến 1", "Địa chỉ, tuyến 2", "Độ trễ nhỏ nhất", "Mất gói"]
    assert [row["hosts"] for row in shown["rows"]][:3] == [
        ["10.4.0.1", "10.4.0.1"],
        ["10.9.1.7", "10.9.3.7"],
        ["không trả lời", "không trả lời"],
    ]
    assert [(row["rtt"], row["loss"]) for row in shown["rows"]][2:4] == [("—", "100%"), ("18,6\u00a0ms", "33%")]
    assert [row["lossy"] for row in shown["rows"]] == [False, False, True, True, False]
    assert hops_data(sample.traced(), EN)["rows"][3]["rtt"] == "18.6\u00a0ms"


def test_what_is_not_as_it_was_is_marked_and_dated():
    shown = hops_data(sample.traced(), VI)
    assert [row["before"] for row in shown["rows"]] == ["", "trước đó là 10.8.0.9", "", "", ""]
    assert "Tuyến đổi lúc 03/08/2026 12:12:56" in shown["notes"]
    assert hops_data(sample.traced()._replace(changed_ms=0), VI)["notes"] == shown["notes"][1:]


def test_loss_on_the_way_is_explained_only_where_the_destination_loses_nothing():
    path = sample.traced()
    note = "Mất gói ở một chặng giữa mà đích không mất: thiết bị đó ít trả lời, không phải lỗi."
    assert note in hops_data(path, VI)["notes"]
    broken = hops_data(path._replace(is_whole=False, hops=path.hops[:4]), VI)["notes"]
    assert note not in broken
    assert "Đích không trả lời: đường đi dừng ở chặng cuối trong bảng." in broken


def test_routes_beyond_the_columns_are_counted():
    path = sample.traced()
    many = path._replace(routes=9, hops=tuple(hop._replace(hosts=hop.hosts * 4) for hop in path.hops))
    shown = hops_data(many, VI)
    assert {len(row["hosts"]) for row in shown["rows"]} == {ROUTES_LIMIT}
    assert "và 5 tuyến nữa" in shown["notes"]


def test_figures_without_addresses_are_still_shown():
    path = sample.traced()
    nameless = hops_data(path._replace(hops=tuple(hop._replace(hosts=()) for hop in path.hops)), VI)
    assert {row["hosts"][0] for row in nameless["rows"]} == {"—"}


def test_nothing_is_drawn_of_no_path():
    assert hops_data(None, VI) is None
    assert hops_data(sample.traced()._replace(hops=()), VI) is None
