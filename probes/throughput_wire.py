"""The protocol of `throughput`: lines of plain text between an agent (A) and a server (S), and the payload apart.

A control connection, in ASCII, each line at most `LINE_MAX` octets with its newline:

    A  THROUGHPUT 1
    S  CHALLENGE <nonce>
    A  TEST <forward|backward|both> <milliseconds> <bytes> <nonce> <proof>
    S  READY <token> <milliseconds> <bytes> <proof>      or BUSY, or DENIED, and it closes
    S  RECEIVED <bytes> <bytes timed> <microseconds>     after the way forward
    S  SENT <figures of its TCP>                         after the way back

For each direction, forward first, A opens a data connection to the same port:

    A  DATA <token> <forward|backward>
    S  GO                                                only forward

and then the sender of that direction sends payload, as long and as much as READY says, and closes its half.

Nonces and tokens are 128 random bits in hexadecimal, made anew for each connection. A proof is the HMAC-SHA-256 of the
shared key over who speaks, both nonces and all that was said: S does nothing for an agent that does not know the key, A
sends nothing to a server that does not; the key itself is never sent. S may grant less than was asked, never more.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from typing import Final, NamedTuple, Self

from probes.failures import TroubleError, plain_line
from probes.model import Failure

PORT: Final = 8620
"""Ours: the IANA has none for this."""

VERSION: Final = "1"
LINE_MAX: Final = 320
NONCE_DIGITS: Final = 32
NUMBER_MAX: Final = 2**63 - 1
WAYS: Final = {"forward": ("forward",), "backward": ("backward",), "both": ("forward", "backward")}


class Terms(NamedTuple):
    """What is agreed: directions, time and bytes of each."""

    direction: str
    duration_ms: int
    bytes_max: int

    @classmethod
    def read(cls, words: list[str]) -> Self:
        """Return the terms that three words say; raises TroubleError."""
        if len(words) != 3 or words[0] not in WAYS:
            raise TroubleError(Failure.PROTOCOL, "these are no terms of a test")
        return cls(words[0], number(words[1]), number(words[2]))

    def words(self) -> tuple[str, str, str]:
        """Return them as they are written."""
        return self.direction, str(self.duration_ms), str(self.bytes_max)


class Received(NamedTuple):
    """What a receiver counted: all bytes; and those after the first read, with the time that they took."""

    total_bytes: int
    timed_bytes: int
    time_us: int

    @property
    def rate_bps(self) -> float | None:
        """Bits per second; None when it all came at once."""
        return self.timed_bytes * 8e6 / self.time_us if self.time_us and self.timed_bytes else None


class Sent(NamedTuple):
    """What a sender's TCP says, in the order of the line.

    Attributes:
        payload_bytes: given to TCP; `sent_bytes` and `resent_bytes` are what it made of that.
        rtt_min_us, rtt_loaded_us: least round-trip time, and the mean while sending.
        delivery_bps: greatest measured rate of delivery.
        busy_us: time with something to send; without room at the receiver, and in the send buffer.
        mss_bytes, mtu_bytes: payload of a segment, and the path's MTU.

    """

    payload_bytes: int
    sent_bytes: int
    resent_bytes: int
    rtt_min_us: int
    rtt_loaded_us: int
    delivery_bps: int
    busy_us: int
    receiver_limited_us: int
    sender_limited_us: int
    mss_bytes: int
    mtu_bytes: int


def nonce() -> str:
    """Return a number that nobody can guess, to be used once."""
    return secrets.token_hex(NONCE_DIGITS // 2)


def proof(secret: bytes, who: str, *words: str) -> str:
    """Return the proof that `who` knows the secret, over words without white space."""
    return hmac.digest(secret, " ".join((who, *words)).encode(), "sha256").hex()


def proves(given: str, secret: bytes, who: str, *words: str) -> bool:
    """Say whether a proof is true."""
    return hmac.compare_digest(given.encode("ascii", "replace"), proof(secret, who, *words).encode())


def number(word: str) -> int:
    """Return a number of a line; raises TroubleError."""
    if not word.isascii() or not word.isdecimal() or len(word) > 19 or int(word) > NUMBER_MAX:
        raise TroubleError(Failure.PROTOCOL, f"{plain_line(word, 40)!r} is not a number")
    return int(word)


class Lines:
    """One connection's lines, over a non-blocking socket that belongs to it until `detach`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    async def read(self, *expected: str) -> list[str]:
        """Return the next line's words, of which the first is one of `expected`.

        Raises OSError, EOFError, or TroubleError for what is no such line.
        """
        while b"\n" not in self._buffer:
            if len(self._buffer) >= LINE_MAX:
                raise TroubleError(Failure.PROTOCOL, f"the far end's line is longer than {LINE_MAX} octets")
            data = await self._loop.sock_recv(self.sock, LINE_MAX)
            if not data:
                raise EOFError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        text = line.decode("ascii", "replace")
        words = text.split()
        if len(line) >= LINE_MAX or not words or words[0] not in expected:
            raise TroubleError(Failure.PROTOCOL, f"the far end says {plain_line(text, 60)!r}, not {expected[0]}")
        return words

    async def write(self, *words: str) -> None:
        """Send a line; raises OSError."""
        await self._loop.sock_sendall(self.sock, " ".join(words).encode("ascii") + b"\n")

    def detach(self) -> socket.socket:
        """Give the socket away, of which nothing but lines was read.

        Raises TroubleError when there is more.
        """
        if self._buffer:
            raise TroubleError(Failure.PROTOCOL, "the far end speaks out of turn")
        return self.sock

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()
