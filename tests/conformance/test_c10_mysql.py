"""C10 for the kind `mysql`: a server that falls silent in any phase ends in `timeout` naming it."""

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from tests.probes.mysql_servers import answering, greeting, logging_in
from tests.probes.tcp_servers import assert_silent, saying, serve, silent

TIMEOUT_S = 0.4


@pytest.mark.parametrize(
    ("handler", "options", "phase"),
    [
        (silent, "", "login"),
        (saying(greeting(more=0x800)), "?sslmode=require", "tls"),
        (saying(greeting()), "", "login"),
        (logging_in(b"\x01\x03"), "", "login"),
    ],
)
@pytest.mark.parametrize("session", ["new", "keep"])
async def test_c10_a_database_that_falls_silent(handler, options, phase, session):
    async with serve(handler) as port:
        dsn = f"mysql://user:secret@127.0.0.1:{port}/db{options}"
        result = await run_once(prepare("mysql", dsn, {"session": session}, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, phase)


@pytest.mark.parametrize(
    ("answers", "phase"), [(0, "query"), (2, "query"), (3, "query"), (4, "details"), (5, "details"), (7, "details")]
)
@pytest.mark.parametrize("session", ["new", "keep"])
async def test_c10_a_database_that_falls_silent_after_so_many_answers(answers, phase, session):
    """Three statements open the transaction, one is the query, four ask for the details, in one round trip each."""
    asked: list[str] = []
    async with serve(answering(answers, asked)) as port:
        dsn = f"mysql://user:secret@127.0.0.1:{port}/db"
        result = await run_once(prepare("mysql", dsn, {"session": session}, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, phase)
    assert len(asked) == (3 if answers < 3 else 4 if answers < 4 else 8)


async def test_c10_a_database_that_answers_all_of_it_is_no_silent_one():
    asked: list[str] = []
    async with serve(answering(8, asked)) as port:
        result = await run_once(prepare("mysql", f"mysql://user:secret@127.0.0.1:{port}/db", {}, 5.0), "test")
    assert (result.state, result.message) == (State.UP, "")
    assert [sql.split()[0] for sql in asked] == ["SET", "SET", "START", "SELECT", "SELECT", "SHOW", "SHOW", "SELECT"]
