"""One question to one name server, over UDP or TCP, with nothing shared between two runs.

What keeps a forger out (RFC 5452): a socket and thus a random source port per run, a random id, and an answer is
taken only from the asked address and port, with that id and that very question. What does not match is ignored
and counted. ICMP errors are heard (IP_RECVERR), so that a closed port is known at once.

A lost packet does not make a server silent: over UDP the question is sent again after each third of the time,
three times at most, as resolvers do (RFC 1035, section 4.2.1).
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from probes.dns_names import PacketError
from probes.dns_packet import Answer, NotOursError, Question, decode_answer, encode_query
from probes.failures import TroubleError, classify
from probes.model import Context, Failure
from probes.resolver import Address
from probes.tcp_address import HostPort
from probes.tcp_stream import connect, last_moment, readable, sockaddr

SENDINGS = 3
"""How often a question is sent over UDP, at most."""

IGNORED_LIMIT = 1000
"""After so many datagrams that were not the answer, somebody is forging them."""

_DATAGRAM_BYTES = 65_535
_IP_RECVERR, _IPV6_RECVERR = 11, 25
"""linux/in.h, linux/in6.h: report ICMP errors also on a socket that is not connected."""


@dataclass(slots=True)
class Inquiry:
    """A question, how it is put, and what became of it.

    Attributes:
        asked: the question.
        recursion: ask the server to ask others.
        dnssec: ask for signatures (DO, RFC 3225).
        retries: how often it had to be sent again.
        ignored: datagrams that were not the answer.

    """

    asked: Question
    recursion: bool = True
    dnssec: bool = False
    retries: int = 0
    ignored: int = 0

    def message(self, id_: int, *, edns: bool) -> bytes:
        """Return the question on the wire."""
        return encode_query(self.asked, id_, recursion=self.recursion, dnssec=self.dnssec, edns=edns)


async def ask_udp(inquiry: Inquiry, server: Address, port: int, ctx: Context, *, edns: bool = True) -> Answer:
    """Ask over UDP, in the phase `query`; the answer may be truncated.

    Raises TroubleError (`dns_timeout`, `dns_answer`), OSError.
    """
    ctx.phases.begin("query")
    ctx.peer = server.host
    loop = asyncio.get_running_loop()
    id_, end = secrets.randbits(16), last_moment(ctx)
    pause_s = (end - loop.time()) / SENDINGS
    with socket.socket(server.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        _hear_errors(sock)
        for sending in range(1, SENDINGS + 1):
            inquiry.retries += sending > 1
            until = end if sending == SENDINGS else loop.time() + pause_s
            try:
                sock.sendto(inquiry.message(id_, edns=edns), sockaddr(server, port))
                async with asyncio.timeout_at(until):
                    return await _answer(sock, inquiry, id_, (_number(server.host), port))
            except TimeoutError:
                continue
            except OSError as error:
                failure, message = classify(error, "query")
                raise TroubleError(failure, f"{message}: {HostPort(server.host, port)}") from None
    raise _no_answer(inquiry, ctx)


async def ask_tcp(inquiry: Inquiry, server: Address, port: int, ctx: Context, *, edns: bool = True) -> Answer:
    """Ask over TCP (RFC 7766), in the phases `connect` and `query`.

    Raises TroubleError, OSError.
    """
    stream = await connect([server], port, ctx)
    try:
        ctx.phases.begin("query")
        id_ = secrets.randbits(16)
        message = inquiry.message(id_, edns=edns)
        async with asyncio.timeout_at(last_moment(ctx)):
            await stream.send(len(message).to_bytes(2, "big") + message)
            came = b""
            while len(came) < 2 or len(came) < 2 + int.from_bytes(came[:2], "big"):
                piece = await stream.receive()
                if not piece:
                    raise TroubleError(Failure.CONNECTION_CLOSED, "the server closed the connection without an answer")
                came += piece
    except TimeoutError as error:
        if error.errno is not None:  # the system's, not ours
            raise
        raise _no_answer(inquiry, ctx) from None
    finally:
        stream.close()
    try:
        answer = _decoded(came[2 : 2 + int.from_bytes(came[:2], "big")], inquiry, id_)
    except NotOursError as error:
        raise TroubleError(Failure.DNS_ANSWER, f"the answer is not to our question: {error}") from None
    if answer.truncated:
        raise TroubleError(Failure.DNS_ANSWER, "the answer is truncated over TCP too")
    return answer


def system_servers(path: str = "/etc/resolv.conf") -> Sequence[str]:
    """Return the name servers of this host, in their order; 127.0.0.1 where none is named (resolv.conf(5))."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(65_536).splitlines()
    except OSError:
        lines = []
    found = [parts[1] for parts in (line.split() for line in lines) if len(parts) > 1 and parts[0] == "nameserver"]
    return found or ["127.0.0.1"]


def _hear_errors(sock: socket.socket) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


async def _answer(sock: socket.socket, inquiry: Inquiry, id_: int, server: tuple[object, int]) -> Answer:
    """Return the first datagram that is the answer; one is read for each turn of the loop."""
    loop = asyncio.get_running_loop()
    while inquiry.ignored < IGNORED_LIMIT:
        await readable(loop, sock)
        try:
            datagram, sender = sock.recvfrom(_DATAGRAM_BYTES)
        except BlockingIOError:
            continue
        if (_number(sender[0]), sender[1]) != server:
            inquiry.ignored += 1
            continue
        try:
            return _decoded(datagram, inquiry, id_)
        except NotOursError:
            inquiry.ignored += 1
    raise TroubleError(Failure.DNS_ANSWER, f"{inquiry.ignored} datagrams came that do not answer the question")


def _number(host: str) -> object:
    """Return an address such that one address is equal to itself, however it is written and on whichever link."""
    return ipaddress.ip_address(host.partition("%")[0])


def _decoded(message: bytes, inquiry: Inquiry, id_: int) -> Answer:
    try:
        return decode_answer(message, inquiry.asked, id_)
    except NotOursError:
        raise
    except PacketError as error:
        raise TroubleError(Failure.DNS_ANSWER, f"the answer is broken: {error}") from None


def _no_answer(inquiry: Inquiry, ctx: Context) -> TroubleError:
    more = f", {inquiry.retries} times asked again" if inquiry.retries else ""
    more += f", {inquiry.ignored} datagrams ignored that were not the answer" if inquiry.ignored else ""
    message = f"no answer within {ctx.timeout_s:g} s in query{more}"
    return TroubleError(Failure.DNS_TIMEOUT, message)
