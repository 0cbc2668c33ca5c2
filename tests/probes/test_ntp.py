"""NTP against chronyd, and against servers of our own whose clocks are wrong by a known amount."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.model import Result, State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from probes.ntp_codec import NTP_EPOCH_S, PACKET_BYTES, decode_answer, encode_question
from tests.journey.product import until

CHRONYD = "/usr/sbin/chronyd"


def ntp(moment_s: float) -> int:
    return int((moment_s + NTP_EPOCH_S) * 2**32) & (2**64 - 1)


def reply(question: bytes, *, ahead_s: float = 0.0, held_s: float = 0.0, **fields: Any) -> bytes:
    """Return a server's packet, put together by hand, of a clock that is ahead by so much."""
    now = time.time() + ahead_s
    head = fields.get("leap", 0) << 6 | fields.get("version", 4) << 3 | fields.get("mode", 4)
    return struct.pack(
        ">BBbbII4s4Q",
        head,
        fields.get("stratum", 2),
        6,
        -20,
        int(0.010 * 65536),
        int(0.002 * 65536),
        fields.get("reference", bytes((10, 0, 0, 1))),
        ntp(now - 16),
        struct.unpack_from(">Q", question, 40)[0],
        ntp(now),
        ntp(now + held_s),
    )


class Server(asyncio.DatagramProtocol):
    """Answers as it is told, after a while."""

    def __init__(self, answer: Callable[[bytes], list[bytes]], delay_s: float) -> None:
        self.answer, self.delay_s, self.questions = answer, delay_s, list[bytes]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.questions.append(data)
        for packet in self.answer(data):
            asyncio.get_running_loop().call_later(self.delay_s, self.transport.sendto, packet, addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def serving(
    answer: Callable[[bytes], list[bytes]], delay_s: float = 0.0, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[str, Server]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Server(answer, delay_s), local_addr=(host, 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        yield (f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), server
    finally:
        transport.close()


async def check(address: str, timeout_s: float = 2.0, **options: Any) -> Result:
    return await run_once(prepare("ntp", address, options, timeout_s), "test")


@pytest.fixture
async def chrony(tmp_path: Path) -> AsyncIterator[str]:
    """A chronyd that serves this machine's clock and touches it not (-x)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    conf = tmp_path / "chrony.conf"
    conf.write_text(
        f"port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 5\ncmdport 0\n"
        f"pidfile {tmp_path}/pid\nbindcmdaddress /\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(CHRONYD, "-x", "-d", "-f", str(conf)), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    address = f"127.0.0.1:{port}"
    await until(lambda: _is_up(address), "chronyd answers")
    yield address
    process.terminate()
    await process.wait()


async def _is_up(address: str) -> bool:
    return (await check(address, 0.3)).state is State.UP


async def test_a_real_server_on_this_machine_has_this_machine_s_clock(chrony: str) -> None:
    result = await check(chrony, count=4)
    assert result.state is State.UP, result.message
    assert result.samples["stratum"] == 5
    assert result.samples["leap"] == 0
    # chronyd rounds and the machine is busy: its clock is ours all the same.
    assert abs(result.samples["offset_s"]) < 0.005
    assert result.samples["received"] == 4


@pytest.mark.parametrize("ahead_s", [-3.5, 0.25, 86_400.0 * 365 * 20])
async def test_the_offset_is_what_the_server_s_clock_is_ahead(ahead_s: float) -> None:
    async with serving(lambda question: [reply(question, ahead_s=ahead_s)]) as (address, _):
        result = await check(address)
    assert result.state is State.UP
    # Right to half of the round trip, whatever the load.
    assert abs(result.samples["offset_s"] - ahead_s) <= result.samples["rtt_mean_s"] / 2 + 2e-6 + abs(ahead_s) * 1e-12


async def test_the_server_s_own_time_is_not_part_of_the_way() -> None:
    async with serving(lambda question: [reply(question, held_s=0.2)], delay_s=0.25) as (address, _):
        result = await check(address)
    assert 0.0 < result.samples["rtt_mean_s"] < 0.15


async def test_the_quickest_answer_counts() -> None:
    numbers = iter(range(10))

    def slow_but_first(question: bytes) -> list[bytes]:
        # The first answer is late on its way back by 100 ms: half of that would be its error.
        return [reply(question, ahead_s=-0.1 if next(numbers) == 0 else 0.0)]

    async with serving(slow_but_first) as (address, server):
        server.delay_s = 0.1
        running = asyncio.create_task(check(address, count=3, spacing="300ms"))
        await until(lambda: server.questions, "the first question")
        await asyncio.sleep(0.15)
        server.delay_s = 0.0
        result = await running
    assert result.samples["received"] == 3
    assert abs(result.samples["offset_s"]) < 0.04


async def test_limits_on_offset_and_stratum() -> None:
    async with serving(lambda question: [reply(question, ahead_s=0.5, stratum=9)]) as (address, _):
        far = await check(address, offset_max="100ms")
        deep = await check(address, stratum_max=4)
    assert (far.state, far.failure) == (State.DOWN, Failure.CONDITION)
    assert far.message.startswith("offset +0.")
    assert far.message.endswith("allowed are 0.1 s")
    assert deep.message == "stratum 9 > 4"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"leap": 3, "stratum": 16}, "not synchronised (leap 3, stratum 16)"),
        ({"leap": 3}, "not synchronised (leap 3, stratum 2)"),
        ({"stratum": 0, "reference": b"RATE"}, "kiss of death RATE"),
        ({"stratum": 0, "reference": b"\0\0\0\0"}, "kiss of death without a code"),
    ],
)
async def test_a_server_that_says_itself_that_it_is_no_use(fields: dict[str, Any], said: str) -> None:
    async with serving(lambda question: [reply(question, **fields)]) as (address, _):
        result = await check(address)
    assert (result.state, result.failure) == (State.DOWN, Failure.CONDITION)
    assert said in result.message
    assert "offset_s" not in result.samples, "what an unsynchronised clock says is no offset"


@pytest.mark.parametrize(
    "forged",
    [
        lambda question: b"",
        lambda question: b"\xff" * 47,
        lambda question: reply(question, mode=3),
        lambda question: reply(question, version=1),
        lambda question: reply(question[:40] + bytes(8)),
    ],
)
async def test_what_is_no_answer_is_ignored(forged: Callable[[bytes], bytes]) -> None:
    async with serving(lambda question: [forged(question), reply(question)], delay_s=0.05) as (address, _):
        result = await check(address)
    assert result.state is State.UP
    assert result.samples["duplicates"] == 0


async def test_an_unused_port_refuses() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    result = await check(f"127.0.0.1:{port}")
    assert (result.state, result.failure) == (State.DOWN, Failure.CONNECT_REFUSED)


async def test_over_ipv6() -> None:
    async with serving(lambda question: [reply(question)], host="::1") as (address, _):
        result = await check(address)
    assert result.state is State.UP


async def test_a_question_tells_nothing_of_this_host() -> None:
    async with serving(lambda question: [reply(question)]) as (address, server):
        await check(address, count=2)
    first, second = server.questions
    assert first[:40] == second[:40] == bytes((0x23,)) + bytes(39)
    assert first[40:] != second[40:]


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(packet: bytes) -> None:
    answer = decode_answer(packet)
    if answer is not None:
        assert len(packet) >= PACKET_BYTES
        assert abs(answer.offset_ns(time.time_ns(), time.time_ns())) <= 1 << 62
        assert answer.reference.isprintable()


def test_the_turn_of_an_era_is_no_jump() -> None:
    """NTP's seconds begin anew on 7 February 2036."""
    question, key = encode_question()
    turn_ns = (2**32 - NTP_EPOCH_S) * 10**9
    for sent_ns in (turn_ns - 10_000_000, turn_ns + 10_000_000):
        there = ntp(sent_ns / 1e9 + 0.5)
        packet = struct.pack(">BBbbII4s4Q", 0x24, 2, 6, -20, 0, 0, b"\0" * 4, there, int.from_bytes(key), there, there)
        answer = decode_answer(packet)
        assert answer is not None
        assert answer.key == question[40:]
        assert abs(answer.offset_ns(sent_ns, sent_ns) - 500_000_000) < 1_000
