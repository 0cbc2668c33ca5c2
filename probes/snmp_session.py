"""Questions to one SNMP agent over one UDP socket, with a time limit for all of them together (RFC 3417).

The socket is connected: answers are taken from the asked address and port alone (an agent that answers from another
of its addresses is not heard), and a closed port is known at once. Each question has a random id of its own; answers
to earlier questions, repeated and forged ones are ignored and counted. A question without an answer is sent again,
under another id and, of a bulk, for half as much: where large answers come in fragments that a filter drops, small
ones still pass. An answer to any of its sendings is an answer.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from probes.failures import TroubleError, classify
from probes.model import Failure
from probes.resolver import Address
from probes.snmp_ber import ABSENT, number, oid, oid_text
from probes.snmp_pdu import (
    AUTHORIZATION_ERROR,
    GET,
    GET_BULK,
    NO_ACCESS,
    TOO_BIG,
    Binding,
    Pdu,
    encode_pdu,
    error_name,
)
from probes.snmp_security import ID_LIMIT, LearnedError, NotOursError, Security
from probes.tcp_address import HostPort
from probes.tcp_stream import sockaddr

SYS_UP_TIME = oid("1.3.6.1.2.1.1.3.0")
PAUSE_S, LEAST_PAUSE_S = 1.5, 0.25
"""How long to wait for an answer before asking again: at first, and where answers are known to come quicker."""

SENDINGS = 4
"""How often a question is sent, at most."""

IGNORED_LIMIT = 1000
"""After so many datagrams that were not the answer, somebody is forging them."""

GET_NAMES = 32
"""How many objects one question names at the most; 25 octets each."""

_LEARN_LIMIT = 3
_DATAGRAM_BYTES = 65_535
_ROOM_BYTES = 120
"""What a message has around its bindings, and the first of them."""


class Stamp(NamedTuple):
    """When an answer's values were read.

    Attributes:
        at: on our loop's clock, when it came.
        ticks: the agent's sysUpTime in hundredths of a second, None where it does not tell it.

    """

    at: float
    ticks: int | None


class Session:
    """Use it from one task, and close it in `finally`.

    Args:
        security: how the agent is spoken to; kept longer than a session.
        until: returns when to give up, on the loop's clock; it may change meanwhile.
        answer_bytes: how large an answer to ask for.

    Attributes:
        requests, answers, retries, ignored: questions, those answered, those sent again, and datagrams that were
            not the answer.

    """

    def __init__(
        self, address: Address, port: int, security: Security, until: Callable[[], float], answer_bytes: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._security, self._until, self.answer_bytes = security, until, answer_bytes
        self._name = HostPort(address.host, port)
        self._arrival: asyncio.Future[None] | None = None
        self._slowest_s = 0.0
        self.requests = self.answers = self.retries = self.ignored = 0
        self._socket = socket.socket(address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(sockaddr(address, port))
            self._loop.add_reader(self._socket.fileno(), self._wake)
        except OSError as error:
            self._socket.close()
            raise self._located(error) from None

    def close(self) -> None:
        """Let the socket go."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    async def get(self, names: Sequence[bytes]) -> tuple[list[Binding], Stamp]:
        """Return the values of `names`, in their order, those that are not there with a tag of ABSENT.

        Raises TroubleError.
        """
        whole = [SYS_UP_TIME, *names]
        pdu = await self._ask(lambda _sending: (GET, whole, 0, 0))
        if pdu.error_status == TOO_BIG and len(names) > 1:
            half = len(names) // 2
            first, stamp = await self.get(names[:half])
            second, _ = await self.get(names[half:])
            return first + second, stamp
        self._refuse(pdu)
        if [name for name, _, _ in pdu.bindings] != whole:
            raise TroubleError(Failure.PROTOCOL, "the agent answers with other objects than were asked for")
        return pdu.bindings[1:], self._stamp(pdu)

    async def get_all(self, names: Sequence[bytes]) -> tuple[list[Binding], Stamp]:
        """Do as `get` does for any number of names, in as many questions as it takes; the stamp is the last one's.

        Raises TroubleError.
        """
        found: list[Binding] = []
        stamp = Stamp(self._loop.time(), None)
        for start in range(0, max(len(names), 1), GET_NAMES):
            some, stamp = await self.get(names[start : start + GET_NAMES])
            found += some
        return found, stamp

    async def bulk(self, names: Sequence[bytes], repetitions: int) -> tuple[list[Binding], Stamp]:
        """Return what follows each of `names`, row by row, up to `repetitions` rows, the last one perhaps cut off.

        Raises TroubleError.
        """
        whole = [SYS_UP_TIME[:-1], *names]
        while True:
            pdu = await self._ask(
                lambda sending, most=repetitions: (GET_BULK, whole, 1, max(1, most >> sending))  # type: ignore[misc]
            )
            if pdu.error_status != TOO_BIG or repetitions <= 1:
                break
            repetitions //= 2
        self._refuse(pdu)
        if not pdu.bindings:
            raise TroubleError(Failure.PROTOCOL, "the agent answers a bulk with nothing")
        return pdu.bindings[1:], self._stamp(pdu)

    async def _ask(self, request: Callable[[int], tuple[int, Sequence[bytes], int, int]]) -> Pdu:
        for _ in range(_LEARN_LIMIT):
            try:
                return await self._exchange(request)
            except LearnedError:
                continue
        raise TroubleError(Failure.PROTOCOL, "the agent's engine or its clock changes with every answer")

    async def _exchange(self, request: Callable[[int], tuple[int, Sequence[bytes], int, int]]) -> Pdu:
        """Send a question until it is answered or the time is up; `request` makes it for the nth sending."""
        asked: set[int] = set()
        sending = 0
        self.requests += 1
        first_at = self._loop.time()
        pause_s = min(PAUSE_S, max(LEAST_PAUSE_S, 4 * self._slowest_s) if self._slowest_s else PAUSE_S)
        while (now := self._loop.time()) < (until := self._until()):
            id_ = secrets.randbelow(ID_LIMIT) + 1
            asked.add(id_)
            kind, names, first, second = request(sending)
            self._send(self._security.wrap(id_, encode_pdu(kind, id_, names, first, second), now))
            self.retries += sending > 0
            # Beyond a third of the time that is left a lost packet would cost the whole check.
            last = sending >= SENDINGS - 1
            pdu = await self._answer(asked, until if last else now + min(pause_s, (until - now) / 3))
            if pdu is not None:
                self.answers += 1
                self._slowest_s = max(self._slowest_s, self._loop.time() - first_at)
                return pdu
            sending += 1
            pause_s *= 2
        raise TroubleError(Failure.TIMEOUT, self._silence())

    async def _answer(self, asked: set[int], until: float) -> Pdu | None:
        """Return the answer, None when it has not come in time."""
        while self.ignored < IGNORED_LIMIT:
            try:
                data = self._socket.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                if not await self._arrived(until):
                    return None
                continue
            except OSError as error:
                raise self._located(error) from None
            try:
                return self._security.unwrap(data, asked, self._loop.time())
            except NotOursError:
                self.ignored += 1
            if self._loop.time() >= until:
                return None
        message = f"{self.ignored} datagrams came that do not answer a question"
        raise TroubleError(Failure.PROTOCOL, message)

    async def _arrived(self, until: float) -> bool:
        self._arrival = self._loop.create_future()
        timer = self._loop.call_at(until, self._wake)
        try:
            await self._arrival
        finally:
            timer.cancel()
            self._arrival = None
        return self._loop.time() < until

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _send(self, message: bytes) -> None:
        try:
            self._socket.send(message)
        except BlockingIOError:
            pass  # as good as lost: it is sent again
        except OSError as error:
            raise self._located(error) from None

    def _located(self, error: OSError) -> TroubleError:
        failure, message = classify(error, "query")
        return TroubleError(failure, f"{message}: {self._name}")

    def _silence(self) -> str:
        hint = f"{self.answers} answers came before" if self.answers else self._security.silence
        more = f", asked {self.retries} times again" if self.retries else ""
        more += f", {self.ignored} datagrams ignored" if self.ignored else ""
        return f"no answer from {self._name} in query{more} ({hint})"

    @staticmethod
    def _refuse(pdu: Pdu) -> None:
        """Raise TroubleError if the agent says that it does not answer."""
        if not pdu.error_status:
            return
        at = pdu.error_index - 1
        where = f" at {oid_text(pdu.bindings[at][0])}" if 0 <= at < len(pdu.bindings) else ""
        refused = pdu.error_status in (AUTHORIZATION_ERROR, NO_ACCESS)
        failure = Failure.AUTH_REJECTED if refused else Failure.QUERY_FAILED
        raise TroubleError(failure, f"the agent answers {error_name(pdu.error_status)}{where}")

    def _stamp(self, pdu: Pdu) -> Stamp:
        name, tag, value = pdu.bindings[0]
        told = name == SYS_UP_TIME and tag not in ABSENT
        return Stamp(self._loop.time(), number(tag, value) & 0xFFFF_FFFF if told else None)


def repetitions_for(answer_bytes: int, binding_bytes: float, columns: int) -> int:
    """Return how many rows of so many columns an answer of that size holds, at least one."""
    return max(1, int((answer_bytes - _ROOM_BYTES) / (binding_bytes * columns)))
