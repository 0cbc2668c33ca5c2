"""C10 for the kind `redis`: a server that falls silent in any phase ends in `timeout` naming it."""

import pytest

from tests.probes.tcp_servers import assert_silent, saying, serve, silent
from tests.probes.test_redis import result_of


@pytest.mark.parametrize(
    ("said", "phase"),
    [(b"", "login"), (b"+OK\r\n", "login"), (b"+OK\r\n+OK\r\n", "query"), (b"+OK\r\n+OK\r\n+PONG\r\n", "details")],
)
@pytest.mark.parametrize("session", ["new", "keep"])
async def test_c10_a_server_that_falls_silent(said, phase, session):
    async with serve(saying(said)) as port:
        result = await result_of(f"127.0.0.1:{port}", timeout_s=0.4, session=session)
    assert_silent(result, 0.4, phase)
    async with serve(silent) as port:
        result = await result_of(f"127.0.0.1:{port}", timeout_s=0.4, tls=True)
    assert result.message == "no answer within 0.4 s in tls"
