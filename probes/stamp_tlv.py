"""The optional TLVs of STAMP test packets (RFC 8972, section 4), as a sender writes and a reflector answers them.

A sender sets the flag U of each; who understands it takes the flag away, so that a TLV that comes back with it was not
understood. Written and read here: Extra Padding, Timestamp Information, Class of Service, Direct Measurement and HMAC;
what else a sender writes (Location, Access Report, Follow-Up Telemetry) comes back as it was, flagged U.

What follows a test packet and does not begin with the flag U is no TLV but padding, as older senders have it.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from probes.stamp_codec import digest

UNRECOGNISED, MALFORMED, FORGED = 0x80, 0x40, 0x20
"""The flags U, M and I (section 4)."""

EXTRA_PADDING: Final = 1
TIMESTAMP_INFORMATION: Final = 3
CLASS_OF_SERVICE: Final = 4
DIRECT_MEASUREMENT: Final = 5
HMAC: Final = 8

HEAD_BYTES: Final = 4
CLASS_BYTES: Final = HEAD_BYTES + 4
COUNTERS_BYTES: Final = HEAD_BYTES + 12
HMAC_BYTES: Final = HEAD_BYTES + 16
TLVS_MAX: Final = 16
"""How many a packet may have; those behind are neither read nor changed."""

_HEAD: Final = struct.Struct(">BBH")
_COUNTERS: Final = struct.Struct(">III")
_TWO_COUNTERS: Final = struct.Struct(">II")
_COUNTERS_TLV: Final = struct.Struct(">BBHIII")
_COUNTERS_UNDERSTOOD: Final = b"\0\x05\0\x0c"
_LENGTHS: Final = {TIMESTAMP_INFORMATION: 4, CLASS_OF_SERVICE: 4, DIRECT_MEASUREMENT: 12, HMAC: 16}
_BY_NTP, _FREE_RUNNING, _BY_SOFTWARE = 1, 5, 2  # section 4.3, tables 6 and 7


class Arrival(NamedTuple):
    """What a reflector knows of a question.

    Attributes:
        traffic_class: the octet of the IP header: six bits of DSCP, two of ECN.
        counts: packets of the session that were received and answered so far, this one included; None: nobody counts.
        is_synchronised: whether the reflector's clock follows UTC by an outside source.

    """

    traffic_class: int
    counts: tuple[int, int] | None
    is_synchronised: bool


class Told(NamedTuple):
    """What a reflector's TLVs say; None where it did not understand, or was not asked.

    Attributes:
        dscp: DSCP with which the question came to it.
        is_refused: it did not answer with the DSCP that it was asked to.
        received, sent: packets of the session so far that it received and sent.

    """

    dscp: int | None = None
    is_refused: bool | None = None
    received: int | None = None
    sent: int | None = None


NOTHING_TOLD: Final = Told()


def encode_tlvs(number: int, dscp: int | None, counts: bool, size: int, secret: bytes) -> bytes:
    """Return a sender's TLVs, `size` octets with the padding, as far as they fit.

    `dscp` is what the answer shall come with, `counts` asks for the reflector's counters.
    """
    tlvs = b""
    if dscp is not None:
        tlvs += _HEAD.pack(UNRECOGNISED, CLASS_OF_SERVICE, 4) + struct.pack(">BBH", dscp << 2, 0, 0)
    if counts:
        tlvs += _HEAD.pack(UNRECOGNISED, DIRECT_MEASUREMENT, 12) + _COUNTERS.pack(number + 1 & 0xFFFF_FFFF, 0, 0)
    if secret and tlvs:
        tlvs += _HEAD.pack(UNRECOGNISED, HMAC, 16) + digest(secret, number.to_bytes(4, "big") + tlvs)
    room = size - len(tlvs) - HEAD_BYTES
    return tlvs if room < 0 else tlvs + _HEAD.pack(UNRECOGNISED, EXTRA_PADDING, room) + bytes(room)


def encode_counters(number: int) -> bytes:
    """Return what `encode_tlvs` does for counters alone: what most packets have, and quicker."""
    return _COUNTERS_TLV.pack(UNRECOGNISED, DIRECT_MEASUREMENT, 12, number + 1 & 0xFFFF_FFFF, 0, 0)


def decode_counters(packet: bytes, place: int) -> Told:
    """Return what a reflector's first TLV, at that place of its packet, says if it is of counters alone."""
    if len(packet) < place + COUNTERS_BYTES or packet[place : place + HEAD_BYTES] != _COUNTERS_UNDERSTOOD:
        return NOTHING_TOLD
    received, sent = _TWO_COUNTERS.unpack_from(packet, place + HEAD_BYTES + 4)
    return Told(None, None, received, sent)


def decode_tlvs(tail: bytes, number: bytes, secret: bytes) -> Told:
    """Return what a reflector's TLVs say; nothing when they are not authentic and have to be.

    `number` is the sequence number of its packet, four octets.
    """
    if secret and not _is_authentic(tail, number, secret):
        return NOTHING_TOLD
    told = NOTHING_TOLD
    for flags, kind, place, length in _walk(tail):
        if flags & (UNRECOGNISED | MALFORMED | FORGED) or length != _LENGTHS.get(kind):
            continue
        if kind == CLASS_OF_SERVICE:
            # DSCP1, DSCP2, ECN, RP: 6, 6, 2 and 2 bits (section 4.4)
            bits = int.from_bytes(tail[place : place + 2], "big")
            told = told._replace(dscp=bits >> 4 & 0x3F, is_refused=bits & 3 == 1)
        elif kind == DIRECT_MEASUREMENT:
            _, received, sent = _COUNTERS.unpack_from(tail, place)
            told = told._replace(received=received, sent=sent)
    return told


def answer_tlvs(tail: bytes, arrival: Arrival, number: int, secret: bytes) -> tuple[bytes, int | None]:
    """Return a question's TLVs as they are to come back, of the same length, and the DSCP that the answer shall have.

    `number` is the sequence number of the answer. An HMAC must have been looked at before (`is_question_authentic`).
    """
    answer, dscp = bytearray(tail), None
    for flags, kind, place, length in _walk(tail):
        start, value = place - HEAD_BYTES, tail[place : place + length]
        if flags & MALFORMED or length != _LENGTHS.get(kind, length):
            answer[start] = MALFORMED
            break
        answer[start] = 0
        if kind == CLASS_OF_SERVICE:
            dscp = value[0] >> 2
            bits = dscp << 10 | (arrival.traffic_class >> 2) << 4 | (arrival.traffic_class & 3) << 2
            answer[place : place + 2] = bits.to_bytes(2, "big")
        elif kind == DIRECT_MEASUREMENT and arrival.counts is not None:
            answer[place + 4 : place + 12] = struct.pack(">II", *(count & 0xFFFF_FFFF for count in arrival.counts))
        elif kind == TIMESTAMP_INFORMATION:
            source = _BY_NTP if arrival.is_synchronised else _FREE_RUNNING
            answer[place : place + 4] = bytes((source, _BY_SOFTWARE, source, _BY_SOFTWARE))
        elif kind == HMAC and secret:
            answer[place : place + 16] = digest(secret, number.to_bytes(4, "big") + answer[:start])
        elif kind != EXTRA_PADDING:
            answer[start] = UNRECOGNISED
    return bytes(answer), dscp


def flag_forged(tail: bytes) -> bytes:
    """Return TLVs that did not prove authentic as they are to come back: nothing done, each flagged I (section 4.8)."""
    answer = bytearray(tail)
    for _, _, place, _ in _walk(tail):
        answer[place - HEAD_BYTES] |= FORGED
    return bytes(answer)


def is_question_authentic(tail: bytes, number: int, secret: bytes) -> bool:
    """Say whether a question's TLVs are what who knows the secret has written, or need not be (section 4.8)."""
    return not has_tlvs(tail) or _is_authentic(tail, number.to_bytes(4, "big"), secret)


def has_tlvs(tail: bytes) -> bool:
    """Say whether a sender's TLVs follow a test packet, and not padding."""
    return len(tail) >= HEAD_BYTES and tail[0] & UNRECOGNISED != 0 and tail[0] & (MALFORMED | FORGED) == 0


def _is_authentic(tail: bytes, number: bytes, secret: bytes) -> bool:
    found = list(_walk(tail))
    if len(found) == 1 and found[0][1] == EXTRA_PADDING:
        return True
    for order, (_, kind, place, length) in enumerate(found):
        if kind == HMAC and length == 16:
            start = place - HEAD_BYTES
            behind = [later for _, later, _, _ in found[order + 1 :]]
            true = digest(secret, number + tail[:start])
            return behind in ([], [EXTRA_PADDING]) and hmac.compare_digest(true, tail[place : place + 16])
    return False


def _walk(tail: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield flags, type, where the value begins, and its length; of a value that is cut off, with the flag M."""
    place = 0
    for _ in range(TLVS_MAX):
        if place + HEAD_BYTES > len(tail):
            return
        flags, kind, length = _HEAD.unpack_from(tail, place)
        place += HEAD_BYTES
        if place + length > len(tail):
            yield flags | MALFORMED, kind, place, len(tail) - place
            return
        yield flags, kind, place, length
        place += length
