"""A SQL Server on loopback: TDS 7.4 and 8.0 from [MS-TDS], every octet made here by hand.

It is held to the protocol by Microsoft's own ODBC driver where that is installed with its libraries
(`test_sqlserver.py`): no SQL Server can be had here.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

USER, PASSWORD = "thongsuot", "rất bí mật"
NOW = datetime(2026, 11, 26, 9, 0)  # noqa: DTZ001 - the server's own zone
ZONE_MINUTES = 420


def packet(kind: int, data: bytes, status: int = 1) -> bytes:
    """Return one packet."""
    return struct.pack(">BBHHBB", kind, status, 8 + len(data), 0, 1, 0) + data


def answer(*tokens: bytes) -> bytes:
    """Return an answer in as many packets as it needs."""
    data = b"".join(tokens)
    pieces = [data[start : start + 4000] for start in range(0, len(data), 4000)] or [b""]
    return b"".join(packet(4, piece, int(piece is pieces[-1])) for piece in pieces)


def text(value: str, octets: int) -> bytes:
    """Return text with its length in characters before it."""
    return len(value).to_bytes(octets, "little") + value.encode("utf-16-le")


def done(status: int = 0, rows: int = 0) -> bytes:
    """Return DONE."""
    return struct.pack("<BHHQ", 0xFD, status, 0, rows)


def error(number: int, words: str, severity: int = 16) -> bytes:
    """Return ERROR."""
    body = (
        struct.pack("<iBB", number, 1, severity) + text(words, 2) + text("srv", 1) + text("", 1) + struct.pack("<I", 1)
    )
    return b"\xaa" + struct.pack("<H", len(body)) + body


def environment(kind: int, new: bytes, old: bytes = b"\0") -> bytes:
    """Return ENVCHANGE."""
    return b"\xe3" + struct.pack("<HB", 1 + len(new) + len(old), kind) + new + old


def login_ack() -> bytes:
    """Return LOGINACK."""
    body = b"\x01" + struct.pack(">I", 0x74000004) + text("Microsoft SQL Server", 1) + bytes((16, 0, 4, 0))
    return b"\xad" + struct.pack("<H", len(body)) + body


COLLATION = b"\x09\x04\xd0\x00\x34"
INT, BIGINT, FLOAT, BIT = b"\x26\x04", b"\x26\x08", b"\x6d\x08", b"\x68\x01"
NVARCHAR, NVARCHAR_MAX = b"\xe7" + struct.pack("<H", 8000) + COLLATION, b"\xe7\xff\xff" + COLLATION
DATETIME, DATE, DATETIME2, OFFSET = b"\x6f\x08", b"\x28", b"\x2a\x07", b"\x2b\x07"


def columns(*pairs: tuple[str, bytes]) -> bytes:
    """Return COLMETADATA of (name, TYPE_INFO)."""
    parts = b"".join(struct.pack("<IH", 0, 9) + type_ + text(name, 1) for name, type_ in pairs)
    return b"\x81" + struct.pack("<H", len(pairs)) + parts


def row(*values: bytes) -> bytes:
    """Return ROW."""
    return b"\xd1" + b"".join(values)


def number(value: int | None, octets: int = 4) -> bytes:
    """Return an INTN."""
    return b"\0" if value is None else bytes((octets,)) + value.to_bytes(octets, "little", signed=True)


def words(value: str | None) -> bytes:
    """Return an NVARCHAR."""
    return b"\xff\xff" if value is None else struct.pack("<H", 2 * len(value)) + value.encode("utf-16-le")


def datetime2(moment: datetime) -> bytes:
    """Return a DATETIME2(7)."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    ticks = int((moment - midnight).total_seconds() * 10**7)
    return b"\x08" + ticks.to_bytes(5, "little") + (moment.toordinal() - 1).to_bytes(3, "little")


def offset(moment: datetime) -> bytes:
    """Return a DATETIMEOFFSET(7) for a local time of ZONE_MINUTES: it travels as UTC."""
    body = datetime2(moment - timedelta(minutes=ZONE_MINUTES))[1:] + struct.pack("<h", ZONE_MINUTES)
    return b"\x0a" + body


def numbers(*values: int | None) -> bytes:
    """Return a result of one row of numbers."""
    return (
        columns(*((f"c{i}", BIGINT) for i in range(len(values)))) + row(*(number(v, 8) for v in values)) + done(16, 1)
    )


def replicas(*rows: tuple[int | None, ...]) -> bytes:
    """Return a result of replica states, in the order in which they are asked."""
    parts = b"".join(row(*(number(value, 8) for value in values)) for values in rows)
    return columns(*((f"c{i}", BIGINT) for i in range(7))) + parts + done(16, len(rows))


def identity(updateability: str = "READ_WRITE") -> bytes:
    """Return what the server says of itself."""
    names = columns(("v", NVARCHAR), ("u", NVARCHAR), ("s", NVARCHAR), ("t", OFFSET))
    return names + row(words("16.0.4135.4"), words(updateability), words("ONLINE"), offset(NOW)) + done(16, 1)


class Server:
    """A server; what it answers is `answers`, by what a batch begins with or has in it."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, encryption: int | None = None, **answers: Any) -> None:
        self.tls = tls
        self.encryption = (1 if tls else 2) if encryption is None else encryption
        self.asked: list[str] = []
        self.attentions = 0
        self.sessions = 0
        self.tidied: list[int] = []
        self.login: dict[str, Any] = {}
        self.answers: dict[str, bytes] = {
            "SERVERPROPERTY": identity(),
            "dm_hadr": replicas(),
            "dm_exec_sessions": numbers(30, 100, 2, 1500, 60),
            "database_files": numbers(5120),
            "backupset": numbers(3600, None),
            "SET NOCOUNT": done(),
            "ROLLBACK": done(),
            "SYSDATETIMEOFFSET": columns(("t", OFFSET)) + row(offset(NOW)) + done(16, 1),
            "SELECT 1": columns(("", INT)) + row(number(1)) + done(16, 1),
            **answers,
        }

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        channel: Any = _Plain(reader, writer)
        kind, _ = await channel.read()
        assert kind == 18
        options = (
            b"\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff" + b"\x10\x00\x10\x27\x00\x00" + bytes((self.encryption,))
        )
        channel.write(packet(4, options))
        if self.tls is not None:
            channel = await _handshake(reader, writer, self.tls)
        kind, body = await channel.read()
        assert kind == 16
        self.login = read_login(body)
        if (self.login["user"], self.login["password"]) != (USER, PASSWORD):
            channel.write(answer(error(18456, f"Login failed for user '{self.login['user']}'.", 14), done(2)))
            return
        size = environment(4, text("4096", 1), text("4096", 1))
        database = environment(1, text(self.login["database"] or "master", 1))
        channel.write(answer(database, environment(7, b"\x05" + COLLATION), login_ack(), size, done()))
        while True:
            kind, body = await channel.read()
            if kind == 6:
                self.attentions += 1
                channel.write(answer(done(0x20)))
                continue
            if kind in (3, 14):  # procedures and transactions: what a driver tidies up with
                self.tidied.append(kind)
                channel.write(answer(done()))
                continue
            assert kind == 1
            sql = body[int.from_bytes(body[:4], "little") :].decode("utf-16-le")
            self.asked.append(sql)
            said = next(
                (said for part, said in self.answers.items() if part in sql), error(208, f"Invalid: {sql}") + done(2)
            )
            if said:
                channel.write(answer(said))


def read_login(body: bytes) -> dict[str, Any]:
    """Return what a LOGIN7 says (section 2.2.6.4)."""
    length, version = struct.unpack_from("<II", body)
    assert length == len(body)

    def field(place: int, *, secret: bool = False) -> str:
        start, count = struct.unpack_from("<HH", body, place)
        raw = body[start : start + 2 * count]
        if secret:
            raw = bytes(((o ^ 0xA5) >> 4) | (((o ^ 0xA5) & 0x0F) << 4) for o in raw)
        return raw.decode("utf-16-le")

    return {
        "version": version,
        "type_flags": body[26],
        "user": field(40),
        "password": field(44, secret=True),
        "application": field(48),
        "server": field(52),
        "database": field(68),
    }


class _Plain:
    """Packets over the bare stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def _exactly(self, count: int) -> bytes:
        return await self._reader.readexactly(count)

    async def read(self) -> tuple[int, bytes]:
        data = b""
        while True:
            kind, status, length = struct.unpack(">BBH", (await self._exactly(8))[:4])
            data += await self._exactly(length - 8)
            if status & 1:
                return kind, data

    def write(self, data: bytes) -> None:
        self._writer.write(data)


class _Secure(_Plain):
    """Packets inside of TLS."""

    def __init__(self, reader: Any, writer: Any, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, tls: Any) -> None:
        super().__init__(reader, writer)
        self._incoming, self._outgoing, self._tls = incoming, outgoing, tls
        self._buffer = b""

    async def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                self._buffer += self._tls.read(65536)
            except ssl.SSLWantReadError:
                came = await self._reader.read(65536)
                if not came:
                    raise EOFError from None
                self._incoming.write(came)
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        return piece

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._writer.write(self._outgoing.read())


async def _handshake(reader: Any, writer: Any, context: ssl.SSLContext) -> _Secure:
    """Shake hands inside of PRELOGIN packets, as SQL Server does: with TLS 1.2 at most."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    incoming, outgoing, plain = ssl.MemoryBIO(), ssl.MemoryBIO(), _Plain(reader, writer)
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        kind, data = await plain.read()
        assert kind == 18
        incoming.write(data)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            plain.write(packet(18, outgoing.read()))
            continue
        plain.write(packet(18, outgoing.read()))
        return _Secure(reader, writer, incoming, outgoing, tls)


UTC_NOW = (NOW - timedelta(minutes=ZONE_MINUTES)).replace(tzinfo=UTC)
