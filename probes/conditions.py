"""Conditions over what a probe measured, in CEL (the Common Expression Language, github.com/google/cel-spec).

A condition is compiled and type-checked once, when the configuration is read, against the names that its probe
kind documents: an unknown name or a comparison that can never be is an error with its line, not a surprise at
night. It is evaluated by Google's own implementation (docs/decisions/0002-cel.md), whose regular expressions
are RE2: no pattern can take exponential time on a hostile body.

A condition that cannot be evaluated (the body is not JSON, a path leads nowhere) has failed, whichever way
round it is written. A JSON null counts as absent, unless the condition itself speaks of `null`.

A figure that compares a run with one before it (`growth_bytes`, `flaps`, `in_bps`, `route_changed`) is not a number
while there is nothing to compare with: in the first run after a start, and after a counter began anew. Not a number is
neither more nor less than anything, nor equal to it, so that `in_bps > 1e9` and `in_bps < 1e3` are both false and a
restart of the monitor makes no alarm; `in_bps != 0.0` and `!(in_bps > 0.0)` would be true of it. A figure that the run
could not measure at all is absent as ever, and its condition has failed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cel_expr_python import cel

from probes.model import Measurement, Probe

MESSAGE_LIMIT = 300
"""Characters of a message or of one value inside it: a hostile body must not fill the store."""

DEPTH_LIMIT = 100
"""Levels of a value that a condition can look into; JSON that people read has ten."""

_CEL_TYPES = {
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "bool": cel.Type.BOOL,
    "duration": cel.Type.DURATION,
    "timestamp": cel.Type.TIMESTAMP,
    "dyn": cel.Type.DYN,
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}
_STRING_LITERAL = re.compile(r"""r?"(?:\\.|[^"\\])*"|r?'(?:\\.|[^'\\])*'""")
_PATH = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\['[^']*'\]|\[\"[^\"]*\"\]|\[\d+\])*(?!\w*\()")
_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")


class ConditionError(ValueError):
    """The text is not a condition that this probe kind can answer; the message says why."""


class AbsentError(LookupError):
    """A fact that is not there (the body is not JSON, no TLS was spoken); the message says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition.

    Attributes:
        source: its text, as configured.
        names: the declared names that it looks at.

    """

    source: str
    names: tuple[str, ...]
    _paths: tuple[str, ...]
    _program: Any
    _keeps_nulls: bool

    def holds(self, measurement: Measurement, duration_s: float) -> tuple[bool, str]:
        """Say whether the condition is true of the measurement, and how, with the actual values.

        Returns `(True, "status != 200 (status = 503)")`, `(False, "")`, or, where it cannot be evaluated,
        `(True, "json.status != 'UP': the body is not JSON")`.
        """
        data: dict[str, Any] = {}
        absent = ""
        for name in self.names:
            try:
                data[name] = _for_cel(_value_of(name, measurement, duration_s), self._keeps_nulls)
            except AbsentError as error:
                absent = absent or str(error)
        outcome = self._program.eval(data=data)
        if outcome.type() == cel.Type.BOOL:
            if not outcome.value():
                return False, ""
            return True, one_line(self.source + self._actual(data))
        reason = absent or _readable(str(outcome.value()))
        return True, one_line(f"{self.source}: {reason}{self._actual(data)}")

    def _actual(self, data: Mapping[str, Any]) -> str:
        shown = []
        for path in self._paths:
            found, value = _follow(path, data)
            if found:
                shown.append(f"{path} = {_show(value)}")
        return f" ({', '.join(shown)})" if shown else ""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression that gives a plain value, to be passed on to a later request.

    Attributes:
        source: its text, as configured.

    """

    source: str
    _names: tuple[str, ...]
    _program: Any

    def value(self, measurement: Measurement) -> str | int | float | bool:
        """Return the value. Raises AbsentError with the reason where there is none, or none that is plain."""
        data = {name: _for_cel(_value_of(name, measurement, 0.0), keeps_nulls=True) for name in self._names}
        outcome = self._program.eval(data=data)
        value = outcome.value()
        if outcome.type() == cel.Type.ERROR:
            raise AbsentError(one_line(f"{self.source}: {_readable(str(value))}"))
        if not isinstance(value, str | int | float | bool):
            message = f"{self.source} is not a text, a number, true or false"
            raise AbsentError(message)
        return value


def compile_expression(source: str, probe: Probe[Any]) -> Expression:
    """Compile `source` against the names that the probe kind documents. Raises ConditionError with the reason."""
    program, _, _, names = _compile(source, probe)
    return Expression(source, names, program)


def compile_condition(source: str, probe: Probe[Any]) -> Condition:
    """Compile `source` against the names that the probe kind documents.

    Raises ConditionError with the reason, and a suggestion for an unknown name.
    """
    program, bare, paths, names = _compile(source, probe)
    gives = "a number" if source.strip() in probe.samples else program.return_type().name().lower()
    if gives not in ("bool", "dyn"):
        message = f"{source!r} is not a condition: it gives {gives}, not true or false"
        raise ConditionError(message)
    shown = tuple(path for path in paths if any(path == n or path.startswith((n + ".", n + "[")) for n in names))
    return Condition(source, names, shown, program, keeps_nulls(bare))


def _compile(source: str, probe: Probe[Any]) -> tuple[Any, str, tuple[str, ...], tuple[str, ...]]:
    """Return the program, the text without its literals, the paths in it, and the declared names that it looks at."""
    declared = declared_names(probe)
    if "headers" in declared:  # their names have no case (RFC 9110, section 5.1), and are in lower case there
        source = _STRING_LITERAL.sub(
            lambda literal: literal[0].lower() if _names_a_header(source, literal) else literal[0], source
        )
    environment = cel.NewEnv(variables={name: _CEL_TYPES[kind] for name, kind in declared.items()})
    try:
        program = environment.compile(source)
    except RuntimeError as error:
        raise ConditionError(_explain(str(error), source, declared)) from None
    bare = _STRING_LITERAL.sub(lambda literal: literal[0] if _is_index(source, literal) else '""', source)
    paths = tuple(dict.fromkeys(_PATH.findall(bare)))
    names = tuple(
        name for name in declared if any(path == name or path.startswith((name + ".", name + "[")) for path in paths)
    )
    return program, bare, paths, names


def keeps_nulls(source: str) -> bool:
    """Say whether the condition itself speaks of null, so that a null must stay visible to it."""
    return re.search(r"\bnull\b", source) is not None


def declared_names(probe: Probe[Any]) -> dict[str, str]:
    """Return every name that a condition on this kind may use, with its type as `Probe.facts` spells it."""
    return {**dict.fromkeys(probe.samples, "dyn"), **probe.facts, "duration": "duration"}


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return text safe to store and show: one line, printable, bounded (with … where it was cut)."""
    clean = "".join(c if c.isprintable() else " " for c in text[: limit * 2])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _is_index(source: str, literal: re.Match[str]) -> bool:
    return source[: literal.start()].rstrip().endswith("[")


def _names_a_header(source: str, literal: re.Match[str]) -> bool:
    before, after = source[: literal.start()].rstrip(), source[literal.end() :]
    return re.search(r"\bheaders\s*\[\Z", before) is not None or re.match(r"\s+in\s+headers\b", after) is not None


def _value_of(name: str, measurement: Measurement, duration_s: float) -> Any:
    if name == "duration":
        return timedelta(seconds=duration_s)
    if name in measurement.samples:
        return measurement.samples[name]
    try:
        return measurement.facts[name]
    except AbsentError:
        raise
    except KeyError:
        message = f"there is no {name}"
        raise AbsentError(message) from None


def _for_cel(value: Any, keeps_nulls: bool, depth: int = 0) -> Any:
    """Return the value as a condition sees it: U+FFFD for NUL, and without null members unless it speaks of null.

    CEL's library takes a text only as far as its first NUL: what a peer writes behind one would not be looked at.
    Raises AbsentError for a value of more than DEPTH_LIMIT levels, which Python could not even show.
    """
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if not isinstance(value, dict | list):
        return value
    if depth >= DEPTH_LIMIT:
        message = f"it is more than {DEPTH_LIMIT} levels deep"
        raise AbsentError(message)
    if isinstance(value, list):
        return [_for_cel(item, keeps_nulls, depth + 1) for item in value]
    return {
        _for_cel(key, keeps_nulls): _for_cel(item, keeps_nulls, depth + 1)
        for key, item in value.items()
        if keeps_nulls or item is not None
    }


def _follow(path: str, data: Mapping[str, Any]) -> tuple[bool, Any]:
    root = max((name for name in data if path.startswith(name)), key=len, default=None)
    if root is None:
        return False, None
    value = data[root]
    for step in _STEP.finditer(path, len(root)):
        key = step[1] or step[2] or step[3]
        try:
            value = value[int(step[4])] if step[4] is not None else value[key]
        except (KeyError, IndexError, TypeError):
            return False, None
    return True, value


def _show(value: Any) -> str:
    if isinstance(value, timedelta):
        return _show_duration(value.total_seconds())
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return one_line(f'"{value}"', 80)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return one_line(str(value), 80)


def _show_duration(seconds: float) -> str:
    if abs(seconds) < 1:
        return f"{seconds * 1000:.4g}ms"
    if abs(seconds) < 2 * 3600:
        return f"{seconds:.4g}s"
    return f"{seconds / 3600:.0f}h"


def _readable(reason: str) -> str:
    """Turn CEL's own words into ours where a person would stumble over them."""
    missing = re.search(r'Key not found in map : "?([^"]*)"?', reason)
    if missing:
        return f"there is no {missing[1]!r}"
    short = re.search(r"Index error: index=(-?\d+) size=(\d+)", reason)
    if short:
        return f"there is no [{short[1]}] in a list of {short[2]}"
    unfit = re.search(r"No matching overloads found : (?:_([^\w(]+)_\((\w+), (\w+)\)|(.*))", reason)
    if unfit:
        return f"{f'{unfit[2]} {unfit[1]} {unfit[3]}' if unfit[1] else unfit[4]} has no meaning"
    if "Applying SELECT to non-message type" in reason:
        return "there is nothing below a value that is no object"
    return re.sub(r"^[A-Z_]+: ", "", reason).strip().strip('"')


def _explain(error: str, source: str, declared: Mapping[str, str]) -> str:
    unknown = _UNDECLARED.search(error)
    if unknown:
        near = difflib.get_close_matches(unknown[1], declared, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"this kind has {', '.join(declared)}"
        return f"{source!r} speaks of {unknown[1]!r}, which this kind does not have; {hint}"
    first = error.removeprefix("INVALID_ARGUMENT: ").splitlines()[0]
    return f"{source!r} is not a valid condition: {re.sub(r'^ERROR: <input>:', 'at ', first)}"
