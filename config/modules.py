"""Modules: named ways to probe whatever `/probe?module=…&target=…` is asked about, as blackbox_exporter has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from config.basics import Id, Model
from config.checks import Checks
from config.errors import Problems
from config.files import from_directory
from config.located import Map, Seq
from config.secret_references import Secrets, secret_fields, step
from probes import registry

_STAND_INS: Mapping[str, str] = {
    "url": "http://127.0.0.1/",
    "address": "127.0.0.1",
    "server": "127.0.0.1",
}
"""A target by parameter that every kind takes, to check the rest of a module with."""
_PORTED = frozenset({"grpc", "tcp", "tls"})
"""Kinds whose address needs a port."""


class ModuleFile(Model):
    """What every module has; options and parameters of a check stand beside these.

    Attributes:
        target: the parameter that takes the target; default: the kind's address.

    """

    id: Id
    probe: str
    target: str = ""


class Module(Model):
    """A way to probe a target that is named when it is asked for.

    Attributes:
        id: what `module=` names it by.
        probe: the kind.
        target: the parameter that takes the target.
        options: the other parameters, and `timeout`, `down_when` and `degraded_when`, secrets filled in: therefore
            never in a repr.

    """

    id: Id
    probe: str
    target: str
    options: Any = Field(repr=False)


def build(raw: Map, path: str, problems: Problems, secrets: Secrets) -> Module | None:
    """Return the module, or None when it is not in order, which is noted: it is checked as a check would be."""
    kind = raw.get("probe")
    if not isinstance(kind, str) or kind not in registry.kinds():
        Checks(problems, secrets).build(raw, Seq(raw.source, raw.at), 0, path, "module")
        if not isinstance(kind, str):
            problems.add(raw.place, "'probe' is missing", "name the kind, such as probe: http", path)
        return None
    probe = registry.find(kind)
    taking = raw.get("target", probe.address)
    if taking not in probe.params.model_fields or taking not in _STAND_INS:
        hint = f"{kind} takes it as {probe.address!r}" if probe.address in _STAND_INS else "choose another kind"
        message = f"{taking!r} of {kind} cannot take the target of a module"
        problems.add(raw.place_of("target"), message, hint, step(path, "target"))
        return None
    check = raw.copied(raw.source)
    for own in ("id", "target"):
        check.pop(own, None)
    check[taking] = _STAND_INS[taking] + (":9" if kind in _PORTED else "")
    if Checks(problems, secrets).build(check, Seq(raw.source, raw.at), 0, path, "module") is None:
        return None
    filled = secrets.fill(check, path, secret_fields(probe.params), tuple(check))
    options = {key: value for key, value in filled.items() if key not in ("probe", taking)}
    return Module(id=raw["id"], probe=kind, target=taking, options=from_directory(options, secrets.directory))
