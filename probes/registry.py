"""Finds probe kinds by their files in `probes/kinds/`; a kind's module is imported when it is first used."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from probes.model import Probe

_KINDS = Path(__file__).parent / "kinds"


class UnknownKindError(LookupError):
    """There is no probe kind of that name."""


@cache
def kinds() -> tuple[str, ...]:
    """Return the names of all probe kinds, sorted, without importing any of them."""
    return tuple(sorted(path.stem for path in _KINDS.glob("*.py") if not path.stem.startswith("_")))


@cache
def find(kind: str) -> Probe[Any]:
    """Return the probe of that kind.

    Raises UnknownKindError with a suggestion when there is none.
    """
    if kind not in kinds():
        near = difflib.get_close_matches(kind, kinds(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(kinds())}"
        message = f"there is no probe kind {kind!r}{hint}"
        raise UnknownKindError(message)
    probe = import_module(f"probes.kinds.{kind}").PROBE
    if not isinstance(probe, Probe) or probe.kind != kind:
        message = f"probes/kinds/{kind}.py must define PROBE = Probe(kind={kind!r}, …)"
        raise TypeError(message)
    return probe
