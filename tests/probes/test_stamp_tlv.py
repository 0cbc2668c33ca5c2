"""STAMP's TLVs: both ends by the RFC's layout, and nothing that comes breaks either."""

from __future__ import annotations

import hmac
import struct

from hypothesis import given
from hypothesis import strategies as st

from probes.stamp_tlv import (
    Arrival,
    answer_tlvs,
    decode_counters,
    decode_tlvs,
    encode_counters,
    encode_tlvs,
    flag_forged,
    has_tlvs,
    is_question_authentic,
)

SECRET = b"a shared key"
NUMBER = (9).to_bytes(4, "big")
ARRIVAL = Arrival(traffic_class=0x2A << 2 | 1, counts=(6, 4), is_synchronised=True)


def tlv(kind: int, value: bytes, flags: int = 0x80) -> bytes:
    return struct.pack(">BBH", flags, kind, len(value)) + value


def mac(number: int, text: bytes) -> bytes:
    return hmac.new(SECRET, struct.pack(">I", number) + text, "sha256").digest()[:16]


def test_a_senders_tlvs_are_as_the_rfc_lays_them_out():
    assert encode_tlvs(9, None, counts=False, size=0, secret=b"") == b""
    written = encode_tlvs(9, 46, counts=True, size=100, secret=SECRET)
    asked = tlv(4, bytes([46 << 2, 0, 0, 0])) + tlv(5, struct.pack(">III", 10, 0, 0))
    assert written[:44] == asked + tlv(8, mac(9, asked))
    assert written[44:] == tlv(1, bytes(100 - 44 - 4))


def test_a_reflector_answers_what_it_understands_and_flags_the_rest():
    question = (
        tlv(4, bytes([46 << 2, 0, 0, 0]))
        + tlv(5, struct.pack(">III", 10, 0, 0))
        + tlv(3, bytes(4))
        + tlv(2, bytes(8))  # Location
        + tlv(200, b"?")
        + tlv(1, b"padding")
    )
    answer, dscp = answer_tlvs(question, ARRIVAL, 9, b"")
    assert dscp == 46
    # DSCP1 46, DSCP2 42 as it came, ECN 1 as it came, RP 0
    assert answer[:8] == tlv(4, struct.pack(">HH", 46 << 10 | 42 << 4 | 1 << 2, 0), flags=0)
    assert answer[8:24] == tlv(5, struct.pack(">III", 10, 6, 4), flags=0)
    assert answer[24:32] == tlv(3, bytes([1, 2, 1, 2]), flags=0)
    assert answer[32:] == tlv(2, bytes(8)) + tlv(200, b"?") + tlv(1, b"padding", flags=0)


def test_a_reflector_without_state_does_not_count():
    question = tlv(5, struct.pack(">III", 10, 0, 0))
    answer, _ = answer_tlvs(question, ARRIVAL._replace(counts=None), 9, b"")
    assert answer == question
    assert decode_tlvs(answer, NUMBER, b"").received is None


def test_a_value_that_is_cut_off_or_of_a_wrong_length_is_malformed_and_ends_the_reading():
    for wrong in (struct.pack(">BBH", 0x80, 5, 999) + bytes(12), tlv(5, bytes(11))):
        answer, dscp = answer_tlvs(wrong + tlv(4, bytes([46 << 2, 0, 0, 0])), ARRIVAL, 9, b"")
        assert answer[0] == 0x40
        assert answer[1:] == (wrong + tlv(4, bytes([46 << 2, 0, 0, 0])))[1:]
        assert dscp is None


def test_what_a_sender_reads():
    answer, _ = answer_tlvs(encode_tlvs(9, 46, counts=True, size=60, secret=SECRET), ARRIVAL, 9, SECRET)
    assert decode_tlvs(answer, NUMBER, SECRET) == (42, False, 6, 4)
    assert decode_tlvs(answer, (8).to_bytes(4, "big"), SECRET) == (None, None, None, None)
    assert decode_tlvs(answer, NUMBER, b"another key") == (None, None, None, None)
    refused = tlv(4, struct.pack(">HH", 46 << 10 | 42 << 4 | 1, 0), flags=0)
    assert decode_tlvs(refused, NUMBER, b"").is_refused


def test_tlvs_that_were_not_understood_say_nothing():
    question = encode_tlvs(9, 46, counts=True, size=60, secret=b"")
    assert decode_tlvs(question, NUMBER, b"") == (None, None, None, None)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=40))
def test_the_quick_way_for_counters_alone_is_the_same(number, tail):
    assert encode_counters(number) == encode_tlvs(number, None, counts=True, size=16, secret=b"")
    answer, _ = answer_tlvs(encode_counters(number), ARRIVAL, number, b"")
    assert decode_counters(bytes(44) + answer, 44) == decode_tlvs(answer, NUMBER, b"") == (None, None, 6, 4)
    assert decode_counters(bytes(44) + tail, 44).received in (None, decode_tlvs(tail, NUMBER, b"").received)


def test_an_hmac_stands_behind_all_but_the_padding():
    asked = tlv(5, bytes(12))
    signed = tlv(8, mac(9, asked))
    assert is_question_authentic(asked + signed, 9, SECRET)
    assert is_question_authentic(asked + signed + tlv(1, b"more"), 9, SECRET)
    assert is_question_authentic(tlv(1, b"padding alone needs none"), 9, SECRET)
    assert is_question_authentic(b"", 9, SECRET)
    assert not is_question_authentic(asked, 9, SECRET)
    assert not is_question_authentic(asked + signed, 10, SECRET)
    assert not is_question_authentic(asked + signed + asked, 9, SECRET)
    assert not is_question_authentic(signed + asked, 9, SECRET)
    assert flag_forged(asked + signed) == tlv(5, bytes(12), 0xA0) + tlv(8, mac(9, asked), 0xA0)


@given(st.binary(max_size=200), st.sampled_from([b"", SECRET]))
def test_no_bytes_break_either_end_or_make_the_answer_longer(tail, secret):
    answer, dscp = answer_tlvs(tail, ARRIVAL, 9, secret)
    assert len(answer) == len(tail) == len(flag_forged(tail))
    assert dscp is None or 0 <= dscp <= 63
    told = decode_tlvs(tail, NUMBER, secret)
    assert told.dscp is None or 0 <= told.dscp <= 63
    assert is_question_authentic(tail, 9, SECRET) in (True, False)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=4)), min_size=20, max_size=60))
def test_only_so_many_are_looked_at(tlvs):
    question = b"".join(tlv(kind, value) for kind, value in tlvs)
    answer, _ = answer_tlvs(question, ARRIVAL, 9, b"")
    looked_at = b"".join(tlv(kind, value) for kind, value in tlvs[:16])
    assert answer[len(looked_at) :] == question[len(looked_at) :]


def test_padding_of_older_senders_is_no_tlv():
    for padding in (bytes(27), b"", b"\x01\x02\x03\x04", b"\x80", b"\x40\x05\x00\x00"):
        assert not has_tlvs(padding)
    assert has_tlvs(tlv(5, bytes(12)))
