"""C10 for the kind `postgresql`: a server that falls silent in any phase ends in `timeout` naming it."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from tests.probes.postgresql_servers import (
    OK,
    READY,
    SASL,
    answering,
    authentication,
    logging_in,
    read_message,
    read_startup,
)
from tests.probes.tcp_servers import assert_silent, serve, silent

TIMEOUT_S = 0.4


async def silent_after_tls_is_promised(reader, writer):
    await reader.readexactly(8)
    writer.write(b"S")
    await silent(reader, writer)


async def silent_after_its_challenge(reader, writer):
    await read_startup(reader)
    writer.write(authentication(10, SASL))
    await read_message(reader)
    await silent(reader, writer)


@pytest.mark.parametrize(
    ("handler", "sslmode", "phase"),
    [
        (silent, "prefer", "tls"),
        (silent_after_tls_is_promised, "require", "tls"),
        (silent, "disable", "login"),
        (silent_after_its_challenge, "disable", "login"),
        (logging_in(silent, OK), "disable", "login"),
        (logging_in(silent), "disable", "query"),
        (logging_in(answering()), "disable", "query"),
    ],
)
async def test_c10_a_database_that_falls_silent(handler, sslmode, phase):
    async with serve(handler) as port:
        dsn = f"postgresql://user:secret@127.0.0.1:{port}/db?sslmode={sslmode}"
        result = await run_once(prepare("postgresql", dsn, {}, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, phase)


@pytest.mark.parametrize("session", ["new", "keep"])
async def test_c10_a_database_that_says_nothing_of_itself(session):
    async with serve(logging_in(answering(READY))) as port:
        dsn = f"postgresql://user:secret@127.0.0.1:{port}/db?sslmode=disable"
        result = await run_once(prepare("postgresql", dsn, {"session": session}, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, "details")


async def test_c10_another_database_that_never_answers():
    answers = answering(READY, READY)
    async with serve(logging_in(answers)) as port, serve(silent) as other:
        dsn = f"postgresql://user:secret@127.0.0.1:{port}/db?sslmode=disable"
        rule = {"dsn": f"postgresql://user:secret@127.0.0.1:{other}/db", "table": "t", "max_gap": 1}
        result = await run_once(prepare("postgresql", dsn, {"details": False, "in_step": rule}, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, "in_step")


async def test_c10_ready_is_what_the_server_says_it_is():
    async with serve(logging_in(answering(READY))) as port:
        dsn = f"postgresql://user:secret@127.0.0.1:{port}/db?sslmode=disable"
        result = await run_once(prepare("postgresql", dsn, {"details": False}, 5.0), "test")
    assert (result.state, result.samples["rows"]) == (State.UP, 0)
