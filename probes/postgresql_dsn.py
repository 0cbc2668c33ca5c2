"""Where a PostgreSQL or MySQL server is and how to log in: `postgresql://user:password@host:port/database?sslmode=…`.

The form is libpq's connection URI (PostgreSQL documentation, section 34.1.1.2); the kind `mysql` writes its addresses
alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, cast, get_args

from pydantic import SecretStr

from probes.database_url import UrlForm, parse_url
from probes.tcp_address import HostPort
from probes.tls import Trust

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

_OPTIONS: Mapping[str, tuple[str, ...]] = {"sslmode": get_args(SslMode), "sslrootcert": (), "application_name": ()}


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


class DsnForm(UrlForm):
    """What the address of an engine looks like whose options are libpq's."""

    def read(self, text: str) -> Dsn:
        """Return the parsed address. Raises ValueError as `parse_url` does."""
        url = parse_url(text, self)
        return Dsn(
            url.address,
            url.user,
            url.password,
            url.database or (url.user if self.scheme == "postgresql" else ""),
            cast(SslMode, url.option("sslmode", "prefer")),
            url.option("sslrootcert"),
            url.option("application_name", "thongsuot"),
            self.scheme,
        )


POSTGRESQL = DsnForm("postgresql", 5432, _OPTIONS, also=("postgres",))
MYSQL = DsnForm("mysql", 3306, _OPTIONS, also=("mariadb",))

PostgresqlDsn = Annotated[Dsn, POSTGRESQL]
MysqlDsn = Annotated[Dsn, MYSQL]
