"""From a directory to an inventory: defaults, merging, files that are odd."""

import gc
import os
from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.loader import load
from config.model import AnyOf
from tests.config.writing import check_with, problems, read, write

ICMP = "probe: icmp, address: 127.0.0.1"
GW = "targets: [{id: gw, type: endpoint, checks: [{probe: icmp, address: 127.0.0.1}]}]"


@pytest.mark.parametrize(
    ("options", "timeout_s", "retry_interval_s", "stale_after_s"),
    [
        ("interval: 30s", 5, 10, 90),
        ("interval: 2s", 2, 1, 6),
        ("interval: 1s", 1, 1, 3),
        ("interval: 1h, timeout: 20s", 20, 1200, 10800),
        ("interval: 10s, retry_interval: 2s, stale_after: 10s, timeout: 10s", 10, 2, 10),
    ],
)
def test_times_have_defaults(
    tmp_path: Path, options: str, timeout_s: float, retry_interval_s: float, stale_after_s: float
) -> None:
    check = check_with(tmp_path, f"{ICMP}, {options}")
    assert (check.timeout_s, check.retry_interval_s, check.stale_after_s) == (
        timeout_s,
        retry_interval_s,
        stale_after_s,
    )


@pytest.mark.parametrize(
    ("written", "needed", "window", "up"),
    [
        ("confirm: 5", 5, 5, 2),
        ("confirm: 3 of 5", 3, 5, 2),
        ("confirm: {down: 2 of 3, up: 1}", 2, 3, 1),
        ("confirm: {down: '4'}", 4, 4, 2),
        ("critical: true", 3, 3, 2),
    ],
)
def test_confirm_has_three_forms(tmp_path: Path, written: str, needed: int, window: int, up: int) -> None:
    confirm = check_with(tmp_path, f"{ICMP}, {written}").confirm
    assert (confirm.down.needed, confirm.down.window, confirm.up) == (needed, window, up)


def test_a_check_is_named_by_its_kind_or_by_its_name(tmp_path: Path) -> None:
    assert check_with(tmp_path, ICMP).id == "t/icmp"
    assert check_with(tmp_path, f"{ICMP}, name: ping").id == "t/ping"
    assert check_with(tmp_path, f"{ICMP}, check_name: ping").id == "t/ping"


def test_where_the_kind_has_a_name_the_check_has_a_check_name(tmp_path: Path) -> None:
    check = check_with(tmp_path, "probe: dns, name: example.vn, server: 127.0.0.1, check_name: resolver")
    assert check.id == "t/resolver"
    assert check.params.name.startswith("example.vn")


@pytest.mark.parametrize(
    ("target", "policy", "need"),
    [
        ("type: link, members: [a, b, c]", "any", 1),
        ("type: group, members: [a, b, c]", "all", 3),
        ("type: group, members: [a, b, c], policy: any", "any", 1),
        ("type: link, members: [a, b, c], policy: all", "all", 3),
        ("type: group, members: [a, b, c], policy: 2-of-n", "2-of-n", 2),
        ("type: group, members: [a, b, c], policy: 2-of-3", "2-of-3", 2),
    ],
)
def test_a_policy_is_a_number_of_members(tmp_path: Path, target: str, policy: str, need: int) -> None:
    members = "".join(f"  - {{id: {name}, type: endpoint, checks: [{{{ICMP}}}]}}\n" for name in "abc")
    inventory = read(tmp_path, all=f"targets:\n{members}  - {{id: t, {target}}}\n")
    assert (inventory.targets["t"].policy, inventory.targets["t"].need) == (policy, need)


def test_settling_takes_two_of_the_smallest_interval(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        all=f"""
targets:
  - {{id: two, type: endpoint, checks: [{{{ICMP}, interval: 20s}}, {{{ICMP}, name: b, interval: 5s}}]}}
  - {{id: said, type: endpoint, settle: 3s, checks: [{{{ICMP}, interval: 20s}}]}}
  - {{id: group, type: group, members: [outer, said]}}
  - {{id: outer, type: group, members: [two]}}
""",
    )
    assert {name: target.settle_s for name, target in inventory.targets.items()} == {
        "two": 10,
        "said": 3,
        "group": 10,
        "outer": 10,
    }


def test_files_are_merged_whatever_their_depth_and_dot_files_passed_over(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    write(tmp_path / "b" / "c", links=GW)
    write(tmp_path, a="agencies: [{id: BCA, name: Bộ Công an}]")
    write(tmp_path / ".hidden", broken="{")
    (tmp_path / ".broken.yaml").write_text("{")
    (tmp_path / "z.yml").write_bytes(b"\xef\xbb\xbfsites: [{id: hn}]")
    inventory = load(tmp_path, environ={})
    assert (list(inventory.agencies), list(inventory.sites), list(inventory.targets)) == (["BCA"], ["hn"], ["gw"])


def test_symbolic_links_are_followed_once(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: files are links into a directory whose name begins with dots."""
    data = tmp_path / "..2026"
    data.mkdir()
    write(data, links=GW)
    (tmp_path / "links.yaml").symlink_to(data / "links.yaml")
    (tmp_path / "again").symlink_to(tmp_path)
    assert list(load(tmp_path, environ={}).checks) == ["gw/icmp"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert problems(tmp_path) == ["pipe.yaml: the file is not usable: it is not a regular file"]


def test_a_file_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    assert problems(tmp_path) == ["gone.yaml: the file is not usable: it cannot be read: No such file or directory"]


def test_a_file_beyond_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate((32 << 20) + 1)
    assert problems(tmp_path) == ["large.yaml: the file is not usable: it is larger than 33554432 bytes"]


def test_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff\n.yaml")).write_text("x: 1")
    assert problems(tmp_path)[0].startswith("b\ufffd\ufffd.yaml:1: unknown key 'x' in the file")


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "no", environ={})
    assert [problem.line for problem in caught.value.problems] == [0]
    assert "does not exist; thongsuot init DIR writes a starter configuration" in str(caught.value)


def test_an_empty_configuration_is_valid_and_has_its_defaults(tmp_path: Path) -> None:
    inventory = read(tmp_path, a="# nothing yet\n", b="targets:\nagencies: []\nsettings:\n")
    assert not inventory.checks
    assert (inventory.settings.timezone, inventory.settings.language) == ("Asia/Ho_Chi_Minh", "vi")


def test_a_reference_into_a_broken_file_is_not_a_second_mistake(tmp_path: Path) -> None:
    found = problems(tmp_path, a=GW.replace("type", "agency: BCA, type"), b="agencies: [{id: BCA")
    assert len(found) == 1
    assert found[0].startswith("b.yaml:")


def test_a_reference_to_a_faulty_item_is_not_a_second_mistake(tmp_path: Path) -> None:
    found = problems(tmp_path, a=GW.replace("type", "agency: BCA, type"), b="agencies: [{id: BCA, colour: red}]")
    assert found == ["b.yaml:1: unknown key 'colour' in agency; known: id, name"]


def test_problems_know_their_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, a="targets:\n  - id: gw\n    type: endpoint\n    checks:\n    - {probe: icmp, adress: gw}\n")
    missing, unknown = caught.value.problems
    assert (missing.file, missing.line, missing.column, missing.path) == (
        "a.yaml",
        5,
        7,
        "targets[0].checks[0].address",
    )
    assert (missing.message, missing.suggestion) == ("'address' is missing in icmp check", "")
    assert (unknown.line, unknown.column, unknown.path) == (5, 21, "targets[0].checks[0].adress")
    assert (unknown.message, unknown.suggestion) == ("unknown key 'adress' in check", "did you mean 'address'?")


def test_times_without_an_offset_are_of_the_configured_zone(tmp_path: Path) -> None:
    window = "maintenance: [{targets: [gw], from: %s, to: %s}]"
    text = f"settings: {{timezone: Europe/Riga}}\n{GW}\n"
    local = read(tmp_path, a=text + window % ("2026-07-01T12:00", "2026-07-01T13:00")).maintenance[0]
    given = read(tmp_path, a=text + window % ("2026-07-01T12:00+07:00", "2026-07-01T06:00Z")).maintenance[0]
    assert local.from_.utcoffset() == timedelta(hours=3)
    assert given.from_.utcoffset() == timedelta(hours=7)
    assert given.to.utcoffset() == timedelta(0)


def test_an_objective_is_the_nearest_number_to_what_was_written(tmp_path: Path) -> None:
    inventory = read(tmp_path, a=GW.replace("type", "objective: {availability: 99.99%, loss: 0.1%}, type"))
    assert inventory.targets["gw"].objective.availability == 0.9999
    assert inventory.targets["gw"].objective.loss == 0.001


def test_merge_keys_and_anchors_share_what_is_the_same(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        a="""
targets:
  - id: one
    type: endpoint
    checks: [&ping {probe: icmp, address: 127.0.0.1, interval: 10s}]
  - id: two
    type: endpoint
    checks: [{<<: *ping, address: 127.0.0.2}]
""",
    )
    check = inventory.targets["two"].checks[0]
    assert (check.params.address, check.interval_s) == ("127.0.0.2", 10)


def test_a_chain_of_ten_thousand_parents_is_no_recursion(tmp_path: Path) -> None:
    lines = [f"- {{id: g{n}, type: group, members: [g{n + 1}]}}" for n in range(10_000)]
    last = f"- {{id: g10000, type: endpoint, checks: [{{{ICMP}}}]}}"
    inventory = read(tmp_path, a="targets:\n" + "\n".join([*lines, last]))
    assert inventory.targets["g0"].settle_s == 60


def test_thousands_of_mistakes_are_all_said(tmp_path: Path) -> None:
    lines = [f"- {{id: t{n}, type: endpoint, depends_on: [x{n}], checks: [{{{ICMP}}}]}}" for n in range(3000)]
    assert len(problems(tmp_path, a="targets:\n" + "\n".join(lines))) == 3000


def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, a=GW)
    assert gc.isenabled()
    load(tmp_path, environ={})
    assert gc.isenabled()
    gc.disable()
    try:
        load(tmp_path, environ={})
        assert not gc.isenabled()
    finally:
        gc.enable()


DESIGN = """
settings:
  timezone: Asia/Ho_Chi_Minh
  language: vi
  store: sqlite:///data/thongsuot.db
agencies:
  - {id: BCA, name: {vi: Bộ Công an, en: Ministry of Public Security}}
  - {id: BKHCN}
sites:
  - {id: hn, name: {vi: Hà Nội}, province: "01", lat: 21.0285, lon: 105.8542}
  - {id: cb}
targets:
  - id: link-cao-bang
    type: link
    name: {vi: Đường truyền cấp I Cao Bằng}
    agency: BKHCN
    site: cb
    criticality: 2
    members: [link-cao-bang-a, link-cao-bang-b]
    policy: any
    objective: {availability: 0.999, latency_p95: 80ms, loss: 1%}
    contract: {bandwidth: 200Mbit/s}
  - id: ndxp-dancu
    type: endpoint
    depends_on: [link-cao-bang, {any: [gw-1, gw-2]}]
    checks:
      - probe: http
        url: https://ndxp.example/health
        interval: 10s
        timeout: 5s
        confirm: {down: 3, up: 2}
        retry_interval: 3s
        down_when: ["status != 200", "json.status != 'UP'"]
        degraded_when: ["duration > duration('800ms')", "cert.expires_in < duration('720h')"]
templates:
  - foreach: {id: [link-cao-bang-a, link-cao-bang-b, gw-1, gw-2]}
    targets: [{id: "{id}", type: link, checks: [{probe: icmp, address: 127.0.0.1}]}]
"""


def test_the_documented_example(tmp_path: Path) -> None:
    inventory = read(tmp_path, a=DESIGN)
    link, endpoint = inventory.targets["link-cao-bang"], inventory.targets["ndxp-dancu"]
    assert (link.objective.availability, link.objective.latency_p95, link.objective.loss) == (0.999, 0.08, 0.01)
    assert (link.contract.bandwidth, link.need) == (200e6, 1)
    assert endpoint.depends_on == ("link-cao-bang", AnyOf(any=("gw-1", "gw-2")))
    assert (endpoint.settle_s, endpoint.checks[0].id, endpoint.checks[0].retry_interval_s) == (20, "ndxp-dancu/http", 3)
