"""Clients of the simulated country that share no code with it, nor with the product's probes."""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp
import asyncpg
import orjson

from monitor.demo.country import Country

NTP_UNIX_S = 2_208_988_800
ROWS = "SELECT count(*) AS so_ban_ghi FROM dong_bo"
AGE = "SELECT extract(epoch FROM now() - max(cap_nhat_luc))::float8 AS tuoi_s FROM dong_bo"
NEWEST = "SELECT max(cap_nhat_luc) AS cap_nhat_luc FROM dong_bo"
SOAP = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body/></e:Envelope>'


async def move(country: Country, script_s: float) -> None:
    """Set the script's clock, and let what the script has for that moment happen."""
    country.stage.clock.script_s = script_s  # type: ignore[attr-defined]
    await country.stage.play()


def truth(country: Country) -> list[dict]:
    return [orjson.loads(line) for line in country.truth.read_bytes().splitlines()]


class Answers(NamedTuple):
    """Round-trip times without the reflector's own, by number of the packet; what is absent was lost."""

    sent: int
    rtt_s: dict[int, float]

    @property
    def lost(self) -> int:
        return self.sent - len(self.rtt_s)


async def stamp(address: tuple[str, int], count: int, wait_s: float = 0.4) -> Answers:
    """Send test packets (RFC 8762) and collect what is reflected, until nothing has come for a while."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(_Sender, remote_addr=address)
    try:
        for number in range(count):
            seconds, nanoseconds = divmod(time.time_ns(), 10**9)
            packet = struct.pack("!IIIHH28x", number, seconds + NTP_UNIX_S, (nanoseconds << 32) // 10**9, 1, 0)
            transport.sendto(packet)
            if number % 20 == 19:
                await asyncio.sleep(0.005)
        end = loop.time() + wait_s
        while len(client.rtt_s) < count and loop.time() < end:
            await asyncio.sleep(0.005)
    finally:
        transport.close()
    return Answers(count, client.rtt_s)


class _Sender(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.rtt_s: dict[int, float] = {}

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        now_s = time.time()
        assert len(data) == 44
        _, t3, f3, _, _, t2, f2, number, t1, f1, _, _, ttl = struct.unpack("!IIIHHIIIIIHHB3x", data)
        sent, received, reflected = (s - NTP_UNIX_S + f / 2**32 for s, f in ((t1, f1), (t2, f2), (t3, f3)))
        assert sent <= received <= reflected <= now_s
        assert ttl > 0
        self.rtt_s[number] = (now_s - sent) - (reflected - received)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pass

    def error_received(self, exc: Exception) -> None:
        pass


class Page(NamedTuple):
    status: int
    body: bytes
    duration_s: float


def trust(country: Country) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(country.config.parent / "certificates" / "ca.pem"))


async def fetch(country: Country, service: str, path: str | None = None, timeout_s: float = 5.0) -> Page:
    """Ask an HTTP service as its kind wants to be asked, over a new connection."""
    known = country.plan.services[service]
    host, port = country.address_of(service)
    url = f"{'https' if known.tls else 'http'}://{host}:{port}{path or known.path}"
    method, body = ("POST", SOAP) if known.speaks == "soap" else ("GET", None)
    headers = {"X-Road-Client": "VN/TEST/TEST/test"} if known.speaks == "xroad" else {}
    started = time.perf_counter()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
        session.request(method, url, data=body, headers=headers, ssl=trust(country)) as response,
    ):
        content = await response.read()
    return Page(response.status, content, time.perf_counter() - started)


async def log_in(country: Country, service: str, **changed: str) -> asyncpg.Connection:
    host, port = country.address_of(service)
    known = {
        "user": "giam_sat",
        "password": (country.config.parent / "secrets" / "database").read_text(),
        "database": service.replace("-", "_"),
    }
    return await asyncpg.connect(host=host, port=port, **{**known, **changed}, timeout=5)


async def look_up(address: tuple[str, int], name: str, type_: int = 1) -> tuple[int, list[bytes], int]:
    """Ask a name server; return the response code, the data of the answers (names compressed), and the flags."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack("!HH", type_, 1)
    reader: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Asker(reader), remote_addr=address
    )
    try:
        transport.sendto(struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + question)
        answer = await asyncio.wait_for(reader, 5)
    finally:
        transport.close()
    number, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", answer)
    assert (number, questions) == (4711, 1)
    assert answer[12 : 12 + len(question)] == question
    at, found = 12 + len(question), []
    for _ in range(answers):
        pointer, _type, _class, _ttl, length = struct.unpack_from("!HHHIH", answer, at)
        assert pointer == 0xC00C
        found.append(answer[at + 12 : at + 12 + length])
        at += 12 + length
    return flags & 0xF, found, flags


class _Asker(asyncio.DatagramProtocol):
    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self._answer.done():
            self._answer.set_result(data)


async def connects(address: tuple[str, int], timeout_s: float = 0.3) -> str:
    """Return what becomes of a TCP connection: `connected`, `refused` or `silent`."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silent"
    writer.close()
    return "connected"


def config_text(country: Country) -> str:
    return "\n".join(path.read_text() for path in sorted(Path(country.config).iterdir()))
