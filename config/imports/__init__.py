"""Reads the configurations of other monitors, and writes them as ours.

Each module translates one format; nothing is guessed, and what could not be carried over is listed.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from config.imports.translation import ForeignError, Translation

FORMATS = ("blackbox", "gatus", "uptime-kuma")


def translate(format_: str, document: Any) -> Translation:
    """Return what a document (read from YAML or JSON) of that format says, as our configuration.

    Raises ForeignError when there is no such format, or the document is not of it.
    """
    if format_ not in FORMATS:
        near = difflib.get_close_matches(format_, FORMATS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FORMATS)}"
        message = f"there is no format {format_!r}; {hint}"
        raise ForeignError(message)
    module = import_module(f"config.imports.{format_.replace('-', '_')}")
    return module.translate(document)  # type: ignore[no-any-return]  # each module has it
