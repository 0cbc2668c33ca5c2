"""The far end that answers DNS questions over UDP (RFC 1035): authoritative for the country's own zone."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from monitor.demo.stage import Actor

ZONE = "mo-phong.test"
"""Names under `.test` belong to nobody (RFC 6761)."""
TTL_S = 5
QUESTION_MAX_BYTES = 512
PENDING_MAX = 256
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
A, SOA, ANY, IN = 1, 6, 255, 1
_HEADER = struct.Struct("!HHHHHH")
_QUERY, _AUTHORITATIVE, _RECURSION_DESIRED, _OPCODE = 0x8000, 0x0400, 0x0100, 0x7800


class MalformedError(ValueError):
    """The packet is not a DNS question."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question: its number, flags, name (lower case, without the last dot), type, and its own octets."""

    number: int
    flags: int
    name: str
    type: int
    octets: bytes


def parse(packet: bytes) -> Question:
    """Read the one question of a packet (RFC 1035, section 4.1). Raises MalformedError."""
    if len(packet) < _HEADER.size:
        raise MalformedError("shorter than a header")
    number, flags, questions, *_ = _HEADER.unpack_from(packet)
    if flags & _QUERY or questions != 1:
        raise MalformedError("not one question")
    labels: list[bytes] = []
    position = _HEADER.size
    while position < len(packet) and (length := packet[position]):
        # A question is the first name in the packet: there is nothing that a compressed label could point to.
        if length > 63 or len(labels) > 126:
            raise MalformedError("not a name")
        labels.append(packet[position + 1 : position + 1 + length])
        position += 1 + length
    end = position + 5
    if end > len(packet):
        raise MalformedError("cut short")
    (type_, class_) = struct.unpack_from("!HH", packet, position + 1)
    if class_ != IN:
        raise MalformedError("not of the Internet")
    name = b".".join(labels).decode("ascii", "replace").lower()
    return Question(number, flags, name, type_, packet[_HEADER.size : end])


def _name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def _start_of_authority() -> bytes:
    data = _name(f"ns.{ZONE}") + _name(f"mo-phong.{ZONE}") + struct.pack("!IIIII", 1, 3600, 600, 86400, TTL_S)
    return _name(ZONE) + struct.pack("!HHIH", SOA, IN, TTL_S, len(data)) + data


_SOA = _start_of_authority()


def answer(question: Question, addresses: Mapping[str, str], trouble: str) -> bytes:
    """Return the answer: an address, or none with the zone's SOA (RFC 2308), or what the trouble makes of it."""
    rcode, answers, authorities = NOERROR, b"", _SOA
    address = addresses.get(question.name)
    if question.flags & _OPCODE:
        rcode, authorities = NOTIMP, b""
    elif trouble == "servfail":
        rcode, authorities = SERVFAIL, b""
    elif not (question.name == ZONE or question.name.endswith(f".{ZONE}")):
        rcode, authorities = REFUSED, b""
    elif trouble == "nxdomain" or (address is None and question.name != ZONE):
        rcode = NXDOMAIN
    elif trouble != "empty" and question.type in (A, ANY) and address is not None:
        shown = "192.0.2.1" if trouble == "wrong" else address
        # 0xC00C points to the name in the question (RFC 1035, section 4.1.4).
        answers = struct.pack("!HHHIH4s", 0xC00C, A, IN, TTL_S, 4, socket.inet_aton(shown))
        authorities = b""
    elif trouble != "empty" and question.type in (SOA, ANY) and question.name == ZONE:
        answers, authorities = _SOA, b""
    flags = _QUERY | (question.flags & (_OPCODE | _RECURSION_DESIRED)) | rcode
    if rcode in (NOERROR, NXDOMAIN):
        flags |= _AUTHORITATIVE
    header = _HEADER.pack(question.number, flags, 1, bool(answers), bool(authorities), 0)
    return header + question.octets + answers + authorities


class NameServer(asyncio.DatagramProtocol):
    """Answers on a datagram socket, after the time that it takes."""

    def __init__(self, actor: Actor, addresses: Mapping[str, str]) -> None:
        self._actor = actor
        self._addresses = addresses
        self._timers: set[asyncio.TimerHandle] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()

    @classmethod
    async def open(cls, sock: socket.socket, actor: Actor, addresses: Mapping[str, str]) -> NameServer:
        """Answer on a bound socket; `addresses` is the zone, name to IPv4 address."""
        loop = asyncio.get_running_loop()
        _, server = await loop.create_datagram_endpoint(lambda: cls(actor, addresses), sock=sock)
        return server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # The class that asyncio uses here does not descend from DatagramTransport (cpython 3.11).
        self._transport = cast("asyncio.DatagramTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Know that the socket is closed."""
        self._closed.set()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take a question."""
        effect = self._actor.effect()
        if effect.cut or effect.refuse or len(data) > QUESTION_MAX_BYTES or len(self._timers) >= PENDING_MAX:
            return
        try:
            question = parse(data)
        except MalformedError:
            return
        reply = answer(question, self._addresses, effect.answer)
        handle: asyncio.TimerHandle

        def send() -> None:
            self._timers.discard(handle)
            if self._transport is not None:
                self._transport.sendto(reply, addr)

        handle = asyncio.get_running_loop().call_later(self._actor.draw_s(), send)
        self._timers.add(handle)

    async def close(self) -> None:
        """Stop answering."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._transport is not None:
            self._transport.close()
            await self._closed.wait()
