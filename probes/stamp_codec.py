"""STAMP test packets without a socket: RFC 8762, unauthenticated mode, and the TWAMP Light that it is made to meet.

A sender's packet (section 4.2.1) is a sequence number, a timestamp, an error estimate and zeros, 44 octets; more is
padding. A reflector's (section 4.3.1) is of the same length: its own sequence number, timestamp (T3) and error
estimate, the time that it received the question (T2), then what the sender wrote, and the TTL that it arrived with.
A TWAMP Light reflector's is three octets shorter (RFC 5357, section 4.2.1; RFC 8762, section 4.6).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

PORT: Final = 862
"""The port of the session reflector (RFC 8762, section 4.1)."""

TEST_BYTES: Final = 44
REFLECTED_MIN_BYTES: Final = 41
"""What a TWAMP Light answer has at least, and the least question that can be answered without growing."""

NTP_EPOCH_S: Final = 2_208_988_800
"""Seconds from the NTP era's start, 1900-01-01, to the Unix epoch (RFC 5905, section 6)."""

_SECOND_NS: Final = 1_000_000_000
_SENDER: Final = struct.Struct(">IIIH")
_REFLECTOR: Final = struct.Struct(">IIIHHIIIIIHHB")
_ECHO: Final = slice(24, 36)


class ErrorEstimate(NamedTuple):
    """How far a clock may be wrong (RFC 4656, section 4.1.2; RFC 8186).

    Attributes:
        is_synchronised: S: the clock follows UTC by an outside source.
        is_ptp: Z: timestamps are in PTP's truncated format, not NTP's.
        error_s: the estimate in seconds, None where the packet carries none (a multiplier of 0 is not allowed).

    """

    is_synchronised: bool
    is_ptp: bool
    error_s: float | None


class Reflection(NamedTuple):
    """A reflector's answer.

    Attributes:
        key: the question's sequence number and timestamp as it repeats them: 12 octets.
        number: the reflector's own sequence number; the question's again when the reflector keeps no state.
        residence_ns: T3 − T2, how long the reflector held the question; 0 where it does not say.
        estimate: of the reflector's clock.
        ttl: the TTL or hop limit that the question arrived with.

    """

    key: bytes
    number: int
    residence_ns: int
    estimate: ErrorEstimate
    ttl: int


def to_ntp(wall_ns: int) -> tuple[int, int]:
    """Return nanoseconds since the Unix epoch as NTP's seconds and fraction (RFC 5905, section 6)."""
    seconds, nanoseconds = divmod(wall_ns, _SECOND_NS)
    return (seconds + NTP_EPOCH_S) & 0xFFFF_FFFF, (nanoseconds << 32) // _SECOND_NS


def encode_error(is_synchronised: bool, error_s: float) -> int:
    """Return the 16 bits of an error estimate in NTP format: S, Z, scale and multiplier (never 0), rounded up."""
    units, scale = max(1, int(error_s * 2**32) + 1), 0
    while units > 0xFF and scale < 0x3F:
        units, scale = -(-units // 2), scale + 1
    return (0x8000 if is_synchronised else 0) | scale << 8 | min(units, 0xFF)


def decode_error(bits: int) -> ErrorEstimate:
    """Return what the 16 bits of an error estimate say."""
    multiplier, scale = bits & 0xFF, bits >> 8 & 0x3F
    error_s = multiplier * 2.0 ** (scale - 32) if multiplier else None
    return ErrorEstimate(bool(bits & 0x8000), bool(bits & 0x4000), error_s)


def encode_question(number: int, timestamp: tuple[int, int], error: int, size: int) -> tuple[bytes, bytes]:
    """Return a sender's packet of `size` octets, and the key that its answer will repeat."""
    head = _SENDER.pack(number, *timestamp, error)
    return head.ljust(size, b"\0"), head[:12]


def encode_reflection(question: bytes, received_ns: int, sent_ns: int, error: int, ttl: int) -> bytes:
    """Return the answer of a reflector without state (RFC 8762, section 4.3), exactly as long as the question.

    The question has REFLECTED_MIN_BYTES at least. Its padding comes back as it was.
    """
    number, seconds, fraction, sender_error = _SENDER.unpack_from(question)
    head = _REFLECTOR.pack(
        number, *to_ntp(sent_ns), error, 0, *to_ntp(received_ns), number, seconds, fraction, sender_error, 0, ttl
    )
    return (head + bytes(TEST_BYTES - REFLECTED_MIN_BYTES) + question[TEST_BYTES:])[: len(question)]


def decode_reflection(packet: bytes) -> Reflection | None:
    """Return what a reflector's packet says, None when it is too short to be one.

    Lenient where senders must be: RFC 4656 lets one discard an error estimate with a multiplier of 0, but there are
    reflectors that fill in no estimate at all, and their answers are answers.
    """
    if len(packet) < REFLECTED_MIN_BYTES:
        return None
    number, t3, t3_fraction, error, _, t2, t2_fraction, *_, ttl = _REFLECTOR.unpack_from(packet)
    estimate = decode_error(error)
    residence_ns = 0
    if t2 or t2_fraction:
        t2_ns, t3_ns = _to_ns(t2, t2_fraction, estimate.is_ptp), _to_ns(t3, t3_fraction, estimate.is_ptp)
        residence_ns = t3_ns - t2_ns
    return Reflection(packet[_ECHO], number, residence_ns, estimate, ttl)


def _to_ns(seconds: int, fraction: int, is_ptp: bool) -> int:
    # Only differences are taken, so that the epoch does not matter (NTP's and PTP's differ).
    return seconds * _SECOND_NS + (fraction if is_ptp else (fraction * _SECOND_NS + (1 << 31)) >> 32)
