"""A PostgreSQL server on loopback whose every octet the test decides; its messages are built here by hand."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

OK = b"R" + struct.pack(">II", 8, 0)
READY = b"Z\0\0\0\5I"
SASL = b"SCRAM-SHA-256\0\0"


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Return a message from the server."""
    return kind + struct.pack(">I", 4 + len(body)) + body


def authentication(code: int, data: bytes = b"") -> bytes:
    """Return an authentication request."""
    return message(b"R", struct.pack(">I", code) + data)


def error(sqlstate: str, text: str) -> bytes:
    """Return an ErrorResponse."""
    return message(b"E", f"SERROR\0VERROR\0C{sqlstate}\0M{text}\0\0".encode())


def parameter(name: str, value: str) -> bytes:
    """Return a ParameterStatus."""
    return message(b"S", f"{name}\0{value}\0".encode())


def columns(*pairs: tuple[str, int]) -> bytes:
    """Return a RowDescription of (name, type id)."""
    body = b"".join(name.encode() + b"\0" + struct.pack(">IHIhih", 0, 0, type_, -1, -1, 0) for name, type_ in pairs)
    return message(b"T", struct.pack(">H", len(pairs)) + body)


def row(*values: bytes | None) -> bytes:
    """Return a DataRow."""
    body = b"".join(
        struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value for value in values
    )
    return message(b"D", struct.pack(">H", len(values)) + body)


COMPLETE = message(b"C", b"SELECT 1\0")


async def read_startup(reader: asyncio.StreamReader) -> dict[str, str]:
    """Return the parameters of a startup message."""
    length = int.from_bytes(await reader.readexactly(4), "big")
    body = await reader.readexactly(length - 4)
    parts = body[4:].decode().split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=False))


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return kind and body of the client's next message."""
    kind = await reader.readexactly(1)
    length = int.from_bytes(await reader.readexactly(4), "big")
    return kind, await reader.readexactly(length - 4)


async def read_until_sync(reader: asyncio.StreamReader) -> list[tuple[bytes, bytes]]:
    """Return the messages up to the next Sync."""
    found = []
    while not found or found[-1][0] != b"S":
        found.append(await read_message(reader))
    return found


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def logging_in(then: Script, greeting: bytes = OK + READY) -> Script:
    """Return a handler that lets everybody in and hands over to `then`."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_startup(reader)
        writer.write(greeting)
        await then(reader, writer)

    return handler


def answering(*answers: bytes) -> Script:
    """Return a script that answers the opening, then each statement with one of the answers, and stays."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(COMPLETE + READY)
        for answer in answers:
            await read_until_sync(reader)
            writer.write(answer)
        while await reader.read(65536):
            pass

    return script
