"""What an ICMP check says and does with the rights that its process has, in a process that has really lost them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.responders import needs_root, private_network, set_sysctl

pytestmark = needs_root

# Everything is imported while still root: the user below may be unable to read the files.
UNPRIVILEGED = """
import asyncio, json, os
from probes.icmp_socket import open_icmp_socket
from probes.kinds.icmp import PROBE
from probes.model import Context, Resources
import probes.failures

async def main():
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    resources = Resources()
    found = {}
    for host in ("127.0.0.1", "::1"):
        context = Context(3, asyncio.get_running_loop().time() + 3, resources)
        measurement = await PROBE.run(PROBE.params(address=host, count=1), context)
        found[host] = (measurement.failure, measurement.message, dict(measurement.samples))
    await resources.aclose()
    print(json.dumps(found))

asyncio.run(main())
"""


@pytest.fixture
def _network():
    with private_network():
        set_sysctl("net/ipv4/icmp_echo_ignore_all", "0")
        set_sysctl("net/ipv6/icmp/echo_ignore_all", "0")
        yield


def ping_unprivileged() -> dict:
    done = subprocess.run([sys.executable, "-c", UNPRIVILEGED], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


@pytest.mark.usefixtures("_network")
def test_neither_socket_allowed_is_a_permission_that_names_both_remedies():
    set_sysctl("net/ipv4/ping_group_range", "1 0")
    for failure, message, samples in ping_unprivileged().values():
        assert failure == "permission"
        assert "CAP_NET_RAW" in message
        assert "net.ipv4.ping_group_range" in message
        assert samples == {}


@pytest.mark.usefixtures("_network")
def test_without_the_right_to_raw_sockets_the_ping_socket_does():
    set_sysctl("net/ipv4/ping_group_range", "65534 65534")
    for failure, message, samples in ping_unprivileged().values():
        assert (failure, message) == (None, "")
        assert samples["received"] == 1
        assert samples["rtt_mean_s"] > 0
