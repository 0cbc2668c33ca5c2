"""Templates: loops, filters, what is replaced and what is left alone."""

from pathlib import Path

from tests.config.writing import problems, read

TARGET = "{id: '%s', type: endpoint, checks: [{probe: http, url: 'http://127.0.0.1/', body: '%s'}]}"


def ids(directory: Path, foreach: str, target: str, more: str = "", **files: str) -> list[str]:
    text = f"templates:\n- foreach: {foreach}\n  {more}\n  targets: [{TARGET % (target, '-')}]\n"
    return list(read(directory, a=text, **files).targets)


def test_several_lists_are_nested_loops_the_first_outermost(tmp_path: Path) -> None:
    assert ids(tmp_path, "{x: [a, b], y: [1, 02]}", "{x}-{y}") == ["a-1", "a-02", "b-1", "b-02"]


def test_rows_may_stand_in_the_template(tmp_path: Path) -> None:
    assert ids(tmp_path, "{x: [{code: 01, n: yes}, {code: '2', n: }]}", "{x.code}{x.n}") == ["01yes", "2"]


def test_a_list_beside_the_file_goes_before_the_products_own(tmp_path: Path) -> None:
    assert len(ids(tmp_path, "{p: provinces.csv}", "{p.code}")) == 34
    own = '\ufeffcode,name\r\n77,"a, b"\r\n\r\n78, c \r\n'
    assert ids(tmp_path, "{p: provinces.csv}", "{p.code}", provinces_csv=own) == ["77", "78"]


def test_every_list_of_the_product_can_be_used(tmp_path: Path) -> None:
    assert len(ids(tmp_path, "{m: ministries.csv}", "m-{m.code}")) == 46
    assert len(ids(tmp_path, "{d: databases.csv}", "d-{d.id}")) == 128
    assert len(ids(tmp_path, "{p: platforms.csv}", "p-{p.group}-{p.no}")) == 79


def test_rows_can_be_chosen(tmp_path: Path) -> None:
    foreach = "{x: [{k: a, n: 1}, {k: a, n: 2}, {k: b, n: 1}], y: [u, v]}"
    assert ids(tmp_path, foreach, "{x.k}{x.n}{y}", "where: {x.k: a, y: u}") == ["a1u", "a2u"]
    assert ids(tmp_path, foreach, "{x.k}{x.n}{y}", "unless: {x.k: a, y: [u, v]}") == ["b1u", "b1v"]
    assert ids(tmp_path, foreach, "{x.k}{x.n}{y}", "where: {x.n: [1, 3], y: u}\n  unless: {x.k: b}") == ["a1u"]


def test_only_declared_variables_are_replaced(tmp_path: Path) -> None:
    body = '{"x": {"code": 1}, "y": [{}]} {z.code} {{x.code}} ${x.code} {x-code} {} { x.code } x.code'
    text = f"templates: [{{foreach: {{x: [{{code: A}}]}}, targets: [{TARGET % ('t', body)}]}}]"
    check = read(tmp_path, a=text).targets["t"].checks[0]
    assert check.params.body == '{"x": {"code": 1}, "y": [{}]} {z.code} {A} $A {x-code} {} { x.code } x.code'


def test_what_a_list_holds_is_not_filled_in_again(tmp_path: Path) -> None:
    text = f"templates: [{{foreach: {{x: ['{{y}}'], y: [b]}}, targets: [{TARGET % ('t', '{x} {y}')}]}}]"
    assert read(tmp_path, a=text).targets["t"].checks[0].params.body == "{y} b"


def test_a_reference_in_a_template_is_filled_in_after_its_row(tmp_path: Path) -> None:
    text = f"templates: [{{foreach: {{x: [A]}}, targets: [{TARGET % ('t', '${env:SECRET_{x}}')}]}}]"
    assert read(tmp_path, {"SECRET_A": "found"}, a=text).targets["t"].checks[0].params.body == "found"


def test_numbers_and_choices_may_come_from_a_list(tmp_path: Path) -> None:
    text = """
templates:
  - foreach: {x: list.csv}
    targets:
      - id: "{x.id}"
        type: "{x.type}"
        criticality: "{x.criticality}"
        site: "{x.site}"
        objective: {loss: "{x.loss}"}
        checks:
          - {probe: icmp, address: 127.0.0.1, count: "{x.count}", interval: "{x.interval}", critical: "{x.critical}"}
"""
    rows = "id,type,criticality,site,loss,count,interval,critical\na,link,2,,1%,7,20s,no\n"
    target = read(tmp_path, a=text, list_csv=rows).targets["a"]
    assert (target.type, target.criticality, target.site, target.objective.loss) == ("link", 2, "", 0.01)
    check = target.checks[0]
    assert (check.params.count, check.interval_s, check.critical) == (7, 20, False)


def test_every_section_can_be_made(tmp_path: Path) -> None:
    text = """
templates:
  - foreach: {m: [A, B]}
    agencies: [{id: "{m}"}]
    sites: [{id: "s{m}"}]
    service_hours: [{id: "h{m}"}]
    targets: [{id: "t{m}", type: endpoint, agency: "{m}", site: "s{m}", service_hours: "h{m}",
               checks: [{probe: icmp, address: 127.0.0.1}]}]
    receivers: [{id: "r{m}", channel: webhook, url: "http://127.0.0.1/{m}"}]
    routes: [{receivers: ["r{m}"], match: {agency: ["{m}"]}}]
    maintenance: [{targets: ["t{m}"], from: 2026-10-01, to: 2026-10-02, reason: "{m}"}]
    silences: [{targets: ["t{m}"], from: 2026-10-01, to: 2026-10-02}]
"""
    inventory = read(tmp_path, a=text)
    assert [route.receivers for route in inventory.routes] == [("rA",), ("rB",)]
    assert [window.reason for window in inventory.maintenance] == ["A", "B"]
    assert [len(section) for section in (inventory.agencies, inventory.sites, inventory.silences)] == [2, 2, 2]


def test_an_empty_list_makes_nothing(tmp_path: Path) -> None:
    assert ids(tmp_path, "{x: [], y: [a, b]}", "{x}{y}") == []


def test_combinations_are_bounded(tmp_path: Path) -> None:
    hundred = str([f"n{n}" for n in range(100)])
    text = f"templates: [{{foreach: {{a: {hundred}, b: {hundred}, c: {hundred}}}, targets: [{{id: x}}]}}]"
    assert problems(tmp_path, a=text) == ["a.yaml:1: the lists have more than 100000 combinations"]


def test_what_templates_make_is_bounded(tmp_path: Path) -> None:
    hundred = str([f"n{n}" for n in range(100)])
    many = ", ".join(["'{a}'"] * 300)
    text = (
        f"templates: [{{foreach: {{a: {hundred}, b: {hundred}}}, targets: [{{id: 'x{{a}}{{b}}', members: [{many}]}}]}}]"
    )
    assert problems(tmp_path, a=text) == ["a.yaml:1: the configuration holds more than 2000000 values"]


def test_a_mistake_of_every_row_is_said_once(tmp_path: Path) -> None:
    text = f"templates: [{{foreach: {{p: provinces.csv}}, targets: [{TARGET % ('t {p.code}', '')}]}}]"
    assert problems(tmp_path, a=text) == [
        "a.yaml:1 (row 1 of provinces.csv, p = 01; and 33 more rows): "
        "'id' is 't 01': it must have no spaces and no slash, and not be empty"
    ]


def test_references_to_what_a_broken_template_makes_are_not_a_second_mistake(tmp_path: Path) -> None:
    text = f"templates: [{{foreach: {{p: nolist.csv}}, targets: [{TARGET % ('{p.code}', '')}]}}]\n"
    text += "targets: [{id: group, type: group, members: ['01', '04']}]"
    found = problems(tmp_path, a=text)
    assert [problem.partition(";")[0] for problem in found] == ["a.yaml:1: there is no list 'nolist.csv'"]
