"""Writing a configuration for a test, and reading it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from config.errors import ConfigError
from config.loader import load
from config.model import Check, Inventory


def write(directory: Path, **files: str) -> Path:
    """Write `name="text"` as `name.yaml` (a name that ends in `_csv` as `.csv`)."""
    for name, text in files.items():
        stem, is_csv = name.removesuffix("_csv"), name.endswith("_csv")
        (directory / f"{stem}.{'csv' if is_csv else 'yaml'}").write_text(text)
    return directory


def read(directory: Path, environ: Mapping[str, str] | None = None, **files: str) -> Inventory:
    return load(write(directory, **files), environ=environ or {})


def problems(directory: Path, environ: Mapping[str, str] | None = None, **files: str) -> list[str]:
    try:
        read(directory, environ, **files)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def check_with(directory: Path, options: str, environ: Mapping[str, str] | None = None) -> Check:
    """Return the one check that has these options, written as in braces."""
    text = f"targets: [{{id: t, type: endpoint, checks: [{{{options}}}]}}]"
    return read(directory, environ, only=text).targets["t"].checks[0]
