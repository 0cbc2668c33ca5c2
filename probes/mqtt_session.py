"""One session with an MQTT broker over a stream: login, ping, the message of a topic, and an echo."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from probes import mqtt_wire as wire
from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.mqtt_wire import Answer, Message, Version
from probes.stream_intake import Intake
from probes.stream_kind import words
from probes.tcp_stream import TcpStream, last_moment

SESSION_LIMIT_BYTES = 1024 * 1024
_ECHO_BYTES = 16
_HEADS = {kind << 4 for kind in (wire.CONNACK, wire.PUBACK, wire.SUBACK, wire.PINGRESP, wire.DISCONNECT)}
"""First bytes of the packets that are for a client, beside PUBLISH: only that one has flags (section 2.2.2)."""

_REFUSALS_3: Mapping[int, tuple[Failure, str]] = {
    # 3.1.1, section 3.2.2.3.
    1: (Failure.PROTOCOL, "unacceptable protocol version"),
    2: (Failure.QUERY_FAILED, "client identifier rejected"),
    3: (Failure.QUERY_FAILED, "server unavailable"),
    4: (Failure.AUTH_REJECTED, "bad user name or password"),
    5: (Failure.AUTH_REJECTED, "not authorized"),
}
_REASONS_5: Mapping[int, tuple[Failure, str]] = {
    # 5.0, section 2.4; the failure is that of a CONNACK.
    0x01: (Failure.PROTOCOL, "unacceptable protocol version"),  # the broker speaks 3.1.1 at most
    0x80: (Failure.QUERY_FAILED, "unspecified error"),
    0x81: (Failure.PROTOCOL, "malformed packet"),
    0x82: (Failure.PROTOCOL, "protocol error"),
    0x83: (Failure.QUERY_FAILED, "implementation specific error"),
    0x84: (Failure.PROTOCOL, "unsupported protocol version"),
    0x85: (Failure.QUERY_FAILED, "client identifier not valid"),
    0x86: (Failure.AUTH_REJECTED, "bad user name or password"),
    0x87: (Failure.AUTH_REJECTED, "not authorized"),
    0x88: (Failure.QUERY_FAILED, "server unavailable"),
    0x89: (Failure.QUERY_FAILED, "server busy"),
    0x8A: (Failure.AUTH_REJECTED, "banned"),
    0x8B: (Failure.QUERY_FAILED, "server shutting down"),
    0x8C: (Failure.AUTH_REJECTED, "bad authentication method"),
    0x8E: (Failure.QUERY_FAILED, "session taken over"),
    0x8F: (Failure.QUERY_FAILED, "topic filter invalid"),
    0x90: (Failure.QUERY_FAILED, "topic name invalid"),
    0x97: (Failure.QUERY_FAILED, "quota exceeded"),
    0x9C: (Failure.QUERY_FAILED, "use another server"),
    0x9D: (Failure.QUERY_FAILED, "server moved"),
    0x9F: (Failure.QUERY_FAILED, "connection rate exceeded"),
    0xA2: (Failure.QUERY_FAILED, "wildcard subscriptions not supported"),
}


@dataclass(slots=True)
class Session:
    """A session, from the first byte on.

    Attributes:
        stream: connected.
        ctx: of the run.
        version: which MQTT is spoken.
        password: never shown.

    """

    stream: TcpStream
    ctx: Context
    version: Version
    password: str = field(repr=False)
    _intake: Intake = field(init=False)
    _last_number: int = 0
    _subscribed: set[str] = field(default_factory=set)
    _early: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._intake = Intake(self.stream, self.ctx, SESSION_LIMIT_BYTES)

    async def login(self, client_id: str, username: str) -> None:
        """Connect, in the phase `login`.

        Raises TroubleError, `auth_rejected` when the broker does not take user or password.
        """
        self.ctx.phases.begin("login")
        client_id = client_id or f"thongsuot-{secrets.token_hex(6)}"
        await self.stream.send(wire.connect(self.version, client_id, username, self.password))
        kind, _, body = await self._packet()
        if kind != wire.CONNACK:
            raise self._unexpected(kind)
        answer = wire.read_connack(body, self.version)
        if answer.code:
            failure, text = self._meaning(answer)
            raise TroubleError(failure, f"the broker refuses the connection: {text}")

    async def ping(self) -> None:
        """Ask for a sign of life, in the phase `ping`."""
        self.ctx.phases.begin("ping")
        await self.stream.send(wire.PINGREQ)
        while (kind := await self._take()) != wire.PINGRESP:
            if kind != wire.PUBLISH:
                raise self._unexpected(kind)

    async def message(self, topic: str) -> Message:
        """Return the retained message of a topic, or one that is published just now.

        In the phases `subscribe` and `message`. Raises TroubleError: `query_failed` when we may not listen, `stale`
        when there is no message before time is up.
        """
        await self._subscribe(topic)
        self.ctx.phases.begin("message")
        try:
            async with asyncio.timeout_at(last_moment(self.ctx)):
                return await self._published(topic)
        except TimeoutError:
            raise TroubleError(Failure.STALE, f"there is no message on {topic[:100]}, retained or new") from None

    async def echo(self, topic: str) -> None:
        """Publish a message and wait for it to come back, in the phases `subscribe` and `round_trip`.

        Raises TroubleError (`query_failed`) when we may not listen, or may not publish where the broker says so.
        """
        await self._subscribe(topic)
        payload = secrets.token_hex(_ECHO_BYTES).encode()
        self.ctx.phases.begin("round_trip")
        await self.stream.send(wire.publish(self.version, self._number(), topic, payload))
        while (await self._published(topic)).payload != payload:
            pass

    async def _subscribe(self, topic: str) -> None:
        if topic in self._subscribed:
            return
        self.ctx.phases.begin("subscribe")
        number = self._number()
        await self.stream.send(wire.subscribe(self.version, number, topic))
        while True:
            kind, flags, body = await self._packet()
            if kind == wire.PUBLISH:  # a broker may send the message ahead of its answer (3.1.1, section 3.8.4)
                self._early.append(wire.read_publish(flags, body, self.version))
            elif kind == wire.SUBACK:
                break
            else:
                raise self._unexpected(kind)
        answer = wire.read_suback(body, self.version)
        if answer.number != number:
            raise TroubleError(Failure.PROTOCOL, "the broker answers a subscription that nobody asked for")
        if answer.code >= 0x80:
            _, text = self._meaning(answer)
            raise TroubleError(Failure.QUERY_FAILED, f"the broker refuses to let us read {topic[:100]}: {text}")
        self._subscribed.add(topic)

    async def _published(self, topic: str) -> Message:
        while True:
            while self._early:
                message = self._early.pop(0)
                if message.topic == topic:
                    return message
            await self._take()

    async def _take(self) -> int:
        """Take one packet, keep it if it is a message, and return its kind."""
        kind, flags, body = await self._packet()
        if kind == wire.PUBLISH:
            self._early.append(wire.read_publish(flags, body, self.version))
        elif kind == wire.PUBACK:
            answer = wire.read_puback(body, self.version)
            if answer.code >= 0x80:
                _, text = self._meaning(answer)
                raise TroubleError(Failure.QUERY_FAILED, f"the broker refuses the message: {text}")
        elif kind != wire.PINGRESP:
            raise self._unexpected(kind)
        return kind

    async def _packet(self) -> tuple[int, int, bytes]:
        """Return kind, flags and body of the next packet.

        Raises TroubleError, also when the broker says goodbye.
        """
        head = (await self._intake.exactly(1))[0]
        if head >> 4 != wire.PUBLISH and head not in _HEADS:
            raise TroubleError(Failure.PROTOCOL, f"this is not MQTT, or no packet for a client: 0x{head:02x}")
        octets = b""
        while (length := wire.read_length(octets)) is None:
            octets += await self._intake.exactly(1)
        body = await self._intake.exactly(length)
        if head >> 4 == wire.DISCONNECT:
            failure, text = self._meaning(wire.read_disconnect(body, self.version))
            raise TroubleError(failure, f"the broker ends the session: {text}")
        return head >> 4, head & 0x0F, body

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _meaning(self, answer: Answer) -> tuple[Failure, str]:
        table = _REASONS_5 if self.version == "5" or answer.code >= 0x80 else _REFUSALS_3
        failure, text = table.get(answer.code, (Failure.QUERY_FAILED, "no reason that is known"))
        more = words(answer.text, (self.password,))
        return failure, f"{text} (0x{answer.code:02x})" + (f": {more}" if more else "")

    def _unexpected(self, kind: int) -> TroubleError:
        return TroubleError(Failure.PROTOCOL, f"the broker sent a packet of type {kind} where none such belongs")
