"""The process's NTP socket of one family: every check's questions leave from its port."""

from __future__ import annotations

import socket
from typing import Any, NamedTuple

from probes.ntp_codec import Answer, decode_answer, encode_question
from probes.packet_flight import Flight
from probes.packet_socket import Control
from probes.stamp_socket import KEY_BYTES, StampSocket


class Reading(NamedTuple):
    """One answer and what it came to.

    Attributes:
        answer: what the server says.
        offset_ns: how far its clock is ahead of ours.
        delay_ns: of the way there and back, without the server's own time: half of it bounds the offset's error.

    """

    answer: Answer
    offset_ns: int
    delay_ns: int


class NtpSocket(StampSocket):
    """Sends NTP questions of one family and matches the answers; what ICMP reports is read as for STAMP."""

    def encode(self, flight: Flight, index: int) -> bytes:
        """Return the flight's next question."""
        packet, key = encode_question()
        flight.keys.append(key)
        flight.numbers.append(index)
        return packet

    def decode(self, data: memoryview, control: Control, source: tuple[Any, ...], received_ns: int) -> None:
        """Match an answer by what it repeats and where it comes from."""
        answer = decode_answer(bytes(data))
        found = self.packet_of(answer.key) if answer is not None else None
        if answer is None or found is None:
            self.ignored += 1
            return
        flight, index = found
        believed = len(flight.held_ns)
        if self.answered(answer.key, source, received_ns, None, answer.residence_ns) is None:
            return
        # The round trip is the one that survived the checks: the clock may have been set, the server may tell tales.
        held_ns = answer.residence_ns if len(flight.held_ns) > believed else 0
        delay_ns = round((flight.rtt_s[index] or 0.0) * 1e9)
        sent_ns = flight.stamps[index].wall_ns
        reading = Reading(answer, answer.offset_ns(sent_ns, sent_ns + delay_ns + held_ns), delay_ns)
        flight.extras = [*(flight.extras or ()), reading]

    def decode_error(self, data: memoryview, control: Control, destination: tuple[Any, ...]) -> None:
        """Take an ICMP error; a question quotes no key in its first octets, so the oldest packet there is meant."""
        super().decode_error(data[: KEY_BYTES - 1], control, destination)


async def open_ntp_socket(family: socket.AddressFamily) -> NtpSocket:
    """Open the socket of a family on a port of the system's choice.

    Raises OSError when the host lacks the family.
    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))  # noqa: S104 - answers come to any address of ours
    return NtpSocket(sock)
