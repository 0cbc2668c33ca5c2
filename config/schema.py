"""The JSON Schema (draft 2020-12) of a configuration file, for editors (yaml-language-server) and other tools.

It says what one file may hold: shapes, keys, units. What only the whole configuration shows (references, cycles,
secrets, conditions) is for `thongsuot validate`. Wherever a number or a word of a list is wanted, a text with a
template's placeholder or a secret reference is let pass as well.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from alerts import registry as channels
from config.calendars import Holidays, ServiceHours
from config.explain import field_names
from config.model import Agency, CheckOptions, RouteRule, Settings, Site
from config.modules import ModuleFile
from config.written import ReceiverFile, TargetFile, TemplateFile, WindowFile
from probes import registry as kinds
from probes.model import NOTHING

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PLACEHOLDER = {
    "type": "string",
    "pattern": r"\{[A-Za-z_]\w*(\.\w+)?\}|\$\{(env|file):[^{}]+\}",
    "description": "a template's placeholder or a reference to a secret",
}
_NAME = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"vi": {"type": "string"}, "en": {"type": "string"}},
            "additionalProperties": False,
        },
    ],
    "description": "a name: one text, or one per language",
}
_COUNT = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 100}, _PLACEHOLDER]}
_DOWN = {"anyOf": [_COUNT, {"type": "string", "pattern": r"^\s*\d+\s+of\s+\d+\s*$"}]}
_CONFIRM = {
    "anyOf": [
        _DOWN,
        {"type": "object", "properties": {"down": _DOWN, "up": _COUNT}, "additionalProperties": False},
    ],
    "description": 'results that confirm a change: 3, "3 of 5", or {down: 3, up: 2}',
}
_DEPENDS_ON = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"any": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
                "required": ["any"],
                "additionalProperties": False,
            },
        ]
    },
    "description": "what must be there for it to work; an {any: […]} needs one of its members",
}
_MOMENT = {"type": "string", "description": "a time such as 2026-10-01T22:00 or 2026-10-01T22:00+07:00"}


def json_schema() -> dict[str, Any]:
    """Return the schema of one configuration file; every probe kind and channel that is there is in it."""
    definitions: dict[str, Any] = {}
    lists = {
        "agencies": _add(definitions, "agency", Agency, {"name": _NAME}),
        "sites": _add(definitions, "site", Site, {"name": _NAME}),
        "service_hours": _add(definitions, "service_hours", ServiceHours),
        "holidays": _add(definitions, "holidays", Holidays, {"name": _NAME}),
        "targets": _add(
            definitions,
            "target",
            TargetFile,
            {
                "name": _NAME,
                "depends_on": _DEPENDS_ON,
                "checks": {"type": "array", "items": {"$ref": "#/$defs/check"}},
            },
        ),
        "receivers": {"$ref": "#/$defs/receiver"},
        "routes": _add(definitions, "route", RouteRule),
        "maintenance": _add(definitions, "window", WindowFile, {"from": _MOMENT, "to": _MOMENT}),
        "silences": {"$ref": "#/$defs/window"},
        "modules": {"$ref": "#/$defs/module"},
    }
    definitions["check"] = _chosen_by("probe", kinds.kinds(), "check")
    for kind in kinds.kinds():
        _add_kind(definitions, kind)
    # What a module has beside these is what a check of its kind has, without the address.
    _add(definitions, "module", ModuleFile)
    definitions["module"].update(additionalProperties=True)
    definitions["module"]["properties"]["probe"] = {"enum": list(kinds.kinds())}
    definitions["receiver"] = _chosen_by("channel", channels.channels(), "receiver")
    for channel in channels.channels():
        _add_channel(definitions, channel)
    sections = {name: {"type": ["array", "null"], "items": item} for name, item in lists.items()}
    template = _add(definitions, "template", TemplateFile)
    definitions["template"]["properties"].update(
        sections, foreach=_foreach(), where=_filter("rows to take"), unless=_filter("rows to leave out")
    )
    return {
        "$schema": DIALECT,
        "title": "Thông Suốt configuration",
        "type": ["object", "null"],
        "properties": {
            "settings": {"anyOf": [_add(definitions, "settings", Settings), {"type": "null"}]},
            **sections,
            "templates": {"type": ["array", "null"], "items": template},
        },
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _add_kind(definitions: dict[str, Any], kind: str) -> None:
    """Add the schema of a check of one kind: the options of every check, then the kind's own parameters."""
    probe = kinds.find(kind)
    name = f"check-{kind}"
    _add(definitions, name, CheckOptions, {"confirm": _CONFIRM})
    options = definitions[name]["properties"]
    _add(definitions, name, probe.params)
    own = definitions[name]
    own["properties"] = {**options, **own["properties"], "probe": {"const": kind}}
    own["required"] = ["probe", *own.get("required", [])]
    own["description"] = _first_line(sys.modules[f"probes.kinds.{kind}"])


def _add_channel(definitions: dict[str, Any], channel: str) -> None:
    name = f"receiver-{channel}"
    _add(definitions, name, channels.find(channel).options)
    own = definitions[name]
    heads = {"id": {"type": "string"}, "channel": {"const": channel}}
    own["properties"] = {**heads, **own["properties"]}
    own["required"] = [*field_names(ReceiverFile), *own.get("required", [])]
    own["description"] = _first_line(sys.modules[f"alerts.channels.{channel}"])


def _chosen_by(key: str, choices: tuple[str, ...], prefix: str) -> dict[str, Any]:
    """Return a schema that the value of one key picks: `if` … `then`, which editors follow while one types."""
    return {
        "type": "object",
        "properties": {key: {"enum": list(choices)}},
        "required": [key],
        "allOf": [
            {
                "if": {"properties": {key: {"const": choice}}, "required": [key]},
                "then": {"$ref": f"#/$defs/{prefix}-{choice}"},
            }
            for choice in choices
        ],
    }


def _foreach() -> dict[str, Any]:
    texts = {"type": ["string", "number", "boolean"]}
    rows = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
    return {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": r"^[^\W\d]\w*$"},
        "additionalProperties": {
            "anyOf": [
                {"type": "string", "description": "a CSV list, such as provinces.csv"},
                {"type": "array", "items": {"anyOf": [texts, rows]}},
            ]
        },
        "description": "loop variable → a CSV list, or a list; several are nested loops",
    }


def _filter(meaning: str) -> dict[str, Any]:
    text = {"type": ["string", "number", "boolean"]}
    return {
        "type": "object",
        "additionalProperties": {"anyOf": [text, {"type": "array", "items": text}]},
        "description": f"{meaning}: variable.column → a text, or several",
    }


def _add(
    definitions: dict[str, Any], name: str, model: type[BaseModel], replaced: Mapping[str, Any] = NOTHING
) -> dict[str, Any]:
    """Add a model's schema under a name, what it needs beside it; return a reference to it."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    for inner, inner_schema in schema.pop("$defs", {}).items():
        definitions[f"{name}.{inner}"] = _loosened(inner_schema)
    loose = _loosened(schema)
    for key, instead in replaced.items():
        if key in loose["properties"]:
            loose["properties"][key] = instead
    loose.pop("title", None)
    definitions[name] = loose
    return {"$ref": f"#/$defs/{name}"}


def _loosened(schema: Any) -> Any:
    """Return a schema without generated titles, in which placeholders and references may stand for scalars."""
    if isinstance(schema, list):
        return [_loosened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    loose = {key: _loosened(part) for key, part in schema.items() if _is_kept(key, part)}
    if isinstance(loose.get("title"), str):
        loose.pop("title")
    if loose.get("type") == "string" and not isinstance(loose.get("default", ""), str):
        loose.pop("default")  # seconds, where a text with a unit is wanted
    is_scalar = loose.get("type") in ("integer", "number", "boolean") or "enum" in loose
    bounded = loose.get("type") == "string" and ("pattern" in loose or "format" in loose)
    if is_scalar or bounded:
        outside = {key: loose.pop(key) for key in ("default", "description") if key in loose}
        return {**outside, "anyOf": [loose, _PLACEHOLDER]}
    return loose


def _is_kept(key: str, part: Any) -> bool:
    """Leave out defaults that are no JSON scalars, and bounds in seconds or bytes of what is written with a unit."""
    if key == "default":
        return isinstance(part, str | int | float | bool)
    return key not in ("ge", "gt", "le", "lt")


def _first_line(module: Any) -> str:
    return (inspect.getdoc(module) or "").partition("\n")[0]
