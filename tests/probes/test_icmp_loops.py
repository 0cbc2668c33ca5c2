"""Packets on either event loop: asyncio's own and uvloop, which the product runs on."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from probes.model import Failure, Resources
from probes.packet_timetable import TICK_S
from probes.reflector import ReflectorOptions, serve_reflector
from tests.probes.flights import measure
from tests.responders import Answer, IcmpResponder, Request, echo_reply, icmp_error, needs_root, private_network

Run = Callable[[Coroutine[Any, Any, None]], None]

pytestmark = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@needs_root
def test_a_loop_that_is_held_up_loses_no_packet_and_blurs_no_figure(run: Run):
    async def main() -> None:
        resources = Resources()
        task = asyncio.ensure_future(measure("icmp", resources, 5, address="127.1.0.1", count=1, wait="200ms"))
        await asyncio.sleep(2 * TICK_S)
        time.sleep(0.4)  # noqa: ASYNC251 - the answer comes in time, and nobody looks until it is too late
        found = await task
        await resources.aclose()
        assert found.failure is None
        assert 0.05 <= found.samples["rtt_mean_s"] < 0.2

    with private_network(), IcmpResponder(lambda request: [Answer(echo_reply(request), 0.05)]):
        run(main())


@needs_root
def test_answers_and_reports_side_by_side(run: Run):
    def by_host(request: Request) -> list[Answer]:
        if request.host == "127.1.0.1":
            return [Answer(echo_reply(request), 0.01)]
        return [Answer(icmp_error(request, 3, 1))]

    async def main() -> None:
        resources = Resources()
        checks = [measure("icmp", resources, address=f"127.1.0.{n % 2 + 1}", count=3) for n in range(60)]
        found = await asyncio.gather(*checks)
        await resources.aclose()
        assert {(m.failure, m.samples["received"]) for m in found[::2]} == {(None, 3)}
        assert {(m.failure, m.samples["received"]) for m in found[1::2]} == {(Failure.NETWORK_UNREACHABLE, 0)}

    with private_network(), IcmpResponder(by_host):
        run(main())


def test_refusals_do_not_deafen_the_socket(run: Run):
    async def main() -> None:
        resources = Resources()
        reflector = await serve_reflector(ReflectorOptions(port=0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
            held.bind(("127.0.0.1", 0))
            closed = held.getsockname()[1]
        for _ in range(5):
            refused = await measure("stamp", resources, address=f"127.0.0.1:{closed}", count=2, spacing="5ms")
            answered = await measure("stamp", resources, address=f"127.0.0.1:{reflector.port}", count=2, spacing="5ms")
            assert refused.failure is Failure.CONNECT_REFUSED
            assert answered.samples["received"] == 2
        await reflector.aclose()
        await resources.aclose()

    run(main())
