"""STAMP test packets without a socket: RFC 8762, and the TWAMP Light that it is made to meet.

A sender's packet (section 4.2.1) is a sequence number, a timestamp, an error estimate, the session's number (SSID, RFC
8972, section 3) and zeros, 44 octets; TLVs and padding follow (`stamp_tlv`). A reflector's (section 4.3.1) is of the
same length: its own sequence number, timestamp (T3), error estimate and the SSID, the time that it received the
question (T2), then what the sender wrote, and the TTL that it arrived with. A TWAMP Light reflector's is three octets
shorter (RFC 5357, section 4.2.1; RFC 8762, section 4.6).

Authenticated packets (sections 4.2.2 and 4.3.2) spread the same fields over six blocks of 16 octets; the seventh is
their HMAC-SHA-256, truncated to 128 bits (section 4.4).
"""

from __future__ import annotations

import hmac
import struct
from typing import Final, NamedTuple

PORT: Final = 862
"""The port of the session reflector (RFC 8762, section 4.1)."""

TEST_BYTES: Final = 44
AUTHENTICATED_BYTES: Final = 112
REFLECTED_MIN_BYTES: Final = 41
"""What a TWAMP Light answer has at least, and the least question that can be answered without growing."""

NTP_EPOCH_S: Final = 2_208_988_800
"""Seconds from the NTP era's start, 1900-01-01, to the Unix epoch (RFC 5905, section 6)."""

_SECOND_NS: Final = 1_000_000_000
_SENDER: Final = struct.Struct(">IIIHH")
_REFLECTOR: Final = struct.Struct(">IIIHHIIIIIHHB")
_ECHO: Final = slice(24, 36)
_SIGNED_SENDER: Final = struct.Struct(">I12xIIHH")
_SIGNED_REFLECTOR: Final = struct.Struct(">I12xIIHH4xII8xI12xIIH6xB15x")
_SIGNED_BYTES: Final = 96
"""What the HMAC of an authenticated packet covers; it stands right behind."""
_HMAC_BYTES: Final = 16


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


class Question(NamedTuple):
    """A sender's packet, as far as a reflector looks at it.

    Attributes:
        number: its sequence number.
        timestamp: its 8 octets.
        error: the 16 bits of its error estimate.
        ssid: the session's number; 0 of a sender that knows no RFC 8972.

    """

    number: int
    timestamp: tuple[int, int]
    error: int
    ssid: int


class Reflection(NamedTuple):
    """A reflector's answer.

    Attributes:
        key: the question's sequence number and timestamp as it repeats them: 12 octets.
        number: the reflector's own sequence number; the question's again when the reflector keeps no state.
        t2_ns, t3_ns: when it received the question and sent the answer, by its clock, since the Unix epoch (with PTP
            timestamps: since PTP's); both 0 where it does not say when it received.
        estimate: of the reflector's clock.
        ttl: the TTL or hop limit that the question arrived with.
        ssid: the session's number, repeated by reflectors that know RFC 8972.

    """

    key: bytes
    number: int
    t2_ns: int
    t3_ns: int
    estimate: ErrorEstimate
    ttl: int
    ssid: int

    @property
    def residence_ns(self) -> int:
        """T3 − T2, how long the reflector held the question; 0 where it does not say."""
        return self.t3_ns - self.t2_ns


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


def base_bytes(secret: bytes) -> int:
    """Return how long a packet is before its TLVs: authenticated when there is a secret."""
    return AUTHENTICATED_BYTES if secret else TEST_BYTES


def digest(secret: bytes, text: bytes) -> bytes:
    """Return the HMAC of a packet or of its TLVs (RFC 8762, section 4.4)."""
    return hmac.digest(secret, text, "sha256")[:_HMAC_BYTES]


def encode_question(
    number: int,
    timestamp: tuple[int, int],
    error: int,
    size: int,
    ssid: int = 0,
    tlvs: bytes = b"",
    secret: bytes = b"",
) -> tuple[bytes, bytes]:
    """Return a sender's packet of `size` octets, and the key that its answer will repeat."""
    if secret:
        base = _SIGNED_SENDER.pack(number, *timestamp, error, ssid).ljust(_SIGNED_BYTES, b"\0")
        packet = base + digest(secret, base) + tlvs
        return packet.ljust(size, b"\0"), base[:4] + base[16:24]
    head = _SENDER.pack(number, *timestamp, error, ssid)
    return (head.ljust(TEST_BYTES, b"\0") + tlvs).ljust(size, b"\0"), head[:12]


def decode_question(packet: bytes, secret: bytes = b"") -> Question | None:
    """Return what a sender's packet says, None when it is too short, or its HMAC is wrong where it must have one."""
    if secret:
        if not is_authentic(packet, secret):
            return None
        number, seconds, fraction, error, ssid = _SIGNED_SENDER.unpack_from(packet)
    elif len(packet) < REFLECTED_MIN_BYTES:
        return None
    else:
        number, seconds, fraction, error, ssid = _SENDER.unpack_from(packet)
    return Question(number, (seconds, fraction), error, ssid)


def encode_reflection(
    packet: bytes,
    question: Question,
    number: int,
    received_ns: int,
    sent_ns: int,
    error: int,
    ttl: int,
    tail: bytes,
    secret: bytes = b"",
) -> bytes:
    """Return the answer to a packet (RFC 8762, section 4.3), exactly as long as it.

    The packet is one that `decode_question` could read; `tail` is what follows its base, as it is to come back.
    """
    t3, t2, echo = to_ntp(sent_ns), to_ntp(received_ns), (question.number, *question.timestamp, question.error)
    if secret:
        base = _SIGNED_REFLECTOR.pack(number, *t3, error, question.ssid, *t2, *echo, ttl)
        return base + digest(secret, base) + tail
    head = _REFLECTOR.pack(number, *t3, error, question.ssid, *t2, *echo, 0, ttl)
    return (head + bytes(TEST_BYTES - REFLECTED_MIN_BYTES) + tail)[: len(packet)]


def is_authentic(packet: bytes, secret: bytes) -> bool:
    """Say whether an authenticated packet is as who knows the secret has sent it."""
    if len(packet) < AUTHENTICATED_BYTES:
        return False
    return hmac.compare_digest(digest(secret, packet[:_SIGNED_BYTES]), packet[_SIGNED_BYTES:AUTHENTICATED_BYTES])


def decode_reflection(packet: bytes, *, is_signed: bool = False) -> Reflection | None:
    """Return what a reflector's packet says, None when it is too short to be one; `is_authentic` is asked apart.

    Lenient where senders must be: RFC 4656 lets one discard an error estimate with a multiplier of 0, but there are
    reflectors that fill in no estimate at all, and their answers are answers.
    """
    if is_signed:
        if len(packet) < AUTHENTICATED_BYTES:
            return None
        number, t3, t3_fraction, error, ssid, t2, t2_fraction, *_, ttl = _SIGNED_REFLECTOR.unpack_from(packet)
        key = packet[48:52] + packet[64:72]
    else:
        if len(packet) < REFLECTED_MIN_BYTES:
            return None
        number, t3, t3_fraction, error, ssid, t2, t2_fraction, *_, ttl = _REFLECTOR.unpack_from(packet)
        key = packet[_ECHO]
    estimate = decode_error(error)
    if not t2 and not t2_fraction:
        return Reflection(key, number, 0, 0, estimate, ttl, ssid)
    is_ptp = estimate.is_ptp
    return Reflection(
        key, number, _to_ns(t2, t2_fraction, is_ptp), _to_ns(t3, t3_fraction, is_ptp), estimate, ttl, ssid
    )


def _to_ns(seconds: int, fraction: int, is_ptp: bool) -> int:
    if is_ptp:
        return seconds * _SECOND_NS + fraction
    # Beyond 2036 NTP's seconds begin anew (RFC 5905, section 6): they are taken to be after 1970.
    unix_s = (seconds - NTP_EPOCH_S) & 0xFFFF_FFFF
    return unix_s * _SECOND_NS + ((fraction * _SECOND_NS + (1 << 31)) >> 32)
