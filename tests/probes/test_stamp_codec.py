"""STAMP packets: what is written can be read, and nothing that comes breaks the reader."""

from __future__ import annotations

import struct
import time

from hypothesis import given
from hypothesis import strategies as st

from probes.stamp_clock import ClockQuality
from probes.stamp_codec import (
    decode_error,
    decode_reflection,
    encode_error,
    encode_question,
    encode_reflection,
    to_ntp,
)

WALL_NS = st.integers(0, 2**62)


def test_ntp_time_of_the_unix_epoch():
    assert to_ntp(0) == (2_208_988_800, 0)
    assert to_ntp(500_000_000) == (2_208_988_800, 1 << 31)


def test_ntp_time_goes_on_after_its_first_era_has_ended():
    assert to_ntp((2**32 - 2_208_988_800) * 1_000_000_000)[0] == 0  # 7 February 2036


@given(st.integers(0, 2**32 - 1), WALL_NS, WALL_NS, st.integers(0, 10**9), st.integers(44, 300), st.integers(0, 255))
def test_a_question_is_answered_with_what_it_asked(number, asked_ns, came_ns, held_ns, size, ttl):
    question, key = encode_question(number, to_ntp(asked_ns), 0x0001, size)
    answer = encode_reflection(question, came_ns, came_ns + held_ns, 0x8001, ttl)
    assert len(question) == len(answer) == size
    reflection = decode_reflection(answer)
    assert reflection is not None
    assert (reflection.key, reflection.number, reflection.ttl) == (key, number, ttl)
    assert reflection.estimate == (True, False, 2**-32)
    era_ns = 2**32 * 1_000_000_000
    assert (reflection.residence_ns - held_ns + 5) % era_ns <= 10  # to the rounding of 2⁻³² s, across an era's end


@given(st.binary(min_size=41, max_size=200))
def test_an_answer_is_never_longer_than_the_question_and_repeats_its_padding(question):
    answer = encode_reflection(question, time.time_ns(), time.time_ns(), 1, 64)
    assert len(answer) == len(question)
    assert answer[24:38] == question[:14]
    assert answer[44:] == question[44:]


@given(st.binary(max_size=120))
def test_no_bytes_break_the_reader(packet):
    reflection = decode_reflection(packet)
    assert (reflection is None) == (len(packet) < 41)


@given(st.booleans(), st.floats(0, 1000))
def test_an_error_estimate_is_never_too_small_and_never_without_multiplier(is_synchronised, error_s):
    bits = encode_error(is_synchronised, error_s)
    assert bits & 0xFF != 0
    estimate = decode_error(bits)
    assert estimate.is_synchronised == is_synchronised
    assert not estimate.is_ptp
    assert error_s <= estimate.error_s <= max(error_s * 1.02, 2**-31)


def test_this_hosts_clock_has_an_estimate():
    estimate = decode_error(ClockQuality().error_estimate())
    assert estimate.error_s is not None
    assert 0 < estimate.error_s <= 17


@given(st.integers(0, 0xFFFF))
def test_every_estimate_can_be_read(bits):
    estimate = decode_error(bits)
    assert (estimate.error_s is None) == (bits & 0xFF == 0)
    assert estimate.is_ptp == bool(struct.pack(">H", bits)[0] & 0x40)
