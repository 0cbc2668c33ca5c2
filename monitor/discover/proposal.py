"""Proposed checks, and how they are written down: as YAML to paste, with a reason beside each, or as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import yaml

from alerts.model import Result
from alerts.wording import REASONS
from config.imports.translation import drop_empty, plain_id
from monitor.oneshot import WrongUseError, prepare
from probes import registry
from probes.failures import plain_line

_REFERENCE = re.compile(r"\$\{env:([A-Za-z0-9_]+)\}")
CHECKS_LIMIT = 1000
"""Checks of one proposal."""


class Text(NamedTuple):
    """A line for a person, in the languages that we speak."""

    vi: str
    en: str

    def said(self, language: str) -> str:
        """Return it in one of them, as one printable line."""
        return plain_line(self.vi if language == "vi" else self.en, 200)


def why_not(result: Result) -> Text:
    """Return why a trial was not up: in Vietnamese a sentence comes first; the probe's own line is English."""
    if result.failure is None:
        return Text(result.message, result.message)
    return Text(f"{REASONS[result.failure].vi} ({result.message})", f"{result.failure}: {result.message}")


class NothingFoundError(Exception):
    """There is nothing to propose: the thing does not answer, or holds nothing; the message says which."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A check that could be written.

    Attributes:
        probe: its kind.
        parameters: those of the kind.
        why: what was seen.
        name: of the check, where a target has several of a kind; made unique.
        interval, timeout: as they are written.
        down_when, degraded_when: conditions that suit it.
        is_doubtful: it is written as a comment: it needs something first, or is for a person to judge.

    """

    probe: str
    parameters: Mapping[str, Any]
    why: Text
    name: str = ""
    interval: str = "60s"
    timeout: str = "5s"
    down_when: tuple[str, ...] = ()
    degraded_when: tuple[str, ...] = ()
    is_doubtful: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as the configuration has it."""
        head: dict[str, Any] = {"probe": self.probe} | ({"name": self.name} if self.name else {})
        times = {"interval": self.interval, "timeout": self.timeout}
        more = drop_empty({"down_when": list(self.down_when), "degraded_when": list(self.degraded_when)})
        return {**head, **self.parameters, **times, **more}


@dataclass(slots=True)
class Discovery:
    """What was found.

    Attributes:
        id, type, name: of the target that the checks would belong to.
        about: what was looked at.
        checks: in the order of writing.
        notes: what else is to be known.

    """

    id: str
    type: str
    name: str
    about: Text
    checks: list[Proposed] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)

    def drop_invalid(self) -> None:
        """Leave out what our own configuration would refuse: names and addresses come from a stranger's document."""
        valid = [one for one in self.checks if _is_valid(one)]
        dropped = len(self.checks) - len(valid)
        self.checks = valid
        if dropped:
            self.notes.append(
                Text(
                    f"{dropped} mục có tên hoặc địa chỉ không dùng được: bỏ qua.",
                    f"{dropped} entries have names or addresses that cannot be used: left out.",
                )
            )

    def named(self) -> list[Proposed]:
        """Return the checks with names that tell them apart, as many as may be."""
        taken: dict[str, Any] = {}
        found = []
        for one in self.checks[:CHECKS_LIMIT]:
            name = plain_id(one.name or one.probe, taken)
            taken[name] = True
            kept = name if one.name or name != one.probe else ""
            found.append(replace(one, name=kept))
        return found

    def secrets(self) -> list[str]:
        """Return the environment variables that the proposal reads."""
        told = str([one.parameters for one in self.checks])
        return list(dict.fromkeys(_REFERENCE.findall(told)))

    def document(self, checks: Sequence[Proposed]) -> dict[str, Any]:
        """Return the configuration with those checks."""
        return {"targets": [{**self._target(), "checks": [one.as_dict() for one in checks]}]}

    def as_json(self, language: str) -> dict[str, Any]:
        """Return all of it for machines: the configuration, what stays a comment, and what to know."""
        named = self.named()
        return {
            "about": self.about.said(language),
            "document": self.document([one for one in named if not one.is_doubtful]),
            "doubtful": [{**one.as_dict(), "why": one.why.said(language)} for one in named if one.is_doubtful],
            "secrets": self.secrets(),
            "notes": [note.said(language) for note in self.notes],
        }

    def as_yaml(self, language: str) -> str:
        """Return it as YAML to paste; what is doubtful stands in comments."""
        named = self.named()
        is_empty = all(one.is_doubtful for one in named)
        lines = [*self._head(language), "targets:"]
        target = _dumped([self._target()])
        lines += ["# " + line if is_empty else line for line in (f"  {line}" for line in target)]
        lines.append("#     checks:" if is_empty else "    checks:")
        for one in named:
            mark = "# " if one.is_doubtful or is_empty else ""
            lines.append(f"      # {one.why.said(language)}")
            lines += [f"{mark}      {line}" for line in _dumped([one.as_dict()])]
        if is_empty:
            lines[lines.index("targets:")] = "targets: []"
        return "\n".join(lines) + "\n"

    def _target(self) -> dict[str, Any]:
        return {"id": self.id, "type": self.type, "name": self.name}

    def _head(self, language: str) -> Iterator[str]:
        yield f"# {self.about.said(language)}"
        for note in self.notes:
            yield f"# {note.said(language)}"
        secrets = self.secrets()
        if secrets:
            asked = Text("Đặt trong môi trường của bộ giám sát:", "Set in the environment of the monitor:")
            yield f"# {asked.said(language)}"
            yield from (f"#   {name}" for name in secrets)


def _is_valid(one: Proposed) -> bool:
    """Say whether a check would be accepted, with something in place of each secret."""
    try:
        name = registry.find(one.probe).address
        filled = _filled({**one.parameters, "down_when": one.down_when, "degraded_when": one.degraded_when})
        prepare(one.probe, str(filled.pop(name)), filled)
    except (WrongUseError, registry.UnknownKindError):
        return False
    return True


def _filled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(item) for key, item in value.items()}
    return _REFERENCE.sub("secret", value) if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    """Writes a value out wherever it stands."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key, as our own files do."""
        super().increase_indent(flow, False)


def _dumped(value: Any) -> list[str]:
    text = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110, default_flow_style=False)
    return text.rstrip().splitlines()


def variable(*parts: str) -> str:
    """Return a reference to an environment variable that is called after these parts."""
    name = re.sub(r"[^A-Z0-9]+", "_", "_".join(parts).upper()).strip("_")[:80]
    return f"${{env:{name if name[:1].isalpha() else f'X_{name}'}}}"
