"""One connection to a Kafka broker: which requests it takes, SASL, and a question at a time."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import SecretStr

from probes import kafka_wire as wire
from probes.failures import TroubleError
from probes.kafka_wire import VERSIONS, Api, Cursor
from probes.model import Context, Failure
from probes.scram import Exchange, Hash, KeyStore
from probes.stream_intake import Intake
from probes.stream_kind import words
from probes.tcp_stream import TcpStream

KEY = "probes.kafka"
"""Where the process keeps derived keys in `Context.resources`."""

CONNECTION_LIMIT_BYTES = 4 * 1024 * 1024

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
_HASHES: Mapping[str, Hash] = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


@dataclass(slots=True)
class Connection:
    """A connection, from the first byte on.

    Attributes:
        stream: connected.
        ctx: of the run.
        password: never shown.

    """

    stream: TcpStream
    ctx: Context
    password: SecretStr
    _intake: Intake = field(init=False)
    _asked: int = 0

    def __post_init__(self) -> None:
        self._intake = Intake(self.stream, self.ctx, CONNECTION_LIMIT_BYTES)

    async def login(self, user: str, mechanism: Mechanism) -> None:
        """Learn what the broker speaks and log in where there is a user, in the phase `login`.

        Raises TroubleError: `protocol` for a broker that is too old or too new, `auth_rejected` when it does not take
        user or password.
        """
        self.ctx.phases.begin("login")
        error, offered = wire.read_versions(await self.ask(Api.API_VERSIONS))
        if error:
            raise TroubleError(Failure.PROTOCOL, f"the broker does not tell its versions: {wire.error_name(error)}")
        self._check(offered, with_sasl=bool(user))
        if user:
            await self._authenticate(user, mechanism)

    async def ask(self, api: Api, body: bytes = b"") -> Cursor:
        """Send a request and return its response. Raises TroubleError when it is another one's."""
        self._asked += 1
        await self.stream.send(wire.request(api, self._asked, body))
        size = wire.read_size(await self._intake.exactly(4))
        cursor = Cursor(await self._intake.exactly(size))
        if cursor.number("i") != self._asked:
            raise TroubleError(Failure.PROTOCOL, "the broker answers a request that nobody made")
        return cursor

    def _check(self, offered: dict[int, tuple[int, int]], *, with_sasl: bool) -> None:
        for api, version in VERSIONS.items():
            if api in (Api.SASL_HANDSHAKE, Api.SASL_AUTHENTICATE) and not with_sasl:
                continue
            least, greatest = offered.get(api, (0, -1))
            if not least <= version <= greatest:
                has = f"{least} to {greatest}" if greatest >= least else "none"
                message = f"the broker speaks of {api.name} the versions {has}, needed is {version} (Kafka 1.0 to 4.x)"
                raise TroubleError(Failure.PROTOCOL, message)

    async def _authenticate(self, user: str, mechanism: Mechanism) -> None:
        error, mechanisms = wire.read_handshake(await self.ask(Api.SASL_HANDSHAKE, wire.sasl_handshake(mechanism)))
        if error:
            offered = words(", ".join(mechanisms[:8]).encode(), (), 100) or "none"
            raise TroubleError(Failure.PROTOCOL, f"the broker offers no {mechanism} to log in, but {offered}")
        secret = self.password.get_secret_value()
        if mechanism == "PLAIN":
            await self._say(f"\0{user}\0{secret}".encode())
            return
        exchange = Exchange(None, tls=False, user=user, hash_=_HASHES[mechanism])  # Kafka refuses any word of binding
        challenge = await self._say(exchange.first())
        store = self.ctx.resources.get(KEY, KeyStore)
        exchange.verify(await self._say(await exchange.final(challenge, self.password, store)))

    async def _say(self, data: bytes) -> bytes:
        """Send a mechanism's message and return the broker's."""
        body = wire.sasl_authenticate(data)
        error, text, answer = wire.read_authenticate(await self.ask(Api.SASL_AUTHENTICATE, body))
        if error:
            hidden = (self.password.get_secret_value(), base64.b64encode(data).decode())
            message = f"{wire.error_name(error)}: {words(text.encode(), hidden)}"
            raise TroubleError(Failure.AUTH_REJECTED, message)
        return answer
