"""The page of each probe kind in `docs/probes/`, made of its module: `python -m probes.pages` writes them anew.

A kind's docstring is its documentation; parameters, samples and facts are those that the program itself goes by.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from probes import registry
from probes.model import Failure, Probe

DIRECTORY = Path("docs/probes")
_MARK = "<!-- Made of the kind's module by `make pages`: change that, not this. -->"


def pages() -> dict[str, str]:
    """Return the text of every page by file name; `README.md` lists them."""
    kinds = registry.kinds()
    return {"README.md": _contents(kinds), **{f"{kind}.md": page_of(registry.find(kind)) for kind in kinds}}


def page_of(probe: Probe[Any]) -> str:
    """Return the page of one kind."""
    documentation = _documentation(probe.kind)
    parts = [f"# `{probe.kind}`", _MARK, documentation]
    if "\n| parameter |" not in documentation:
        parts.append("## Parameters\n\n" + _parameters(probe))
    parts.append(_samples(probe))
    if probe.facts:
        parts.append(
            "## Facts for conditions\n\n" + ", ".join(f"`{name}` ({kind})" for name, kind in probe.facts.items())
        )
    return "\n\n".join(parts) + "\n"


def _documentation(kind: str) -> str:
    return inspect.cleandoc(import_module(f"probes.kinds.{kind}").__doc__ or "")


def _contents(kinds: tuple[str, ...]) -> str:
    lines = [f"- [`{kind}`]({kind}.md): {_documentation(kind).splitlines()[0].rstrip('.')}" for kind in kinds]
    failures = ", ".join(f"`{failure}`" for failure in Failure)
    return (
        "\n\n".join(
            (
                "# Probe kinds",
                _MARK,
                "\n".join(lines),
                "Every kind ends within its check's `timeout`, reports one of these failures or none, and leaves out "
                f"what it could not measure: {failures}.",
                "Conditions (`down_when`, `degraded_when`) are CEL expressions over `duration`, the samples and the "
                "facts that a page names. What compares a run with the one before (growth, rates, flaps, a changed "
                "route) is not a number while there is nothing to compare with: neither more nor less than anything, "
                "so that a rule about it waits. Try any kind by hand: `thongsuot probe KIND ADDRESS -p name=value`.",
            )
        )
        + "\n"
    )


def _parameters(probe: Probe[Any]) -> str:
    schema = probe.params.model_json_schema()
    first = {probe.address: schema["properties"][probe.address]}  # the address stands first
    rows = _rows({**schema, "properties": {**first, **schema["properties"]}}, "", schema.get("$defs", {}))
    return "\n".join(("| parameter | default | meaning |", "|---|---|---|", *rows))


def _rows(schema: Mapping[str, Any], within: str, definitions: Mapping[str, Any]) -> Iterator[str]:
    """Give a row for each parameter, followed by those of the keys that it has."""
    required = set(schema.get("required", ()))
    for name, entry in schema["properties"].items():
        shape = _shape(entry, definitions)
        default = "required" if name in required else _default(entry, shape)
        yield f"| `{within}{name}` | {default} | {_cell(_meaning(entry, shape))} |"
        if "properties" in shape:
            yield from _rows(shape, f"{within}{name}{'[]' if _is_list(entry) else ''}.", definitions)


def _default(entry: Mapping[str, Any], shape: Mapping[str, Any]) -> str:
    value = entry.get("default")
    if isinstance(value, dict):  # of its keys those that are not as they are by themselves
        usual = {key: part.get("default") for key, part in shape.get("properties", {}).items()}
        value = {key: part for key, part in value.items() if key not in usual or part != usual[key]}
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, float) and entry.get("type") == "string":
        return f"`{_in_units(round(value * 1e6), _DURATION_UNITS)}`"
    if isinstance(value, int) and entry.get("type") == ["string", "integer"]:
        return f"`{_in_units(value, _SIZE_UNITS)}`"
    return f"`{_cell(_as_yaml(value))}`"


def _as_yaml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_as_yaml(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value).replace("\n", "\\n")


_DURATION_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000))
_SIZE_UNITS = (("MiB", 1 << 20), ("KiB", 1 << 10))


def _in_units(value: int, units: tuple[tuple[str, int], ...]) -> str:
    """Return a number in the largest unit that it is a whole number of."""
    return next((f"{value // size}{unit}" for unit, size in units if value and value % size == 0), str(value))


def _meaning(entry: Mapping[str, Any], shape: Mapping[str, Any]) -> str:
    """Return what a parameter means: its own words, or those of its type, and what it may be."""
    text = str(entry.get("description") or shape.get("description") or "")
    words = [str(word) for word in entry.get("enum", ())]
    return f"{text} ({', '.join(words)})" if words and not all(word in text for word in words) else text


def _shape(entry: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the type of a parameter that has keys or words of its own."""
    for part in (entry, *entry.get("anyOf", ()), entry.get("items", {})):
        if "$ref" in part:
            return dict(definitions.get(part["$ref"].rsplit("/", 1)[-1], {}))
        if part is not entry and part.get("description"):
            return dict(part)
    return {}


def _is_list(entry: Mapping[str, Any]) -> bool:
    return any(part.get("type") == "array" for part in (entry, *entry.get("anyOf", ())))


def _samples(probe: Probe[Any]) -> str:
    rows = ["| sample | meaning |", "|---|---|"]
    rows += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in probe.samples.items()]
    latency = f"`{probe.latency}`" if probe.latency else "the duration of the whole run"
    return "## Samples\n\n" + "\n".join(rows) + f"\n\nIts latency is {latency}."


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def write(directory: Path = DIRECTORY) -> None:
    """Write every page, and remove those of kinds that are gone."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for old in directory.glob("*.md"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
