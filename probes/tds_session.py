"""One session with a SQL Server over a stream: PRELOGIN, TLS within it or before it, LOGIN7, and batches."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Final

from probes import tds_wire as wire
from probes.database_url import DatabaseUrl, UrlForm
from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.resolver import ascii_name
from probes.tcp_stream import HANDSHAKE_LIMIT_BYTES, TcpStream
from probes.tds_tokens import ROWS_LIMIT, Answer, ServerError, read_answer
from probes.tls import TlsSession, Trust, context_for, explain

FORM = UrlForm(
    "sqlserver",
    1433,
    {
        "encrypt": ("yes", "no", "strict"),
        "trustServerCertificate": ("yes", "no"),
        "hostNameInCertificate": (),
        "caFile": (),
        "applicationIntent": ("ReadOnly", "ReadWrite"),
        "appName": (),
    },
)

LOGIN_LIMIT_BYTES = 64 * 1024
RESULT_LIMIT_BYTES = 1024 * 1024

SERVER_TIME_RATIO: Final = 0.95
"""Share of the time left that the server may wait for a lock: it gives up by itself before we hang up."""

LOGIN_REFUSED = frozenset({18450, 18451, 18452, 18456, 18461, 18470, 18486, 18487, 18488, 18458, 18459})
"""Errors that mean that this login is not let in (sys.messages): wrong, disabled, locked, expired."""

LOCK_TIMEOUT = 1222

NOT_ALLOWED = frozenset({208, 229, 230, 262, 297, 300, 371, 916, 4060})
"""Errors that mean that a login may not see something, or that this version does not have it."""


@dataclass(slots=True)
class Session:
    """A session, from the first byte on.

    Attributes:
        stream: connected.
        url: how to log in.
        ctx: of the run.

    """

    stream: TcpStream
    url: DatabaseUrl
    ctx: Context
    _reader: wire.Reader = field(default_factory=lambda: wire.Reader(LOGIN_LIMIT_BYTES))
    _is_busy: bool = False

    async def start_tls(self) -> None:
        """Settle encryption, in the phases `tls` and `prelogin`. Raises TroubleError, OSError."""
        encrypt = self.url.option("encrypt", "yes")
        if encrypt == "strict":  # TDS 8.0: TLS before anything else
            self.ctx.phases.begin("tls")
            await self.stream.start_tls(self._context("tds/8.0"), self._server_name)
        self.ctx.phases.begin("prelogin")
        await self.stream.send(wire.prelogin(wire.ENCRYPT_ON if encrypt == "yes" else wire.ENCRYPT_NOT_SUP))
        answer = wire.read_prelogin(await self._receive())
        if encrypt == "yes":
            if answer not in (wire.ENCRYPT_ON, wire.ENCRYPT_REQ):
                raise TroubleError(Failure.TLS_REQUIRED, "the server speaks no TLS, and encrypt is yes")
            self.ctx.phases.begin("tls")
            await self._shake_hands()
        elif encrypt == "no" and answer == wire.ENCRYPT_REQ:
            raise TroubleError(Failure.TLS_REQUIRED, "the server insists on TLS, and encrypt is no")

    async def login(self) -> None:
        """Log in, in the phase `login`. Raises TroubleError."""
        self.ctx.phases.begin("login")
        self._reader.left = LOGIN_LIMIT_BYTES
        await self.stream.send(
            wire.login7(
                wire.Login(
                    self.url.user,
                    self.url.password,
                    self.url.database,
                    self.url.address.host,
                    self.url.option("appName", "thongsuot")[:128],
                    self.url.option("applicationIntent") == "ReadOnly",
                )
            )
        )
        answer = read_answer(await self._receive())
        if answer.error is not None and not answer.is_login:
            raise self._trouble(answer.error)
        if not answer.is_login:
            raise TroubleError(Failure.PROTOCOL, "the server neither lets us in nor says why not")
        if answer.routed_to:
            message = f"the server sends us to {answer.routed_to}: write the check for that, or drop applicationIntent"
            raise TroubleError(Failure.QUERY_FAILED, message)

    async def begin(self) -> None:
        """Bound what the statements of a run may do: nothing that they change is ever committed. Raises TroubleError.

        There is no time limit for statements on this server, only for locks; one that is cut off is told to stop.
        """
        left_s = self.ctx.deadline - asyncio.get_running_loop().time()
        await self.fetch(
            "SET NOCOUNT ON; SET DEADLOCK_PRIORITY LOW; SET IMPLICIT_TRANSACTIONS ON; "
            f"SET LOCK_TIMEOUT {max(1, int(left_s * SERVER_TIME_RATIO * 1000))}; SET ROWCOUNT {ROWS_LIMIT + 1}"
        )

    async def end(self) -> None:
        """Undo what the statements may have changed. Raises TroubleError."""
        await self.fetch("IF @@TRANCOUNT > 0 ROLLBACK")

    async def fetch(self, sql: str) -> Answer:
        """Run a batch and return what it gave. Raises TroubleError with the server's words for one that failed."""
        answer = await self.ask(sql)
        if answer.error is not None:
            raise self._trouble(answer.error)
        return answer

    async def ask(self, sql: str) -> Answer:
        """Run a batch and return what it gave, an error too."""
        self._reader.left = RESULT_LIMIT_BYTES
        self._is_busy = True
        await self.stream.send(wire.batch(sql))
        answer = read_answer(await self._receive())
        self._is_busy = False
        return answer

    def is_idle(self) -> bool:
        """Say whether the server has neither ended the session nor said anything unasked."""
        return self.stream.is_quiet()

    def close(self) -> None:
        """Close; a statement that still runs is told to stop (section 2.2.1.7: an attention)."""
        self.stream.close(wire.packets(wire.ATTENTION, b"") if self._is_busy else b"")

    async def _receive(self) -> bytes:
        while (message := self._reader.next()) is None:
            came = await self.stream.receive()
            if not came:
                where = self.ctx.phases.current
                raise TroubleError(Failure.CONNECTION_CLOSED, f"the server closed the connection in {where}")
            self._reader.feed(came)
        return message

    async def _shake_hands(self) -> None:
        """Do the TLS handshake inside of PRELOGIN messages (section 2.2.6.5; TLS 1.2 at most there)."""
        session, data, left = TlsSession(self._context(), self._server_name), b"", HANDSHAKE_LIMIT_BYTES
        try:
            while not session.handshake(data):
                await self.stream.send(wire.packets(wire.PRELOGIN, session.outgoing()))
                self._reader.left = left
                data = await self._receive_handshake()
                left -= len(data)
                if left < 0:
                    raise TroubleError(Failure.TLS_HANDSHAKE, f"the handshake has more than {HANDSHAKE_LIMIT_BYTES} B")
        except ssl.SSLError as error:
            self.stream.chain = session.chain()
            raise explain(error, session) from None
        self.stream.chain = session.chain()
        last = session.outgoing()
        if last:
            await self.stream.send(wire.packets(wire.PRELOGIN, last))
        self.stream.tls = session

    async def _receive_handshake(self) -> bytes:
        self._reader.kind = wire.PRELOGIN
        try:
            return await self._receive()
        finally:
            self._reader.kind = wire.ANSWER

    def _trouble(self, error: ServerError) -> TroubleError:
        failure = Failure.QUERY_FAILED
        if self.ctx.phases.current == "login" and error.number in LOGIN_REFUSED:
            failure = Failure.AUTH_REJECTED
        elif error.number == LOCK_TIMEOUT:
            failure = Failure.TIMEOUT
        return TroubleError(failure, f"{error.number}: {self.url.without_password(error.message)}")

    @property
    def _server_name(self) -> str:
        return ascii_name(self.url.option("hostNameInCertificate") or self.url.address.host)

    def _context(self, *alpn: str) -> ssl.SSLContext:
        verify = self.url.option("trustServerCertificate") != "yes"
        return context_for(Trust(verify, self.url.option("caFile"), alpn), self.ctx)
