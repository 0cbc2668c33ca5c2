"""Figures of several targets together: sums of seconds, and parts that add up to the whole."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.availability import Availability, combine
from monitor.together import Facts, facts_of_json, figures_of_json, figures_to_json, of_agency, together

NAMES = st.sampled_from(["", "A", "B"])


@st.composite
def countries(draw):
    figures, facts = [], {}
    for number in range(draw(st.integers(0, 6))):
        times = [draw(st.integers(0, 10_000)) for _ in range(7)]
        up, degraded, down, unknown, planned, working, broken = times
        working, broken = min(working, planned), min(broken, planned - min(working, planned))
        target = f"t{number}"
        figures.append(
            Availability(
                target, 0, 100, sum(times[:5]), up, degraded, down, unknown, planned, working, broken,
                int(down > 0), down, draw(st.sampled_from([None, 0.9, 0.99])),
            )
        )  # fmt: skip
        facts[target] = Facts(draw(NAMES), draw(NAMES), draw(NAMES))
    return figures, facts


@settings(max_examples=200, deadline=None)
@given(countries(), st.sampled_from(["agency", "province", "programme"]))
def test_sums_of_parts_equal_the_whole_and_nothing_exceeds_1(country, by):
    figures, facts = country
    parts = together(by, figures, facts)
    whole = combine(figures)
    added = combine(part.figures for part in parts)
    for field in fields(Availability):
        if field.name.endswith("_ms") or field.name == "outages":
            assert getattr(added, field.name) == getattr(whole, field.name)
    assert sum(part.targets for part in parts) == len(figures)
    for part in parts:
        for ratio in (part.figures.availability, part.figures.availability_with_maintenance, part.figures.coverage):
            assert ratio is None or 0 <= ratio <= 1
        assert part.met + part.missed <= part.targets


def figure(target: str, up_ms: int, down_ms: int, objective: float | None = None) -> Availability:
    return Availability(
        target, 0, 10_000, up_ms + down_ms, up_ms, 0, down_ms, outages=int(down_ms > 0), objective=objective
    )


def test_seconds_are_added_and_percentages_never_averaged():
    figures = [figure("a", 3_000_000, 0), figure("b", 0, 1_000_000)]
    (agency,) = together("agency", figures, {"a": Facts("BCA"), "b": Facts("BCA")})
    assert agency.figures.availability == 0.75
    shown = agency.as_json()
    assert (shown["agency"], shown["targets"], shown["availability"], shown["up_s"]) == ("BCA", 2, 0.75, 3000)
    assert "target" not in shown


def test_an_objective_is_judged_together_only_where_it_is_the_same_for_all():
    facts = {"a": Facts("BCA"), "b": Facts("BCA")}
    (same,) = together("agency", [figure("a", 999, 1, 0.99), figure("b", 900, 100, 0.99)], facts)
    assert (same.figures.met, same.met, same.missed) == (False, 1, 1)
    (mixed,) = together("agency", [figure("a", 999, 1, 0.99), figure("b", 900, 100, 0.5)], facts)
    assert (mixed.figures.met, mixed.figures.objective, mixed.met) == (None, None, 2)


def test_a_group_is_its_members_together():
    facts = {"g": Facts(members=("a", "b", "gone")), "a": Facts(), "b": Facts()}
    (group,) = together("group", [figure("g", 5, 0), figure("a", 1, 1), figure("b", 2, 0)], facts)
    assert (group.id, group.targets, group.figures.up_ms, group.figures.down_ms) == ("g", 2, 3, 1)


def test_one_agency():
    figures = [figure("a", 1, 0), figure("b", 1, 0)]
    assert of_agency(figures, {"a": Facts("BCA"), "b": Facts("BTC")}, "BTC") == figures[1:]


@pytest.mark.parametrize("objective", [None, 0.999, 0.1 + 0.2])
def test_what_is_kept_is_what_comes_back(objective):
    kept = replace(figure("a", 3, 1), objective=objective)
    assert figures_of_json(figures_to_json(kept)) == kept
    facts = Facts("BCA", "01", "de-an-06", ("a", "b"))
    assert facts_of_json(facts._asdict()) == facts
