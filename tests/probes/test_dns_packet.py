"""DNS messages without I/O: what is sent to the octet, what is read, and what hostile messages come to."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.dns_names import NameReader, PacketError, name_text, reverse_name, wire_name
from probes.dns_packet import NotOursError, decode_answer, encode_query, question, type_number
from tests.probes.dns_servers import a, answer, record, wire

ID = 0xBEEF


def query(name="example.vn", type_=1, **options):
    return encode_query(question(name, type_), ID, **{"recursion": True, "edns": False, **options})


def decoded(*records, type_=1, **options):
    return decode_answer(answer(query(type_=type_), *records, **options), question("example.vn", type_), ID)


def test_a_question_to_the_octet():
    expected = b"\xbe\xef\x01\x00\x00\x01\0\0\0\0\0\0" + b"\x07example\x02vn\0" + b"\0\x01\0\x01"
    assert query() == expected


def test_a_question_with_edns_to_the_octet():
    expected = b"\xbe\xef\x00\x20\x00\x01\0\0\0\0\0\x01" + b"\0" + b"\0\x30\0\x01" + b"\0\0\x29\x04\xd0\0\0\x80\0\0\0"
    assert query(".", 48, recursion=False, dnssec=True, edns=True) == expected


@pytest.mark.parametrize(
    ("name", "on_the_wire"),
    [
        ("example.vn", b"\x07example\x02vn\0"),
        ("example.vn.", b"\x07example\x02vn\0"),
        (".", b"\0"),
        ("bộ.vn", b"\x09xn--b-8xm\x02vn\0"),
        (r"a\.b.vn", b"\x03a.b\x02vn\0"),
        (r"a\.", b"\x02a.\0"),
        (r"\065b.vn", b"\x02Ab\x02vn\0"),
        ("_sip._tcp.example.vn", b"\x04_sip\x04_tcp\x07example\x02vn\0"),
        ("x" * 63 + ".vn", b"\x3f" + b"x" * 63 + b"\x02vn\0"),
    ],
)
def test_a_name_on_the_wire(name, on_the_wire):
    assert wire_name(name) == on_the_wire


@pytest.mark.parametrize(
    "name", ["a..b", "..", ".a", "", "x" * 64 + ".vn", ".".join(["x" * 62] * 5), r"\999.vn", "a\\", "\ud800.vn"]
)
def test_what_cannot_be_a_name(name):
    with pytest.raises(ValueError, match=r"not a name|not an octet"):
        wire_name(name)


@given(st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=3))
def test_any_labels_survive_the_way_to_text_and_back(labels):
    on_the_wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    assert wire_name(name_text(on_the_wire)) == on_the_wire


def test_addresses_turned_round():
    assert reverse_name("192.0.2.1") == "1.2.0.192.in-addr.arpa"
    assert reverse_name("2001:db8::1").startswith("1.0.0.0.")
    assert reverse_name("example.vn") is None


def test_types_by_name_and_number():
    assert type_number("mx") == 15
    assert type_number("TYPE65400") == 65400
    for wrong in ("MXX", "TYPE0", "TYPE65536", "TYPE²", "15"):
        with pytest.raises(ValueError, match="not a record type"):
            type_number(wrong)


@pytest.mark.parametrize(
    ("type_", "data", "text"),
    [
        (1, b"\xc0\0\x02\x01", "192.0.2.1"),
        (28, bytes.fromhex("20010db8000000000000000000000001"), "2001:db8::1"),
        (2, wire("ns1.example.vn"), "ns1.example.vn."),
        (5, b"\x03www\xc0\x0c", "www.example.vn."),
        (12, wire("Host.vn"), "Host.vn."),
        (15, b"\0\x0a" + b"\x04mail\xc0\x0c", "10 mail.example.vn."),
        (16, b"\x07v=spf1 \x04-all", "v=spf1 -all"),
        (16, b'\x04a"\\\xff', r"a\"\\\255"),
        (16, b"\0", ""),
        (33, b"\0\x01\0\x02\x01\xbb" + wire("s.vn"), "1 2 443 s.vn."),
        (
            6,
            wire("ns.vn") + wire("host.vn") + struct.pack(">5I", 2026112301, 7200, 900, 1209600, 300),
            "ns.vn. host.vn. 2026112301 7200 900 1209600 300",
        ),
        (257, b"\0\x05issueca.example.vn", '0 issue "ca.example.vn"'),
        (43, b"\x30\x39\x0d\x02\xab\xcd", "12345 13 2 ABCD"),
        (52, b"\x03\x01\x01\xab", "3 1 1 AB"),
        (44, b"\x04\x02\xab", "4 2 AB"),
        (48, b"\x01\x01\x03\x0d\x01\x02\x03", "257 3 13 AQID"),
        (35, b"\0\x01\0\x02\x01s\x03SIP\0" + b"\0", r'1 2 "s" "SIP" "" .'),
        (65400, b"\xde\xad", r"\# 2 dead"),
        (65400, b"", r"\# 0"),
    ],
)
def test_records_as_zone_files_write_them(type_, data, text):
    found = decoded(record(type_, data), type_=type_)
    assert [(r.owner, r.type, r.ttl_s, r.text) for r in found.answers] == [(wire("example.vn"), type_, 300, text)]


def test_header_flags_and_codes():
    opt = b"\0" + struct.pack(">HHIH", 41, 1232, 1 << 24, 0)
    found = decoded(a("192.0.2.1"), flags=0x85A0, additional=[a("192.0.2.9"), opt])
    assert found.rcode == 16
    assert found.rcode_name == "BADVERS"
    assert found.flags == ("qr", "aa", "rd", "ra", "ad")
    assert decoded(rcode=3, authorities=[record(6, wire("a") + wire("b") + bytes(20))]).authorities == 1
    assert decoded(rcode=12).rcode_name == "RCODE12"


def test_a_ttl_beyond_2_31_is_0():
    assert decoded(a("192.0.2.1", ttl_s=1 << 31)).answers[0].ttl_s == 0


def test_a_soa_has_its_serial_and_a_cname_its_target():
    soa = decoded(record(6, wire("a") + wire("b") + struct.pack(">5I", 77, 1, 2, 3, 4)), type_=6)
    assert soa.answers[0].serial == 77
    assert decoded(record(5, wire("Other.VN"))).answers[0].target == wire("other.vn")


def test_the_question_may_come_back_in_other_letters():
    message = answer(query("EXAMPLE.vn"), a("192.0.2.1"))
    assert decode_answer(message, question("example.VN", 1), ID).answers[0].text == "192.0.2.1"


def test_a_truncated_answer_is_not_read_further():
    found = decode_answer(answer(query(), b"\xff\xff", flags=0x8380), question("example.vn", 1), ID)
    assert found.truncated
    assert found.answers == ()


@pytest.mark.parametrize(
    "message",
    [
        b"",
        query()[:11],
        query(),  # our own question, reflected
        b"\0\0" + answer(query())[2:],
        answer(query("example.com")),
        answer(query(type_=28)),
        answer(query(), flags=0x9180),  # another opcode
        answer(query())[:4] + b"\0\0" + answer(query())[6:],
        answer(query())[:4] + b"\0\2" + answer(query())[6:],
        answer(query())[:20],
    ],
)
def test_what_does_not_answer_our_question_is_not_ours(message):
    with pytest.raises(NotOursError):
        decode_answer(message, question("example.vn", 1), ID)


def test_a_refusal_may_leave_out_the_question():
    message = b"\xbe\xef\x81\x05" + bytes(8)
    assert decode_answer(message, question("example.vn", 1), ID).rcode_name == "REFUSED"


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([a("192.0.2.1", owner=b"\xc0\x1c")], "does not lead back"),  # to itself
        ([a("192.0.2.1", owner=b"\xc0\xff")], "does not lead back"),
        ([a("192.0.2.1", owner=b"\x01a\xc0\x1c")], "does not lead back"),  # a loop over a label
        ([a("192.0.2.1", owner=b"\x40a")], "unknown kind of label"),
        ([a("192.0.2.1")[:-1]], "ends too early"),
        ([record(1, b"\x01\x02\x03")], "fill|early"),
        ([record(1, b"\x01\x02\x03\x04\x05")], "does not fill"),
        ([record(16, b"\x05ab")], "fill|early"),
        ([record(15, b"\0\x0a")], "early"),
        ([record(257, b"\0\x09issue")], "fill|early"),
        ([record(2, b"".join(b"\x3f" + b"x" * 63 for _ in range(5)) + b"\0")], "more than 255"),
    ],
)
def test_broken_records_break_the_answer(records, reason):
    with pytest.raises(PacketError, match=reason):
        decoded(*records)


def test_counts_beyond_the_message_and_beyond_the_limit():
    message = bytearray(answer(query(), a("192.0.2.1")))
    message[7] = 200
    with pytest.raises(PacketError, match="early"):
        decode_answer(bytes(message), question("example.vn", 1), ID)
    message[6:8] = b"\xff\xff"
    with pytest.raises(PacketError, match="more than 1000"):
        decode_answer(bytes(message), question("example.vn", 1), ID)


def test_many_records_that_all_walk_one_long_name_are_cut_short():
    """127 labels, and each of 1,000 records points at them: 127,000 steps that a message may not ask for."""
    ladder = record(65400, b"\x01a" * 126 + b"\0")
    start = 12 + len(wire("example.vn")) + 4 + 12
    pointer = struct.pack(">H", 0xC000 | start)
    records = [ladder] + [record(1, b"\x7f\0\0\1", owner=pointer)] * 900
    began = time.process_time()
    with pytest.raises(PacketError, match="too many labels"):
        decoded(*records)
    assert time.process_time() - began < 0.5


@given(st.binary(max_size=600))
def test_garbage_is_refused_and_never_a_crash(garbage):
    header = b"\xbe\xef\x81\x80\0\x01\0\x05\0\x05\0\x05" + wire("example.vn") + b"\0\x01\0\x01"
    for message in (garbage, header + garbage):
        try:
            found = decode_answer(message, question("example.vn", 1), ID)
        except PacketError:
            continue
        assert found.size_bytes == len(message)


@given(st.binary(min_size=1, max_size=300), st.integers(0, 299))
def test_reading_a_name_ends_within_the_message_or_is_refused(message, position):
    try:
        name, after = NameReader(message).name(position % len(message))
    except PacketError:
        return
    assert len(name) <= 255
    assert position % len(message) < after <= len(message)
