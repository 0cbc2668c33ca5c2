"""The far end that speaks lines over TCP: enough of SMTP (RFC 5321) for a greeting and an EHLO. It takes no mail."""

from __future__ import annotations

import asyncio

from monitor.demo.stage import Actor

LINES_MAX = 32


async def converse(actor: Actor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak with one client."""
    name = f"{actor.service.id}.mo-phong.test"
    await actor.take_time()
    writer.write(f"220 {name} ESMTP du lieu mo phong\r\n".encode())
    for _ in range(LINES_MAX):
        await writer.drain()
        line = await reader.readline()
        verb = line.strip().split(b" ", 1)[0].upper()
        if not line:
            return
        if verb == b"QUIT":
            writer.write(f"221 {name} bye\r\n".encode())
            return
        if verb in (b"EHLO", b"HELO"):
            writer.write(f"250-{name}\r\n250-SIZE 10485760\r\n250 8BITMIME\r\n".encode())
        elif verb in (b"NOOP", b"RSET"):
            writer.write(b"250 ok\r\n")
        else:
            writer.write(b"502 simulated: no mail is taken here\r\n")
