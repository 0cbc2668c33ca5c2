"""What must be shown nowhere: the secrets in a check's parameters, also where a peer repeats them.

A server that echoes a request, or says which token it refuses, would bring a secret into a condition's message, and
from there into the store, onto pages and into mail. So every message of a result has them taken out.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretBytes, SecretStr

SHORTEST = 4
"""Characters of a secret: taking out shorter ones would make a riddle of every message."""

NO_SECRETS = frozenset({"extract", "json_schema"})
"""Parameters that speak of secrets by name and hold none."""

_SECRET_NAME = re.compile(r"auth|cookie|key|token|secret|passw|credential|signature", re.IGNORECASE)

_PLAIN = (str, int, float)
"""What holds nothing secret by itself: most values, which need no further look."""


def secrets_in(params: Any) -> tuple[str, ...]:
    """Return the secrets in parameters in every form in which they are sent, the longest first."""
    plain = {text for text in _found(params) if len(text) >= SHORTEST}
    forms = {form for text in plain for form in (text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1])}
    return tuple(sorted(forms, key=len, reverse=True))


def without_secrets(value: Any, secrets: tuple[str, ...]) -> Any:
    """Return a value in which `…` stands for every secret, and for the beginning of one where a text was cut off."""
    if isinstance(value, str):
        for secret in secrets:
            *cut, rest = value.replace(secret, "…").split("…")
            value = "…".join([*(_without_beginning(part, secret) for part in cut), rest])
        return value
    if isinstance(value, dict):
        return {without_secrets(name, secrets): without_secrets(item, secrets) for name, item in value.items()}
    return [without_secrets(item, secrets) for item in value] if isinstance(value, list) else value


def _without_beginning(text: str, secret: str) -> str:
    """Return text without the beginning of a secret at its end, of four characters or more."""
    start = text.rfind(secret[:4])
    return text[:start] if start >= 0 and secret.startswith(text[start:]) else text


def _found(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode("utf-8", "replace")
    elif isinstance(value, BaseModel):
        user, password = value.__dict__.get("username"), value.__dict__.get("password")
        if isinstance(user, str) and isinstance(password, SecretStr):  # as RFC 7617 sends them
            yield base64.b64encode(f"{user}:{password.get_secret_value()}".encode()).decode("ascii")
        yield from _all(value.__dict__.get(name) for name in value.model_fields_set - NO_SECRETS)
    elif isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, str) and isinstance(name, str) and _SECRET_NAME.search(name):
                yield item.rpartition(" ")[2]  # what stands behind `Bearer` and the like
            else:
                yield from _found(item)
    elif isinstance(value, list | tuple):
        yield from _all(value)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _all(getattr(value, field.name) for field in fields(value))


def _all(values: Any) -> Iterator[str]:
    for value in values:
        if value is not None and not isinstance(value, _PLAIN):
            yield from _found(value)
