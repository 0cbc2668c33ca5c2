"""One session with a MongoDB server over a stream: TLS, hello, SCRAM, and commands with a time limit of their own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from probes.database_url import DatabaseUrl, UrlForm
from probes.failures import TroubleError, plain_line
from probes.model import Context, Failure
from probes.mongodb_wire import Reader, Reply, command
from probes.resolver import ascii_name
from probes.scram import KEY, Exchange, Hash, KeyStore
from probes.tcp_stream import TcpStream
from probes.tls import Trust, context_for

Document = Mapping[str, Any]

FORM = UrlForm(
    "mongodb",
    27017,
    {
        "authSource": (),
        "authMechanism": ("SCRAM-SHA-1", "SCRAM-SHA-256"),
        "tls": ("true", "false"),
        "tlsCAFile": (),
        "tlsAllowInvalidCertificates": ("true", "false"),
        "tlsAllowInvalidHostnames": ("true", "false"),
        "appName": (),
        "directConnection": ("true",),
    },
    needs_user=False,
)

HELLO: Document = {"hello": 1, "$db": "admin"}
_READ_ANYWHERE: Document = {"$readPreference": {"mode": "secondaryPreferred"}}

ITERATIONS_LEAST = 4096
"""MongoDB's own floor (specification of authentication, "SCRAM-SHA-1"): fewer would make a stolen proof cheap."""

SERVER_TIME_RATIO = 0.95
"""Share of the time left that the server gives a command (`maxTimeMS`): it stops by itself before we hang up."""

_MAX_TIME_EXPIRED = 50
_LOGIN_REFUSED = frozenset({11, 13, 18, 31, 334, 8000})
"""UserNotFound, Unauthorized, AuthenticationFailed, RoleNotFound, MechanismUnavailable, AtlasError: codes of
`src/mongo/base/error_codes.yml`."""

_UNTIMED = frozenset({"hello", "saslStart", "saslContinue"})
"""Commands that a server answers at once and that take no limit."""


@dataclass(slots=True)
class Session:
    """A session, from the first byte on.

    Attributes:
        stream: connected.
        url: how to log in.
        ctx: of the run.
        hello: what the server said of itself.

    """

    stream: TcpStream
    url: DatabaseUrl
    ctx: Context
    hello: Document = field(default_factory=dict)
    _reader: Reader = field(default_factory=Reader)
    _number: int = 0

    async def start_tls(self) -> None:
        """Speak TLS if the address wants it, in the phase `tls`. Raises TroubleError, OSError."""
        if self.url.option("tls") != "true":
            return
        self.ctx.phases.begin("tls")
        context = context_for(trust_of(self.url), self.ctx)
        await self.stream.start_tls(context, ascii_name(self.url.address.host))

    async def greet(self) -> None:
        """Ask the server who it is, in the phase `hello`. Raises TroubleError."""
        self.ctx.phases.begin("hello")
        asked: dict[str, Any] = {
            **HELLO,
            "client": {
                "application": {"name": self.url.option("appName", "thongsuot")[:128]},
                "driver": {"name": "thongsuot", "version": "1"},
                "os": {"type": "Linux"},
            },
        }
        if self.url.user:
            asked["saslSupportedMechs"] = f"{self._source}.{self.url.user}"
        (self.hello,) = await self.ask([asked])

    async def login(self) -> None:
        """Log in, in the phase `login`; nothing to do for an address without a user.

        Raises TroubleError.
        """
        if not self.url.user:
            return
        self.ctx.phases.begin("login")
        hash_ = self._hash()
        exchange = Exchange(None, tls=False, user=self.url.user, hash_=hash_, iterations_least=ITERATIONS_LEAST)
        begin = {
            "saslStart": 1,
            "mechanism": exchange.mechanism,
            "payload": exchange.first(),
            "options": {"skipEmptyExchange": True},
        }
        answer = await self._sasl(begin)
        store = self.ctx.resources.get(KEY, KeyStore)
        proof = await exchange.final(_payload(answer), self._secret(hash_), store)
        conversation = answer.get("conversationId")
        answer = await self._sasl({"saslContinue": 1, "conversationId": conversation, "payload": proof})
        exchange.verify(_payload(answer))
        if answer.get("done") is not True:  # before MongoDB 4.4 it wants an empty word more
            answer = await self._sasl({"saslContinue": 1, "conversationId": conversation, "payload": b""})
        if answer.get("done") is not True:
            raise TroubleError(Failure.PROTOCOL, "the server does not come to an end with the login")

    async def ask(
        self, commands: Sequence[Document], optional: Sequence[Document] = (), forgiven: frozenset[int] = frozenset()
    ) -> list[Document]:
        """Send all commands together and return their answers in order; each names its database (`$db`).

        An answer that is an error is raised as TroubleError; one to an optional command, only if its code is not
        forgiven.
        """
        left_s = self.ctx.deadline - asyncio.get_running_loop().time()
        limits = {"maxTimeMS": max(1, int(left_s * SERVER_TIME_RATIO * 1000)), **_READ_ANYWHERE}
        every = [document if _UNTIMED & document.keys() else {**document, **limits} for document in commands]
        every += [{**document, **limits} for document in optional]
        first = self._number + 1
        self._number += len(every)
        await self.stream.send(b"".join(command(number, document) for number, document in enumerate(every, first)))
        answers = []
        for number in range(first, self._number + 1):
            reply = await self._next()
            if reply.to != number:
                raise TroubleError(Failure.PROTOCOL, f"the server answers {reply.to} where {number} was asked")
            self._check(reply.document, forgiven if number - first >= len(commands) else frozenset())
            answers.append(reply.document)
        return answers

    def is_idle(self) -> bool:
        """Say whether the server has neither ended the session nor said anything unasked."""
        return self.stream.is_quiet()

    def close(self) -> None:
        """Close the connection: MongoDB knows no farewell."""
        self.stream.close()

    async def _next(self) -> Reply:
        while (reply := self._reader.next()) is None:
            came = await self.stream.receive()
            if not came:
                where = self.ctx.phases.current
                raise TroubleError(Failure.CONNECTION_CLOSED, f"the server closed the connection in {where}")
            self._reader.feed(came)
        return reply

    def _check(self, document: Document, forgiven: frozenset[int]) -> None:
        code = document.get("code")
        if document.get("ok") == 1 or (isinstance(code, int) and code in forgiven):
            return
        name = plain_line(str(document.get("codeName", "")), 60)
        text = self.url.without_password(plain_line(str(document.get("errmsg", "no message")), 200))
        raise TroubleError(self._meaning(code), f"{plain_line(str(code), 10)} {name}: {text}")

    def _meaning(self, code: Any) -> Failure:
        if self.ctx.phases.current == "login" and code in _LOGIN_REFUSED:
            return Failure.AUTH_REJECTED
        return Failure.TIMEOUT if code == _MAX_TIME_EXPIRED else Failure.QUERY_FAILED

    async def _sasl(self, document: Document) -> Document:
        (answer,) = await self.ask([{**document, "$db": self._source}])
        return answer

    @property
    def _source(self) -> str:
        return self.url.option("authSource") or self.url.database or "admin"

    def _hash(self) -> Hash:
        """Return the best hash that the user has keys for, as the server told with its greeting."""
        wanted = self.url.option("authMechanism")
        offered = self.hello.get("saslSupportedMechs")
        known = offered if isinstance(offered, list) else []
        if wanted:
            return "sha1" if wanted == "SCRAM-SHA-1" else "sha256"
        return "sha1" if "SCRAM-SHA-1" in known and "SCRAM-SHA-256" not in known else "sha256"

    def _secret(self, hash_: Hash) -> SecretStr:
        if hash_ == "sha256":
            return self.url.password
        # MONGODB-CR's digest lives on under SCRAM-SHA-1 (specification of authentication, "SCRAM-SHA-1").
        text = f"{self.url.user}:mongo:{self.url.password.get_secret_value()}"
        return SecretStr(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())


def trust_of(url: DatabaseUrl) -> Trust:
    """Return whom to trust under TLS."""
    return Trust(
        verify=url.option("tlsAllowInvalidCertificates") != "true",
        ca_file=url.option("tlsCAFile"),
        check_name=url.option("tlsAllowInvalidHostnames") != "true",
    )


def _payload(answer: Document) -> bytes:
    payload = answer.get("payload")
    if not isinstance(payload, bytes):
        raise TroubleError(Failure.PROTOCOL, "the server's SCRAM message is not one")
    return payload
