"""What Linux's TCP says of a connection (TCP_INFO, linux/tcp.h), as far as a throughput test wants to know."""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

_INFO: Final = struct.Struct("@8B24I4Q2I4I4Q2I2Q")
"""`struct tcp_info` up to `tcpi_bytes_retrans` (Linux 4.19); the eight octets begin with the state."""

_FLAGS = 8


class TcpInfo(NamedTuple):
    """Figures of one connection so far.

    Attributes:
        mss_bytes: of payload in a segment; `mtu_bytes`: of the path, headers included.
        rtt_s, rtt_min_s: smoothed round-trip time now, and the least so far.
        unacked: segments on their way; `unsent_bytes`: what waits in the send buffer.
        sent_bytes, resent_bytes: payload octets that were sent, those sent again included, and those alone.
        delivery_bps: latest measured rate of delivery.
        busy_s: time with something to send; in it `receiver_limited_s` without room at the receiver, and
            `sender_limited_s` without room in the send buffer.

    """

    mss_bytes: int
    mtu_bytes: int
    rtt_s: float
    rtt_min_s: float
    unacked: int
    unsent_bytes: int
    sent_bytes: int
    resent_bytes: int
    delivery_bps: float
    busy_s: float
    receiver_limited_s: float
    sender_limited_s: float


def tcp_info(sock: socket.socket) -> TcpInfo:
    """Return what the kernel says of a connection.

    Raises OSError; of an older kernel, what it does not know is 0.
    """
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size).ljust(_INFO.size, b"\0")
    values = _INFO.unpack(raw)
    words, longs, counts = values[_FLAGS : _FLAGS + 24], values[_FLAGS + 24 : _FLAGS + 28], values[_FLAGS + 28 :]
    del longs  # pacing rates and octets acknowledged and received: not needed
    _, _, unsent, rtt_min_us, _, _, delivery, busy_us, receiver_us, sender_us, _, _, sent, resent = counts
    return TcpInfo(
        mss_bytes=words[2],
        mtu_bytes=words[13],
        rtt_s=words[15] / 1e6,
        rtt_min_s=rtt_min_us / 1e6,
        unacked=words[4],
        unsent_bytes=unsent,
        sent_bytes=sent,
        resent_bytes=resent,
        delivery_bps=delivery * 8.0,
        busy_s=busy_us / 1e6,
        receiver_limited_s=receiver_us / 1e6,
        sender_limited_s=sender_us / 1e6,
    )
