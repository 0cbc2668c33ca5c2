"""One session with an Oracle database by python-oracledb in its thin mode, and what its errors mean.

The driver logs in through our own stream (`oracle_guard`), so that connecting and TLS have phases of their own and it
sees nothing that would hang it. It is stopped by cancelling it: its own time-out does not cover the handshake.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

from probes.database_url import DatabaseUrl, UrlForm
from probes.failures import TroubleError, classify, plain_line
from probes.model import Context, Failure
from probes.oracle_guard import Guard
from probes.resolver import Address, ascii_name
from probes.tcp_stream import connect
from probes.tls import Trust, context_for

FORM = UrlForm("oracle", 1521, {"tls": ("yes", "no"), "caFile": (), "verify": ("yes", "no"), "sid": (), "appName": ()})

ROWS_LIMIT = 1000
SERVER_TIME_RATIO = 0.95
"""Share of the time left that one round trip may take (`call_timeout`): then the driver tells the server to stop."""

FAREWELL_S = 0.05
"""How long a session is given to log off; it is cut off then, also when the check has run out of time."""

CODES: Mapping[str, Failure] = MappingProxyType(
    {
        "ORA-01005": Failure.AUTH_REJECTED,  # no password
        "ORA-01017": Failure.AUTH_REJECTED,  # invalid user name or password
        "ORA-01045": Failure.AUTH_REJECTED,  # no CREATE SESSION
        "ORA-28000": Failure.AUTH_REJECTED,  # locked
        "ORA-28001": Failure.AUTH_REJECTED,  # expired
        "ORA-28009": Failure.AUTH_REJECTED,  # as SYSDBA only
        "DPY-4001": Failure.AUTH_REJECTED,  # no credentials
        "ORA-01013": Failure.TIMEOUT,  # cancelled: by our own limit
        "ORA-03136": Failure.TIMEOUT,
        "DPY-4024": Failure.TIMEOUT,  # call_timeout
        "ORA-03113": Failure.CONNECTION_CLOSED,
        "ORA-03114": Failure.CONNECTION_CLOSED,
        "ORA-03135": Failure.CONNECTION_CLOSED,
        "ORA-12537": Failure.CONNECTION_CLOSED,
        "ORA-12547": Failure.CONNECTION_CLOSED,
        "DPY-1001": Failure.CONNECTION_CLOSED,
        "DPY-4011": Failure.CONNECTION_CLOSED,
        "DPY-6006": Failure.TLS_NAME,
        "DPY-3010": Failure.PROTOCOL,  # a server before 12.1
        "DPY-3015": Failure.PROTOCOL,  # a password that is kept in a form that is not spoken
        # The listener refuses: reached, and it speaks, but it does not serve that database.
        "DPY-6000": Failure.QUERY_FAILED,  # any reason
        "DPY-6001": Failure.QUERY_FAILED,  # ORA-12514: no such service
        "DPY-6003": Failure.QUERY_FAILED,  # ORA-12505: no such SID
    }
)
"""Code → failure. Any other ORA is the database's refusal of a statement, any other DPY is not Oracle's protocol."""

NOT_ALLOWED = frozenset({"ORA-00942", "ORA-01031", "ORA-01219", "ORA-02030", "ORA-41900"})
"""No such view to this login, no right to it, or the database is not open."""

_CODE = re.compile(r"\b(?:ORA|DPY)-\d{4,5}\b")

_WHERE = re.compile(r" at host \"[^\"]*\" port \d+")
"""Where the driver was told to go: to our guard."""


@dataclass(slots=True)
class Answer:
    """What a statement gave.

    Attributes:
        names: of the columns.
        rows: at most ROWS_LIMIT.

    """

    names: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    @property
    def first(self) -> tuple[Any, ...]:
        """The first row, empty where there is none."""
        return self.rows[0] if self.rows else ()


class Session:
    """A session that only reads.

    Args:
        connection: of the driver (`oracledb.AsyncConnection`).
        url: how it was logged in.
        ctx: of the run.
        guard: between it and the server.

    """

    def __init__(self, connection: Any, url: DatabaseUrl, ctx: Context, guard: Guard | None = None) -> None:
        self._guard = guard
        self._connection = connection
        self._url = url
        self._ctx = ctx

    @property
    def version(self) -> str:
        """The database's version."""
        return plain_line(str(self._connection.version), 40)

    async def begin(self) -> None:
        """Begin a transaction that cannot write. Raises TroubleError."""
        await self._execute("SET TRANSACTION READ ONLY", rows=False)

    async def fetch(self, sql: str) -> Answer:
        """Run one statement and return what it gave. Raises TroubleError."""
        return await self._execute(sql, rows=True)

    async def _execute(self, sql: str, *, rows: bool) -> Answer:
        left_s = self._ctx.deadline - asyncio.get_running_loop().time()
        self._connection.call_timeout = max(1, int(left_s * SERVER_TIME_RATIO * 1000))
        try:
            with self._connection.cursor() as cursor:
                cursor.arraysize = cursor.prefetchrows = 2
                await cursor.execute(sql)
                if not rows or cursor.description is None:
                    return Answer((), ())
                found = await cursor.fetchmany(ROWS_LIMIT + 1)
                names = tuple(plain_line(str(column[0]), 128) for column in cursor.description)
        except driver().Error as error:
            raise self._trouble(error) from None
        if len(found) > ROWS_LIMIT:
            raise TroubleError(Failure.BODY_TOO_LARGE, f"the query gives more than {ROWS_LIMIT} rows")
        return Answer(names, found)

    def _trouble(self, error: Exception) -> Exception:
        if self._guard is not None and self._guard.trouble is not None:
            return self._guard.trouble
        return trouble_of(error, self._ctx.phases.current, self._url)

    async def close(self) -> None:
        """Log off, if the server takes that at once. Raises nothing of the network's."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._connection.close()
        except (driver().Error, OSError):
            return
        finally:
            if self._guard is not None:
                await self._guard.close()


def driver() -> ModuleType:
    """Return the driver, imported when it is first used.

    Raises TroubleError (`internal`: we cannot measure) when it is not installed.
    """
    try:
        import oracledb  # noqa: PLC0415 - an optional part, and 0.1 s of a cold start
    except ModuleNotFoundError:
        message = "the probe kind oracle needs oracledb: pip install thongsuot[oracle]"
        raise TroubleError(Failure.INTERNAL, message) from None
    return oracledb


async def open_session(url: DatabaseUrl, addresses: Sequence[Address], ctx: Context) -> Session:
    """Connect, speak TLS and log in, each in its phase. Raises TroubleError, OSError."""
    stream = await connect(addresses, url.address.port, ctx)

    async def start_tls() -> None:
        trust = Trust(url.option("verify") != "no", url.option("caFile"))
        await stream.start_tls(context_for(trust, ctx), ascii_name(url.address.host))

    guard = Guard(stream, start_tls)
    try:
        if url.option("tls") == "yes":
            ctx.phases.begin("tls")
            await start_tls()
        ctx.phases.begin("login")
        await guard.open()
        return Session(await _log_in(url, guard.port), url, ctx, guard)
    except driver().Error as error:
        await guard.close()
        if guard.trouble is not None:
            raise guard.trouble from None
        raise trouble_of(error, ctx.phases.current, url) from None
    except BaseException:
        await guard.close()
        raise


async def _log_in(url: DatabaseUrl, port: int) -> Any:
    where = {"sid": url.option("sid")} if url.option("sid") else {"service_name": url.database}
    name = url.option("appName", "thongsuot")
    about = dict.fromkeys(("program", "machine", "osuser", "terminal"), name)  # nobody learns our host and paths
    return await driver().connect_async(
        user=url.user,
        password=url.password.get_secret_value(),
        host="127.0.0.1",
        port=port,
        retry_count=0,
        disable_oob=True,
        **where,
        **about,
    )


def trouble_of(error: Exception, phase: str, url: DatabaseUrl) -> TroubleError:
    """Return what an error of the driver means, in its own words without hosts' names and help."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):  # ssl.SSLError is one
            return TroubleError(*classify(cause, "connect" if phase == "login" else phase))
        cause = cause.__cause__
    text = str(error)
    codes = [code for code in _CODE.findall(text) if code != "DPY-6005"]  # "cannot connect", and then why
    code = next((code for code in codes if code in CODES), codes[0] if codes else "no code")
    default = Failure.PROTOCOL if code.startswith("DPY") else Failure.QUERY_FAILED
    said = next((line for line in text.splitlines() if line.startswith(code)), text)
    said = _WHERE.sub("", said)
    failure = CODES.get(code, default)
    return TroubleError(
        failure, url.without_password(plain_line(said, 200)) + f" in {phase}" * (failure is Failure.TIMEOUT)
    )
