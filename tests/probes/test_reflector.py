"""The reflector: answers whom it may, at the rate that it may, with no more than it was sent."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.reflector import SOURCES_MAX, RateLimit, Reflector, ReflectorOptions, serve_reflector
from probes.stamp_codec import Question
from probes.stamp_sessions import IDLE_S, SESSIONS_MAX, Sessions

Serve = Callable[..., Awaitable[Reflector]]
QUESTION = struct.pack(">IIIH", 7, 3_900_000_000, 1, 0x0001).ljust(44, b"\0")


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[Reflector] = []

    async def start(**options: object) -> Reflector:
        running.append(await serve_reflector(ReflectorOptions(port=0, **options)))
        return running[-1]

    yield start
    for reflector in running:
        await reflector.aclose()


async def ask(reflector: Reflector, *questions: bytes, source: str = "127.0.0.1", to: str = "") -> list[bytes]:
    """Send questions and return the answers, once all were looked at."""
    before = total(reflector)
    family = socket.AF_INET6 if ":" in reflector.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.connect((to or reflector.host, reflector.port))
        for question in questions:
            sock.send(question)
        while total(reflector) < before + len(questions):
            await asyncio.sleep(0.001)
        sock.setblocking(False)
        answers = []
        while True:
            try:
                answers.append(sock.recv(65_536))
            except BlockingIOError:
                return answers


def total(reflector: Reflector) -> int:
    counts = reflector.counts
    return counts.answered + counts.refused + counts.limited + counts.malformed + counts.unauthentic + counts.unsent


async def test_an_answer_is_as_the_rfc_lays_it_out(serve):
    reflector = await serve(is_stateful=False)
    before_ns = time.time_ns()
    (answer,) = await ask(reflector, QUESTION + b"padding")
    after_ns = time.time_ns()
    number, t3, t3_fraction, error, zero, t2, t2_fraction = struct.unpack_from(">IIIHHII", answer)
    assert number == 7  # no state: the question's own number
    assert error & 0xFF != 0
    assert zero == 0
    assert answer[24:38] == QUESTION[:14]
    assert answer[38:40] == bytes(2)
    assert answer[40] == 64  # the TTL that the question came with
    assert answer[41:44] == bytes(3)
    assert answer[44:] == b"padding"
    came, left = (s - 2_208_988_800 + f / 2**32 for s, f in ((t2, t2_fraction), (t3, t3_fraction)))
    assert before_ns / 1e9 - 1e-6 <= came <= left <= after_ns / 1e9 + 1e-6


@pytest.mark.parametrize("length", [41, 43, 44, 45, 1400, 9000])
async def test_an_answer_is_exactly_as_long_as_the_question(serve, length):
    reflector = await serve()
    (answer,) = await ask(reflector, QUESTION.ljust(length, b"x")[:length])
    assert len(answer) == length


@pytest.mark.parametrize("length", [0, 1, 14, 40])
async def test_a_question_too_short_to_be_answered_without_growing_gets_nothing(serve, length):
    reflector = await serve()
    assert await ask(reflector, QUESTION[:length]) == []
    assert reflector.counts.malformed == 1


@given(data=st.binary(max_size=300))
def test_garbage_gets_no_more_than_it_sent(data):
    async def one() -> None:
        reflector = await serve_reflector(ReflectorOptions(port=0))
        answers = await ask(reflector, data)
        await reflector.aclose()
        assert sum(map(len, answers)) <= len(data)

    asyncio.run(one())


async def test_only_allowed_networks_are_answered(serve):
    reflector = await serve(host="0.0.0.0", allow=(ipaddress.ip_network("127.5.0.0/16"),))
    assert await ask(reflector, QUESTION, source="127.0.0.1", to="127.0.0.1") == []
    assert len(await ask(reflector, QUESTION, source="127.5.0.9", to="127.0.0.1")) == 1
    assert (reflector.counts.answered, reflector.counts.refused) == (1, 1)


async def test_loopback_alone_is_allowed_by_default():
    options = ReflectorOptions()
    assert options.host == "127.0.0.1"
    assert all(network.is_loopback for network in options.allow)


async def test_ipv6_sources_are_told_apart_from_ipv4_networks(serve):
    reflector = await serve(host="::1", allow=(ipaddress.ip_network("0.0.0.0/0"),))
    assert await ask(reflector, QUESTION, source="::1") == []
    other = await serve(host="::1", allow=(ipaddress.ip_network("::1/128"),))
    assert len(await ask(other, QUESTION, source="::1")) == 1


async def test_the_answer_comes_from_the_address_that_was_asked(serve):
    reflector = await serve(host="0.0.0.0")
    # The socket of `ask` is connected: it would not take an answer from any other address.
    assert len(await ask(reflector, QUESTION, to="127.4.4.4")) == 1


async def test_each_source_has_its_own_rate(serve):
    reflector = await serve(rate_limit_pps=5)
    assert len(await ask(reflector, *[QUESTION] * 40)) in range(5, 12)
    assert len(await ask(reflector, *[QUESTION] * 3, source="127.0.0.2")) == 3
    assert reflector.counts.limited >= 28


async def test_another_reflector_on_the_same_port_is_not_answered_or_both_would_go_on_for_ever(serve):
    reflector = await serve(host="127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", reflector.port))
        other.sendto(QUESTION, (reflector.host, reflector.port))
        while not total(reflector):
            await asyncio.sleep(0.001)
    assert reflector.counts.refused == 1


async def test_a_flood_is_read_in_bounded_bites(serve):
    reflector = await serve(rate_limit_pps=10)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(2000):
            sock.sendto(os.urandom(50), (reflector.host, reflector.port))
    turns = 0
    while total(reflector) < 2000:
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 2000 // 512


async def test_a_port_that_is_taken_is_an_error(serve):
    reflector = await serve()
    with pytest.raises(OSError, match="in use"):
        await serve_reflector(ReflectorOptions(port=reflector.port))
    with pytest.raises(ValueError, match="IPv4 or IPv6"):
        await serve_reflector(ReflectorOptions(host="localhost"))


# -- the rate limit --------------------------------------------------------------------------------------------------


def test_a_bucket_holds_a_second_and_fills_by_the_rate():
    limit = RateLimit(10)
    assert sum(limit.admits("a", 0.0) for _ in range(100)) == 10
    assert sum(limit.admits("a", 0.5) for _ in range(100)) == 5
    assert sum(limit.admits("a", 1000.0) for _ in range(100)) == 10


def test_a_rate_below_one_still_admits_one():
    limit = RateLimit(0.1)
    assert [limit.admits("a", now) for now in (0.0, 5.0, 10.0)] == [True, False, True]


@given(st.lists(st.floats(0, 60), max_size=200).map(sorted), st.floats(0.1, 20))
def test_never_more_than_rate_and_burst_together(times, rate):
    limit = RateLimit(rate)
    admitted = [now for now in times if limit.admits("a", now)]
    if admitted:
        assert len(admitted) <= max(rate, 1) + rate * (admitted[-1] - times[0]) + 1e-6


def test_the_memory_is_bounded_and_forgets_the_longest_silent():
    limit = RateLimit(1)
    for number in range(SOURCES_MAX + 500):
        limit.admits(str(number), 0.0)
    assert len(limit) == SOURCES_MAX
    assert not limit.admits(str(SOURCES_MAX + 499), 0.0)
    assert limit.admits("0", 0.0)


# -- sessions --------------------------------------------------------------------------------------------------------


def question(number: int, ssid: int = 0, second: int = 1) -> bytes:
    return struct.pack(">IIIHH", number, 3_900_000_000 + second, 1, 0x0001, ssid).ljust(44, b"\0")


async def numbers(reflector: Reflector, *questions: bytes) -> list[int]:
    """The reflector's own numbers, of one sender's questions."""
    return [int.from_bytes(answer[:4], "big") for answer in await ask(reflector, *questions)]


async def test_answers_are_numbered_by_session(serve):
    reflector = await serve()
    questions = [question(0, 7), question(2, 7), question(0, 8), question(5, 7), question(1, 8)]
    assert await numbers(reflector, *questions) == [0, 1, 0, 2, 1]


async def test_the_same_session_from_another_port_is_another(serve):
    reflector = await serve()
    assert await numbers(reflector, question(0, 7), question(1, 7)) == [0, 1]
    assert await numbers(reflector, question(2, 7)) == [0]


async def test_an_older_sender_that_begins_anew_from_the_same_port_is_a_new_session(serve):
    """Without an SSID, as TWAMP Light has none; its first packet may come twice."""
    reflector = await serve()
    questions = [question(0), question(0), question(1), question(0, second=9), question(1, second=9)]
    assert await numbers(reflector, *questions) == [0, 1, 2, 0, 1]


async def test_a_twamp_light_question_of_41_octets_is_answered_by_its_layout(serve):
    reflector = await serve()
    (answer,) = await ask(reflector, question(3)[:41])
    assert len(answer) == 41
    assert answer[24:38] == question(3)[:14]
    assert answer[40] == 64


async def test_a_reflector_flags_tlvs_that_it_does_not_know(serve):
    reflector = await serve()
    location, padding = b"\x80\x02\x00\x04abcd", b"\x80\x01\x00\x02xy"
    (answer,) = await ask(reflector, question(0) + location + padding)
    assert answer[44:] == location + b"\0" + padding[1:]


def test_sessions_are_bounded_in_number_and_in_time():
    sessions = Sessions()
    first = Question(4, (1, 2), 1, 1)
    session = sessions.of("a", first, 0.0)
    session.sent = 3
    assert sessions.of("a", first, IDLE_S).sent == 3
    assert sessions.of("a", first, 2 * IDLE_S + 0.1).sent == 0
    for number in range(SESSIONS_MAX + 500):
        sessions.of(number, first, 0.0)
    assert len(sessions) == SESSIONS_MAX
