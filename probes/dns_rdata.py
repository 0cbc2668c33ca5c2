"""The data of DNS records as zone files write it, by type (RFC 1035, section 5.1; RFC 3597 for unknown types)."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Mapping

from probes.dns_names import NameReader, PacketError, name_text, quoted, string_text

_Shown = Callable[[NameReader, int, int], tuple[str, int]]


def rdata_text(reader: NameReader, type_: int, position: int, end: int) -> str:
    """Return the record data between `position` and `end` as text.

    TXT data is shown as one text without quotes, its strings joined, as SPF and DKIM read it (RFC 7208, section
    3.3). Raises PacketError when the data is not of its type.
    """
    shown = _SHOWN.get(type_)
    if shown is None:
        data = reader.message[position:end]
        return f"\\# {len(data)} {data.hex()}".rstrip()
    text, stopped = shown(reader, position, end)
    if stopped != end:
        raise PacketError("record data does not fill its length")
    return text


def _a(reader: NameReader, position: int, end: int) -> tuple[str, int]:
    (packed,) = reader.unpack("4s", position)
    return str(ipaddress.IPv4Address(packed)), position + 4


def _aaaa(reader: NameReader, position: int, end: int) -> tuple[str, int]:
    (packed,) = reader.unpack("16s", position)
    return str(ipaddress.IPv6Address(packed)), position + 16


def _name(reader: NameReader, position: int, end: int) -> tuple[str, int]:
    wire, position = reader.name(position, keep_case=True)
    return name_text(wire), position


def _soa(reader: NameReader, position: int, end: int) -> tuple[str, int]:
    primary, position = _name(reader, position, end)
    mailbox, position = _name(reader, position, end)
    numbers = reader.unpack(">5I", position)
    return f"{primary} {mailbox} {' '.join(map(str, numbers))}", position + 20


def _numbers_then_name(layout: str, size: int) -> _Shown:
    def shown(reader: NameReader, position: int, end: int) -> tuple[str, int]:
        numbers = reader.unpack(layout, position)
        name, position = _name(reader, position + size, end)
        return f"{' '.join(map(str, numbers))} {name}", position

    return shown


def _txt(reader: NameReader, position: int, end: int) -> tuple[str, int]:
    strings = []
    while position < end:
        text, position = _string(reader, position)
        strings.append(text)
    return string_text(b"".join(strings)), position


def _caa(reader: NameReader, position: int, end: int) -> tuple[str, int]:
    flags = reader.byte(position)
    tag, position = _string(reader, position + 1)
    return f"{flags} {string_text(tag)} {quoted(reader.message[position:end])}", max(position, end)


def _naptr(reader: NameReader, position: int, end: int) -> tuple[str, int]:
    order, preference = reader.unpack(">HH", position)
    position, strings = position + 4, []
    for _ in range(3):
        text, position = _string(reader, position)
        strings.append(quoted(text))
    name, position = _name(reader, position, end)
    return f"{order} {preference} {' '.join(strings)} {name}", position


def _numbers_then_hex(layout: str, size: int) -> _Shown:
    def shown(reader: NameReader, position: int, end: int) -> tuple[str, int]:
        numbers = reader.unpack(layout, position)
        data = reader.message[position + size : end]
        return f"{' '.join(map(str, numbers))} {data.hex().upper()}".rstrip(), max(position + size, end)

    return shown


def _dnskey(reader: NameReader, position: int, end: int) -> tuple[str, int]:
    flags, protocol, algorithm = reader.unpack(">HBB", position)
    key = base64.b64encode(reader.message[position + 4 : end]).decode()
    return f"{flags} {protocol} {algorithm} {key}", max(position + 4, end)


def _string(reader: NameReader, position: int) -> tuple[bytes, int]:
    """Return a character string: a length octet and that many octets (RFC 1035, section 3.3)."""
    after = reader.within(position + 1, reader.byte(position))
    return reader.message[position + 1 : after], after


_SHOWN: Mapping[int, _Shown] = {
    1: _a,
    2: _name,
    5: _name,
    6: _soa,
    12: _name,
    15: _numbers_then_name(">H", 2),
    16: _txt,
    28: _aaaa,
    33: _numbers_then_name(">HHH", 6),  # RFC 2782
    35: _naptr,  # RFC 3403
    39: _name,
    43: _numbers_then_hex(">HBB", 4),  # DS, RFC 4034, section 5.3
    44: _numbers_then_hex(">BB", 2),  # SSHFP, RFC 4255
    48: _dnskey,  # RFC 4034, section 2.2
    52: _numbers_then_hex(">BBB", 3),  # TLSA, RFC 6698
    53: _numbers_then_hex(">BBB", 3),  # SMIMEA, RFC 8162
    59: _numbers_then_hex(">HBB", 4),  # CDS, RFC 7344
    60: _dnskey,  # CDNSKEY
    99: _txt,  # SPF
    257: _caa,  # RFC 8659
}
