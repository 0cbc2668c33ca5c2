"""What `-p name=value` says on the command line: values read as YAML, secrets as references.

A command line is seen by everybody on the machine, so a secret is a reference here as in a configuration. What a
reference gives is used as it is: it is put in after the value was read as YAML.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from monitor.oneshot import WrongUseError

CONDITIONS = ("down_when", "degraded_when")
"""Parameters whose value is one condition or a list of them; a condition need not be YAML: `!has(json.error)`."""

TEXTS = ("body", "envelope")
"""Parameters that are text whatever it looks like: `{"id": 1}` is what to send, and no mapping."""


def read_parameters(parameters: Sequence[str]) -> dict[str, Any]:
    """Return name → value for `name=value` texts.

    Raises WrongUseError.
    """
    values = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            message = f"{text!r} is not a parameter: write name=value"
            raise WrongUseError(message)
        try:
            values[name] = _conditions(value) if name in CONDITIONS else filled_in(_yaml(name, value), name)
        except RecursionError:
            message = f"the value of {name} has no end, or holds itself"
            raise WrongUseError(message) from None
    return values


def filled_in(value: Any, name: str) -> Any:
    """Return the value with its references, `${env:NAME}` and `${file:path}`, filled in.

    Raises WrongUseError for one that gives nothing.
    """
    if isinstance(value, str):
        return _expanded(value, name) if "${" in value else value
    if isinstance(value, dict):
        return {key: filled_in(item, f"{name}.{key}") for key, item in value.items()}
    return [filled_in(item, name) for item in value] if isinstance(value, list) else value


def _yaml(name: str, value: str) -> Any:
    try:
        found = yaml.safe_load(value)
        return value if name in TEXTS and not isinstance(found, str | None) else found
    except (yaml.YAMLError, ValueError):  # a date such as 2026-13-01
        if name in TEXTS:
            return value
        message = f"the value of {name} is not YAML"
        raise WrongUseError(message) from None


def _conditions(value: str) -> list[str]:
    """Return the conditions of a YAML list of texts, or the one that the value is as it stands."""
    try:
        found = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        return [value]
    if isinstance(found, list) and all(isinstance(item, str) for item in found):
        return found
    return [found if isinstance(found, str) else value]


def _expanded(text: str, name: str) -> str:
    from config.errors import Problems
    from config.located import Place
    from config.secret_references import Secrets

    problems = Problems()
    filled = Secrets(Path.cwd(), os.environ, problems).expand(text, Place(""), name)
    for problem in problems.found:
        hint = f"; {problem.suggestion}" if problem.suggestion else ""
        message = f"{name}: {problem.message}{hint}"
        raise WrongUseError(message)
    return str(filled)
