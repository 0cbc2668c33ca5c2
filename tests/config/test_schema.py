"""The JSON Schema agrees with the loader: it takes what is good, and refuses the shapes that are bad."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts import registry as channels
from config.schema import DIALECT, json_schema
from config.sections import SECTIONS
from probes import registry as kinds
from tests.config.json_schema import errors

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "config" / "samples").rglob("*.yaml"))
SCHEMA = json_schema()


def wrong(text: str) -> list[str]:
    # As an editor reads it: time stamps are text.
    return errors(SCHEMA, json.loads(json.dumps(yaml.safe_load(text), default=str)), SCHEMA)


def test_the_schema_is_plain_json_and_names_its_dialect() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == DIALECT
    assert set(SCHEMA["properties"]) == set(SECTIONS)


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    used = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                used.add(part["$ref"].removeprefix("#/$defs/"))
            for inner in part.values():
                walk(inner)
        elif isinstance(part, list):
            for inner in part:
                walk(inner)

    walk(SCHEMA)
    assert used <= SCHEMA["$defs"].keys()
    assert {f"check-{kind}" for kind in kinds.kinds()} <= used
    assert {f"receiver-{channel}" for channel in channels.channels()} <= used


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_samples_fit(path: Path) -> None:
    assert wrong(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "targets:",
        "targets: [{id: a, type: endpoint, checks: [{probe: icmp, address: a, count: 3, confirm: 3 of 5}]}]",
        "targets: [{id: a, type: endpoint, checks: [{probe: dns, name: a.vn, check_name: b, interval: 10s}]}]",
        "targets: [{id: a, type: group, members: [b], depends_on: [c, {any: [d]}], policy: 2-of-n}]",
        "receivers: [{id: a, channel: webhook, url: 'http://a/', secret: '${env:X}'}]",
        "receivers: [{id: a, channel: smtp, host: a, to: [b], port: '${env:PORT}'}]",
    ],
)
def test_what_is_good_fits(text: str) -> None:
    assert wrong(text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("target: []", ".target"),
        ("targets: {}", ".targets"),
        ("targets: [{id: a, type: endpiont}]", ".targets[0].type"),
        ("targets: [{type: link}]", ".targets[0].id"),
        ("targets: [{id: a, type: link, checks: [{probe: imcp}]}]", ".targets[0].checks[0].probe"),
        ("targets: [{id: a, type: link, checks: [{probe: icmp, address: a, url: b}]}]", ".targets[0].checks[0].url"),
        ("targets: [{id: a, type: link, checks: [{probe: icmp}]}]", ".targets[0].checks[0].address"),
        (
            "targets: [{id: a, type: link, checks: [{probe: icmp, address: a, interval: 5}]}]",
            ".targets[0].checks[0].interval",
        ),
        (
            "targets: [{id: a, type: link, checks: [{probe: icmp, address: a, count: many}]}]",
            ".targets[0].checks[0].count",
        ),
        ("targets: [{id: a, type: link, criticality: 5}]", ".targets[0].criticality"),
        ("sites: [{id: a, province: 1}]", ".sites[0].province"),
        ("receivers: [{id: a, channel: webhook, ulr: 'http://a/'}]", ".receivers[0].ulr"),
        ("settings: {language: vn}", ".settings"),
        ("templates: [{targets: []}]", ".templates[0].foreach"),
        ("maintenance: [{targets: [], from: a, to: b}]", ".maintenance[0].targets"),
    ],
)
def test_what_is_bad_does_not_fit_where_it_is_bad(text: str, place: str) -> None:
    found = wrong(text)
    assert any(error.startswith(f"{place}:") for error in found), found
