"""The inventory as the plain values that decisions are made with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alerts.model import CheckRule, Confirm, Route, Rules, TargetRule, Window
from config.model import AnyOf, Check, Inventory, Maintenance, RouteRule, Target


def rules_of(inventory: Inventory) -> Rules:
    """Return everything that decisions depend on besides results."""
    targets = inventory.targets
    return Rules(
        checks={check.id: _check_rule(check) for target in targets.values() for check in target.checks},
        targets={target.id: _target_rule(target) for target in targets.values()},
        maintenance=tuple(_window(window, targets) for window in inventory.maintenance),
        silences=tuple(_window(window, targets) for window in inventory.silences),
        routes=tuple(map(_route, inventory.routes)),
        timezone=inventory.settings.timezone,
    )


def with_members(ids: Iterable[str], targets: Mapping[str, Target]) -> frozenset[str]:
    """Return the targets and all their members, members of members too.

    Whoever plans work on a link or a group plans it on what it is made of: a window that named the group alone
    would let every member raise its own alarm in the middle of the announced work.
    """
    found: set[str] = set()
    waiting = list(ids)
    while waiting:
        target = waiting.pop()
        if target not in found:
            found.add(target)
            waiting.extend(targets[target].members)
    return frozenset(found)


def _check_rule(check: Check) -> CheckRule:
    down = check.confirm.down
    return CheckRule(
        id=check.id,
        target=check.target,
        interval_s=check.interval_s,
        stale_after_s=check.stale_after_s,
        down=Confirm(down.needed, down.window),
        up=check.confirm.up,
        critical=check.critical,
    )


def _target_rule(target: Target) -> TargetRule:
    return TargetRule(
        id=target.id,
        type=target.type,
        criticality=target.criticality,
        agency=target.agency,
        checks=tuple(check.id for check in target.checks),
        members=target.members,
        need=target.need,
        depends_on=tuple(entry.any if isinstance(entry, AnyOf) else (entry,) for entry in target.depends_on),
        settle_s=target.settle_s,
    )


def _window(window: Maintenance, targets: Mapping[str, Target]) -> Window:
    return Window(
        targets=with_members(window.targets, targets),
        from_ms=round(window.from_.timestamp() * 1000),
        to_ms=round(window.to.timestamp() * 1000),
        reason=window.reason,
    )


def _route(route: RouteRule) -> Route:
    match = route.match
    return Route(
        receivers=route.receivers,
        agencies=frozenset(match.agency),
        types=frozenset(match.type),
        targets=frozenset(match.target),
        severity_max=match.severity_max,
        stop=route.stop,
    )
