"""The process's STAMP sockets: one of each family for plain checks, one more for each DSCP and secret in use.

A session is one check's packets: numbered from 0, as RFC 8762 (section 4.2.1) wants, under an SSID of its own (RFC
8972, section 3), since all leave from the same port. An answer is known by the number and the timestamp that it
repeats; the timestamp's last 12 bits (a microsecond) are random, so that it cannot be guessed even where the clock is
coarse.
"""

from __future__ import annotations

import os
import socket
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from probes.icmp_codec import report_of
from probes.packet_flight import Flight
from probes.packet_socket import Control, PacketSocket, ask_for_reports, reports_in
from probes.stamp_clock import ClockQuality
from probes.stamp_codec import base_bytes, decode_reflection, encode_question, is_authentic, to_ntp
from probes.stamp_figures import Readings
from probes.stamp_tlv import (
    CLASS_BYTES,
    COUNTERS_BYTES,
    HMAC_BYTES,
    decode_counters,
    decode_tlvs,
    encode_counters,
    encode_tlvs,
)

KEY_BYTES: Final = 12
STATEFUL_MAX: Final = 10_000
_RANDOM_MASK: Final = 0xFFF
_TRAFFIC_CLASS: Final = {  # what sets it, what asks for it with each packet, and what it comes as
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TOS, 13, socket.IP_TOS),  # 13: IP_RECVTOS, linux/in.h
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS),
}


@dataclass(frozen=True, slots=True)
class Manner:
    """How test packets are sent.

    Attributes:
        dscp: their DSCP, which the answers shall have too; None: the system's, and nobody asks.
        secret: what they are authenticated with; empty: they are not.

    """

    dscp: int | None = None
    secret: bytes = field(default=b"", repr=False)

    def least_bytes(self) -> int:
        """Return the size that a test packet has at least."""
        tlvs = 0 if self.dscp is None else CLASS_BYTES
        return base_bytes(self.secret) + tlvs + (HMAC_BYTES if self.secret and tlvs else 0)

    def usual_bytes(self) -> int:
        """Return the size that a test packet has with the reflector's counters."""
        tlvs = COUNTERS_BYTES + (0 if self.dscp is None else CLASS_BYTES)
        return base_bytes(self.secret) + tlvs + (HMAC_BYTES if self.secret else 0)

    async def __call__(self, family: socket.AddressFamily) -> StampSocket:
        """Open the socket of a family for such packets; raises OSError when the host lacks it."""
        return StampSocket(_bound_socket(family), self)


PLAIN: Final = Manner()


class StampSocket(PacketSocket):
    """Sends STAMP test packets of one family and matches what is reflected."""

    def __init__(self, sock: socket.socket, manner: Manner = PLAIN, clock: ClockQuality | None = None) -> None:
        self._family = socket.AddressFamily(sock.family)
        self._clock = clock or ClockQuality()
        self._manner = manner
        self._is_plain = manner.dscp is None and not manner.secret
        self._base_bytes = base_bytes(manner.secret)
        self._usual_bytes = manner.usual_bytes()
        self._ssid = int.from_bytes(os.urandom(2), "big")
        self._stateful: OrderedDict[tuple[Any, ...], None] = OrderedDict()
        ask_for_reports(sock)
        if manner.dscp is not None:
            level, option, ask, _ = _TRAFFIC_CLASS[self._family]
            sock.setsockopt(level, option, manner.dscp << 2)
            sock.setsockopt(level, ask, 1)
        super().__init__(sock)

    def encode(self, flight: Flight, index: int) -> bytes:
        """Return the flight's next test packet."""
        if flight.extras is None:
            self._ssid = self._ssid % 0xFFFF + 1  # never 0: that is a sender's that has none
            flight.extras = Readings(self._ssid, is_stateful=flight.destination[:2] in self._stateful)
        readings: Readings = flight.extras
        manner, size = self._manner, flight.size
        readings.own_error = error = self._clock.error_estimate()
        if self._is_plain and size == self._usual_bytes:
            tlvs = encode_counters(index)
        else:
            room = size - self._base_bytes
            tlvs = encode_tlvs(index, manner.dscp, size >= self._usual_bytes, room, manner.secret)
        seconds, fraction = to_ntp(time.time_ns())
        while True:
            fraction = fraction & ~_RANDOM_MASK | int.from_bytes(os.urandom(2), "big") & _RANDOM_MASK
            packet, key = encode_question(index, (seconds, fraction), error, size, readings.ssid, tlvs, manner.secret)
            if self.packet_of(key) is None:
                break
        flight.keys.append(key)
        flight.numbers.append(index)
        return packet

    def decode(self, data: memoryview, control: Control, source: tuple[Any, ...], received_ns: int) -> None:
        """Match a reflected packet by what it repeats and where it comes from."""
        packet, secret = bytes(data), self._manner.secret
        reflection = decode_reflection(packet, is_signed=bool(secret))
        found = self.packet_of(reflection.key) if reflection is not None else None
        if reflection is None or found is None or found[0].destination[:2] != source[:2]:
            self.ignored += 1
            return
        flight, index = found
        readings: Readings = flight.extras
        if secret and not is_authentic(packet, secret):
            readings.unauthentic += 1
            self.ignored += 1
            return
        believed, residence_ns = len(flight.held_ns), reflection.residence_ns
        counts = self.answered(reflection.key, source, received_ns, None, residence_ns) is not None
        rtt_s = flight.rtt_s[index]
        if rtt_s is None:
            return  # too late to be an answer
        round_trip_ns = None
        if counts and reflection.t2_ns and (residence_ns == 0 or len(flight.held_ns) > believed):
            round_trip_ns = round(rtt_s * 1e9) + residence_ns
        if self._is_plain:
            told = decode_counters(packet, self._base_bytes)
        else:
            told = decode_tlvs(packet[self._base_bytes :], packet[:4], secret)
        was_known = readings.is_stateful
        readings.take(index, reflection, flight.stamps[index].wall_ns, round_trip_ns, told, is_first=counts)
        if readings.is_stateful and not was_known:
            self._remember_state(flight.destination)
        if self._manner.dscp is not None and counts:
            readings.take_classes(self._manner.dscp, told, self._dscp_in(control))

    def _remember_state(self, destination: tuple[Any, ...]) -> None:
        self._stateful[destination[:2]] = None
        if len(self._stateful) > STATEFUL_MAX:
            self._stateful.popitem(last=False)

    def _dscp_in(self, control: Control) -> int | None:
        level, _, _, kind = _TRAFFIC_CLASS[self._family]
        for its_level, its_kind, value in control:
            if (its_level, its_kind) == (level, kind) and value:
                return value[0] >> 2 if self._family == socket.AF_INET else int.from_bytes(value, "little") >> 2
        return None

    def decode_error(self, data: memoryview, control: Control, destination: tuple[Any, ...]) -> None:
        """Take an ICMP error: about the packet that it quotes, or the oldest to that host and port."""
        for kind, code in reports_in(control):
            trouble = report_of(self._family, kind, code)
            found = self._packet_of_error(self._quoted_key(bytes(data)), destination)
            if trouble is None or found is None:
                self.ignored += 1
                continue
            self.reported(*found, trouble)

    def _quoted_key(self, quoted: bytes) -> bytes:
        return quoted[:4] + quoted[16:24] if self._manner.secret else quoted[:KEY_BYTES]

    def _packet_of_error(self, key: bytes, destination: tuple[Any, ...]) -> tuple[Flight, int] | None:
        if len(key) == KEY_BYTES:
            found = self.packet_of(key)
            return found if found and found[0].destination[:2] == destination[:2] else None
        for flight in self.flights_to(destination[0]):
            if flight.destination[1] == destination[1]:
                for index in range(flight.launched):
                    if flight.rtt_s[index] is None and index not in flight.troubles:
                        return flight, index
        return None


async def open_stamp_socket(family: socket.AddressFamily) -> StampSocket:
    """Open the socket of a family for plain packets, on a port of the system's choice.

    Raises OSError when the host lacks the family.
    """
    return StampSocket(_bound_socket(family))


def _bound_socket(family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))  # noqa: S104 - answers come to any address of ours
    return sock
