"""The part of JSON Schema 2020-12 that our schema uses, to hold it against the samples and the bad files."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
KNOWN = {
    *("$schema", "$defs", "$ref", "title", "description", "default", "examples", "format", "writeOnly"),
    *("type", "enum", "const", "anyOf", "oneOf", "allOf", "if", "then"),
    *("properties", "required", "additionalProperties", "propertyNames", "minProperties"),
    *("items", "minItems", "maxItems", "minLength", "maxLength", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
"""What this understands; the schema must use nothing else."""


def errors(schema: Any, value: Any, root: dict[str, Any], path: str = "") -> list[str]:
    """Return what is wrong with a value, each with its path."""
    if schema is True or schema == {}:
        return []
    assert isinstance(schema, dict), schema
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return errors(target, value, root, path) + errors(
            {k: v for k, v in schema.items() if k != "$ref"}, value, root, path
        )
    found = [f"{path}: {reason}" for reason in _own(schema, value)]
    if found:
        return found
    for part in schema.get("allOf", ()):
        found += errors(part, value, root, path)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            matches = [part for part in schema[key] if not errors(part, value, root, path)]
            if not matches or (key == "oneOf" and len(matches) > 1):
                found.append(f"{path}: {len(matches)} of {key}")
    if "if" in schema and not errors(schema["if"], value, root, path):
        found += errors(schema.get("then", {}), value, root, path)
    if isinstance(value, dict):
        found += _members(schema, value, root, path)
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += errors(schema.get("items", {}), item, root, f"{path}[{number}]")
    return found


def _members(schema: dict[str, Any], value: dict[str, Any], root: dict[str, Any], path: str) -> list[str]:
    found = []
    properties = schema.get("properties", {})
    for key, member in value.items():
        found += errors(schema.get("propertyNames", {}), key, root, f"{path}.{key}")
        if key in properties:
            found += errors(properties[key], member, root, f"{path}.{key}")
        elif schema.get("additionalProperties") is False:
            found.append(f"{path}.{key}: not known")
        else:
            found += errors(schema.get("additionalProperties", {}), member, root, f"{path}.{key}")
    return found + [f"{path}.{key}: missing" for key in schema.get("required", ()) if key not in value]


def _own(schema: dict[str, Any], value: Any) -> list[str]:
    found = []
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(_is(value, name) for name in types):
            found.append(f"not {schema['type']}")
    if "enum" in schema and value not in schema["enum"]:
        found.append("not in enum")
    if "const" in schema and value != schema["const"]:
        found.append("not const")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append("pattern")
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1e9):
            found.append("length")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            found.append("bounds")
        if value <= schema.get("exclusiveMinimum", value - 1):
            found.append("bounds")
    if isinstance(value, list) and not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1e9):
        found.append("items")
    if isinstance(value, dict) and len(value) < schema.get("minProperties", 0):
        found.append("properties")
    return found


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and not (isinstance(value, bool) and name in ("integer", "number"))
