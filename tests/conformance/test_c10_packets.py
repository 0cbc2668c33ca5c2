"""C10 for `icmp`, `stamp` and `ntp`: silence is a loss, told within the time-out and 0.1 s, never a round trip of 0."""

import socket
from collections.abc import Iterator

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.responders import needs_root, private_network

TIMEOUT_S = 0.4


@pytest.fixture
def silent_network() -> Iterator[None]:
    """A network of our own in which nobody answers pings."""
    with private_network():
        yield


@needs_root
async def test_c10_a_host_that_never_answers_a_ping(silent_network: None) -> None:
    result = await run_once(prepare("icmp", "127.1.0.1", {"count": 2}, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.PACKET_LOSS)
    assert result.duration_s < TIMEOUT_S + 0.1
    assert result.samples["loss_ratio"] == 1
    assert not [name for name in result.samples if name.startswith("rtt")]


async def test_c10_a_reflector_that_takes_packets_and_never_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        result = await run_once(prepare("stamp", address, {"count": 2}, TIMEOUT_S), "test")
        assert silent.recv(2000), "a packet was sent"
    assert (result.state, result.failure) == (State.DOWN, Failure.PACKET_LOSS)
    assert result.duration_s < TIMEOUT_S + 0.1
    assert result.samples["loss_ratio"] == 1
    assert not [name for name in result.samples if name.startswith("rtt")]


async def test_c10_a_time_server_that_takes_questions_and_never_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        result = await run_once(prepare("ntp", f"127.0.0.1:{silent.getsockname()[1]}", {}, TIMEOUT_S), "test")
        assert silent.recv(2000), "a packet was sent"
    assert (result.state, result.failure) == (State.DOWN, Failure.PACKET_LOSS)
    assert result.duration_s < TIMEOUT_S + 0.1
    assert "offset_s" not in result.samples
