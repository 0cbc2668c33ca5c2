"""STAMP packets: what is written can be read, and nothing that comes breaks the reader."""

from __future__ import annotations

import hmac
import struct
import time

from hypothesis import given
from hypothesis import strategies as st

from probes.stamp_clock import ClockQuality
from probes.stamp_codec import (
    base_bytes,
    decode_error,
    decode_question,
    decode_reflection,
    encode_error,
    encode_question,
    encode_reflection,
    is_authentic,
    to_ntp,
)

WALL_NS = st.integers(0, 2**62)


def test_ntp_time_of_the_unix_epoch():
    assert to_ntp(0) == (2_208_988_800, 0)
    assert to_ntp(500_000_000) == (2_208_988_800, 1 << 31)


def test_ntp_time_goes_on_after_its_first_era_has_ended():
    assert to_ntp((2**32 - 2_208_988_800) * 1_000_000_000)[0] == 0  # 7 February 2036


SECRETS = st.sampled_from([b"", b"a key of theirs"])


@given(
    st.integers(0, 2**32 - 1),
    WALL_NS,
    st.integers(0, 2**31 * 1_000_000_000),
    st.integers(0, 10**9),
    st.integers(112, 300),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    SECRETS,
)
def test_a_question_is_answered_with_what_it_asked(number, asked_ns, came_ns, held_ns, size, ttl, ssid, secret):
    packet, key = encode_question(number, to_ntp(asked_ns), 0x0001, size, ssid, secret=secret)
    question = decode_question(packet, secret)
    assert question == (number, to_ntp(asked_ns), 0x0001, ssid)
    tail = packet[base_bytes(secret) :]
    answer = encode_reflection(packet, question, 7, came_ns, came_ns + held_ns, 0x8001, ttl, tail, secret)
    assert len(packet) == len(answer) == size
    reflection = decode_reflection(answer, is_signed=bool(secret))
    assert reflection is not None
    assert (reflection.key, reflection.number, reflection.ttl, reflection.ssid) == (key, 7, ttl, ssid)
    assert reflection.estimate == (True, False, 2**-32)
    assert abs(reflection.t2_ns - came_ns) <= 2  # to the rounding of 2⁻³² s
    assert abs(reflection.residence_ns - held_ns) <= 5


@given(st.binary(min_size=41, max_size=200))
def test_an_answer_is_never_longer_than_the_question_and_repeats_its_padding(packet):
    now_ns = time.time_ns()
    answer = encode_reflection(packet, decode_question(packet), 0, now_ns, now_ns, 1, 64, packet[44:])
    assert len(answer) == len(packet)
    assert answer[24:38] == packet[:14]
    assert answer[44:] == packet[44:]


def test_authenticated_packets_are_as_the_rfc_lays_them_out():
    """RFC 8762, sections 4.2.2, 4.3.2 and 4.4; the HMAC made here by hand."""
    secret = b"k" * 20
    packet, key = encode_question(5, (0xAAAA_AAAA, 0xBBBB_BBBB), 0x8101, 112, 0x1234, secret=secret)
    text = struct.pack(">I12xIIHH68x", 5, 0xAAAA_AAAA, 0xBBBB_BBBB, 0x8101, 0x1234)
    assert packet == text + hmac.new(secret, text, "sha256").digest()[:16]
    answer = encode_reflection(packet, decode_question(packet, secret), 3, 0, 500_000_000, 0x0002, 61, b"", secret)
    ntp_0 = 2_208_988_800
    text = struct.pack(">I12xIIHH4x", 3, ntp_0, 1 << 31, 0x0002, 0x1234)
    text += struct.pack(">II8x", ntp_0, 0)
    text += struct.pack(">I12xIIH6xB15x", 5, 0xAAAA_AAAA, 0xBBBB_BBBB, 0x8101, 61)
    assert len(text) == 96
    assert answer == text + hmac.new(secret, text, "sha256").digest()[:16]
    assert decode_reflection(answer, is_signed=True).key == key == packet[:4] + packet[16:24]


@given(st.integers(0, 111), st.integers(1, 255), st.integers(0, 30))
def test_an_authenticated_packet_that_was_changed_anywhere_is_not_authentic(place, change, cut):
    secret = b"their key"
    packet, _ = encode_question(1, (2, 3), 4, 112, 5, secret=secret)
    changed = packet[:place] + bytes([packet[place] ^ change]) + packet[place + 1 :]
    assert is_authentic(packet, secret)
    assert not is_authentic(packet, b"another key")
    assert not is_authentic(changed, secret)
    assert decode_question(changed, secret) is None
    assert decode_question(packet[: 111 - cut], secret) is None


@given(st.binary(max_size=120))
def test_no_bytes_break_the_reader(packet):
    assert (decode_reflection(packet) is None) == (len(packet) < 41)
    assert (decode_reflection(packet, is_signed=True) is None) == (len(packet) < 112)
    assert (decode_question(packet) is None) == (len(packet) < 41)
    assert decode_question(packet, b"their key") is None


@given(st.booleans(), st.floats(0, 1000))
def test_an_error_estimate_is_never_too_small_and_never_without_multiplier(is_synchronised, error_s):
    bits = encode_error(is_synchronised, error_s)
    assert bits & 0xFF != 0
    estimate = decode_error(bits)
    assert estimate.is_synchronised == is_synchronised
    assert not estimate.is_ptp
    assert error_s <= estimate.error_s <= max(error_s * 1.02, error_s + 2**-32)


def test_this_hosts_clock_has_an_estimate():
    estimate = decode_error(ClockQuality().error_estimate())
    assert estimate.error_s is not None
    assert 0 < estimate.error_s <= 17


@given(st.integers(0, 0xFFFF))
def test_every_estimate_can_be_read(bits):
    estimate = decode_error(bits)
    assert (estimate.error_s is None) == (bits & 0xFF == 0)
    assert estimate.is_ptp == bool(struct.pack(">H", bits)[0] & 0x40)
