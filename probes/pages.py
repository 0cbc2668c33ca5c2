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
    names = [probe.address, *(name for name in schema["properties"] if name != probe.address)]
    required = set(schema.get("required", ()))
    rows = ["| parameter | default | meaning |", "|---|---|---|"]
    for name in names:
        entry = schema["properties"][name]
        default = "required" if name in required else _default(entry)
        rows.append(f"| `{name}` | {default} | {_cell(_meaning(entry, schema.get('$defs', {})))} |")
    return "\n".join(rows)


def _default(entry: Mapping[str, Any]) -> str:
    value = entry.get("default")
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, float) and entry.get("type") == "string":
        return f"`{_in_units(round(value * 1e6), _DURATION_UNITS)}`"
    if isinstance(value, int) and entry.get("type") == ["string", "integer"]:
        return f"`{_in_units(value, _SIZE_UNITS)}`"
    return f"`{value}`"


_DURATION_UNITS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000))
_SIZE_UNITS = (("MiB", 1 << 20), ("KiB", 1 << 10))


def _in_units(value: int, units: tuple[tuple[str, int], ...]) -> str:
    """Return a number in the largest unit that it is a whole number of."""
    return next((f"{value // size}{unit}" for unit, size in units if value and value % size == 0), str(value))


def _meaning(entry: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return what a parameter means: its own words, or those of its type, and the keys that it has."""
    shape = next(_shapes(entry, definitions), {})
    text = str(entry.get("description") or shape.get("description") or "")
    keys = shape.get("properties")
    if keys:
        text = f"{text.rstrip('.')}: {', '.join(f'`{key}`' for key in keys)}" if text else ", ".join(keys)
    words = [str(word) for word in entry.get("enum", ())]
    return f"{text} ({', '.join(words)})" if words and not all(word in text for word in words) else text


def _shapes(entry: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for part in (entry, *entry.get("anyOf", ()), entry.get("items", {})):
        if "$ref" in part:
            yield definitions.get(part["$ref"].rsplit("/", 1)[-1], {})
        elif part is not entry and part.get("description"):
            yield part


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
