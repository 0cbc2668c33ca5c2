"""Where a database is and how to log in: `scheme://user:password@host:port/database?option=value`.

The form that each engine's own tools know, with one kindness: a password that stands in it as it is, put there by a
secret reference, may hold `@`, `/`, `?`, `#` and `:`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

from probes.tcp_address import HostPort, parse_address

TEXT_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class UrlForm:
    """What the address of one kind of database looks like.

    Attributes:
        scheme: before `://`.
        port: when none is named.
        options: name → the values that it may have; none means any text.
        needs_user: whether there is no logging in without a user.
        also: other schemes that mean the same.

    """

    scheme: str
    port: int
    options: Mapping[str, tuple[str, ...]]
    needs_user: bool = True
    also: tuple[str, ...] = ()

    @property
    def example(self) -> str:
        """What one looks like, for messages and schemas."""
        return f"{self.scheme}://user:${{env:NAME}}@host:{self.port}/database"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let `Annotated[DatabaseUrl, form]` be a parameter that is written as text, and shown without its password."""
        return core_schema.no_info_before_validator_function(
            self._parse, handler(source), serialization=core_schema.to_string_ser_schema()
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "examples": [self.example]}

    def read(self, text: str) -> Any:
        """Return what a parameter of this form holds. Raises ValueError as `parse_url` does."""
        return parse_url(text, self)

    def _parse(self, value: Any) -> Any:
        return self.read(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A parsed address. Shown without its password.

    Attributes:
        scheme: of its form.
        address: host and port.
        user, password: how to log in; either may be empty.
        database: which one, "" where none is named.
        options: what was said behind the question mark, as (name, value).

    """

    scheme: str
    address: HostPort
    user: str
    password: SecretStr
    database: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        secret = ":***" if self.password.get_secret_value() else ""
        login = f"{self.user}{secret}@" if self.user else ""
        options = "&".join(f"{name}={value}" for name, value in self.options)
        return f"{self.scheme}://{login}{self.address}/{self.database}{'?' if options else ''}{options}"

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"

    def option(self, name: str, default: str = "") -> str:
        """Return the value of an option."""
        return dict(self.options).get(name, default)

    def without_password(self, text: str) -> str:
        """Return text from the server with the password in it blotted out."""
        secret = self.password.get_secret_value()
        return text.replace(secret, "***") if secret else text


def parse_url(text: str, form: UrlForm) -> DatabaseUrl:
    """Return the parsed address.

    Raises ValueError that says what is wrong and never repeats the text: there may be a secret in it.
    """
    prefix = next((prefix for name in (form.scheme, *form.also) if text.startswith(prefix := f"{name}://")), None)
    if prefix is None:
        message = f"the address begins with {form.scheme}://, as in {form.example}"
        raise ValueError(message)
    if "\0" in text or len(text) > TEXT_LIMIT:
        message = f"the address has at most {TEXT_LIMIT} characters, and no NUL in it"
        raise ValueError(message)
    login, at, rest = text.removeprefix(prefix).rpartition("@")
    user, _, secret = login.partition(":")
    if (form.needs_user or at) and not user:
        message = f"the address names its user, as in {form.example}"
        raise ValueError(message)
    place, _, query = rest.partition("?")
    host, _, database = place.partition("/")
    if not host:
        raise ValueError("the address names its host: sockets of the file system are not for watching from afar")
    if "," in host:
        raise ValueError("the host is not host or host:port: to watch several servers, write a check for each")
    try:
        address = parse_address(unquote(host), form.port)
    except ValueError:
        raise ValueError("the host is not host or host:port (an IPv6 address stands in brackets)") from None
    return DatabaseUrl(
        form.scheme, address, unquote(user), SecretStr(unquote(secret)), unquote(database), _options(query, form)
    )


def _options(query: str, form: UrlForm) -> tuple[tuple[str, str], ...]:
    options = parse_qsl(query, keep_blank_values=True)
    for name, value in options:
        if name not in form.options:
            near = difflib.get_close_matches(name, form.options, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(form.options)}"
            message = f"the option {name[:40]!r} is unknown; {hint}"
            raise ValueError(message)
        if form.options[name] and value not in form.options[name]:
            message = f"the option {name} is one of {', '.join(form.options[name])}"
            raise ValueError(message)
    return tuple(options)
