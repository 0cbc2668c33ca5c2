"""Where a PostgreSQL server is and how to log in: `postgresql://user:password@host:port/database?sslmode=…`.

The form is libpq's connection URI (PostgreSQL documentation, section 34.1.1.2), with one kindness: a password that
stands in it as it is, put there by a secret reference, may hold `@`, `/`, `?`, `#` and `:`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qsl, unquote

from pydantic import BeforeValidator, PlainSerializer, SecretStr, WithJsonSchema

from probes.tcp_address import HostPort, parse_address
from probes.tls import Trust

PORT = 5432
SCHEMES: Mapping[str, tuple[str, ...]] = {
    "postgresql": ("postgresql://", "postgres://"),
    "mysql": ("mysql://", "mariadb://"),
}
"""How an address of each engine may begin; the kind `mysql` writes its addresses in the same form."""
OPTIONS = ("sslmode", "sslrootcert", "application_name")

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


@dataclass(frozen=True, slots=True)
class Dsn:
    """A parsed address. Shown without its password.

    Attributes:
        address: host and port.
        user, password: how to log in; the password may be empty.
        database: which database.
        sslmode: as libpq has it; `allow` does as `prefer` does: TLS if the server has it.
        sslrootcert: PEM file of the only trusted authorities; "" for the system's.
        application_name: shown in pg_stat_activity.
        engine: whose address it is.

    """

    address: HostPort
    user: str
    password: SecretStr
    database: str
    sslmode: SslMode = "prefer"
    sslrootcert: str = ""
    application_name: str = "thongsuot"
    engine: str = "postgresql"

    def __str__(self) -> str:
        secret = ":***" if self.password.get_secret_value() else ""
        return f"{self.engine}://{self.user}{secret}@{self.address}/{self.database}?sslmode={self.sslmode}"

    def __repr__(self) -> str:
        return f"Dsn({str(self)!r})"

    @property
    def requires_tls(self) -> bool:
        """Whether a server without TLS is turned down."""
        return self.sslmode in ("require", "verify-ca", "verify-full")

    @property
    def trust(self) -> Trust:
        """Whom to trust under TLS; `require` verifies only where authorities are named, as in libpq."""
        verify = self.sslmode in ("verify-ca", "verify-full") or bool(self.requires_tls and self.sslrootcert)
        return Trust(verify=verify, ca_file=self.sslrootcert, check_name=self.sslmode == "verify-full")


def parse_dsn(text: str, engine: str = "postgresql", port: int = PORT) -> Dsn:
    """Return the parsed address.

    Raises ValueError that says what is wrong and never repeats the text: there may be a secret in it.
    """
    scheme = next((scheme for scheme in SCHEMES[engine] if text.startswith(scheme)), None)
    if scheme is None:
        message = f"a dsn begins with {engine}://, as in {engine}://user:${{env:NAME}}@host:{port}/database"
        raise ValueError(message)
    if "\0" in text:
        raise ValueError("a dsn has no NUL in it")
    login, at, rest = text.removeprefix(scheme).rpartition("@")
    user, _, secret = login.partition(":")
    if not at or not user:
        message = f"a dsn names its user, as in {engine}://user:${{env:NAME}}@host:{port}/database"
        raise ValueError(message)
    place, _, query = rest.partition("?")
    host, _, database = place.partition("/")
    if not host:
        raise ValueError("a dsn names its host: sockets of the file system are not for watching from afar")
    try:
        address = parse_address(unquote(host), port)
    except ValueError:
        raise ValueError("the dsn's host is not host or host:port (an IPv6 address stands in brackets)") from None
    name = unquote(user)
    default = name if engine == "postgresql" else ""
    return Dsn(
        address, name, SecretStr(unquote(secret)), unquote(database) or default, engine=engine, **_options(query)
    )


def _options(query: str) -> dict[str, Any]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(OPTIONS)}"
            message = f"the dsn's option {name[:40]!r} is unknown; {hint}"
            raise ValueError(message)
    if options.get("sslmode", "prefer") not in get_args(SslMode):
        message = f"sslmode is one of {', '.join(get_args(SslMode))}"
        raise ValueError(message)
    return options


def _dsn(value: Any) -> Any:
    return parse_dsn(value) if isinstance(value, str) else value


DsnText = Annotated[
    Dsn,
    BeforeValidator(_dsn),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["postgresql://thongsuot:${env:DB_PASSWORD}@10.0.0.5:5432/app"]}),
]
"""A connection URI, parsed."""
