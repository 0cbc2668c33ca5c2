"""Secrets are only ever references: `${env:NAME}` and `${file:path}`, anywhere in a text.

`$${` stands for a plain `${`. What a reference gives is used as it is; it is never looked at for references again.
The text that holds it becomes a `SecretText`, whose repr is the text as configured, so that no message, log or
traceback that quotes it by repr can show what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from config.errors import Problems, shown
from config.files import read_bytes
from config.located import Map, Place, Seq

FILE_LIMIT_BYTES = 64 << 10
_REFERENCE = re.compile(r"\$(\$)?\{([a-zA-Z]+):([^{}]*)\}")
_SECRET_NAME = re.compile(
    r"(?:.*[_-])?(?:password|passwd|passphrase|secret|token|bearer|authorization|cookie|credentials?"
    r"|(?:api|secret|private|access)[_-]?key|apikey)\Z",
    re.IGNORECASE,
)
_NOT_SECRET_NAME = re.compile(r".*(?:_file|_url|_path)\Z")
_USERINFO = re.compile(r"(?<![a-zA-Z0-9+.-])[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s:@]*:([^/?#\s@]+)@")
_KEYWORD = re.compile(r"(?:\b|[?&])(?:password|passwd|pwd)\s*=\s*([^\s;&]+)", re.IGNORECASE)
_WHERE_ALLOWED = "references stand in parameters of checks, options of receivers and settings.store"
_ENVIRONMENT_LIKE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?\Z")


class SecretText(str):
    """A text with a secret in it; its repr is the text as configured."""

    configured: str

    def __repr__(self) -> str:
        return repr(self.configured)


class Secrets:
    """Resolves references, and finds secrets that are written in clear."""

    def __init__(self, directory: Path, environ: Mapping[str, str], problems: Problems) -> None:
        self.directory = directory
        self._environ = environ
        self._problems = problems
        self._known: dict[tuple[str, str], str | tuple[str, str]] = {}

    def fill(self, container: Map, path: str, secret_names: frozenset[str], only: Collection[str]) -> Map:
        """Return the mapping with its references filled in; itself where it has none.

        `secret_names` are keys whose text must be a reference, beside those that are known by their name; `only`
        are the keys that references may stand under: elsewhere, one is noted as a mistake.
        """
        self._refuse_clear(container, [key for key in container if key in only], path, secret_names)
        if not container.marked:
            return container
        self.refuse_references(container, path, only)
        return self._filled(container, path, only)  # type: ignore[no-any-return]

    def refuse_references(self, container: Any, path: str, allowed: Collection[str] = ()) -> None:
        """Note every reference that stands where none is filled in."""
        if not container.marked:
            return
        for key in range(len(container)) if type(container) is Seq else container:
            value = container[key]
            if key in allowed:
                continue
            if type(value) is str and "${" in value and _REFERENCE.search(value):
                place, at = container.place_of(key), step(path, key)
                self._problems.add(place, f"a reference has no meaning here: {shown(value)}", _WHERE_ALLOWED, at)
            elif type(value) in (Map, Seq):
                self.refuse_references(value, step(path, key))

    def _filled(self, container: Any, path: str, only: Collection[str] = ()) -> Any:
        keys: Any = range(len(container)) if type(container) is Seq else [k for k in container if not only or k in only]
        copy = container.copied(container.source)
        for key in keys:
            value = container[key]
            if type(value) is str and "${" in value:
                copy[key] = self.expand(value, container.place_of(key), step(path, key))
            elif type(value) in (Map, Seq) and value.marked:
                copy[key] = self._filled(value, step(path, key))
        return copy

    def expand(self, text: str, place: Place, path: str) -> str:
        """Return the text with its references replaced; what cannot be is noted and stays."""
        found_any = False

        def replaced(reference: re.Match[str]) -> str:
            nonlocal found_any
            if reference[1]:
                return reference[0][1:]
            found_any = True
            answer = self._resolve(reference[2], reference[3])
            if isinstance(answer, str):
                return answer
            self._problems.add(place, *answer, path)
            return reference[0]

        filled = _REFERENCE.sub(replaced, text)
        if not found_any:
            return filled
        secret = SecretText(filled)
        secret.configured = text
        return secret

    def _resolve(self, kind: str, name: str) -> str | tuple[str, str]:
        """Return the secret, or a message and a suggestion."""
        key = (kind, name)
        if key not in self._known:
            found = self._look_up(kind, name)
            if isinstance(found, str):
                self._problems.secrets.add(found)
            self._known[key] = found
        return self._known[key]

    def _look_up(self, kind: str, name: str) -> str | tuple[str, str]:
        if kind == "env":
            return self._from_environment(name)
        if kind == "file":
            return self._from_file(name)
        return f"there is no kind of reference {kind!r}", "write ${env:NAME} or ${file:path}"

    def _from_environment(self, name: str) -> str | tuple[str, str]:
        value = self._environ.get(name, "")
        if not value:
            hint = self._problems.did_you_mean(name, list(self._environ))
            state = "empty" if name in self._environ else "not set"
            return f"the environment variable {name!r} is {state}", hint if state == "not set" else ""
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            return f"the environment variable {name!r} is not UTF-8", ""
        return value

    def _from_file(self, name: str) -> str | tuple[str, str]:
        if "\0" in name:
            return "the path of a secret's file holds a NUL character", ""
        try:
            value = read_bytes(self.directory / name, FILE_LIMIT_BYTES).decode()
        except UnicodeDecodeError:
            return f"the secret's file {name!r} is not UTF-8", ""
        except ValueError as error:
            return f"the secret's file {name!r} is not usable: {error}", ""
        value = value.removesuffix("\n").removesuffix("\r")
        return value or (f"the secret's file {name!r} is empty", "")

    def _refuse_clear(self, container: Any, keys: Any, path: str, secret_names: frozenset[str]) -> None:
        for key in keys:
            value = container[key]
            kind = type(value)
            if kind is str:
                if "@" in value or "=" in value or key in secret_names or _names_a_secret(key):
                    self.refuse_clear_text(key, value, container.place_of(key), step(path, key), secret_names)
            elif kind is Map:
                if key != "extract":  # its values are expressions, whatever they are called
                    self._refuse_clear(value, value, step(path, key), secret_names)
            elif kind is Seq:
                self._refuse_clear(value, range(len(value)), step(path, key), secret_names)
            elif kind in (int, float) and (key in secret_names or _names_a_secret(key)):
                self._refuse(container.place_of(key), str(key), "", step(path, key))

    def refuse_clear_text(
        self, key: object, value: str, place: Place, path: str, secret_names: frozenset[str] = frozenset()
    ) -> None:
        """Note a secret that is written in clear: by its key's name, in a URL, or as `password=`."""
        if key in secret_names or _names_a_secret(key):
            # `{{name}}` stands for what an earlier answer gave: nothing that is written here.
            if value and not _REFERENCE.search(value) and "{{" not in value:
                self._refuse(place, str(key), value, path)
            return
        for pattern, mark in ((_USERINFO, "@"), (_KEYWORD, "=")):
            if mark in value:
                found = pattern.search(value)
                if found and "${" not in found[1] and "{{" not in found[1]:
                    self._refuse(place, str(key), "", path)
                    return

    def _refuse(self, place: Place, key: str, value: str, path: str) -> None:
        like = _ENVIRONMENT_LIKE.match(value)
        name = like[1] if like else re.sub(r"\W", "_", key).upper()
        message = f"{key!r} holds a secret in clear"
        self._problems.add(place, message, f"put it elsewhere and write ${{env:{name}}} or ${{file:path}}", path)


def holds_secret(value: Any) -> bool:
    """Say whether a value has a secret anywhere in it."""
    if isinstance(value, dict):
        return any(map(holds_secret, value.values()))
    if isinstance(value, list):
        return any(map(holds_secret, value))
    return isinstance(value, SecretText)


def step(path: str, key: object) -> str:
    """Return the path of a member."""
    return f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else str(key)


@lru_cache(maxsize=4096)
def _names_a_secret(key: object) -> bool:
    return isinstance(key, str) and _SECRET_NAME.match(key) is not None and _NOT_SECRET_NAME.match(key.lower()) is None


def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of the fields, however deep, that a model declares as secrets."""
    return _secret_fields(model)


@cache
def _secret_fields(model: Any) -> frozenset[str]:
    names: set[str] = set()
    for name, info in model.model_fields.items():
        for part in _parts(info.annotation):
            if part in (SecretStr, SecretBytes):
                names.add(info.alias or name)
            elif isinstance(part, type) and issubclass(part, BaseModel) and part is not model:
                names |= secret_fields(part)
    return frozenset(names)


def _parts(annotation: Any) -> list[Any]:
    arguments = [part for argument in getattr(annotation, "__args__", ()) for part in _parts(argument)]
    return [annotation, *arguments]
