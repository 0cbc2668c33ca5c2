"""The rules as they come back from the JSON that `Store.sync_inventory` has written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alerts.model import CheckRule, Confirm, Route, Rules, TargetRule, Window


def rules_from(found: Mapping[str, Any]) -> Rules:
    """Return the rules that this JSON object says."""
    return Rules(
        checks={id_: CheckRule(**{**rule, "down": Confirm(*rule["down"])}) for id_, rule in found["checks"].items()},
        targets={id_: _target_rule(rule) for id_, rule in found["targets"].items()},
        maintenance=tuple(map(_window, found.get("maintenance", ()))),
        silences=tuple(map(_window, found.get("silences", ()))),
        routes=tuple(map(_route, found.get("routes", ()))),
        timezone=found["timezone"],
    )


def _target_rule(rule: Mapping[str, Any]) -> TargetRule:
    tuples = {name: tuple(rule[name]) for name in ("checks", "members")}
    return TargetRule(**{**rule, **tuples, "depends_on": tuple(map(tuple, rule["depends_on"]))})


def _window(window: Mapping[str, Any]) -> Window:
    return Window(**{**window, "targets": frozenset(window["targets"])})


def _route(route: Mapping[str, Any]) -> Route:
    sets = {name: frozenset(route[name]) for name in ("agencies", "types", "targets")}
    return Route(**{**route, **sets, "receivers": tuple(route["receivers"])})
