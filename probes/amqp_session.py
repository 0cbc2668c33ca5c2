"""One session with an AMQP 0-9-1 broker over a stream: login, virtual host, and a look at a queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from probes import amqp_wire as wire
from probes.amqp_wire import Cursor, Depth, Method
from probes.failures import TroubleError
from probes.model import Context, Failure
from probes.stream_intake import Intake
from probes.stream_kind import words
from probes.tcp_stream import TcpStream

SESSION_LIMIT_BYTES = 512 * 1024
_ACCESS_REFUSED = 403
_ABOUT: Mapping[str, str | Mapping[str, bool]] = {
    "product": "thongsuot",
    # Without it a broker answers a wrong password by hanging up (RabbitMQ, "Authentication Failure Notifications").
    "capabilities": {"authentication_failure_close": True},
}


@dataclass(slots=True)
class Session:
    """A session, from the first byte on.

    Attributes:
        stream: connected.
        ctx: of the run.
        password: never shown.
        properties: what the broker says of itself: product, version, cluster_name.

    """

    stream: TcpStream
    ctx: Context
    password: str = field(repr=False)
    properties: dict[str, str] = field(default_factory=dict)
    _intake: Intake = field(init=False)
    _mechanisms: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._intake = Intake(self.stream, self.ctx, SESSION_LIMIT_BYTES)

    async def greet(self) -> None:
        """Hear what the broker says of itself and how it lets in, in the phase `login`. Raises TroubleError."""
        self.ctx.phases.begin("login")
        await self.stream.send(wire.HEADER)
        start = wire.read_start(await self._expect(Method.CONNECTION_START))
        for name in ("product", "version", "cluster_name"):
            value = start.properties.get(name)
            if isinstance(value, str):
                self.properties[name] = words(value.encode(), (self.password,), 100)
        self._mechanisms = start.mechanisms

    async def login(self, user: str) -> None:
        """Log in by SASL PLAIN (RFC 4616), in the same phase, after `greet`.

        Raises TroubleError, `auth_rejected` when the broker does not take user or password.
        """
        if "PLAIN" not in self._mechanisms:
            offered = words(" ".join(self._mechanisms).encode(), (), 100) or "none"
            raise TroubleError(Failure.PROTOCOL, f"the broker offers no way to log in that is known: {offered}")
        response = f"\0{user}\0{self.password}".encode()
        await self.stream.send(wire.start_ok(_ABOUT, "PLAIN", response))
        tune = wire.read_tune(await self._expect(Method.CONNECTION_TUNE))
        await self.stream.send(wire.tune_ok(tune))

    async def open(self, vhost: str) -> None:
        """Open the virtual host, in the phase `open`. Raises TroubleError (`query_failed`) when we may not."""
        self.ctx.phases.begin("open")
        await self.stream.send(wire.connection_open(vhost))
        await self._expect(Method.CONNECTION_OPEN_OK)

    async def depth(self, queue: str) -> Depth:
        """Return what is in a queue, in the phase `query`.

        Raises TroubleError (`query_failed`) when there is no such queue, or nothing that tells us of it.
        """
        self.ctx.phases.begin("query")
        await self.stream.send(wire.channel_open() + wire.queue_declare_passive(queue))
        await self._expect(Method.CHANNEL_OPEN_OK)
        return wire.read_depth(await self._expect(Method.QUEUE_DECLARE_OK))

    async def _expect(self, wanted: Method) -> Cursor:
        """Return the arguments of the next method. Raises TroubleError when it is another one."""
        while True:
            head = wire.read_head(await self._intake.exactly(wire.FRAME_HEAD_BYTES))
            payload = await self._intake.exactly(head.size + 1)
            if payload[-1] != wire.FRAME_END:
                raise TroubleError(Failure.PROTOCOL, "this is not AMQP: a frame without its end")
            if head.kind == wire.HEARTBEAT_FRAME:
                continue
            if head.kind != wire.METHOD_FRAME:
                raise TroubleError(Failure.PROTOCOL, f"the broker sent a frame of type {head.kind} that nobody awaits")
            method, cursor = wire.read_method(payload[:-1])
            if method is wanted:
                return cursor
            if method in (Method.CONNECTION_CLOSE, Method.CHANNEL_CLOSE):
                raise self._closed(wire.read_close(cursor))
            name = method.name if method else "that is not known"
            raise TroubleError(Failure.PROTOCOL, f"the broker sent a method {name} where {wanted.name} belongs")

    def _closed(self, close: wire.Close) -> TroubleError:
        in_login = self.ctx.phases.current == "login"
        failure = Failure.AUTH_REJECTED if in_login and close.code == _ACCESS_REFUSED else Failure.QUERY_FAILED
        return TroubleError(failure, f"{close.code}: {words(close.text, (self.password,))}")
