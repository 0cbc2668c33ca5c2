"""`thongsuot reflector`: the other end of the probes `stamp` and `throughput`."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from monitor.cli_base import NOT_MEASURED, WRONG_USE, fail, say
from probes.reflector import Network, ReflectorOptions, serve_reflector
from probes.shared_key import key_bytes
from probes.throughput_server import ServerOptions, serve_throughput
from probes.units import parse_duration, parse_size

KEY_FILE_LIMIT_BYTES = 4096


class Request(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        listen, throughput: ADDRESS:PORT; the second "" for no throughput tests.
        allow: networks that may ask.
        rate: packets per second and source.
        stateless: answers are not counted.
        key_file, throughput_key_file: where the keys stand, unless in the environment.
        tests: throughput tests at once.
        test_duration, test_size: of each direction of one, at the most, as they are written.

    """

    listen: str
    allow: Sequence[str]
    rate: int
    stateless: bool
    key_file: Path | None
    throughput: str
    throughput_key_file: Path | None
    tests: int
    test_duration: str
    test_size: str


def serve_until_stopped(request: Request, environ: Mapping[str, str]) -> None:
    """Answer until SIGTERM or SIGINT, then say how many were answered and refused."""
    try:
        allow = tuple(ipaddress.ip_network(network) for network in request.allow)
        options = _reflector(request, allow, environ.get("THONGSUOT_STAMP_KEY", ""))
        server = _server(request, allow, environ.get("THONGSUOT_THROUGHPUT_KEY", "")) if request.throughput else None
    except ValueError as error:
        fail(WRONG_USE, str(error))
    except OSError as error:
        fail(WRONG_USE, f"cannot read the key: {error.strerror}")
    try:
        asyncio.run(_serve(options, server))
    except OSError as error:
        also = f" or {request.throughput}" if request.throughput else ""
        fail(NOT_MEASURED, f"cannot listen on {request.listen}{also}: {error.strerror}")


def _reflector(request: Request, allow: tuple[Network, ...], key: str) -> ReflectorOptions:
    host, port = _address(request.listen)
    return ReflectorOptions(
        host=host,
        port=port,
        allow=allow,
        rate_limit_pps=float(request.rate),
        is_stateful=not request.stateless,
        secret=_key(request.key_file, key),
    )


def _server(request: Request, allow: tuple[Network, ...], key: str) -> ServerOptions:
    host, port = _address(request.throughput)
    secret = _key(request.throughput_key_file, key)
    if not secret:
        raise ValueError("throughput tests need a key: --throughput-key-file or THONGSUOT_THROUGHPUT_KEY")
    return ServerOptions(
        secret=secret,
        host=host,
        port=port,
        allow=allow,
        duration_max_s=parse_duration(request.test_duration),
        bytes_max=parse_size(request.test_size),
        tests_max=request.tests,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdecimal():
        message = f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:862"
        raise ValueError(message)
    return host.strip("[]"), int(port)


def _key(file: Path | None, from_environment: str) -> bytes:
    """Return the key of a file or else of the environment; empty where there is none."""
    text = from_environment
    if file is not None:
        with file.open("rb") as opened:
            text = opened.read(KEY_FILE_LIMIT_BYTES).decode().removesuffix("\n").removesuffix("\r")
    return key_bytes(text) if text or file is not None else b""


async def _serve(options: ReflectorOptions, tests: ServerOptions | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reflector = await serve_reflector(options)
    try:
        server = await serve_throughput(tests) if tests is not None else None
    except OSError:
        await reflector.aclose()
        raise
    allowed = ", ".join(map(str, options.allow))
    say(f"reflecting on {options.host} port {reflector.port}, for {allowed}")
    if server is not None:
        say(f"throughput tests on {server.host} port {server.port}, for {allowed}")
    await stop.wait()
    await reflector.aclose()
    counts = reflector.counts
    say(
        f"answered {counts.answered}, refused {counts.refused}, limited {counts.limited}, "
        f"malformed {counts.malformed}, unauthentic {counts.unauthentic}"
    )
    if server is not None:
        await server.aclose()
        told = server.counts
        turned_away = f"refused {told.refused}, denied {told.denied}, busy {told.busy}, failed {told.failed}"
        say(f"tested {told.tested}, {turned_away}")
