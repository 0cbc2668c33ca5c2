"""C10 for the kind `oracle`: a listener that falls silent ends in `timeout` naming the phase."""

import pytest

from monitor.oneshot import prepare, run_once
from tests.probes.oracle_servers import read_connect
from tests.probes.tcp_servers import assert_silent, serve, silent

TIMEOUT_S = 0.4


async def silent_after_connect(reader, writer):
    await read_connect(reader)
    await silent(reader, writer)


async def one_octet(reader, writer):
    writer.write(b"\0")
    await silent(reader, writer)


@pytest.mark.parametrize(
    ("handler", "options", "phase"),
    [(silent, "", "login"), (silent, "?tls=yes", "tls"), (silent_after_connect, "", "login"), (one_octet, "", "login")],
)
async def test_c10_a_listener_that_falls_silent(handler, options, phase):
    async with serve(handler) as port:
        dsn = f"oracle://user:secret@127.0.0.1:{port}/dancu{options}"
        result = await run_once(prepare("oracle", dsn, {}, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, phase)
