"""One connection of one check: to the first address that takes it, over TLS or not, its bytes to callbacks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, cast

from probes.failures import NETWORK_ERRORS, TroubleError
from probes.model import Context, Phases
from probes.resolver import Address
from probes.tls import TlsSession, explain


class Tunnel(Protocol):
    """A dialogue with a proxy, without I/O, after which its connection leads on to the target.

    Attributes:
        open: the proxy lets us through.
        rest: what came after its last word; the target's.

    """

    open: bool
    rest: bytes

    def first(self) -> bytes:
        """Return what to send first."""

    def receive(self, data: bytes) -> bytes:
        """Take what the proxy sent and return what to answer.

        Raises TroubleError when it does not let us through.
        """

    def ended(self) -> TroubleError:
        """Return what it means that the proxy closed the connection before."""


class Connection(asyncio.Protocol):
    """A connection that a check opens, uses once and closes.

    A kind says in `ready`, `received` and `ended` what happens; what they raise of `NETWORK_ERRORS` (or
    of `errors`) ends `done`. Phases change in the callbacks, at the moment that the bytes are there, and
    not when the loop comes round to the waiting task.

    Args:
        phases: the check's stopwatch; `tls` is begun here.
        secure: makes the TLS session to speak over it once it stands, or None to speak plainly.
        tunnel: what has to be said to a proxy before any of it, or None.

    Attributes:
        session: the TLS session, once there is one.
        done: set when `finish` was called, or to the exception that ended it.

    """

    errors: tuple[type[Exception], ...] = NETWORK_ERRORS

    def __init__(
        self, phases: Phases, secure: Callable[[], TlsSession] | None = None, tunnel: Tunnel | None = None
    ) -> None:
        self.phases = phases
        self.session: TlsSession | None = None
        self._secure = secure
        self._tunnel = tunnel
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def ready(self) -> None:
        """The connection stands, and TLS where it was asked for: speak."""

    def received(self, data: bytes) -> None:
        """The peer sent these bytes (at least one)."""

    def ended(self) -> None:
        """The peer will send nothing more; an EOFError says that this is too early."""
        raise EOFError

    def send(self, data: bytes) -> None:
        """Send bytes to the peer."""
        if self._transport is None:
            raise EOFError
        if self.session is not None:
            self.session.send(data)
            data = self.session.outgoing()
        self._transport.write(data)

    def finish(self) -> None:
        """All that was wanted is there."""
        if not self.done.done():
            self.done.set_result(None)

    def close(self) -> None:
        """Let go of the connection: politely when all went well, at once otherwise. Harmless when repeated."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        fine = self.done.done() and not self.done.cancelled() and self.done.exception() is None
        if fine and not transport.is_closing():
            if self.session is not None and self.session.established:
                self.session.close()
                transport.write(self.session.outgoing())
            transport.close()
        else:
            transport.abort()
        self.done.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the tunnel, begin TLS, or speak."""
        self._transport = cast("asyncio.Transport", transport)
        if self._tunnel is not None:
            self._transport.write(self._tunnel.first())
        else:
            self._begin(b"")

    def _begin(self, data: bytes) -> None:
        if self._secure is not None:
            self.phases.begin("tls")
            try:
                self.session = self._secure()
            except self.errors as error:
                self._fail(error)
                return
        self._step(b"")
        if data and not self.done.done():
            self._step(data)

    def data_received(self, data: bytes) -> None:
        """Take bytes through TLS to the kind."""
        if self._transport is None or self.done.done():
            return
        if self._tunnel is not None:
            self._dig(self._transport, self._tunnel, data)
        else:
            self._step(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the kind that nothing more will come."""
        if self._transport is None or self.done.done():
            return
        if exc is not None:
            self._fail(exc)
            return
        if self._tunnel is not None:
            self._fail(self._tunnel.ended())
            return
        try:
            self.ended()
        except self.errors as error:
            self._fail(error)

    def _dig(self, transport: asyncio.Transport, tunnel: Tunnel, data: bytes) -> None:
        try:
            transport.write(tunnel.receive(data))
        except TroubleError as error:
            self._fail(error)
            return
        if tunnel.open:
            self._tunnel = None
            self._begin(tunnel.rest)

    def _step(self, data: bytes) -> None:
        try:
            if self.session is None:
                self.received(data) if data else self.ready()
            elif self.session.established:
                self._deliver(self.session.receive(data))
            elif self._shake_hands(self.session, data):
                self.ready()
                self._deliver(self.session.receive())
        except ssl.SSLError as error:  # after the handshake: an alert, or bytes that are not authentic
            self._fail(explain(error, self.session) if self.session is not None else error)
        except self.errors as error:
            self._fail(error)

    def _shake_hands(self, session: TlsSession, data: bytes) -> bool:
        transport = cast("asyncio.Transport", self._transport)
        try:
            return session.handshake(data)
        except ssl.SSLError as error:
            raise explain(error, session) from None
        finally:
            transport.write(session.outgoing())

    def _deliver(self, data: bytes) -> None:
        if data:
            self.received(data)
        if self.session is not None and self.session.ended and not self.done.done():
            self.ended()

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


C = TypeVar("C", bound=Connection)


async def connect(addresses: Sequence[Address], port: int, make: Callable[[], C], ctx: Context) -> C:
    """Return a connection to the first of `addresses` that takes one; `make` makes one per attempt.

    Of several addresses each has an equal share of the time that is left, so that a dead one does not use up what
    a living one needs. The phase `connect` begins here; it ends where `Connection` begins another.
    Raises OSError, the last address's.
    """
    ctx.phases.begin("connect")
    loop = asyncio.get_running_loop()
    for index, address in enumerate(addresses[:-1]):
        share_s = (ctx.deadline - loop.time()) / (len(addresses) - index)
        with contextlib.suppress(OSError):  # asyncio's TimeoutError is one
            async with asyncio.timeout(share_s):
                ctx.peer = address.host
                return (await loop.create_connection(make, address.host, port))[1]
    ctx.peer = addresses[-1].host
    return (await loop.create_connection(make, addresses[-1].host, port))[1]
