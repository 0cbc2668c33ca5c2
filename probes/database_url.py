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

from pydantic import SecretStr

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

    """

    scheme: str
    port: int
    options: Mapping[str, tuple[str, ...]]
    needs_user: bool = True

    @property
    def example(self) -> str:
        """What one looks like, for messages and schemas."""
        return f"{self.scheme}://user:${{env:NAME}}@host:{self.port}/database"


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
    prefix = f"{form.scheme}://"
    if not text.startswith(prefix):
        message = f"the address begins with {prefix}, as in {form.example}"
        raise ValueError(message)
    if "\0" in text or len(text) > TEXT_LIMIT:
        raise ValueError("the address is too long, or has a NUL in it")
    login, at, rest = text.removeprefix(prefix).rpartition("@")
    user, _, secret = login.partition(":")
    if (form.needs_user or at) and not user:
        message = f"the address names its user, as in {form.example}"
        raise ValueError(message)
    place, _, query = rest.partition("?")
    host, _, database = place.partition("/")
    if not host or "," in host:
        raise ValueError("the address names one host: to watch several servers, write a check for each")
    try:
        address = parse_address(unquote(host), form.port)
    except ValueError:
        raise ValueError("the host is not host or host:port (an IPv6 address stands in brackets)") from None
    return DatabaseUrl(
        form.scheme, address, unquote(user), SecretStr(unquote(secret)), unquote(database), _options(query, form)
    )


def parsed(form: UrlForm) -> Any:
    """Return a validator that parses text of that form, for pydantic's BeforeValidator."""

    def validate(value: Any) -> Any:
        return parse_url(value, form) if isinstance(value, str) else value

    return validate


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
