"""What becomes of another monitor's configuration, and the small parts that all translators share."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import yaml

_SECRET_HEADER = re.compile(r"authorization|token|cookie|api-?key|secret", re.IGNORECASE)
_PLACE = re.compile(r"([^/?#]*)(.*)", re.DOTALL)


class ForeignError(ValueError):
    """The file is not what it should be; the message says why."""


@dataclass(slots=True)
class Translation:
    """Our configuration, and what is missing from it.

    Attributes:
        source: what was read, for the first line.
        document: sections of our configuration.
        left_out: what could not be carried over, one line each.
        secrets: environment variables that secrets are read from now, in order of use.

    """

    source: str
    document: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    _holders: dict[str, tuple[str, str]] = field(default_factory=dict)

    def leave_out(self, where: str, what: str) -> None:
        """Note something that has no counterpart."""
        self.left_out.append(f"{where}: {what}")

    def secret(self, where: str, what: str) -> str:
        """Return the reference that stands in place of a secret; the secret itself is not carried along.

        Two of them never share a variable, however alike their names are: one would be told the other's.
        """
        base = name = re.sub(r"[^A-Z0-9]+", "_", _ascii(f"{where}_{what}").upper()).strip("_") or "SECRET"
        base = name = f"_{name}" if name[0].isdigit() else name  # a shell sets no variable that begins with a digit
        number = 2
        while self._holders.setdefault(name, (where, what)) != (where, what):
            name, number = f"{base}_{number}", number + 1
        return self.variable(name)

    def variable(self, name: str) -> str:
        """Return the reference to an environment variable."""
        if name not in self.secrets:
            self.secrets.append(name)
        return f"${{env:{name}}}"

    def headers(self, where: str, values: Mapping[str, Any]) -> dict[str, str]:
        """Return headers, with references in place of what proves somebody's identity."""
        return {
            str(name): self.secret(where, str(name))
            if _SECRET_HEADER.search(str(name)) and not is_reference(value)
            else str(value)
            for name, value in values.items()
        }

    def one_credential(self, where: str, check: dict[str, Any]) -> None:
        """Leave out a header that one of the check's other parameters makes: two of them would contradict."""
        headers = check.get("headers") or {}
        if any(check.get(key) for key in ("basic_auth", "bearer_token", "oauth2")):
            for name in [name for name in headers if name.lower() == "authorization"]:
                self.leave_out(where, f"the header {name}: it contradicts the other credentials")
                self.secrets[:] = [secret for secret in self.secrets if f"${{env:{secret}}}" not in headers[name]]
                check["headers"] = {key: value for key, value in headers.items() if key != name}

    def without_password(self, where: str, url: str) -> str:
        """Return an address with a reference in place of the password in it."""
        bare, user, has_password = split_user(url)
        if not has_password:
            return url
        scheme, _, rest = bare.partition("://")
        return f"{scheme}://{user}:{self.secret(where, 'password')}@{rest}"

    def as_yaml(self) -> str:
        """Return the configuration as YAML, with what is missing as comments at its top."""
        head = [f"# Translated from {self.source}."]
        if self.secrets:
            head += ["# Secrets were not carried over. Set these in the environment of the monitor:"]
            head += [f"#   {name}" for name in self.secrets]
        if self.left_out:
            head += ["# Not carried over:"]
            head += [f"#   {_one_line(line)}" for line in self.left_out]
        body = ""
        if self.document:
            body = yaml.dump(self.document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
        return "\n".join(head) + "\n" + body


class _Dumper(yaml.SafeDumper):
    """Writes a value out wherever it stands: an alias is no help to whoever reads it."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return a mapping, an empty one for nothing.

    Raises ForeignError for anything else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        message = f"{where} is not a mapping"
        raise ForeignError(message)
    return value


def sequence(value: Any, where: str) -> list[Any]:
    """Return a list, an empty one for nothing; one value is a list of one."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        message = f"{where} is not a list"
        raise ForeignError(message)
    return list(value) if isinstance(value, list | tuple) else [value]


def whole(value: Any, where: str, default: int) -> int:
    """Return a whole number, the default for nothing.

    Raises ForeignError for anything else.
    """
    if value in (None, ""):
        return default
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        message = f"{where} is not a number"
        raise ForeignError(message) from None


def quoted(text: str) -> str:
    """Return a text as a CEL string literal."""
    return json.dumps(text, ensure_ascii=False)


def _ascii(text: str) -> str:
    """Return a text without its diacritics (Unicode, NFKD); đ has none, and becomes d."""
    apart = unicodedata.normalize("NFKD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(c for c in apart if not unicodedata.combining(c))


def is_reference(value: Any) -> bool:
    """Return whether a text is a secret's place already, not the secret."""
    return isinstance(value, str) and "${env:" in value


def split_user(url: str) -> tuple[str, str, bool]:
    """Return an address without user and password, the user as it stands there, and whether there is a password."""
    scheme, sign, rest = url.partition("://")
    place, path = _PLACE.match(rest).groups()  # type: ignore[union-attr]  # it matches any text
    who, _, host = place.rpartition("@")
    user, colon, _ = who.partition(":")
    return f"{scheme}{sign}{host}{path}", user, bool(colon)


def basic_auth_of(url: str, where: str, found: Translation) -> tuple[str, dict[str, Any]]:
    """Return an address without user and password, and the parameter that holds them instead."""
    bare, user, has_password = split_user(url)
    if not has_password:
        return bare, {}
    return bare, {"basic_auth": {"username": unquote(user), "password": found.secret(where, "password")}}


def plain_id(text: str, taken: Mapping[str, Any] | set[str], most: int = 120) -> str:
    """Return an id made of a name: no white space, no slash, none that is taken."""
    base = re.sub(r"[\s/]+", "-", "".join(c for c in text if c.isprintable())).strip("-")[: most - 4] or "unnamed"
    found, number = base, 2
    while found in taken:
        found, number = f"{base}-{number}", number + 1
    return found


def drop_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that say anything: none that is None, "" or empty."""
    return {key: value for key, value in values.items() if value is not None and value not in ("", [], {}, ())}
