"""NTP packets without a socket: version 4, client and server mode (RFC 5905, section 7.3).

A client's packet holds nothing but its version, mode and a random number where its own time would stand: the server
repeats that number (as the origin timestamp), which makes an answer known and leaves nothing to be learnt from it. When
the packet left is remembered here.
"""

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple

from probes.stamp_codec import NTP_EPOCH_S

PORT: Final = 123
PACKET_BYTES: Final = 48

_SECOND_NS: Final = 1_000_000_000
_ERA_NS: Final = _SECOND_NS << 32
"""An era of NTP's time: 136 years, after which the seconds begin anew (section 6)."""
_PACKET: Final = struct.Struct(">BBbbII4sQ8sQQ")
_CLIENT: Final = 4 << 3 | 3
_SERVER_MODE: Final = 4
_VERSIONS: Final = (3, 4)
_NOT_SYNCHRONISED: Final = 3
_STRATUM_MOST: Final = 15


class Answer(NamedTuple):
    """A server's answer.

    Attributes:
        key: the client's random number as it is repeated.
        leap: leap indicator: 0 none, 1 and 2 a second is inserted or deleted at the end of the day, 3 unsynchronised.
        stratum: 1 has a reference clock of its own; 0 is a kiss of death, whose code is `reference`.
        precision_s: of the server's clock.
        root_delay_s, root_dispersion_s: to the reference clock, and how far it may be off on the way.
        reference: reference identifier: four letters at stratum 1 and in a kiss of death, otherwise an address or a
            digest, in hexadecimal.
        set_s: how long before it answered the server had last set or corrected its clock.
        received, sent: the server's times, in NTP's 64 bits.

    """

    key: bytes
    leap: int
    stratum: int
    precision_s: float
    root_delay_s: float
    root_dispersion_s: float
    reference: str
    set_s: float
    received: int
    sent: int

    @property
    def is_synchronised(self) -> bool:
        """Whether the server says that its clock is right."""
        return self.leap != _NOT_SYNCHRONISED and 0 < self.stratum <= _STRATUM_MOST

    @property
    def residence_ns(self) -> int:
        """How long the server held the question."""
        return _difference_ns(self.sent, self.received)

    def offset_ns(self, sent_ns: int, received_ns: int) -> int:
        """Return how far the server's clock is ahead of ours, in nanoseconds (section 8).

        `sent_ns` and `received_ns` are when the question left and the answer came, by our clock (Unix time). The
        answer is right to half of what the two ways differ.
        """
        ahead_there = _difference_ns(self.received, _from_unix(sent_ns))
        ahead_back = _difference_ns(self.sent, _from_unix(received_ns))
        return (ahead_there + ahead_back) // 2


def encode_question() -> tuple[bytes, bytes]:
    """Return a client's packet, and the key that its answer will repeat."""
    key = os.urandom(8)
    return bytes((_CLIENT,)).ljust(PACKET_BYTES - 8, b"\0") + key, key


def decode_answer(packet: bytes) -> Answer | None:
    """Return what a server's packet says, None when it is none. What follows the header is not looked at."""
    if len(packet) < PACKET_BYTES:
        return None
    head, stratum, _, precision, delay, dispersion, reference, set_, key, received, sent = _PACKET.unpack_from(packet)
    if head & 7 != _SERVER_MODE or head >> 3 & 7 not in _VERSIONS:
        return None
    letters = "".join(chr(code) for code in reference if 0x20 < code < 0x7F)
    set_s = max(0.0, _difference_ns(sent, set_) / _SECOND_NS) if set_ else 0.0
    precision_s = 2.0 ** max(-63, min(precision, 16))
    return Answer(
        key,
        head >> 6,
        stratum,
        precision_s,
        delay / 65536,
        dispersion / 65536,
        letters if stratum <= 1 else reference.hex(),
        set_s,
        received,
        sent,
    )


def _from_unix(wall_ns: int) -> int:
    seconds, nanoseconds = divmod(wall_ns, _SECOND_NS)
    return ((seconds + NTP_EPOCH_S) & 0xFFFF_FFFF) << 32 | (nanoseconds << 32) // _SECOND_NS


def _difference_ns(later: int, earlier: int) -> int:
    """Return the difference of two times as the nearer of its two readings, so that the turn of an era is none."""
    span_ns = (later - earlier) * _SECOND_NS >> 32
    return (span_ns + _ERA_NS // 2) % _ERA_NS - _ERA_NS // 2
