"""The process's STAMP socket of one family: every check's test packets leave from its port.

A session is one check's packets: numbered from 0, as RFC 8762 (section 4.2.1) wants. An answer is known by the number
and the timestamp that it repeats; the timestamp's last 12 bits (a microsecond) are random, so that it cannot be
guessed even where the clock is coarse.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Final

from probes.icmp_codec import report_of
from probes.packet_flight import Flight
from probes.packet_socket import Control, PacketSocket, ask_for_reports, reports_in
from probes.stamp_clock import ClockQuality
from probes.stamp_codec import decode_reflection, encode_question, to_ntp

KEY_BYTES: Final = 12
_RANDOM_MASK: Final = 0xFFF


class StampSocket(PacketSocket):
    """Sends STAMP test packets of one family and matches what is reflected."""

    def __init__(self, sock: socket.socket) -> None:
        self._family = socket.AddressFamily(sock.family)
        self._clock = ClockQuality()
        ask_for_reports(sock)
        super().__init__(sock)

    def encode(self, flight: Flight, index: int) -> bytes:
        """Return the flight's next test packet."""
        error = self._clock.error_estimate()
        seconds, fraction = to_ntp(time.time_ns())
        while True:
            fraction = fraction & ~_RANDOM_MASK | int.from_bytes(os.urandom(2), "big") & _RANDOM_MASK
            packet, key = encode_question(index, (seconds, fraction), error, flight.size)
            if self.packet_of(key) is None:
                break
        flight.keys.append(key)
        flight.numbers.append(index)
        return packet

    def decode(self, data: memoryview, control: Control, source: tuple[Any, ...], received_ns: int) -> None:
        """Match a reflected packet by what it repeats and where it comes from."""
        reflection = decode_reflection(bytes(data))
        if reflection is None:
            self.ignored += 1
            return
        flight = self.answered(reflection.key, source, received_ns, None, reflection.residence_ns)
        if flight is not None:
            flight.extras = reflection.estimate

    def decode_error(self, data: memoryview, control: Control, destination: tuple[Any, ...]) -> None:
        """Take an ICMP error: about the packet that it quotes, or the oldest to that host and port."""
        for kind, code in reports_in(control):
            trouble = report_of(self._family, kind, code)
            found = self._packet_of_error(bytes(data[:KEY_BYTES]), destination)
            if trouble is None or found is None:
                self.ignored += 1
                continue
            self.reported(*found, trouble)

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
    """Open the socket of a family on a port of the system's choice.

    Raises OSError when the host lacks the family.
    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))  # noqa: S104 - answers come to any address of ours
    return StampSocket(sock)
