"""The overview's data: complete when it is small, bounded when it is not, and true."""

from __future__ import annotations

import dataclasses
from zoneinfo import ZoneInfo

import orjson
import pytest

from alerts.model import State
from dashboards.formats import Formats
from dashboards.overview import IMPACT_LIMIT, NOT_UP_LIMIT, TILES_LIMIT, Filter, overview_data, spark
from tests.dashboards import sample

VI = Formats("vi", ZoneInfo("Asia/Ho_Chi_Minh"))


def tiles(data):
    return [row for agency in data["agencies"] for group in agency["groups"] for row in group["rows"]]


def test_every_target_of_a_country_has_a_tile():
    shown = sample.overview()
    data = overview_data(shown, Filter(), VI)
    assert sorted(row[0] for row in tiles(data)) == sorted(row.id for row in shown.rows)
    assert all(agency["hidden"] == 0 for agency in data["agencies"])


def test_counts_are_worst_first_and_add_up():
    data = overview_data(sample.overview(), Filter(), VI)
    assert [entry["state"] for entry in data["counts"]] == ["down", "unknown", "degraded", "up"]
    assert sum(int(entry["count"]) for entry in data["counts"]) == len(sample.country())


def test_what_is_not_up_comes_worst_first_and_what_is_planned_last():
    rows = overview_data(sample.overview(), Filter(), VI)["notUp"]["rows"]
    assert [row["state"] for row in rows] == ["down"] * 7 + ["unknown", "degraded", "degraded", "down"]
    assert "đang bảo trì" in rows[-1]["flags"]


def test_a_target_in_trouble_names_its_reason_and_the_incident_that_explains_it():
    rows = {row["id"]: row for row in overview_data(sample.overview(), Filter(), VI)["notUp"]["rows"]}
    assert rows["DB002"]["reason"] == "Chứng thư số đã hết hạn"
    assert rows["lgsp-04"]["incident"] == "SC-2026-0042"
    assert rows["DB020"]["incident"] == ""


def test_an_incident_tells_one_cause_and_what_it_hurts():
    first = overview_data(sample.overview(), Filter(), VI)["incidents"]["rows"][0]
    assert (first["name"], first["level"], first["reason"]) == ("Đường truyền cấp I Cao Bằng", 1, "Mất gói vượt ngưỡng")
    assert first["impact"] == "Ảnh hưởng 3 mục tiêu khác"
    assert "LGSP Cao Bằng" in first["hurt"]


def test_a_great_impact_is_counted_not_listed():
    many = dataclasses.replace(sample.incidents()[0], impact=tuple(f"t-{i}" for i in range(1500)))
    incident = overview_data(sample.overview(incidents=(many,)), Filter(), VI)["incidents"]["rows"][0]
    assert len(incident["hurt"]) == IMPACT_LIMIT
    assert incident["impact"] == "Ảnh hưởng 1.500 mục tiêu khác"
    assert incident["more"] == "và 1.492 nữa"


def test_a_great_country_stays_light_and_hides_nothing_that_is_not_up():
    rows = sample.many(10_000)
    data = overview_data(sample.overview(rows), Filter(), VI)
    drawn = tiles(data)
    assert len(drawn) <= TILES_LIMIT
    assert {row[0] for row in drawn} == {row.id for row in rows if row.state is not State.UP}
    assert len(drawn) + sum(agency["hidden"] for agency in data["agencies"]) == 10_000
    assert len(data["notUp"]["rows"]) == NOT_UP_LIMIT
    assert len(data["notUp"]["rows"]) + data["notUp"]["hidden"] == len(drawn)
    assert len(orjson.dumps(data)) < 150_000


def test_a_great_country_all_down_stays_light():
    rows = [row._replace(state=State.DOWN) for row in sample.many(5_000)]
    data = overview_data(sample.overview(rows), Filter(), VI)
    assert len(tiles(data)) == TILES_LIMIT
    sizes = [sum(len(group["rows"]) for group in agency["groups"]) for agency in data["agencies"]]
    assert max(sizes) - min(sizes) <= 1, "no agency takes the place of another"
    assert len(tiles(data)) + sum(agency["hidden"] for agency in data["agencies"]) == 5_000


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(search="CAO bang"), {"link-04", "link-04-a", "link-04-b", "lgsp-04"}),
        (Filter(search="cao bằng", type="endpoint"), {"lgsp-04"}),
        (Filter(state="unknown"), {"DB015"}),
        (Filter(state="not_up", type="group"), {"link-04", "link-11"}),
        (Filter(search="no such thing"), set()),
    ],
)
def test_a_filter_finds_by_words_state_and_type(wanted, expected):
    data = overview_data(sample.overview(), wanted, VI)
    assert {row[0] for row in tiles(data)} == expected
    assert {row["id"] for row in data["notUp"]["rows"]} <= expected


def test_a_filter_changes_no_count_and_no_incident():
    all_of_it, some = (overview_data(sample.overview(), wanted, VI) for wanted in (Filter(), Filter(state="up")))
    assert some["counts"] == all_of_it["counts"]
    assert some["incidents"] == all_of_it["incidents"]


def test_an_unknown_choice_counts_as_none():
    assert Filter(state="<script>", type="x" * 9999) == Filter()


def test_a_tile_says_nothing_that_was_not_measured():
    data = overview_data(sample.overview([sample.row("x", "X", latency_s=None, availability_today=None)]), Filter(), VI)
    assert tiles(data)[0][5:7] == ["—", "—"]


def test_a_tile_is_whole_only_without_an_outage():
    rows = [sample.row("a", "A", outage_today=True, availability_today=0.999999), sample.row("b", "B")]
    assert [row[6] for row in tiles(overview_data(sample.overview(rows), Filter(), VI))] == ["99,99%", "100%"]


def test_tiles_keep_their_place_when_states_change():
    before = tiles(overview_data(sample.overview(sample.country()), Filter(), VI))
    after = tiles(overview_data(sample.overview(), Filter(), VI))
    assert [row[0] for row in before] == [row[0] for row in after]


def test_a_target_without_an_owner_has_a_place():
    data = overview_data(sample.overview([sample.row("x", "X", agency="")]), Filter(), VI)
    assert data["agencies"][0]["name"] == "Chưa rõ cơ quan chủ quản"


def test_a_name_missing_in_one_language_is_told_in_the_other():
    english = Formats("en", VI.zone)
    assert tiles(overview_data(sample.overview([sample.row("x", "Chỉ tiếng Việt")]), Filter(), english))[0][1] == (
        "Chỉ tiếng Việt"
    )


def test_a_spark_has_a_gap_where_a_packet_was_lost():
    assert spark((0.010, None, 0.020)) == "0.v"


def test_a_calm_spark_is_not_blown_up():
    drawn = spark((0.0200, 0.0201) * 10)
    assert max(int(c, 32) for c in drawn) - min(int(c, 32) for c in drawn) <= 2


def test_a_spark_of_nothing_is_all_gaps():
    assert spark((None, None)) == ".."
    assert spark(()) == ""
