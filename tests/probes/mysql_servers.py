"""A MySQL server on loopback whose every octet the test decides; its packets are built here by hand."""

from __future__ import annotations

import struct

from tests.probes.tcp_servers import Handler, silent

CAPABILITIES = 0x1 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000
COM_QUERY = b"\3"
NONCE = b"abcdefghijklmnopqrst"
OK = b"\0\0\0\2\0\0\0"
EOF = b"\xfe\0\0\2\0"


def packet(number: int, body: bytes) -> bytes:
    """Return a packet."""
    return struct.pack("<I", len(body))[:3] + bytes((number & 255,)) + body


def greeting(version: bytes = b"8.0.36", plugin: bytes = b"caching_sha2_password", more: int = 0) -> bytes:
    """Return what the server says first."""
    capabilities = CAPABILITIES | more
    low, high = struct.pack("<H", capabilities & 0xFFFF), struct.pack("<H", capabilities >> 16)
    body = b"\x0a" + version + b"\0" + struct.pack("<I", 1) + NONCE[:8] + b"\0" + low + b"\x2d\2\0" + high
    return packet(0, body + b"\x15" + bytes(10) + NONCE[8:] + b"\0" + plugin + b"\0")


def error(number: int, text: bytes, state: bytes = b"#28000") -> bytes:
    """Return the body of an error."""
    return b"\xff" + struct.pack("<H", number) + state + text


async def read_packet(reader) -> bytes:
    """Return the body of the client's next packet."""
    head = await reader.readexactly(4)
    return await reader.readexactly(int.from_bytes(head[:3], "little"))


def answering(count: int, asked: list[str]) -> Handler:
    """Return a handler that lets the client in, answers its first `count` statements and notes all that are asked."""

    async def handler(reader, writer):
        writer.write(greeting())
        await read_packet(reader)
        writer.write(packet(2, OK))
        while (body := await read_packet(reader))[:1] == COM_QUERY:
            asked.append(body[1:].decode())
            if len(asked) <= count:
                writer.write(packet(1, OK))

    return handler


def logging_in(*steps: bytes, then: bytes = b"") -> Handler:
    """Return a handler that greets, says each step after a packet of the client's, and then something more."""

    async def handler(reader, writer):
        writer.write(greeting())
        for number, step in enumerate(steps):
            await read_packet(reader)
            writer.write(packet(2 + 2 * number, step))
        if then:
            for _ in range(3):  # what opens the transaction
                await read_packet(reader)
            writer.write(packet(1, OK) * 3)
            await read_packet(reader)
            writer.write(then)
        await silent(reader, writer)

    return handler
