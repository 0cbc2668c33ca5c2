"""One session with a PostgreSQL server over a stream: TLS, login, and single statements in a read-only transaction."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass, field

from probes import postgresql_wire as wire
from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.postgresql_dsn import Dsn
from probes.postgresql_wire import Column, Message
from probes.resolver import ascii_name
from probes.scram import KEY, PLAIN, PLUS, Exchange, KeyStore, end_point_binding
from probes.tcp_stream import TcpStream
from probes.tls import context_for

LOGIN_LIMIT_BYTES = 64 * 1024
RESULT_LIMIT_BYTES = 1024 * 1024
ROWS_LIMIT = 1000

SERVER_TIME_RATIO = 0.95
"""Share of the time left that the server gives a statement: it stops by itself before we hang up."""

_QUERY_CANCELED = "57014"
_PARAMETERS = ("server_version", "in_hot_standby")


@dataclass(slots=True)
class Result:
    """What a statement gave.

    Attributes:
        columns: of the rows, empty for a statement without any.
        first: values of the first row as text, None for NULL; None when there is no row.
        rows: how many rows came.

    """

    columns: tuple[Column, ...] = ()
    first: tuple[bytes | None, ...] | None = None
    rows: int = 0


@dataclass(slots=True)
class Session:
    """A session, from the first byte on.

    Attributes:
        stream: connected.
        dsn: how to log in.
        ctx: of the run.
        parameters: what the server reported of itself.

    """

    stream: TcpStream
    dsn: Dsn
    ctx: Context
    parameters: dict[str, str] = field(default_factory=dict)
    _reader: wire.Reader = field(default_factory=lambda: wire.Reader(LOGIN_LIMIT_BYTES))
    _server_limit_ms: int = 0
    _logged_in: bool = False
    _may_go_on: bool = False

    async def start_tls(self) -> None:
        """Ask for TLS if the dsn wants it, in the phase `tls` (documentation, section 55.2.10).

        Raises TroubleError, `tls_required` when the server has none and the dsn insists.
        """
        if self.dsn.sslmode == "disable":
            return
        self.ctx.phases.begin("tls")
        await self.stream.send(wire.SSL_REQUEST)
        reply = await self.stream.receive()
        if reply == b"S":
            context = context_for(self.dsn.trust, self.ctx)
            await self.stream.start_tls(context, ascii_name(self.dsn.address.host))
        elif reply == b"N":
            if self.dsn.requires_tls:
                message = f"the server speaks no TLS, and sslmode is {self.dsn.sslmode}"
                raise TroubleError(Failure.TLS_REQUIRED, message)
        elif not reply:
            raise TroubleError(Failure.CONNECTION_CLOSED, "the server closed the connection in tls")
        elif reply[:1] == b"E":
            self._reader.feed(reply)
            await self._next()
        else:
            # More than one byte before TLS is what somebody in between has put there (CVE-2021-23222).
            raise TroubleError(Failure.PROTOCOL, f"this is not PostgreSQL: '{wire.printable(reply, 40)}'")

    async def login(self) -> None:
        """Log in, in the phase `login`, until the server is ready for a query.

        Raises TroubleError.
        """
        self.ctx.phases.begin("login")
        self._reader.left = LOGIN_LIMIT_BYTES
        about = {
            "user": self.dsn.user,
            "database": self.dsn.database,
            "application_name": self.dsn.application_name,
            "client_encoding": "UTF8",
        }
        await self.stream.send(wire.startup(about))
        authenticated = False
        while True:
            message = await self._next()
            if message.kind == b"R":
                authenticated = await self._authenticate(message.body)
            elif message.kind == b"Z" and authenticated:
                self._logged_in = True
                return
            elif message.kind != b"K" or not authenticated:  # BackendKeyData: for cancelling, which a time limit does
                raise _unexpected(message)

    def opening(self, *, again: bool = False) -> bytes:
        """Return the statements that open the transaction; send them ahead of the first one.

        They hold for the transaction alone, so that a pooler (PgBouncer) may stand between. With `again`, the
        transaction that there is, spoilt by a statement that failed, is given up first.
        """
        left_s = self.ctx.deadline - asyncio.get_running_loop().time()
        self._server_limit_ms = max(1, int(left_s * SERVER_TIME_RATIO * 1000))
        begin = "ROLLBACK; BEGIN" if again else "BEGIN"
        return wire.simple_query(
            f"{begin} READ ONLY; SET LOCAL statement_timeout = {self._server_limit_ms}; SET LOCAL datestyle = ISO"
        )

    async def fetch(self, sql: str, arguments: tuple[str, ...] = (), *, opening: bytes = b"") -> Result:
        """Run one statement, after `opening` in the same round trip, and return what it gave.

        Raises TroubleError: `query_failed` with the server's words, `body_too_large` for more rows than ROWS_LIMIT
        or more bytes than RESULT_LIMIT_BYTES.
        """
        self._reader.left = RESULT_LIMIT_BYTES
        await self.stream.send(opening + wire.statement(sql, arguments, ROWS_LIMIT + 1))
        if opening:
            while (await self._next()).kind != b"Z":
                pass
        result = Result()
        try:
            while (message := await self._next()).kind != b"Z":
                _take(message, result)
        except TroubleError as error:
            self._may_go_on = error.failure is Failure.QUERY_FAILED
            raise
        return result

    async def recover(self) -> bool:
        """Make the session fit for another statement after one that the server did not run; False when it cannot.

        The next statement needs `opening(again=True)`. Raises TroubleError.
        """
        if not self._may_go_on:
            return False
        self._reader.left = RESULT_LIMIT_BYTES
        while (await self._next()).kind != b"Z":
            pass
        self._may_go_on = False
        return True

    async def end(self) -> None:
        """End the transaction: a session that is kept must not hold its locks. Raises TroubleError."""
        self._reader.left = RESULT_LIMIT_BYTES
        await self.stream.send(wire.simple_query("ROLLBACK"))
        while (await self._next()).kind != b"Z":
            pass

    def is_idle(self) -> bool:
        """Say whether the session is fit for the next run."""
        return self.stream.is_quiet() and self._reader.is_empty()

    def close(self) -> None:
        """Say farewell, where there is a session to end, and close."""
        self.stream.close(wire.TERMINATE if self._logged_in else b"")

    async def _next(self) -> Message:
        """Return the next message that is about what was asked.

        Raises TroubleError when it is an error, or the server hung up.
        """
        while True:
            message = self._reader.next()
            if message is None:
                came = await self.stream.receive()
                if not came:
                    where = self.ctx.phases.current
                    raise TroubleError(Failure.CONNECTION_CLOSED, f"the server closed the connection in {where}")
                self._reader.feed(came)
            elif message.kind == b"E":
                raise self._server_error(message.body)
            elif message.kind == b"S":
                self._note_parameter(message.body)
            elif message.kind not in b"NA":  # notices and notifications
                return message

    def _note_parameter(self, body: bytes) -> None:
        name, *value = wire.read_strings(body)[:2] or [""]
        if name in _PARAMETERS and value:
            self.parameters[name] = value[0][:100]

    def _server_error(self, body: bytes) -> TroubleError:
        error = wire.read_error(body)
        phase = self.ctx.phases.current
        secret = self.dsn.password.get_secret_value()
        text = error.message.replace(secret, "***") if secret else error.message
        failure = Failure.QUERY_FAILED
        if phase == "login" and error.sqlstate.startswith("28"):  # invalid_authorization_specification and below
            failure = Failure.AUTH_REJECTED
        elif error.sqlstate.startswith("08"):  # connection_exception: protocol_violation among them
            failure = Failure.PROTOCOL
        elif error.sqlstate == _QUERY_CANCELED and self._is_out_of_time():
            failure = Failure.TIMEOUT
            text = f"the server stopped the statement after {self._server_limit_ms} ms in {phase}"
        return TroubleError(failure, f"{error.sqlstate}: {text}")

    def _is_out_of_time(self) -> bool:
        left_s = self.ctx.deadline - asyncio.get_running_loop().time()
        return self._server_limit_ms > 0 and left_s < (1 - SERVER_TIME_RATIO) * self.ctx.timeout_s + 0.01

    async def _authenticate(self, body: bytes) -> bool:
        """Answer an authentication request (documentation, section 55.2.1); say whether we are let in."""
        request, data = int.from_bytes(body[:4], "big"), body[4:]
        if len(body) < 4:
            raise TroubleError(Failure.PROTOCOL, "the server's authentication request is not one")
        if request == 0:
            return True
        if request == 10:
            await self._scram(wire.read_strings(data))
        elif request == 5 and len(data) == 4:
            await self.stream.send(wire.password(b"md5" + self._md5(data) + b"\0"))
        elif request == 3:
            await self._send_password()
        else:
            raise TroubleError(Failure.PROTOCOL, f"the server asks for an authentication that is not known: {request}")
        return False

    async def _send_password(self) -> None:
        if self.stream.tls is None or not self.dsn.trust.verify:
            message = (
                "the server asks for the password itself, which only a verified server is given: sslmode=verify-full"
            )
            raise TroubleError(Failure.AUTH_REJECTED, message)
        await self.stream.send(wire.password(self._secret() + b"\0"))

    def _md5(self, salt: bytes) -> bytes:
        inner = hashlib.md5(self._secret() + self.dsn.user.encode(), usedforsecurity=False).hexdigest().encode()
        return hashlib.md5(inner + salt, usedforsecurity=False).hexdigest().encode()

    async def _scram(self, offered: list[str]) -> None:
        """Prove that we know the password, and have the server prove it (documentation, section 55.3.1)."""
        self._secret()
        binding = end_point_binding(self.stream.chain[0]) if self.stream.chain and PLUS in offered else None
        if binding is None and PLAIN not in offered:
            known = ", ".join(offered[:4]) or "none"
            raise TroubleError(Failure.PROTOCOL, f"the server offers no way to log in that is known: {known}"[:200])
        # A server that offers PLUS where no binding is defined must not be told that it did not (RFC 5802, section 6).
        can_bind = self.stream.tls is not None and not (binding is None and PLUS in offered)
        exchange = Exchange(binding, tls=can_bind)
        await self.stream.send(wire.sasl_initial(exchange.mechanism, exchange.first()))
        challenge = await self._sasl(11)
        store = self.ctx.resources.get(KEY, KeyStore)
        await self.stream.send(wire.password(await exchange.final(challenge, self.dsn.password, store)))
        exchange.verify(await self._sasl(12))

    async def _sasl(self, expected: int) -> bytes:
        message = await self._next()
        if message.kind != b"R" or int.from_bytes(message.body[:4], "big") != expected:
            raise _unexpected(message)
        return message.body[4:]

    def _secret(self) -> bytes:
        secret = self.dsn.password.get_secret_value()
        if not secret:
            raise TroubleError(Failure.AUTH_REJECTED, "the server asks for a password, and the dsn has none")
        return secret.encode()


def version_number(text: str) -> int | None:
    """Return server_version_num for a server_version: 150018 for `15.18 (Debian)`, 90624 for `9.6.24`."""
    match = re.match(r"(\d{1,3})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?", text)
    if match is None:
        return None
    major, middle, minor = (int(part or 0) for part in match.groups())
    return major * 10_000 + (middle if major >= 10 else middle * 100 + minor)


def _take(message: Message, result: Result) -> None:
    """Add one message of a statement's answer to its result."""
    if message.kind == b"T":
        result.columns = wire.read_columns(message.body)
    elif message.kind == b"D":
        result.rows += 1
        if result.rows > ROWS_LIMIT:
            raise TroubleError(Failure.BODY_TOO_LARGE, f"the query gives more than {ROWS_LIMIT} rows")
        if result.first is None:
            result.first = wire.read_row(message.body)
    elif message.kind in b"GHW":
        raise TroubleError(Failure.QUERY_FAILED, "COPY gives no rows to look at")
    elif message.kind not in b"12nCI":  # parsed, bound, no data, complete, empty
        raise _unexpected(message)


def _unexpected(message: Message) -> TroubleError:
    kind = message.kind.decode("ascii", "replace")
    return TroubleError(Failure.PROTOCOL, f"the server sent a message {kind!r} where none such belongs")
