"""What the commands of the command line share: exit status, words, the configuration and the loop."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from config.model import Inventory

FINE, NOT_FINE, WRONG_USE, NOT_MEASURED = 0, 1, 2, 3


def _default_config() -> Path:
    return Path(os.environ.get("THONGSUOT_CONFIG", "thongsuot.d"))


Config = Annotated[
    Path,
    typer.Option("--config", "-c", help="Directory of the configuration.", default_factory=_default_config),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else.")]


def fail(status: int, *lines: str) -> NoReturn:
    """End with that exit status, saying why on standard error."""
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201 - this is what the command line is for
    raise typer.Exit(status)


def say(line: str) -> None:
    """Print one line on standard output."""
    print(line)  # noqa: T201 - this is what the command line is for


def note(line: str) -> None:
    """Print one line on standard error: what is worth knowing and is no answer."""
    print(line, file=sys.stderr)  # noqa: T201 - this is what the command line is for


def load_inventory(directory: Path) -> Inventory:
    """Load the configuration, or end with all its problems and exit status 2."""
    from config.errors import ConfigError
    from config.loader import load

    try:
        return load(directory, environ=os.environ)
    except ConfigError as error:
        fail(WRONG_USE, *(str(problem) for problem in error.problems))


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on uvloop."""
    import uvloop

    return uvloop.run(main)
