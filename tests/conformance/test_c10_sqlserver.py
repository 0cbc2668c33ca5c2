"""C10 for the kind `sqlserver`: a server that falls silent in any phase ends in `timeout` naming it."""

import pytest

from monitor.oneshot import prepare, run_once
from tests.probes.tcp_servers import assert_silent, serve, silent
from tests.probes.tds_servers import PASSWORD, USER, Server, packet

TIMEOUT_S = 0.4


def silent_after_prelogin(encryption):
    async def handler(reader, writer):
        await reader.read(4096)
        writer.write(packet(4, b"\x01\x00\x06\x00\x01\xff" + bytes((encryption,))))
        await silent(reader, writer)

    return handler


@pytest.mark.parametrize(
    ("handler", "encrypt", "phase"),
    [
        (silent, "no", "prelogin"),
        (silent, "strict", "tls"),
        (silent_after_prelogin(1), "yes", "tls"),
        (silent_after_prelogin(2), "no", "login"),
        (Server(**{"SET NOCOUNT": b""}), "no", "query"),
        (Server(**{"SELECT 1": b""}), "no", "query"),
        (Server(backupset=b""), "no", "details"),
    ],
)
async def test_c10_a_sql_server_that_falls_silent(handler, encrypt, phase):
    async with serve(handler) as port:
        dsn = f"sqlserver://{USER}:{PASSWORD}@127.0.0.1:{port}/app?encrypt={encrypt}"
        result = await run_once(prepare("sqlserver", dsn, {}, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, phase)
