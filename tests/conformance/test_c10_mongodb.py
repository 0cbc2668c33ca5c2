"""C10 for the kind `mongodb`: a server that falls silent in any phase ends in `timeout` naming it."""

import pytest

from monitor.oneshot import prepare, run_once
from tests.probes.mongodb_servers import USER, Member, hello, message, read
from tests.probes.tcp_servers import assert_silent, serve, silent

TIMEOUT_S = 0.4


async def silent_after_hello(reader, writer):
    number, _, _ = await read(reader)
    writer.write(message(hello(), number))
    await silent(reader, writer)


@pytest.mark.parametrize(
    ("handler", "login", "options", "phase"),
    [
        (silent, "", "?tls=true", "tls"),
        (silent, "", "", "hello"),
        (silent_after_hello, f"{USER}:secret@", "", "login"),
        (silent_after_hello, "", "", "query"),
        (Member(dbStats=b""), "", "", "query"),
    ],
)
async def test_c10_a_member_that_falls_silent(handler, login, options, phase):
    async with serve(handler) as port:
        result = await run_once(prepare("mongodb", f"mongodb://{login}127.0.0.1:{port}/{options}", {}, TIMEOUT_S), "t")
    assert_silent(result, TIMEOUT_S, phase)
