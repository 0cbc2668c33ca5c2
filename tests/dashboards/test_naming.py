"""Names on a crowded wall."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dashboards.naming import abbreviated, folded, shared_beginnings, sort_key, without_owner


def test_typing_without_marks_finds_names_with_them():
    assert folded("Đường truyền cấp I Cao Bằng") == "duong truyen cap i cao bang"


def test_ten_comes_after_two():
    assert sorted(["kênh 10", "kênh 2", "Kênh 1"], key=sort_key) == ["Kênh 1", "kênh 2", "kênh 10"]


@given(st.lists(st.text(), max_size=8))
def test_any_names_can_be_sorted(names):
    keys = [sort_key(name) for name in sorted(names, key=sort_key)]
    assert all(a <= b for a, b in pairwise(keys))


def test_a_target_does_not_repeat_its_owner():
    owner = "Ủy ban nhân dân tỉnh Cao Bằng"
    names = ["Đường truyền cấp I Cao Bằng", "Cao Bằng, kênh A về Hà Nội", "LGSP Cao Bằng", "Cao Bằng"]
    assert [without_owner(n, owner) for n in names] == ["Đường truyền cấp I", "Kênh A về Hà Nội", "LGSP", "Cao Bằng"]


def test_one_word_of_an_owner_is_not_enough():
    assert without_owner("Cổng Huế", "Ủy ban nhân dân thành phố Huế") == "Cổng Huế"
    assert without_owner("Cổng Huế", "Huế") == "Cổng"
    assert without_owner("Huế, kênh A về Đà Nẵng", "Ủy ban nhân dân thành phố Huế") == "Kênh A về Đà Nẵng"


def test_a_link_from_a_place_to_itself_keeps_where_it_leads():
    assert without_owner("Hà Nội, kênh A về Hà Nội", "Ủy ban nhân dân thành phố Hà Nội") == "Kênh A về Hà Nội"


def test_an_owner_inside_a_word_stays():
    assert without_owner("Công anh", "Công an") == "Công anh"


def test_officials_abbreviations():
    assert abbreviated("Ủy ban nhân dân thành phố Huế") == "UBND TP Huế"


def test_the_beginning_that_saves_most_is_said_once():
    names = [f"Đường truyền cấp I {place}" for place in ("Quảng Ninh", "Quảng Trị", "Quảng Ngãi", "Quảng Nam", "Huế")]
    assert shared_beginnings([*names, "LGSP Huế"]) == ["Đường truyền cấp I"] * 5 + [""]


def test_a_few_names_share_nothing_worth_a_heading():
    assert shared_beginnings(["Cơ sở dữ liệu đất đai", "Cơ sở dữ liệu hộ tịch"]) == ["", ""]


@given(st.lists(st.text(alphabet="ab ", max_size=24), max_size=12))
def test_a_shared_beginning_is_a_beginning_and_never_the_whole(names):
    for name, beginning in zip(names, shared_beginnings(names), strict=True):
        assert " ".join(name.split()).startswith(beginning)
        assert not beginning or len(name.split()) > len(beginning.split())
