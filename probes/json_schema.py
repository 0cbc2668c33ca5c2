"""Holds a JSON answer against a JSON Schema (draft 2020-12), within bounds.

The schema is trusted, the answer is not. What bounds it: `VALUES_LIMIT` values and `DEPTH_LIMIT` levels, counted before
anything is compared; `pattern` and `patternProperties` are RE2, which is linear (lookarounds and back references, which
ECMA-262 has, are refused with the configuration); `uniqueItems` compares by hash, not by pairs; large answers are
compared in a thread, one at a time. References lead inside the schema alone: nothing is ever fetched.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, cast

import orjson
from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from probes.failures import TroubleError, plain_line
from probes.model import Failure, Resources
from probes.tcp_dialogue import compile_pattern

KEY = "probes.json_schema"
SCHEMA_LIMIT_BYTES = 1024 * 1024
VALUES_LIMIT = 50_000
"""Values of an answer; some tenths of a second of comparing with an ordinary schema."""

DEPTH_LIMIT = 64
QUICK_VALUES = 500
"""An answer of no more values is compared where it stands: that is quicker than a thread."""

SHOWN = 3
"""How many violations a message tells."""


class Comparer:
    """The one thread in which large answers are compared."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "json-schema")

    async def run(self, function: Callable[[], str]) -> str:
        """Run in the thread, after what was asked before."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Let the thread end after what it does now."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class JsonSchema:
    """A compiled schema. Raises ValueError, which says what is wrong with it."""

    def __init__(self, schema: Any) -> None:
        if not isinstance(schema, dict | bool):
            raise ValueError("a JSON Schema is an object, true or false")
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            message = f"the JSON Schema is not one, at {_path(error.absolute_path)}: {plain_line(error.message, 120)}"
            raise ValueError(message) from None
        _check_patterns(schema)
        self._validator = _Validator(schema, registry=Registry())
        _check_references(schema)

    async def violations(self, value: Any, resources: Resources) -> str:
        """Return what is wrong with a value, on one line, "" when it is as the schema says.

        Raises TroubleError (`condition`) for a value too large to be compared.
        """
        values = _count(value)
        if values <= QUICK_VALUES:
            return self._compare(value)
        return await resources.get(KEY, Comparer).run(lambda: self._compare(value))

    def _compare(self, value: Any) -> str:
        try:
            found = list(islice(self._validator.iter_errors(value), SHOWN + 1))
        except Unresolvable as error:
            raise TroubleError(Failure.INTERNAL, f"json_schema: {plain_line(str(error), 100)} is not in it") from None
        except RecursionError:
            raise TroubleError(Failure.INTERNAL, "json_schema: its references go round in circles") from None
        shown = [_text(error) for error in found[:SHOWN]]
        return "; ".join([*shown, "and more"] if len(found) > SHOWN else shown)


def read_schema(path: Path) -> JsonSchema:
    """Return the schema in a file. Raises ValueError."""
    try:
        with path.open("rb") as file:
            data = file.read(SCHEMA_LIMIT_BYTES + 1)
    except OSError as error:
        message = f"json_schema_file {path} cannot be read: {error.strerror}"
        raise ValueError(message) from None
    if len(data) > SCHEMA_LIMIT_BYTES:
        message = f"json_schema_file {path} is larger than {SCHEMA_LIMIT_BYTES} bytes"
        raise ValueError(message)
    try:
        return JsonSchema(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        message = f"json_schema_file {path} is not JSON: {error}"
        raise ValueError(message) from None


def _count(value: Any) -> int:
    """Return how many values there are in one. Raises TroubleError past a limit."""
    seen, waiting = 0, [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        inside = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        if seen + len(waiting) + len(inside) > VALUES_LIMIT:
            raise TroubleError(Failure.CONDITION, f"the JSON has more than {VALUES_LIMIT} values: too many to compare")
        if inside and depth >= DEPTH_LIMIT:
            raise TroubleError(
                Failure.CONDITION, f"the JSON is more than {DEPTH_LIMIT} levels deep: too deep to compare"
            )
        waiting.extend((each, depth + 1) for each in inside)
    return seen


def _path(parts: Any) -> str:
    text = "$"
    for part in islice(parts, 20):
        text += f"[{part}]" if isinstance(part, int) else f".{plain_line(str(part), 40)}"
    return text


def _text(error: ValidationError) -> str:
    return f"{_path(error.absolute_path)}: {_words(error)}"


def _words(error: ValidationError) -> str:
    """Return the rule that was broken, with the value only where it is a short one."""
    if isinstance(error.instance, str | int | float | bool | None) and error.validator not in ("required", "oneOf"):
        return plain_line(error.message, 80)
    if error.validator in ("required", "additionalProperties", "minItems", "maxItems"):
        return plain_line(error.message.replace(repr(error.instance), "it"), 80)
    return f"it breaks {error.validator}"


def _matcher(pattern: str) -> Callable[[str], bool]:
    try:
        return compile_pattern(pattern)
    except (ValueError, RuntimeError):
        message = f"the JSON Schema has a pattern that RE2 does not know: {plain_line(pattern, 80)!r}"
        raise ValueError(message) from None


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _matcher(pattern)(instance.replace("\0", "\ufffd")):
        yield ValidationError(f"{plain_line(instance, 40)!r} does not match {plain_line(pattern, 40)!r}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, _schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        matches = _matcher(pattern)
        for name, value in instance.items():
            if matches(name.replace("\0", "\ufffd")):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional(validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    """As the library's, which tries patternProperties with expressions that can take exponential time."""
    if not isinstance(instance, dict):
        return
    matchers = [_matcher(pattern) for pattern in schema.get("patternProperties", {})]
    named = schema.get("properties", {})
    for name, value in instance.items():
        if name in named or any(matches(name.replace("\0", "\ufffd")) for matches in matchers):
            continue
        if allowed is False:
            yield ValidationError(f"additional property {plain_line(name, 40)!r}")
        elif isinstance(allowed, dict):
            yield from validator.descend(value, allowed, path=name)


def _unique(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not wanted or not isinstance(instance, list):
        return
    if len({json.dumps(_comparable(item), sort_keys=True) for item in instance}) < len(instance):
        yield ValidationError("the items are not unique")


def _comparable(value: Any) -> Any:
    """Return a value in which 1.0 is 1, as JSON Schema compares numbers (section 4.2.2)."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return {name: _comparable(item) for name, item in value.items()} if isinstance(value, dict) else value


_Validator: Any = cast("Any", extend)(
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional,
        "uniqueItems": _unique,
    },
)


def _subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    waiting = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(
                value for name, value in item.items() if name not in ("const", "enum", "default", "examples")
            )
        elif isinstance(item, list):
            waiting.extend(item)


def _check_patterns(schema: Any) -> None:
    for part in _subschemas(schema):
        if isinstance(part.get("pattern"), str):
            _matcher(part["pattern"])
        patterns = part.get("patternProperties")
        for pattern in patterns if isinstance(patterns, dict) else ():
            _matcher(pattern)


def _check_references(schema: Any) -> None:
    """Refuse references that lead nowhere, or outside."""
    if not isinstance(schema, dict):
        return
    resource = DRAFT202012.create_resource(schema)
    resolver = Registry().with_resource(resource.id() or "", resource).crawl().resolver(resource.id() or "")
    for part in _subschemas(schema):
        for keyword in ("$ref", "$dynamicRef"):
            reference = part.get(keyword)
            if not isinstance(reference, str):
                continue
            try:
                resolver.lookup(reference)
            except Unresolvable:
                message = f"the JSON Schema refers to {plain_line(reference, 80)!r}, which is not in it"
                raise ValueError(message) from None
