"""What the tests of several kinds share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from probes.model import Resources
from tests.snmpd import Snmpd


@pytest.fixture(scope="module")
def agent() -> Iterator[Snmpd]:
    """net-snmp's own agent, whose objects the test decides."""
    server = Snmpd()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
async def resources() -> AsyncIterator[Resources]:
    """What a process keeps between runs; let go after the test."""
    opened = Resources()
    yield opened
    await opened.aclose()
