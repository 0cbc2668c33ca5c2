"""C10 for the kind `tcp`: a peer that never answers ends in `timeout` naming the phase, within time-out + 0.1 s."""

import socket
from contextlib import ExitStack

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.probes.tcp_servers import SLACK_S, assert_silent, saying, serve, silent

TIMEOUT_S = 0.4


@pytest.mark.parametrize(
    ("parameters", "phase"),
    [
        ({"dialogue": [{"expect": "^220"}]}, "dialogue"),
        ({"tls": True, "verify": False}, "tls"),
        ({"dialogue": [{"starttls": True}]}, "tls"),
    ],
)
async def test_c10_a_server_that_accepts_and_never_answers(parameters, phase):
    async with serve(silent) as port:
        result = await run_once(prepare("tcp", f"127.0.0.1:{port}", parameters, TIMEOUT_S), "test")
    assert_silent(result, TIMEOUT_S, phase)


async def test_c10_a_server_that_falls_silent_after_its_banner():
    dialogue = [{"expect": "^220"}, {"send": "EHLO x"}, {"expect": "^250"}]
    async with serve(saying(b"220 hi\r\n")) as port:
        result = await run_once(prepare("tcp", f"127.0.0.1:{port}", {"dialogue": dialogue}, TIMEOUT_S), "test")
    assert result.failure is Failure.TIMEOUT
    assert "in dialogue" in result.message


async def test_c10_a_server_whose_queue_is_full_never_completes_the_handshake():
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(8):  # one more than its queue holds: the kernel drops the SYNs of the others
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
        result = await run_once(prepare("tcp", f"127.0.0.1:{address[1]}", {}, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.CONNECT_TIMEOUT)
    assert result.message == f"no answer within {TIMEOUT_S} s in connect"
    assert result.duration_s < TIMEOUT_S + SLACK_S
