"""C10 for the kind `ldap`: a server that falls silent in any phase ends in `timeout` naming it."""

import pytest

from probes import ldap_wire as wire
from tests.probes.tcp_servers import assert_silent, saying, serve, silent
from tests.probes.test_ldap import BOUND, answer, outcome, result_of


@pytest.mark.parametrize(
    ("said", "tls", "phase"),
    [
        (b"", "none", "login"),
        (b"", "ldaps", "tls"),
        (b"", "starttls", "tls"),
        (answer(1, wire.EXTENDED_DONE, outcome(0)), "starttls", "tls"),
        (BOUND, "none", "query"),
    ],
)
async def test_c10_a_server_that_falls_silent(said, tls, phase):
    async with serve(saying(said) if said else silent) as port:
        result = await result_of(f"127.0.0.1:{port}", timeout_s=0.4, tls=tls)
    assert_silent(result, 0.4, phase)
