"""Probes of one flow and reports on them: what routers that balance load see, and what hostile ones may send."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.icmp_codec import checksum
from probes.path_codec import (
    NUMBERS,
    PAYLOAD_MIN_BYTES,
    Kind,
    UdpEnds,
    decode,
    decode_queued,
    echo_probe,
    labels_of,
    udp_probe,
)

V4, V6 = socket.AF_INET, socket.AF_INET6
ENDS = {V4: UdpEnds("10.0.0.1", 20_000, "10.0.9.9", 33_434), V6: UdpEnds("fd00::1", 20_000, "fd00:9::9", 33_434)}
UDP, ICMP, ICMP6 = socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
families = st.sampled_from([V4, V6])
numbers = st.integers(1, NUMBERS)
tokens = st.binary(min_size=8, max_size=8)
sizes = st.integers(PAYLOAD_MIN_BYTES, 1400)


def pseudo_header(family: int, protocol: int, length: int) -> bytes:
    """RFC 768; RFC 8200, section 8.1."""
    ends = ENDS[family]
    addresses = socket.inet_pton(family, ends.source) + socket.inet_pton(family, ends.host)
    return addresses + (
        struct.pack(">BBH", 0, protocol, length) if family == V4 else struct.pack(">II", length, protocol)
    )


@given(families, numbers, tokens, sizes, st.integers(1, 65_535))
def test_all_echo_probes_of_a_flow_have_one_checksum(family, number, token, size, identifier):
    def wire_checksum(number: int, token: bytes) -> bytes:
        packet = echo_probe(family, identifier, number, token, size)
        assert len(packet) == 8 + size
        if family == V4:
            assert checksum(packet) == 0
            return packet[2:4]
        return checksum(pseudo_header(V6, ICMP6, len(packet)) + packet).to_bytes(2, "big")

    assert wire_checksum(number, token) == wire_checksum(1, b"01234567")


@given(families, numbers, tokens, sizes)
def test_a_udp_probes_checksum_is_its_number(family, number, token, size):
    payload = udp_probe(family, ENDS[family], number, token, size)
    assert len(payload) == size
    header = struct.pack(">HHHH", ENDS[family].source_port, ENDS[family].port, 8 + size, number)
    assert checksum(pseudo_header(family, UDP, 8 + size) + header + payload) == 0


def quoting(family: int, protocol: int, probe: bytes, kind: int, code: int, more: bytes = b"", rest: int = 0) -> bytes:
    """A report that quotes a probe behind an IP header."""
    ends = ENDS[family]
    source, target = socket.inet_pton(family, ends.source), socket.inet_pton(family, ends.host)
    if family == V4:
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(probe), 0, 0, 1, protocol, 0, source, target)
    else:
        ip = struct.pack(">IHBB", 6 << 28, len(probe), protocol, 1) + source + target
    return struct.pack(">BBHI", kind, code, 0, rest) + ip + probe + more


REPORTS = [
    (V4, 11, 0, 0, Kind.EXCEEDED, 0),
    (V4, 11, 1, 0, Kind.UNREACHABLE, 0),
    (V4, 3, 1, 0, Kind.UNREACHABLE, 0),
    (V4, 3, 3, 0, Kind.CLOSED, 0),
    (V4, 3, 4, 1400, Kind.TOO_BIG, 1400),
    (V6, 3, 0, 0, Kind.EXCEEDED, 0),
    (V6, 1, 4, 0, Kind.CLOSED, 0),
    (V6, 1, 0, 0, Kind.UNREACHABLE, 0),
    (V6, 2, 0, 1280, Kind.TOO_BIG, 1280),
]


@pytest.mark.parametrize("quoted", [8, 60])
@pytest.mark.parametrize(("family", "kind", "code", "rest", "what", "mtu"), REPORTS)
def test_reports_say_of_which_probe_they_are(family, kind, code, rest, what, mtu, quoted):
    token = b"a token!"
    echo = echo_probe(family, 20_000, 77, token, 60)[:quoted]
    datagram = (struct.pack(">HHHH", 20_000, 33_434, 68, 77) + udp_probe(family, ENDS[family], 77, token, 60))[:quoted]
    for protocol, probe in ((ICMP if family == V4 else ICMP6, echo), (UDP, datagram)):
        report = decode(family, protocol, quoting(family, protocol, probe, kind, code, rest=rest))
        assert report is not None
        assert (report.kind, report.mtu, report.host) == (what, mtu, ENDS[family].host)
        assert (report.flow, report.number) == (20_000, 77)
        assert report.token == (token if quoted > 8 else b"")
        assert report.trouble is not None


@given(families, st.sampled_from([UDP, ICMP, ICMP6]), st.binary(max_size=300))
def test_nothing_that_arrives_breaks_it(family, protocol, packet):
    decode(family, protocol, packet)
    decode_queued(family, protocol, (11, 0, 0), "10.0.0.1", packet)
    if len(packet) >= 8:
        assert len(labels_of(family, packet)) <= 8


def extension(*objects: bytes, version: int = 2, damage: int = 0) -> bytes:
    body = struct.pack(">BBH", version << 4, 0, 0) + b"".join(objects)
    return body[:2] + (checksum(body) ^ damage).to_bytes(2, "big") + body[4:]


def mpls(*labels: int) -> bytes:
    last = len(labels) - 1
    entries = b"".join(struct.pack(">I", label << 12 | (place == last) << 8 | 1) for place, label in enumerate(labels))
    return struct.pack(">HBB", 4 + len(entries), 1, 1) + entries


OTHER = struct.pack(">HBB", 8, 2, 1) + b"else"
ENDLESS = struct.pack(">HBB", 0, 1, 1)
TOO_LONG = struct.pack(">HBB", 400, 1, 1) + bytes(4)


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize(
    ("found", "labels"),
    [
        (extension(mpls(16_001, 24_005)), (16_001, 24_005)),
        (extension(OTHER, mpls(99)), (99,)),
        (extension(*[mpls(number) for number in range(30)]), tuple(range(8))),
        (extension(ENDLESS, mpls(5)), ()),
        (extension(mpls(5), TOO_LONG), (5,)),
        (extension(mpls(5), version=1), ()),
        (extension(mpls(5), damage=1), ()),
        (b"", ()),
    ],
)
@pytest.mark.parametrize("family", [V4, V6])
def test_mpls_labels_are_read_where_they_are_in_order(family, found, labels, is_counted):
    protocol = ICMP if family == V4 else ICMP6
    header = 20 if family == V4 else 40
    probe = echo_probe(family, 20_000, 77, b"a token!", 60).ljust(128 - header, b"\0")
    words = (128 // 4) << 16 if family == V4 else (128 // 8) << 24
    packet = quoting(family, protocol, probe, 11 if family == V4 else 3, 0, found, words if is_counted else 0)
    report = decode(family, protocol, packet)
    assert report is not None
    assert report.labels == labels
    assert report.number == 77
