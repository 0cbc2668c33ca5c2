"""The inventory as plain values for the pure core; what a reload changes."""

from pathlib import Path

import pytest

from alerts.model import CheckRule, Confirm, Route, TargetRule
from config.changes import compare
from config.cycles import find_cycles
from config.rules import rules_of
from tests.config.writing import read

PING = "checks: [{probe: icmp, address: 127.0.0.1, interval: 10s}]"
NETWORK = f"""
agencies: [{{id: BCA}}]
targets:
  - {{id: gw-1, type: endpoint, {PING}}}
  - {{id: gw-2, type: endpoint, {PING}}}
  - id: link
    type: link
    agency: BCA
    criticality: 2
    members: [link-a, link-b]
    depends_on: [gw-1, {{any: [gw-1, gw-2]}}]
  - {{id: link-a, type: link, {PING}}}
  - id: link-b
    type: link
    settle: 7s
    checks:
      - probe: icmp
        address: 127.0.0.1
        interval: 4s
        stale_after: 9s
        critical: false
        confirm: {{down: 2 of 4, up: 5}}
  - {{id: all, type: group, members: [link, gw-2]}}
receivers: [{{id: noc, channel: webhook, url: "http://127.0.0.1/"}}]
"""


def test_checks_and_targets_carry_all_that_decides(tmp_path: Path) -> None:
    rules = rules_of(read(tmp_path, a=NETWORK))
    assert rules.checks["gw-1/icmp"] == CheckRule("gw-1/icmp", "gw-1", 10, 30)
    assert rules.checks["link-b/icmp"] == CheckRule("link-b/icmp", "link-b", 4, 9, Confirm(2, 4), 5, critical=False)
    assert rules.targets["link"] == TargetRule(
        id="link",
        type="link",
        criticality=2,
        agency="BCA",
        members=("link-a", "link-b"),
        need=1,
        depends_on=(("gw-1",), ("gw-1", "gw-2")),
        settle_s=8,
    )
    assert rules.targets["link-b"] == TargetRule("link-b", "link", checks=("link-b/icmp",), settle_s=7)
    assert rules.targets["all"].need == 2
    assert rules.timezone == "Asia/Ho_Chi_Minh"


@pytest.mark.parametrize(
    ("named", "covered"),
    [
        ("link-a", {"link-a"}),
        ("link", {"link", "link-a", "link-b"}),
        ("all", {"all", "link", "link-a", "link-b", "gw-2"}),
        ("link-a, gw-1", {"link-a", "gw-1"}),
    ],
)
@pytest.mark.parametrize("section", ["maintenance", "silences"])
def test_a_window_covers_a_target_and_what_it_is_made_of(
    tmp_path: Path, section: str, named: str, covered: set[str]
) -> None:
    window = f"{section}: [{{targets: [{named}], from: 2026-10-01T00:00, to: 2026-10-01T01:00Z, reason: work}}]"
    (found,) = getattr(rules_of(read(tmp_path, a=NETWORK + window)), section)
    assert found.targets == covered
    assert (found.from_ms, found.to_ms, found.reason) == (1790787600000, 1790816400000, "work")


def test_routes_keep_their_order(tmp_path: Path) -> None:
    routes = (
        "routes: [{receivers: [noc], match: {type: [link], agency: [BCA], target: [link], severity_max: 2}, stop: true}"
    )
    found = rules_of(read(tmp_path, a=NETWORK + routes + ", {receivers: [noc]}]")).routes
    assert found == (
        Route(("noc",), frozenset({"BCA"}), frozenset({"link"}), frozenset({"link"}), 2, stop=True),
        Route(("noc",)),
    )


def test_a_reload_tells_added_removed_and_changed_checks(tmp_path: Path) -> None:
    web = "{id: w%d, type: endpoint, checks: [{probe: http, url: 'http://127.0.0.1/%s', interval: %s}]}"
    before = read(tmp_path, a=f"targets: [{web % (1, '', '10s')}, {web % (2, '', '10s')}, {web % (3, '', '10s')}]")
    after = read(tmp_path, a=f"targets: [{web % (3, 'x', '10s')}, {web % (2, '', '20s')}, {web % (4, '', '10s')}]")
    same = read(tmp_path, a=f"targets: [{web % (2, '', '10s')}, {web % (1, '', '10s')}, {web % (3, '', '10s')}]")
    changes = compare(before, after)
    assert (changes.added, changes.removed, changes.changed) == (("w4/http",), ("w1/http",), ("w2/http", "w3/http"))
    assert changes.unchanged == 0
    assert changes
    assert not compare(before, same)
    assert compare(before, same).unchanged == 3


@pytest.mark.parametrize(
    ("graph", "cycles"),
    [
        ({"a": (), "b": ("a",)}, []),
        ({"a": ("a",)}, [("a", "a")]),
        ({"a": ("b",), "b": ("c", "a"), "c": ("a",)}, [("a", "b", "a")]),
        ({"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ()}, []),
        (
            {"x": ("a",), "a": ("b",), "b": ("a",), "c": ("d",), "d": ("e",), "e": ("c",)},
            [("a", "b", "a"), ("c", "d", "e", "c")],
        ),
    ],
)
def test_cycles_are_found_once_and_shortest(graph: dict[str, tuple[str, ...]], cycles: list[tuple[str, ...]]) -> None:
    assert sorted(find_cycles(graph)) == cycles
