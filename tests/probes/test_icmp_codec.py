"""ICMP packets against the RFCs' own layout, against the kernel, and against anything at all."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import icmp_filter
from probes.icmp_codec import (
    checksum,
    decode_error,
    decode_reply,
    encode_request,
    pattern,
    quoted_request,
    report_of,
)
from probes.model import Failure

V4, V6 = socket.AF_INET, socket.AF_INET6
FAMILIES = st.sampled_from([V4, V6])


def rfc_1071(data: bytes) -> int:
    """The checksum as the RFC describes it: 16-bit words, carries added back, complemented."""
    total = 0
    for index in range(0, len(data), 2):
        total += int.from_bytes(data[index : index + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def test_the_checksum_of_the_rfcs_example():
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF  # RFC 1071, section 3


@given(st.binary(max_size=200))
def test_the_checksum_is_that_of_rfc_1071(data):
    assert checksum(data) == rfc_1071(data)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(min_size=8, max_size=120))
def test_a_request_carries_a_right_checksum_and_comes_back_from_its_reply(identifier, number, payload):
    request = encode_request(V4, identifier, number, payload)
    assert struct.unpack_from(">BB", request) == (8, 0)
    assert checksum(request) == 0
    assert decode_reply(V4, b"\0" + request[1:]) == (identifier, number, payload)


@given(st.binary(min_size=8, max_size=80), st.data())
def test_one_flipped_bit_is_a_wrong_checksum(payload, data):
    packet = bytearray(encode_request(V4, 1, 2, payload))
    bit = data.draw(st.integers(0, len(packet) * 8 - 1))
    packet[bit // 8] ^= 1 << bit % 8
    assert checksum(bytes(packet)) != 0


@given(FAMILIES, st.binary(max_size=120))
def test_no_bytes_break_the_decoders(family, packet):
    reply = decode_reply(family, packet)
    assert reply is None or len(reply.payload) >= 8
    error = decode_error(family, packet)
    assert error is None or len(error.token) in (0, 8)


@given(st.binary(max_size=60), st.integers(0, 255), st.integers(0, 255), FAMILIES)
def test_a_report_quotes_whatever_it_likes(quoted, kind, code, family):
    trouble = report_of(family, kind, code)
    if trouble is not None:
        assert trouble.failure in (Failure.NETWORK_UNREACHABLE, Failure.TTL_EXCEEDED, Failure.CONNECT_REFUSED)
        quoted_request(family, trouble, quoted, "")
    decode_error(family, bytes([kind, code]) + bytes(6) + quoted)


def test_types_that_report_no_loss_report_nothing():
    assert report_of(V4, 5, 0) is None  # redirect
    assert report_of(V4, 4, 0) is None  # source quench, deprecated by RFC 6633
    assert report_of(V6, 135, 0) is None  # neighbour solicitation


def test_the_pattern_fills_up_what_the_token_leaves():
    assert pattern(8) == b""
    assert pattern(300)[:3] == bytes([8, 9, 10])
    assert len(pattern(300)) == 292


# -- the filter, run by the kernel -----------------------------------------------------------------------------------


def passes(family: int, packet: bytes) -> bool:
    """Whether the kernel lets a packet through the filter for the identifier 0x1234."""
    inside, outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with inside, outside:
        inside.setblocking(False)
        icmp_filter.attach(inside, icmp_filter.program(family, 0x1234))
        try:
            outside.send(packet)
            return inside.recv(2000) == packet
        except (BlockingIOError, PermissionError):
            return False


def ipv4(payload: bytes, options: bytes = b"", protocol: int = 1) -> bytes:
    head = bytes([0x40 | 5 + len(options) // 4, 0]) + bytes(7) + bytes([protocol]) + bytes(10)
    return head + options + payload


def ipv6(payload: bytes, next_header: int = 58) -> bytes:
    return bytes([0x60]) + bytes(5) + bytes([next_header, 64]) + bytes(32) + payload


def echo(kind: int, identifier: int = 0x1234) -> bytes:
    return struct.pack(">BBHHH", kind, 0, 0, identifier, 7) + bytes(16)


def error(kind: int, quoted: bytes) -> bytes:
    return struct.pack(">BBHI", kind, 0, 0, 0) + quoted


OPTIONS = bytes(8)


@pytest.mark.parametrize("options", [b"", OPTIONS])
@pytest.mark.parametrize("quoted_options", [b"", OPTIONS])
def test_the_ipv4_filter_passes_our_replies_and_reports_on_our_requests(options, quoted_options):
    assert passes(V4, ipv4(echo(0), options))
    assert not passes(V4, ipv4(echo(0, 0x1235), options))
    assert not passes(V4, ipv4(echo(8), options))
    for kind in (3, 11, 12):
        assert passes(V4, ipv4(error(kind, ipv4(echo(8), quoted_options)), options))
        assert passes(V4, ipv4(error(kind, ipv4(echo(8)[:8], quoted_options)), options))
        assert not passes(V4, ipv4(error(kind, ipv4(echo(8, 0x1235), quoted_options)), options))
        assert not passes(V4, ipv4(error(kind, ipv4(echo(8), quoted_options, protocol=17)), options))
    for kind in (4, 5, 9, 13):
        assert not passes(V4, ipv4(error(kind, ipv4(echo(8))), options))


def test_the_ipv6_filter_passes_our_replies_and_reports_on_our_requests():
    assert passes(V6, echo(129))
    assert not passes(V6, echo(129, 0x1235))
    assert not passes(V6, echo(128))
    for kind in (1, 2, 3, 4):
        assert passes(V6, error(kind, ipv6(echo(128))))
        assert not passes(V6, error(kind, ipv6(echo(128, 0x1235))))
        assert not passes(V6, error(kind, ipv6(echo(128), next_header=17)))
    for kind in (100, 133, 134, 135, 136):
        assert not passes(V6, error(kind, ipv6(echo(128))))


@given(FAMILIES, st.binary(max_size=60))
def test_truncated_packets_pass_no_filter_that_we_could_not_read(family, packet):
    if passes(family, packet):
        body = packet[(packet[0] & 0xF) * 4 :] if family == V4 else packet
        assert len(body) >= 6
