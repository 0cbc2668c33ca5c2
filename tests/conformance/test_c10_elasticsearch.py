"""C10 for the kinds `elasticsearch` and `opensearch`: silence in any phase ends in `timeout` naming it."""

import pytest

from monitor.oneshot import prepare, run_once
from tests.probes.tcp_servers import assert_silent, saying, serve, silent

TIMEOUT_S = 0.4
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
@pytest.mark.parametrize(
    ("handler", "scheme", "phase"),
    [(silent, "https", "tls"), (silent, "http", "first_byte"), (saying(HALF), "http", "transfer")],
)
async def test_c10_a_cluster_that_falls_silent(kind, handler, scheme, phase):
    async with serve(handler) as port:
        result = await run_once(prepare(kind, f"{scheme}://127.0.0.1:{port}", {}, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, phase)
