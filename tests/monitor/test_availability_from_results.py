"""Availability from a file of results, with a configuration and without."""

from __future__ import annotations

import pytest

from config.model import Check as ConfigCheck
from config.model import ConfirmRule, Inventory, Maintenance, Objective, ServiceHours, Settings, Target
from monitor.availability import UnknownTargetError, availability_from_results, rules_from_results
from tests.alerts.scenes import at, results


def target(id_: str, **more: object) -> Target:
    check = ConfigCheck(
        id=f"{id_}/http",
        target=id_,
        name="http",
        probe="http",
        params={},
        interval_s=10,
        timeout_s=5,
        retry_interval_s=3,
        stale_after_s=30,
        confirm=ConfirmRule(),
    )
    members = more.get("members")
    return Target(id=id_, type="link" if members else "endpoint", checks=() if members else (check,), **more)


def inventory(*targets: Target, **more: object) -> Inventory:
    return Inventory(settings=Settings(timezone="Asia/Ho_Chi_Minh"), targets={t.id: t for t in targets}, **more)


def seconds(figures) -> tuple[float, ...]:
    parts = (figures.up_ms, figures.degraded_ms, figures.down_ms, figures.unknown_ms, figures.maintenance_ms)
    return tuple(part / 1000 for part in parts)


LETTERS = "uuuuudddddddddduuuuu"


def test_from_the_first_result_to_now():
    told = results("a/http", LETTERS, 100)
    (figures,) = availability_from_results(inventory(target("a")), told, at(0), at(1000), at(300))
    assert seconds(figures) == (100, 0, 100, 0, 0)
    assert (figures.target, figures.availability, figures.coverage) == ("a", 0.5, 1)


def test_silence_at_the_end_is_unknown():
    told = results("a/http", LETTERS, 100)
    (figures,) = availability_from_results(inventory(target("a")), told, at(0), at(1000), at(500))
    assert seconds(figures) == (100, 0, 100, 200, 0)
    assert figures.coverage == 0.5


def test_what_was_not_known_yet_does_not_count():
    told = results("a/http", LETTERS, 100)
    (early,) = availability_from_results(inventory(target("a")), told, at(0), at(1000), at(165))
    assert seconds(early) == (65, 0, 0, 0, 0)
    (later,) = availability_from_results(inventory(target("a")), told, at(0), at(1000), at(175))
    assert seconds(later) == (50, 0, 25, 0, 0)


def test_a_target_without_results_has_no_figures():
    figures = availability_from_results(
        inventory(target("a"), target("b")), results("a/http", "u"), at(0), at(10), at(10)
    )
    assert [one.availability for one in figures] == [1, None]
    assert figures[1].service_ms == 0


def test_groups_are_worked_out_from_the_checks_of_their_members():
    told = results("m1/http", LETTERS) + results("m2/http", "u" * 10 + "d" * 5 + "u" * 5)
    members = (target("m1"), target("m2"), target("l", members=("m1", "m2"), policy="any", need=1))
    figures = availability_from_results(inventory(*members), told, at(0), at(200), at(200), "l")
    assert [seconds(one) for one in figures] == [(100, 50, 50, 0, 0)]


def test_maintenance_service_hours_and_objective_come_from_the_configuration():
    windows = (
        Maintenance.model_validate({"targets": ("a",), "from": "2026-10-01T00:01:00Z", "to": "2026-10-01T00:01:20Z"}),
    )
    hours = {"office": ServiceHours(id="office", days="thu", hours="07:00-07:02")}
    promised = target("a", service_hours="office", objective=Objective(availability=0.4))
    told = results("a/http", LETTERS)
    (figures,) = availability_from_results(
        inventory(promised, maintenance=windows, service_hours=hours), told, at(0), at(200), at(200)
    )
    assert seconds(figures) == (50, 0, 50, 0, 20)
    assert figures.service_ms == 120_000
    assert (figures.objective, figures.met, figures.error_budget_left_ms) == (0.4, True, 10_000)


def test_without_a_configuration_targets_and_intervals_are_read_off_the_results():
    told = results("a/http", LETTERS, step_s=60) + results("a/icmp", "u" * 20, step_s=60) + results("b/http", "u")
    rules = rules_from_results(told)
    assert list(rules.targets) == ["a", "b"]
    assert [rule.interval_s for rule in rules.checks.values()] == [60, 60, 30]
    figures = availability_from_results(None, told, at(0), at(1200), at(1200))
    assert seconds(figures[0]) == (600, 0, 600, 0, 0)
    assert seconds(figures[1]) == (30, 0, 0, 1170, 0)


def test_a_retry_interval_does_not_pass_for_the_interval():
    told = results("a/http", "uuuuuuuuuud", step_s=60) + results("a/http", "ddd", 603, step_s=3)
    assert rules_from_results(told).checks["a/http"].interval_s == 60


def test_a_target_that_is_not_there_is_named_with_a_suggestion():
    with pytest.raises(UnknownTargetError, match="there is no target 'ndxp-danco'; did you mean 'ndxp-dancu'"):
        availability_from_results(inventory(target("ndxp-dancu")), [], at(0), at(1), at(1), "ndxp-danco")
