"""One session with a MySQL or MariaDB server over a stream: TLS, login, single statements that only read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from probes import mysql_wire as wire
from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.mysql_wire import Column, Packet
from probes.postgresql_dsn import Dsn
from probes.resolver import ascii_name
from probes.tcp_stream import TcpStream
from probes.tls import context_for

LOGIN_LIMIT_BYTES = 64 * 1024
RESULT_LIMIT_BYTES = 1024 * 1024
ROWS_LIMIT = 1000
SERVER_TIME_RATIO = 0.95
"""Share of the time left that the server gives a statement: it stops by itself before we hang up."""

_REJECTED = frozenset({1044, 1045, 1130, 1251, 1524, 1698, 1862, 3118, 4151})
"""Access denied, host not allowed, an authentication that is not known, an expired or locked account."""

_OUT_OF_TIME = frozenset({1969, 3024})
"""MariaDB's and MySQL's error for a statement that took too long."""

LOGIN_STEPS_LIMIT = 8


@dataclass(slots=True)
class Result:
    """What a statement gave.

    Attributes:
        columns: of the rows, empty for a statement without any.
        rows: those of the first ROWS_KEPT rows that were asked for, as text, None for NULL.
        count: how many rows came.

    """

    columns: tuple[Column, ...] = ()
    rows: list[tuple[bytes | None, ...]] = field(default_factory=list)
    count: int = 0

    def row(self, number: int = 0) -> dict[str, Any]:
        """Return a row as column → value; empty where there is none."""
        if number >= len(self.rows):
            return {}
        pairs = zip(self.columns, self.rows[number], strict=True)
        return {column.name: wire.value_of(column, raw) for column, raw in pairs}

    def text(self) -> str | None:
        """Return the first column of the first row as text."""
        raw = self.rows[0][0] if self.rows and self.rows[0] else None
        return None if raw is None else raw.decode("utf-8", "replace")


@dataclass(slots=True)
class Session:
    """A session, from the first byte on.

    Attributes:
        stream: connected.
        dsn: how to log in.
        ctx: of the run that uses it.
        version: what the server calls itself.

    """

    stream: TcpStream
    dsn: Dsn
    ctx: Context
    version: str = ""
    _reader: wire.Reader = field(default_factory=lambda: wire.Reader(LOGIN_LIMIT_BYTES))
    _number: int = 0
    _logged_in: bool = False

    @property
    def is_mariadb(self) -> bool:
        """Whether it is MariaDB, whose words for a few things differ."""
        return "mariadb" in self.version.lower()

    async def login(self) -> None:
        """Read the greeting, speak TLS in the phase `tls` if the dsn wants it, and log in, in the phase `login`.

        Raises TroubleError.
        """
        phases = self.ctx.phases
        phases.begin("login")
        body = await self._body()
        self._refuse_error(body)
        greeting = wire.read_greeting(body)
        self.version = greeting.version
        capabilities = wire.CAPABILITIES | (wire.CONNECT_WITH_DB if self.dsn.database else 0)
        if self.dsn.sslmode != "disable" and greeting.capabilities & wire.SSL:
            capabilities |= wire.SSL
            if not self._reader.is_empty():
                # What comes before TLS was put there by somebody in between.
                raise TroubleError(Failure.PROTOCOL, "the server speaks out of turn before TLS")
            phases.begin("tls")
            await self._send(wire.ssl_request(capabilities))
            context = context_for(self.dsn.trust, self.ctx)
            await self.stream.start_tls(context, ascii_name(self.dsn.address.host))
            phases.begin("login")
        elif self.dsn.requires_tls:
            message = f"the server speaks no TLS, and sslmode is {self.dsn.sslmode}"
            raise TroubleError(Failure.TLS_REQUIRED, message)
        plugin = greeting.plugin if greeting.plugin in (wire.NATIVE, wire.SHA2) else wire.NATIVE
        proof = self._proof(plugin, greeting.nonce)
        await self._send(wire.response(capabilities, self.dsn.user, proof, self.dsn.database, plugin))
        await self._authenticate()
        self._logged_in = True

    async def _authenticate(self) -> None:
        for _ in range(LOGIN_STEPS_LIMIT):
            body = await self._body()
            self._refuse_error(body)
            if body[0] == 0:
                return
            if body[0] == 0xFE:  # another way to log in
                name, _, nonce = body[1:].partition(b"\0")
                await self._send(self._proof(wire.printable(name, 60), nonce.rstrip(b"\0")[:20]) or b"\0")
            elif body == b"\x01\x04":  # caching_sha2_password: the server has not this password in its cache
                await self._send(self._clear())
            elif body != b"\x01\x03":
                raise TroubleError(Failure.PROTOCOL, "the server's step of a login is not one")
        raise TroubleError(Failure.PROTOCOL, f"the server's login has more than {LOGIN_STEPS_LIMIT} steps")

    def _proof(self, plugin: str, nonce: bytes) -> bytes:
        secret = self.dsn.password.get_secret_value().encode()
        if plugin == wire.NATIVE:
            return wire.native_proof(secret, nonce)
        if plugin == wire.SHA2:
            return wire.sha2_proof(secret, nonce)
        if plugin == wire.CLEAR:
            return self._clear()
        raise TroubleError(Failure.AUTH_REJECTED, f"the server asks for an authentication that is not known: {plugin}")

    def _clear(self) -> bytes:
        if self.stream.tls is None or not self.dsn.trust.verify:
            message = (
                "the server asks for the password itself, which only a verified server is given: sslmode=verify-full"
            )
            raise TroubleError(Failure.AUTH_REJECTED, message)
        return self.dsn.password.get_secret_value().encode() + b"\0"

    async def begin(self) -> None:
        """Bound the statements of this run, and open a read-only transaction, in one round trip.

        The session is read only as well: a statement that defines (CREATE, DROP, …) ends the transaction first.
        """
        left_s = self.ctx.deadline - asyncio.get_running_loop().time()
        limit_s = max(0.001, left_s * SERVER_TIME_RATIO)
        mysql = f"max_execution_time = {max(1, int(limit_s * 1000))}"
        limit = f"max_statement_time = {limit_s:.3f}" if self.is_mariadb else mysql
        bounds = f"SET SESSION {limit}, SESSION sql_select_limit = {ROWS_LIMIT + 1}"
        read_only = ("SET SESSION TRANSACTION READ ONLY", "START TRANSACTION READ ONLY")
        for answer in await self.fetch_all((bounds, *read_only)):
            if isinstance(answer, TroubleError):
                raise answer

    async def end(self) -> None:
        """End the transaction: a session that is kept must not hold its view of the data. Raises TroubleError."""
        await self.fetch("ROLLBACK")

    async def fetch(self, sql: str) -> Result:
        """Run one statement and return what it gave.

        Raises TroubleError: `query_failed` with the server's words, `body_too_large` for more rows than ROWS_LIMIT
        or more bytes than RESULT_LIMIT_BYTES.
        """
        (answer,) = await self.fetch_all((sql,))
        if isinstance(answer, TroubleError):
            raise answer
        return answer

    async def fetch_all(self, statements: Sequence[str]) -> list[Result | TroubleError]:
        """Run statements in one round trip; each gives its result, or what the server said against it."""
        self._reader.left = RESULT_LIMIT_BYTES
        await self.stream.send(b"".join(map(wire.command, statements)))
        return [await self._answer() for _ in statements]

    async def _answer(self) -> Result | TroubleError:
        body = await self._body()
        if body[0] == 0xFF:
            return self._error(body)
        result = Result()
        if body[0] == 0:
            return result
        if body[0] == 0xFB:
            raise TroubleError(Failure.PROTOCOL, "the server asks for a file of ours")
        count = wire.read_count(body)
        result.columns = tuple([wire.read_column(await self._body()) for _ in range(count)])
        if not wire.is_end(await self._body()):
            raise TroubleError(Failure.PROTOCOL, "the server's description of rows has no end")
        while not wire.is_end(body := await self._body()):
            if body[0] == 0xFF:
                return self._error(body)
            result.count += 1
            if result.count > ROWS_LIMIT:
                raise TroubleError(Failure.BODY_TOO_LARGE, f"the query gives more than {ROWS_LIMIT} rows")
            result.rows.append(wire.read_row(body, count))
        return result

    def is_idle(self) -> bool:
        """Say whether the session is fit for the next run."""
        return self.stream.is_quiet() and self._reader.is_empty()

    def close(self) -> None:
        """Say farewell, where there is a session to end, and close."""
        self.stream.close(wire.QUIT if self._logged_in else b"")

    async def _send(self, body: bytes) -> None:
        self._number += 1
        await self.stream.send(wire.packet(self._number, body))

    async def _body(self) -> bytes:
        while True:
            packet: Packet | None = self._reader.next()
            if packet is not None:
                self._number = packet.number
                return packet.body
            came = await self.stream.receive()
            if not came:
                where = self.ctx.phases.current
                raise TroubleError(Failure.CONNECTION_CLOSED, f"the server closed the connection in {where}")
            self._reader.feed(came)

    def _refuse_error(self, body: bytes) -> None:
        if body[0] == 0xFF:
            raise self._error(body)

    def _error(self, body: bytes) -> TroubleError:
        number, text = wire.read_error(body)
        secret = self.dsn.password.get_secret_value()
        text = text.replace(secret, "***") if secret else text
        failure = Failure.QUERY_FAILED
        if not self._logged_in and number in _REJECTED:
            failure = Failure.AUTH_REJECTED
        elif number in _OUT_OF_TIME:
            failure = Failure.TIMEOUT
            text = f"{number}: the server stopped the statement in {self.ctx.phases.current}"
        return TroubleError(failure, text)
