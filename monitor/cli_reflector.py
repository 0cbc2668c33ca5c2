"""`thongsuot reflector`: the other end of the `stamp` probe."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Sequence

from monitor.cli import NOT_MEASURED, WRONG_USE, fail, say
from probes.reflector import ReflectorOptions, serve_reflector


def serve_until_stopped(listen: str, allow: Sequence[str], rate: int) -> None:
    """Answer until SIGTERM or SIGINT, then say how many were answered and refused."""
    host, _, port = listen.rpartition(":")
    if not port.isdecimal():
        fail(WRONG_USE, f"{listen!r} is not ADDRESS:PORT, such as 127.0.0.1:862")
    try:
        options = ReflectorOptions(
            host=host.strip("[]"),
            port=int(port),
            allow=tuple(ipaddress.ip_network(network) for network in allow),
            rate_limit_pps=float(rate),
        )
    except ValueError as error:
        fail(WRONG_USE, str(error))
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        fail(NOT_MEASURED, f"cannot listen on {listen}: {error.strerror}")


async def _serve(options: ReflectorOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reflector = await serve_reflector(options)
    say(f"reflecting on {options.host} port {reflector.port}, for {', '.join(map(str, options.allow))}")
    await stop.wait()
    await reflector.aclose()
    counts = reflector.counts
    say(f"answered {counts.answered}, refused {counts.refused}, limited {counts.limited}, malformed {counts.malformed}")
