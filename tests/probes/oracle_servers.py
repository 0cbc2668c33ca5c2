"""An Oracle listener on loopback, as far as the protocol is known: it refuses, as the real driver understands it.

What comes after a login is not published; a stand-in for the driver's connection takes its place.
"""

from __future__ import annotations

import asyncio
from typing import Any

REFUSE = 4


async def read_connect(reader: asyncio.StreamReader) -> bytes:
    """Return the driver's CONNECT packet: a length, a kind (1), and a connect string at its end."""
    length = int.from_bytes(await reader.readexactly(2), "big")
    body = await reader.readexactly(length - 2)
    assert body[2] == 1
    return body


def refusal(code: int) -> bytes:
    """Return a REFUSE packet with the listener's reason."""
    text = f"(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4))))".encode()
    body = b"\x22\x00" + len(text).to_bytes(2, "big") + text
    return (8 + len(body)).to_bytes(2, "big") + b"\0\0" + bytes((REFUSE,)) + b"\0\0\0" + body


class Listener:
    """Refuses everybody with a code, and remembers what it was asked."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.asked: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await read_connect(reader))
        writer.write(refusal(self.code))
        await reader.read()


class Connection:
    """A stand-in for `oracledb.AsyncConnection`: rows, or an error, by what a statement has in it."""

    version = "19.21.0.0.0"

    def __init__(self, **answers: Any) -> None:
        self.call_timeout = 0
        self.limits: list[int] = []
        self.asked: list[str] = []
        self.closed = 0
        self.answers: dict[str, Any] = {
            "SET TRANSACTION": None,
            "DATABASE_ROLE": [("PRIMARY",)],
            "v$database": [("READ WRITE",)],
            "v$dataguard_stats": [],
            "v$resource_limit": [(30, "100")],
            "v$session": [(2, 15)],
            "v$transaction": [(60.5,)],
            "v$datafile": [(5120,)],
            "v$rman": [(3600,)],
            "DUAL": [(1,)],
            **answers,
        }

    def cursor(self) -> Cursor:
        return Cursor(self)

    async def close(self) -> None:
        self.closed += 1


class Cursor:
    """A stand-in for `oracledb.AsyncCursor`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: Any = None
        self.arraysize = self.prefetchrows = 0

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def execute(self, sql: str) -> None:
        self._connection.asked.append(sql)
        self._connection.limits.append(self._connection.call_timeout)
        self._rows = next(rows for part, rows in self._connection.answers.items() if part in sql)
        if isinstance(self._rows, Exception):
            raise self._rows

    @property
    def description(self) -> Any:
        if self._rows is None:
            return None
        width = len(self._rows[0]) if self._rows else 1
        return [(f"C{i}", None, None, None, None, None, None) for i in range(width)]

    async def fetchmany(self, size: int) -> Any:
        return self._rows[:size]
