"""DNS messages without I/O (RFC 1035, with EDNS(0) of RFC 6891): a question out, an answer in.

A message is hostile until it has been read to its end, and reading is bounded:

- a compression pointer leads strictly backwards, so that chains end (RFC 1035, section 4.1.4, "prior occurance");
- a name has at most 255 octets and 127 labels (section 2.3.4), and a message at most `STEPS_LIMIT` labels and
  pointers in all, so that many records cannot make one long name be walked thousands of times;
- a message has at most `RECORDS_LIMIT` records in the sections that are read;
- record data that reaches beyond its length, or does not fill it, is an error.

Records are shown as zone files write them (RFC 1035, section 5.1; unknown types: RFC 3597, section 5).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from probes.dns_names import NameReader, PacketError, wire_name
from probes.dns_rdata import rdata_text

TYPES: dict[str, int] = {
    "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MX": 15, "TXT": 16, "AAAA": 28, "LOC": 29,
    "SRV": 33, "NAPTR": 35, "DNAME": 39, "DS": 43, "SSHFP": 44, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50,
    "NSEC3PARAM": 51, "TLSA": 52, "SMIMEA": 53, "CDS": 59, "CDNSKEY": 60, "OPENPGPKEY": 61, "SVCB": 64, "HTTPS": 65,
    "SPF": 99, "ANY": 255, "URI": 256, "CAA": 257,
}  # fmt: skip
"""Record types by name (IANA, "Resource Record (RR) TYPEs")."""

TYPE_NAMES = {number: name for name, number in TYPES.items()}

RCODES: dict[int, str] = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI", 16: "BADVERS", 23: "BADCOOKIE",
}  # fmt: skip
"""Response codes (IANA, "DNS RCODEs"); those from 16 on are EDNS's (RFC 6891, section 6.1.3)."""

IN = 1
OPT = 41
UDP_PAYLOAD_BYTES = 1232
"""What we offer to take in one datagram: no fragments on any path of IPv6's least MTU (DNS Flag Day 2020)."""

RECORDS_LIMIT = 1000

_HEADER = struct.Struct(">6H")
_RECORD = struct.Struct(">HHIH")
_QR, _OPCODE, _AA, _TC, _RD, _RA, _AD, _CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
_EDNS_DO = 0x8000
_MAY_OMIT_THE_QUESTION = {1, 2, 4, 5}
"""FORMERR, SERVFAIL, NOTIMP, REFUSED: what servers that could not or would not read the question answer."""

FLAGS = {"qr": _QR, "aa": _AA, "tc": _TC, "rd": _RD, "ra": _RA, "ad": _AD, "cd": _CD}
"""Flags of the header by the names that dig prints (RFC 1035, section 4.1.1; RFC 4035, section 3.2)."""


class Question(NamedTuple):
    """What is asked.

    Attributes:
        name: on the wire, uncompressed.
        type: number of the record type.

    """

    name: bytes
    type: int


class Record(NamedTuple):
    """One record.

    Attributes:
        owner: on the wire, uncompressed, ASCII letters in lower case.
        type: number of its type.
        ttl_s: how long it may be kept; 0 for one beyond 2^31 (RFC 2181, section 8).
        text: its data as a zone file writes it.
        target: the name in it, as `owner`, of CNAME; b"" of others.
        serial: of SOA, else None.

    """

    owner: bytes
    type: int
    ttl_s: int
    text: str
    target: bytes = b""
    serial: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that answers the question.

    Attributes:
        rcode: the response code, EDNS's upper bits included.
        flags: of the header, in the order of FLAGS.
        answers: records of the answer section.
        authorities: how many records the authority section has.
        additionals: how many the additional section has, without the OPT record of EDNS.
        size_bytes: of the message.

    """

    rcode: int
    flags: tuple[str, ...]
    answers: tuple[Record, ...]
    authorities: int
    additionals: int
    size_bytes: int

    @property
    def rcode_name(self) -> str:
        """The response code's name."""
        return RCODES.get(self.rcode, f"RCODE{self.rcode}")

    @property
    def truncated(self) -> bool:
        """Whether the whole answer has to be fetched over TCP (RFC 2181, section 9)."""
        return "tc" in self.flags


class NotOursError(PacketError):
    """A message that answers another question than ours, or none: forged, stray or garbage."""


def type_number(text: str) -> int:
    """Return the number of `MX` or `TYPE15` (RFC 3597). Raises ValueError."""
    name = text.strip().upper()
    digits = name.removeprefix("TYPE")
    if name in TYPES:
        return TYPES[name]
    if name != digits and digits.isascii() and digits.isdigit() and 0 < int(digits) < 65536:
        return int(digits)
    message = f"{text!r} is not a record type; there are {', '.join(TYPES)}, and TYPE1 to TYPE65535"
    raise ValueError(message)


def question(name: str, type_: int) -> Question:
    """Return the question for a name as people write it. Raises ValueError."""
    return Question(wire_name(name), type_)


def encode_query(asked: Question, id_: int, *, recursion: bool, dnssec: bool = False, edns: bool = True) -> bytes:
    """Return the message that asks, with an OPT record unless `edns` is false."""
    flags = (_RD if recursion else 0) | (
        _AD if edns else 0
    )  # AD in a question: tell me if you verified (RFC 6840, 5.7)
    message = _HEADER.pack(id_, flags, 1, 0, 0, 1 if edns else 0)
    message += asked.name + struct.pack(">HH", asked.type, IN)
    if edns:
        message += b"\0" + _RECORD.pack(OPT, UDP_PAYLOAD_BYTES, _EDNS_DO if dnssec else 0, 0)
    return message


def decode_answer(message: bytes, asked: Question, id_: int) -> Answer:
    """Return the answer to the question that was asked under this id.

    A truncated answer is returned with what its header says and no records (RFC 2181, section 9).
    Raises NotOursError when the message is not for us, PacketError when it is, and is broken.
    """
    if len(message) < _HEADER.size:
        raise NotOursError("shorter than a header")
    answered_id, flags, questions, answers, authorities, additional = _HEADER.unpack_from(message)
    if answered_id != id_:
        raise NotOursError("another id")
    if not flags & _QR or flags & _OPCODE:
        raise NotOursError("not an answer to a query")
    reader = NameReader(message)
    position = _match_question(reader, asked, questions, flags & 0xF)
    names = tuple(name for name, bit in FLAGS.items() if flags & bit)
    if flags & _TC:
        return Answer(flags & 0xF, names, (), 0, 0, len(message))
    if answers + authorities + additional > RECORDS_LIMIT:
        message_text = f"more than {RECORDS_LIMIT} records"
        raise PacketError(message_text)
    records, position = _records(reader, position, answers)
    position = _skip(reader, position, authorities)
    upper, has_opt = _extended_rcode(reader, position, additional)
    rcode = upper << 4 | flags & 0xF
    return Answer(rcode, names, tuple(records), authorities, additional - has_opt, len(message))


def _match_question(reader: NameReader, asked: Question, questions: int, rcode: int) -> int:
    """Return the place after the question section, which must be ours (RFC 5452, section 3)."""
    if questions == 0 and rcode in _MAY_OMIT_THE_QUESTION:
        return _HEADER.size
    if questions != 1:
        raise NotOursError("not one question")
    try:
        name, position = reader.name(_HEADER.size)
        type_, class_ = reader.unpack(">HH", position)
    except PacketError as error:
        raise NotOursError(str(error)) from None
    if name != asked.name.lower() or type_ != asked.type or class_ != IN:
        raise NotOursError("another question")
    return position + 4


def _records(reader: NameReader, position: int, count: int) -> tuple[list[Record], int]:
    found = []
    for _ in range(count):
        owner, position = reader.name(position)
        type_, class_, ttl_s, length = reader.unpack(">HHIH", position)
        position += _RECORD.size
        end = reader.within(position, length)
        if class_ == IN and type_ != OPT:
            found.append(_record(reader, Record(owner, type_, ttl_s if ttl_s < 1 << 31 else 0, ""), position, end))
        position = end
    return found, position


def _record(reader: NameReader, record: Record, position: int, end: int) -> Record:
    text = rdata_text(reader, record.type, position, end)
    if record.type == TYPES["CNAME"]:
        return record._replace(text=text, target=reader.name(position)[0])
    if record.type == TYPES["SOA"]:
        (serial,) = reader.unpack(">I", end - 20)
        return record._replace(text=text, serial=serial)
    return record._replace(text=text)


def _skip(reader: NameReader, position: int, count: int) -> int:
    for _ in range(count):
        position = reader.skip_name(position)
        *_, length = reader.unpack(">HHIH", position)
        position = reader.within(position + _RECORD.size, length)
    return position


def _extended_rcode(reader: NameReader, position: int, count: int) -> tuple[int, bool]:
    """Return the upper eight bits of the response code, from the OPT record's TTL (RFC 6891, section 6.1.3).

    Beside them, whether there is such a record.
    """
    for _ in range(count):
        position = reader.skip_name(position)
        type_, _, ttl, length = reader.unpack(">HHIH", position)
        position = reader.within(position + _RECORD.size, length)
        if type_ == OPT:
            return int(ttl >> 24), True
    return 0, False
