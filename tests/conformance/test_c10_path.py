"""C10 for `path` and `mtu`: silence ends within the time-out and 0.1 s, as a loss, and never a round trip of 0."""

from collections.abc import Iterator

import pytest

from alerts.model import State
from monitor.oneshot import prepare, run_once
from probes.model import Failure
from tests.responders import needs_root, private_network

TIMEOUT_S = 0.4

pytestmark = needs_root


@pytest.fixture
def silent_network() -> Iterator[None]:
    """A network of our own in which nobody answers pings."""
    with private_network("fd00::1"):
        yield


@pytest.mark.parametrize("kind", ["path", "mtu"])
@pytest.mark.parametrize("host", ["127.1.0.1", "fd00::1"])
@pytest.mark.parametrize("wait", ["100ms", "1s"])
async def test_c10_a_host_that_never_answers(silent_network: None, kind: str, host: str, wait: str) -> None:
    result = await run_once(prepare(kind, host, {"wait": wait}, TIMEOUT_S), "test")
    assert (result.state, result.failure) == (State.DOWN, Failure.PACKET_LOSS)
    assert result.duration_s < TIMEOUT_S + 0.1
    assert result.samples["sent"] > 0
    assert not [name for name in result.samples if "rtt" in name or name == "mtu_bytes"]
