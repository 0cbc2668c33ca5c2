"""Throughput against far ends that lie, flood, fall silent or hang up; and our server against such agents."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.failures import TroubleError
from probes.kinds.throughput import PROBE, ThroughputParams
from probes.model import Context, Failure, Measurement, Resources
from probes.throughput_server import CONNECTIONS_MAX, ServerOptions, serve_throughput
from probes.throughput_wire import LINE_MAX, Terms, number, proof, proves
from tests.probes.tcp_servers import serve, silent

KEY = "what both ends know"
FIGURES = "1 " * 11


async def try_out(port: int, timeout_s: float = 5.0, **params: object) -> Measurement:
    resources = Resources()
    try:
        return await run_with(resources, port, timeout_s, **params)
    finally:
        await resources.aclose()


async def run_with(resources: Resources, port: int, timeout_s: float, **params: object) -> Measurement:
    written = {"key": KEY, "duration": "200ms", "budget": "1GB", **params}
    ctx = Context(timeout_s, asyncio.get_running_loop().time() + timeout_s, resources, check="link/throughput")
    return await PROBE.run(ThroughputParams(address=f"127.0.0.1:{port}", **written), ctx)


def agreeing(data, *, ending="", terms=None, secret=KEY, token="ab" * 16):
    """A handler that agrees on a test as our server does, lets `data` do as it likes, and ends with a line."""

    async def handler(reader, writer):
        words = (await reader.readline()).decode().split()
        if words[0] == "DATA":
            await data(reader, writer)
            return
        nonce = "cd" * 16
        writer.write(f"CHALLENGE {nonce}\n".encode())
        asked = (await reader.readline()).decode().split()
        granted = terms or asked[2:4]
        signed = proof(secret.encode(), "server", nonce, asked[4], token, asked[1], *granted)
        writer.write(f"READY {token} {' '.join(granted)} {signed}\n".encode())
        if ending:
            writer.write(f"{ending}\n".encode())
        await silent(reader, writer)

    return handler


async def going_and_reading(reader, writer):
    writer.write(b"GO\n")
    await silent(reader, writer)


async def sending_for_ever(reader, writer):
    while True:
        writer.write(bytes(65536))
        await writer.drain()


async def sending_a_little(reader, writer):
    writer.write(bytes(300_000))
    writer.write_eof()


async def hanging_up(reader, writer):
    writer.write(b"GO\n")
    await reader.read(100_000)


SAYING = {
    "garbage": b"\xff\x00\x01garbage\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an endless line": b"x" * 100_000,
    "an empty line": b"\n",
}


@pytest.mark.parametrize("what", SAYING)
async def test_what_does_not_speak_the_protocol(what):
    async def handler(reader, writer):
        writer.write(SAYING[what])
        await silent(reader, writer)

    async with serve(handler) as port:
        found = await try_out(port)
    assert found.failure is Failure.PROTOCOL
    assert len(found.message) < 150
    assert found.message.isprintable()


@pytest.mark.parametrize(
    ("handler", "failure", "message"),
    [
        (agreeing(silent, secret="another key"), Failure.AUTH_REJECTED, "does not prove that it knows the key"),
        (agreeing(silent, terms=("999999", "100000")), Failure.PROTOCOL, "grants more than was asked"),
        (agreeing(silent, terms=("200", "x")), Failure.PROTOCOL, "'x' is not a number"),
        (agreeing(silent, token="a b"), Failure.PROTOCOL, "terms are none"),
        (agreeing(going_and_reading, ending=f"RECEIVED {10**15} 5 5"), Failure.PROTOCOL, "more is said"),
        (agreeing(going_and_reading, ending="RECEIVED 1 2"), Failure.PROTOCOL, "has 2 figures, not 3"),
        (agreeing(going_and_reading, ending="RECEIVED 1 -2 3"), Failure.PROTOCOL, "'-2' is not a number"),
        (agreeing(going_and_reading, ending=f"RECEIVED {'9' * 200} 1 1"), Failure.PROTOCOL, "is not a number"),
        (agreeing(going_and_reading, ending="SENT 1 2 3"), Failure.PROTOCOL, "not RECEIVED"),
    ],
)
async def test_a_far_end_that_tells_tales(handler, failure, message):
    async with serve(handler) as port:
        found = await try_out(port, direction="forward")
    assert found.failure is failure
    assert message in found.message
    assert "rate_forward_bps" not in found.samples


async def test_a_far_end_that_hangs_up_in_the_middle_is_closed_and_what_was_used_is_counted():
    async with serve(agreeing(hanging_up)) as port:
        found = await try_out(port, direction="forward", duration="2s")
    assert found.failure in (Failure.CONNECTION_CLOSED, Failure.CONNECTION_RESET)
    assert found.message.endswith("in forward")
    assert found.samples["budget_left_bytes"] < 1_000_000_000


async def test_a_far_end_that_sends_for_ever_is_stopped():
    async with serve(agreeing(sending_for_ever)) as port:
        found = await try_out(port, direction="backward", size="500kB")
        assert (found.failure, found.message) == (Failure.PROTOCOL, "the far end sends more than was agreed")


async def test_a_far_end_that_says_less_than_it_sent_is_not_believed():
    async with serve(agreeing(sending_a_little, ending=f"SENT {FIGURES}")) as port:
        found = await try_out(port, direction="backward")
    assert found.failure is Failure.PROTOCOL
    assert found.samples["budget_left_bytes"] == 1_000_000_000 - 300_000


async def test_a_broken_off_test_leaves_no_thread_and_frees_the_lane():
    resources = Resources()
    before = threading.active_count()
    async with serve(agreeing(going_and_reading)) as port:
        for _ in range(3):
            task = asyncio.create_task(run_with(resources, port, 5.0, direction="forward", duration="3s"))
            while not any(thread.name.startswith("throughput") for thread in threading.enumerate()):
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert threading.active_count() <= before + 1
    server = await serve_throughput(ServerOptions(secret=KEY.encode(), port=0))
    found = await run_with(resources, server.port, 5.0, direction="forward", size="200kB")
    assert found.failure is None, "the lane is free, and its thread too"
    await server.aclose()
    await resources.aclose()
    while threading.active_count() > before:
        await asyncio.sleep(0.01)


# -- agents that our server should not trust -------------------------------------------------------------------------


async def talk(port: int, *lines: bytes) -> list[bytes]:
    """Send lines one by one, each after an answer to the one before; return the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    try:
        for line in lines:
            writer.write(line)
            answers.append(await asyncio.wait_for(reader.read(LINE_MAX), 5))
    except OSError:
        answers.append(b"")
    finally:
        writer.transport.abort()
    return answers


@pytest.mark.parametrize(
    "lines",
    [
        [b"GET / HTTP/1.1\r\n"],
        [b"THROUGHPUT 2\n"],
        [b"x" * 1000],
        [b"DATA " + b"00" * 16 + b" forward\n"],
        [b"DATA\n"],
        [b"THROUGHPUT 1\n", b"TEST sideways 1 1 a b\n"],
        [b"THROUGHPUT 1\n", b"TEST both 1 99999999999999999999 a b\n"],
        [b"THROUGHPUT 1\n", b"TEST both 1000 1000\n"],
        [b"THROUGHPUT 1\n", b"TEST both 1000 1000 \xff \xff\n"],
    ],
)
async def test_agents_that_do_not_know_protocol_or_key_get_nothing(lines):
    server = await serve_throughput(ServerOptions(secret=KEY.encode(), port=0))
    answers = await talk(server.port, *lines)
    assert answers[-1] in (b"", b"DENIED\n")
    while server.counts.failed + server.counts.denied < 1:
        await asyncio.sleep(0.005)
    assert server.counts.tested == 0
    assert (await try_out(server.port, size="200kB")).failure is None, "and it goes on for others"
    await server.aclose()


async def test_a_proof_is_good_for_one_connection():
    """An agent that has listened to another's test cannot repeat it: the server's nonce is another one."""
    server = await serve_throughput(ServerOptions(secret=KEY.encode(), port=0))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"THROUGHPUT 1\n")
    challenge = (await reader.readline()).decode().split()[1]
    words = ("both", "200", "100000")
    line = f"TEST {' '.join(words)} {'11' * 16} {proof(KEY.encode(), 'agent', challenge, '11' * 16, *words)}\n".encode()
    writer.transport.abort()
    assert (await talk(server.port, b"THROUGHPUT 1\n", line))[-1] == b"DENIED\n"
    await server.aclose()


async def test_connections_are_bounded():
    server = await serve_throughput(ServerOptions(secret=KEY.encode(), port=0))
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(CONNECTIONS_MAX + 5)]
    while server.counts.refused < 5:
        await asyncio.sleep(0.005)
    for _, writer in held:
        writer.transport.abort()
    while (await try_out(server.port, size="200kB")).failure is not None:
        await asyncio.sleep(0.05)
    await server.aclose()


async def test_an_agent_that_goes_away_in_the_middle_frees_the_server():
    server = await serve_throughput(ServerOptions(secret=KEY.encode(), port=0))
    other = Resources()
    task = asyncio.create_task(run_with(other, server.port, 20.0, direction="backward", duration="10s"))
    while not server.busy:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await other.aclose()
    found = await try_out(server.port, timeout_s=6.0, direction="forward")
    assert found.failure is None
    await server.aclose()


# -- the lines -------------------------------------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_no_word_breaks_the_reading_of_numbers_or_terms(word):
    for read in (number, lambda text: Terms.read(text.split()), lambda text: Terms.read(["both", text, text])):
        failure, message = outcome_of(read, word)
        assert failure in (None, Failure.PROTOCOL)
        assert len(message) < 120


def outcome_of(read, word):
    try:
        read(word)
    except TroubleError as error:
        return error.failure, error.message
    return None, ""


@given(st.text(max_size=100))
def test_no_proof_but_the_true_one_is_taken(given_proof):
    assert not proves(given_proof, b"a secret", "agent", "1", "2")
    assert proves(proof(b"a secret", "agent", "1", "2"), b"a secret", "agent", "1", "2")
    assert not proves(proof(b"a secret", "server", "1", "2"), b"a secret", "agent", "1", "2")
