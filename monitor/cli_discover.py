"""`thongsuot discover`: looks at something once and proposes checks for it, as YAML to paste."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from monitor.cli_base import FINE, NOT_MEASURED, WRONG_USE, fail, say
from monitor.cli_parameters import read_parameters
from monitor.cli_probe import language_of_environment
from monitor.logs import set_up_logs
from monitor.oneshot import WrongUseError
from probes.units import parse_duration

if TYPE_CHECKING:
    from monitor.discover.proposal import Discovery
    from monitor.discover.trials import Trials

THINGS = ("host", "url", "wsdl", "openapi", "xroad", "snmp")


class Request(NamedTuple):
    """What was asked for on the command line; `language` is `vi`, `en`, or "" for that of the environment."""

    what: str
    address: str
    parameters: Sequence[str]
    timeout: str
    as_json: bool
    language: str = ""


def discover(request: Request) -> int:
    """Look, print the proposal, and return the exit status."""
    from monitor.discover.proposal import NothingFoundError

    set_up_logs()
    if request.what not in THINGS:
        fail(WRONG_USE, f"{request.what!r} cannot be discovered: write {', '.join(THINGS)}")
    try:
        timeout_s = parse_duration(request.timeout)
        found = asyncio.run(_look(request, read_parameters(request.parameters), timeout_s))
    except NothingFoundError as error:
        fail(NOT_MEASURED, f"{request.address}: {error}")
    except (WrongUseError, ValueError) as error:
        fail(WRONG_USE, str(error))
    language = request.language or language_of_environment()
    if request.as_json:
        import orjson

        say(orjson.dumps(found.as_json(language)).decode())
    else:
        say(found.as_yaml(language).rstrip())
    return FINE


async def _look(request: Request, options: Mapping[str, Any], timeout_s: float) -> Discovery:
    from monitor.discover.trials import Trials

    if timeout_s <= 0:
        raise WrongUseError("--timeout is longer than nothing")
    trials = Trials(timeout_s)
    try:
        return await _engine(request, options, trials)
    finally:
        await trials.aclose()


async def _engine(request: Request, options: Mapping[str, Any], trials: Trials) -> Discovery:
    what, address = request.what, request.address
    if what == "host":
        from monitor.discover import host

        return await host.discover(address, trials, _ports(options))
    if what == "snmp":
        from monitor.discover import router

        return await router.discover(address, trials, options)
    if what == "xroad":
        from monitor.discover import xroad

        if "client" not in options:
            raise WrongUseError(
                "an X-Road catalogue is that of a client: write -p client=INSTANCE/CLASS/MEMBER/SUBSYSTEM"
            )
        return await xroad.discover(address, trials, options)
    if what == "url":
        from monitor.discover import web

        _refuse(options)
        return await web.discover(address, trials)
    from monitor.discover import openapi, wsdl
    from monitor.discover.fetching import access_of

    engine = {"wsdl": wsdl.discover, "openapi": openapi.discover}[what]
    return await engine(address, trials, access_of(options))


def _ports(options: Mapping[str, Any]) -> Sequence[int]:
    from monitor.discover.host import PORTS

    _refuse({key: value for key, value in options.items() if key != "ports"})
    ports = options.get("ports", PORTS)
    ports = ports if isinstance(ports, list | tuple) else [ports]
    if not all(type(port) is int and 0 < port < 65536 for port in ports):
        raise WrongUseError("ports are numbers: write -p ports=[80,443]")
    return ports


def _refuse(options: Mapping[str, Any]) -> None:
    for name in options:
        message = f"there is no parameter {name!r} here"
        raise WrongUseError(message)
