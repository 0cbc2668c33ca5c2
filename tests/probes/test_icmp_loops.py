"""Packets on either event loop, asyncio's own and uvloop: late, cancelled, closed, flooded."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from probes.icmp_socket import open_icmp_socket
from probes.model import Failure, Resources
from probes.packet_timetable import TICK_S
from probes.reflector import ReflectorOptions, serve_reflector
from tests.probes.flights import measure, shared_socket
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


@needs_root
def test_a_cancelled_check_leaves_nothing_behind(run: Run):
    async def main() -> None:
        resources = Resources()
        task = asyncio.ensure_future(measure("icmp", resources, 5, address="127.1.0.1", count=2))
        await asyncio.sleep(0.05)
        shared = shared_socket(resources, open_icmp_socket, socket.AF_INET)
        assert len(shared.flights_to("127.1.0.1")) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert shared.flights_to("127.1.0.1") == []
        await resources.aclose()

    with private_network():
        run(main())


@needs_root
def test_closing_the_socket_cancels_who_waits_for_it(run: Run):
    async def main() -> None:
        resources = Resources()
        task = asyncio.ensure_future(measure("icmp", resources, 5, address="127.1.0.1", count=1))
        await asyncio.sleep(0.05)
        await resources.aclose()
        with pytest.raises(asyncio.CancelledError):
            await task

    with private_network():
        run(main())


@needs_root
def test_what_the_kernel_had_to_drop_is_unknown_not_lost(run: Run):
    floods = 2000

    def flood_then_answer(request: Request) -> list[Answer]:
        forged = echo_reply(request, os.urandom(8) + request.data[16:])
        return [Answer(forged)] * floods + [Answer(echo_reply(request))]

    async def main() -> None:
        resources = Resources()
        shared = await resources.open((open_icmp_socket, socket.AF_INET), lambda: open_icmp_socket(socket.AF_INET))
        check = measure("icmp", resources, 20, address="127.1.0.1", count=1, size=16_000, wait="500ms")
        task = asyncio.ensure_future(check)
        while not shared.flights_to("127.1.0.1"):
            await asyncio.sleep(0)
        # It has sent its packet; now the whole loop is held up, as where there is too much to do.
        while len(far_end.log.sent) <= floods:
            time.sleep(0.01)  # noqa: ASYNC251
        found = await task
        assert shared.dropped > 0
        await resources.aclose()
        assert found.failure is Failure.INTERNAL
        assert found.message == "this host could not keep up with what it received"
        assert "loss_ratio" not in found.samples

    with private_network(), IcmpResponder(flood_then_answer) as far_end:
        run(main())
