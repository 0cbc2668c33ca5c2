"""Turns pydantic's errors into plain sentences, each at the line of the key that it is about.

pydantic names what it looked at by a path (`loc`) that may hold names of union members; here the path is walked
over the values as written, and what leads nowhere in them is dropped. A value that holds a secret is never
quoted, and a sentence that a model's own validator says about it is not repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from config.errors import Problems, shown
from config.located import Map, Place, Seq, written
from config.secret_references import SecretText, holds_secret, step
from probes.units import parse_duration

_ID_PATTERN = r"^[^\s/]+$"


class _Spot(NamedTuple):
    """What an error is about: the key, where it stands, and the container around it."""

    container: Any
    key: Any
    place: Place
    path: str
    parents: tuple[Any, ...]
    value: Any


def explain(
    error: ValidationError,
    item: Map,
    path: str,
    noun: str,
    problems: Problems,
    model: type[BaseModel],
    known: Collection[str] = (),
) -> None:
    """Note every error of a model's validation of `item` (or of some of its keys).

    Args:
        error: what the model said.
        item: the mapping as written, references filled in.
        path: of the item, for `Problem.path`.
        noun: what the item is (`check`, `target`).
        problems: takes them.
        model: the model, whose fields are what an unknown key is compared with.
        known: the keys that the item itself may have, where the model does not know them all.

    """
    details = [dict(detail) for detail in error.errors(include_url=False)]
    for detail in _without_other_branches(details, item):
        spot = _find(detail["loc"], item, path)
        if detail["type"] == "extra_forbidden":
            at_item = len(detail["loc"]) == 1 and known
            allowed = known if at_item else sorted(_fields_at(model, detail["loc"][:-1]))
            message, suggestion = unknown_key(str(spot.key), _parent(spot, noun), allowed, problems)
        else:
            message, suggestion = _sentence(detail, spot, noun, problems)
        problems.add(spot.place, message, suggestion, spot.path)


def unknown_key(key: str, noun: str, known: Collection[str], problems: Problems) -> tuple[str, str]:
    """Return message and suggestion for a key that is not known."""
    hint = problems.did_you_mean(key, known) or f"known: {', '.join(known)}"
    return f"unknown key {shown(key)} in {noun}", hint


def _find(loc: Sequence[Any], item: Map, path: str) -> _Spot:
    """Walk as far as the values go; the last step may be a key that is missing."""
    container: Any = None
    key: Any = None
    value: Any = item
    place = item.place
    parents: list[Any] = []
    for number, part in enumerate(loc):
        is_there = (isinstance(value, Map) and part in value) or (
            isinstance(value, Seq) and isinstance(part, int) and part < len(value)
        )
        if is_there:
            container, key, place = value, part, value.place_of(part)
            value = value[part]
        elif isinstance(value, Map) and number == len(loc) - 1:
            container, key, place = value, part, value.place
        else:
            continue
        path = step(path, key)
        parents.append(key)
    return _Spot(container, key, place, path, tuple(parents), value)


def _without_other_branches(details: Iterable[Mapping[str, Any]], item: Map) -> Iterable[Mapping[str, Any]]:
    """Yield the errors; of those that come from several members of one union, only the best member's.

    The best member is the one with the fewest errors: the one that the writer most likely meant.
    """
    branches: dict[tuple[Any, ...], dict[Any, list[Mapping[str, Any]]]] = {}
    for detail in details:
        at, branch = _branch(detail["loc"], item, missing=detail["type"] == "missing")
        branches.setdefault(at, {}).setdefault(branch, []).append(detail)
    for found in branches.values():
        plain = found.pop(None, [])
        yield from plain
        if found:
            yield from min(found.values(), key=_mismatch)


def _mismatch(errors: list[Mapping[str, Any]]) -> int:
    # A wrong kind of value altogether is further away than a wrong detail.
    return sum(10 if str(error["type"]).endswith("_type") else 1 for error in errors)


def _branch(loc: Sequence[Any], item: Map, *, missing: bool) -> tuple[tuple[Any, ...], Any]:
    value: Any = item
    for number, part in enumerate(loc):
        if (isinstance(value, Map) and part in value) or (
            isinstance(value, Seq) and isinstance(part, int) and part < len(value)
        ):
            value = value[part]
        elif missing and number == len(loc) - 1:
            break
        else:
            return tuple(loc[:number]), part
    return tuple(loc), None


def _sentence(detail: Mapping[str, Any], spot: _Spot, noun: str, problems: Problems) -> tuple[str, str]:
    """Return message and suggestion."""
    kind, context = str(detail["type"]), detail.get("ctx", {})
    name = _name(spot, noun)
    if kind == "missing":
        return f"{shown(spot.key)} is missing in {_parent(spot, noun)}", ""
    raw = spot.container[spot.key] if spot.container is not None else None
    if raw is None and spot.container is not None:
        return f"{name} has no value", "give it one, or remove the key"
    if kind in _SENTENCES:
        return _SENTENCES[kind](name, raw, spot, context, problems)
    if holds_secret(spot.value):
        return f"{name} is not valid; its value holds a secret and is not shown", ""
    if kind in ("value_error", "assertion_error"):
        return f"{name}: {context.get('error', detail['msg'])}", ""
    said = str(detail["msg"]).removeprefix("Input should be ")
    return f"{name} is {_shown(spot, raw)}: {said[:1].lower()}{said[1:]}", ""


def _text(name: str, raw: Any, spot: _Spot, _: Any, __: Problems) -> tuple[str, str]:
    if isinstance(raw, bool | int | float):
        text = written(spot.container, spot.key)
        reads = "yes or no" if isinstance(raw, bool) else "a number"
        return f"{name} must be text, but {text} is {reads} to YAML", f'write it in quotes: "{text}"'
    return f"{name} must be text, not {_kind(raw)}", ""


def _number(name: str, raw: Any, spot: _Spot, _: Any, __: Problems) -> tuple[str, str]:
    return f"{name} must be a number, not {_shown(spot, raw)}", ""


def _whole(name: str, raw: Any, spot: _Spot, _: Any, __: Problems) -> tuple[str, str]:
    return f"{name} must be a whole number, not {_shown(spot, raw)}", ""


def _boolean(name: str, raw: Any, spot: _Spot, _: Any, __: Problems) -> tuple[str, str]:
    return f"{name} must be true or false, not {_shown(spot, raw)}", ""


def _list(name: str, raw: Any, spot: _Spot, _: Any, __: Problems) -> tuple[str, str]:
    one = f"write [{_shown(spot, raw)}]" if isinstance(raw, str | int | float) else ""
    return f"{name} must be a list, not {_kind(raw)}", one


def _mapping(name: str, raw: Any, spot: _Spot, _: Any, __: Problems) -> tuple[str, str]:
    return f"{name} must be a mapping of keys to values, not {_kind(raw)}", ""


def _choice(name: str, raw: Any, spot: _Spot, context: Mapping[str, Any], problems: Problems) -> tuple[str, str]:
    expected = str(context.get("expected", "")).replace("'", "")
    choices = expected.replace(" or ", ", ").split(", ")
    hint = problems.did_you_mean(raw, choices) if isinstance(raw, str) else ""
    return f"{name} must be {expected}, not {_shown(spot, raw)}", hint


def _bound(name: str, raw: Any, spot: _Spot, context: Mapping[str, Any], _: Problems) -> tuple[str, str]:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    limit, word = next((context[short], word) for short, word in words.items() if short in context)
    return f"{name} must be {word} {_limit(limit, raw)}, not {_shown(spot, raw)}", ""


def _length(name: str, raw: Any, spot: _Spot, context: Mapping[str, Any], _: Problems) -> tuple[str, str]:
    unit = "characters" if isinstance(raw, str) else "items"
    least, most = context.get("min_length"), context.get("max_length")
    if least is not None:
        return (f"{name} must not be empty" if least == 1 else f"{name} needs at least {least} {unit}"), ""
    return f"{name} has {len(raw)} {unit}, more than {most}" if raw is not None else f"{name} is too long", ""


def _pattern(name: str, raw: Any, spot: _Spot, context: Mapping[str, Any], _: Problems) -> tuple[str, str]:
    if context.get("pattern") == _ID_PATTERN:
        return f"{name} is {_shown(spot, raw)}: it must have no spaces and no slash, and not be empty", ""
    return f"{name} is {_shown(spot, raw)}: it must match {context.get('pattern')}", ""


def _url(name: str, raw: Any, spot: _Spot, context: Mapping[str, Any], _: Problems) -> tuple[str, str]:
    said = context.get("error") or "the scheme must be " + str(context.get("expected_schemes", "another one"))
    return f"{name} is not a URL: {_shown(spot, raw)} ({said})", ""


_SENTENCES = {
    kind: sentence
    for kinds, sentence in (
        (("string_type", "string_sub_type"), _text),
        (("string_too_short", "string_too_long", "too_short", "too_long"), _length),
        (("string_pattern_mismatch",), _pattern),
        (("int_type", "int_parsing", "int_parsing_size", "int_from_float"), _whole),
        (("float_type", "float_parsing", "finite_number"), _number),
        (("bool_type", "bool_parsing"), _boolean),
        (("tuple_type", "list_type", "set_type", "frozen_set_type", "iterable_type"), _list),
        (("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), _mapping),
        (("literal_error", "enum", "union_tag_invalid"), _choice),
        (("greater_than", "greater_than_equal", "less_than", "less_than_equal"), _bound),
        (("url_type", "url_parsing", "url_syntax_violation", "url_too_long", "url_scheme"), _url),
    )
    for kind in kinds
}


def _name(spot: _Spot, noun: str) -> str:
    """Return how a sentence names what it is about: 'interval', item 2 of 'members', or the noun itself."""
    if not spot.parents:
        return noun
    last = spot.parents[-1]
    if not isinstance(last, int):
        return repr(last)
    around = next((repr(key) for key in reversed(spot.parents) if not isinstance(key, int)), noun)
    return f"item {last + 1} of {around}"


def _parent(spot: _Spot, noun: str) -> str:
    return _name(spot._replace(parents=spot.parents[:-1]), noun)


def _kind(raw: Any) -> str:
    if isinstance(raw, Map | dict):
        return "a mapping"
    if isinstance(raw, Seq | list):
        return "a list"
    if isinstance(raw, bool):
        return "yes or no"
    return "text" if isinstance(raw, str) else "nothing" if raw is None else "a number"


def _shown(spot: _Spot, raw: Any) -> str:
    """Return the value as written; a text with a secret as its reference, a container by its kind."""
    if isinstance(raw, dict | list):
        return _kind(raw)
    if isinstance(raw, str):
        return shown(raw)
    if spot.container is not None and raw is not None:
        return written(spot.container, spot.key)
    return _kind(raw)


def _limit(limit: Any, raw: Any) -> str:
    """Return a bound in the unit that the value was written in."""
    if isinstance(raw, str) and not isinstance(raw, SecretText):
        try:
            parse_duration(raw)
        except ValueError:
            return f"{limit:g}" if isinstance(limit, float) else str(limit)
        return f"{limit:g}s"
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _fields_at(model: type[BaseModel], loc: Sequence[Any]) -> frozenset[str]:
    """Return the keys that the model (or the models of a union) at that path has."""
    models: set[type[BaseModel]] = {model}
    for part in loc:
        deeper = {found for each in models for found in _models_of(each, part)}
        models = deeper or models
    return frozenset(name for each in models for name in field_names(each))


def field_names(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys of a model as files spell them."""
    return _field_names(model)


@cache
def _field_names(model: Any) -> tuple[str, ...]:
    return tuple(info.alias or name for name, info in model.model_fields.items())


def _models_of(model: type[BaseModel], part: Any) -> set[type[BaseModel]]:
    if isinstance(part, str) and model.__name__ == part:
        return {model}
    info = next((info for name, info in model.model_fields.items() if part in (name, info.alias)), None)
    return set() if info is None else _models_in(info.annotation)


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)}
