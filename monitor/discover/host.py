"""Proposes checks for a host: is it there, which of the common ports answer, and what speaks behind them.

A port that does not answer is not proposed. What answers decides the kind; it is never logged in to, and ports of
databases and brokers are sent nothing but what their own clients begin with.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from typing import Any

from alerts.model import State
from monitor.discover import web
from monitor.discover.proposal import Discovery, NothingFoundError, Proposed, Text, variable
from monitor.discover.trials import Trials
from probes import registry
from probes.model import Layer
from probes.packet_address import check_host
from probes.tcp_address import HostPort

PORTS = (22, 25, 53, 80, 123, 389, 443, 636, 1433, 1521, 1883, 3306, 5432, 5672, 6379, 8080, 8443, 9092, 9200, 27017)
PORTS_LIMIT = 64

_SERVICES = {
    389: "ldap",
    636: "ldap",
    1433: "sqlserver",
    1521: "oracle",
    1883: "mqtt",
    3306: "mysql",
    5432: "postgresql",
    5672: "amqp",
    6379: "redis",
    9092: "kafka",
    9200: "elasticsearch",
    27017: "mongodb",
}
"""The kind that knows more of what usually listens there, once it may log in."""

_WITHOUT_LOGIN = {
    25: "smtp",
    389: "ldap",
    6379: "redis",
    9092: "kafka",
    9200: "elasticsearch",
    27017: "mongodb",
}
"""The kinds that ask such a service something without logging in."""

_SECURE = frozenset({443, 636, 8443})
_WEB = frozenset({80, 443, 8080, 8443, 9200})
_UDP_ONLY = frozenset({123})
_DIALOGUES: dict[str, list[dict[str, str]]] = {
    "SSH": [{"expect": "^SSH-2.0-"}],
    "SMTP": [{"expect": "^220[ -]"}],
    "Redis": [{"send": "PING"}, {"expect": r"^(\+PONG|-NOAUTH|-DENIED)"}],
}
_DIALOGUE_OF = {22: "SSH", 25: "SMTP", 6379: "Redis"}


async def discover(host: str, trials: Trials, ports: Iterable[int] = PORTS) -> Discovery:
    """Look at a host, and propose how to watch it.

    Raises NothingFoundError, ValueError for what is no host.
    """
    check_host(host, None)
    wanted = list(dict.fromkeys(ports))[:PORTS_LIMIT]
    found = Discovery(host.replace(":", "-"), "endpoint", host, Text("", ""))
    pings = {"address": host}
    pinged, answers = await asyncio.gather(
        trials.run("icmp", pings), asyncio.gather(*(_look_at(host, port, trials) for port in wanted))
    )
    if pinged is not None and pinged.result.state is State.UP:
        found.checks.append(
            Proposed("icmp", pings, Text("trả lời ping", "answers pings"), interval="10s", timeout="5s")
        )
    for checks, notes in answers:
        found.checks += checks
        found.notes += notes
    if not found.checks:
        failure = pinged.result.failure if pinged is not None else None
        if pinged is not None and failure is not None and failure.layer is Layer.NAME:
            raise NothingFoundError(pinged.result.message)
        message = f"{host} answers neither pings nor on any of {len(wanted)} ports"
        raise NothingFoundError(message)
    many = len(wanted)
    found.about = Text(
        f"Đã thử ping và {many} cổng của {host}; mỗi phép kiểm tra dưới đây đã chạy thử và đạt.",
        f"{host} was pinged and tried on {many} ports; each check below was run once and was up.",
    )
    return found


async def _look_at(host: str, port: int, trials: Trials) -> tuple[list[Proposed], list[Text]]:
    """Return the checks for one port, none where nobody answers."""
    address = str(HostPort(host, port))
    checks: list[Proposed] = []
    if port == 123:
        checks += await _ntp(host, trials)
    elif port == 53:
        checks += await _dns(host, trials)
    if port in _UDP_ONLY or not await trials.is_up("tcp", {"address": address}):
        return checks, []
    spoken, notes = await _speak(host, port, address, trials)
    return [*checks, *spoken, *_deeper(host, port)], notes


async def _speak(host: str, port: int, address: str, trials: Trials) -> tuple[list[Proposed], list[Text]]:
    """Return the check that says most of what listens on an open port."""
    own = await _own_kind(host, port, trials)
    if own is not None:
        return [own], []
    name = f"tcp-{port}"
    is_common = port in PORTS
    for protocol in (
        [_DIALOGUE_OF[port]] if port in _DIALOGUE_OF else [] if is_common else await _greets(address, trials)
    ):
        parameters: dict[str, Any] = {"address": address, "dialogue": _DIALOGUES[protocol]}
        if await trials.is_up("tcp", parameters):
            said = f"cổng {port}: {protocol}", f"port {port}: {protocol}"
            return [Proposed("tcp", parameters, Text(*said), name, interval="30s")], []
    schemes = ["https", "http"] if port in _SECURE or not is_common else ["http"]
    for scheme in schemes if port in _WEB or not is_common else []:
        checks, notes = await web.propose(f"{scheme}://{HostPort(host, port)}/", trials, f"{scheme}-{port}")
        if checks:
            return checks, notes
    if port in _SECURE:
        tls = await _tls(address, port, trials)
        if tls is not None:
            return [tls], []
    what = _SERVICES.get(port, "")
    told = f" ({what})" if what else ""
    opened = Text(f"cổng {port}{told} nhận kết nối", f"port {port}{told} accepts connections")
    return [Proposed("tcp", {"address": address}, opened, name, interval="30s")], []


async def _own_kind(host: str, port: int, trials: Trials) -> Proposed | None:
    """Return a check by the kind that knows what listens there, if it is up without a login."""
    kind = _WITHOUT_LOGIN.get(port, "")
    if kind not in registry.kinds():
        return None
    name, address = registry.find(kind).address, str(HostPort(host, port))
    for written in (address, f"{kind}://{address}", f"http://{address}"):
        parameters = {name: written}
        if await trials.is_up(kind, parameters):
            said = Text(f"cổng {port}: {kind} trả lời", f"port {port}: {kind} answers")
            return Proposed(kind, parameters, said, f"{kind}-{port}", interval="30s")
    return None


async def _greets(address: str, trials: Trials) -> list[str]:
    """Return what a port that is not one of the common ones may speak, if it speaks first."""
    greeting = {"address": address, "dialogue": [{"expect": r"^(SSH-2\.0-|220[ -])"}]}
    return ["SSH", "SMTP"] if await trials.is_up("tcp", greeting) else []


async def _tls(address: str, port: int, trials: Trials) -> Proposed | None:
    parameters: dict[str, Any] = {"address": address}
    why = Text(f"cổng {port}: TLS, chứng thư được tin cậy", f"port {port}: TLS with a trusted certificate")
    if not await trials.is_up("tls", parameters):
        parameters["verify"] = False
        why = Text(
            f"cổng {port}: TLS, chứng thư chưa được tin cậy ở đây: nên đặt ca_file",
            f"port {port}: TLS, its certificate is not trusted here: better give ca_file",
        )
        if not await trials.is_up("tls", parameters):
            return None
    return Proposed("tls", parameters, why, f"tls-{port}", interval="5m", degraded_when=(web.EXPIRY,))


async def _ntp(host: str, trials: Trials) -> list[Proposed]:
    parameters = {"address": host}
    if not await trials.is_up("ntp", parameters):
        return []
    return [Proposed("ntp", parameters, Text("cổng 123: cho giờ", "port 123: tells the time"), degraded_when=())]


async def _dns(host: str, trials: Trials) -> list[Proposed]:
    """Return a check of a name server: of the root's servers, which a resolver knows and an authority refuses."""
    for rcodes, least in ((["NOERROR"], 1), (["REFUSED"], 0)):
        parameters = {"name": ".", "type": "NS", "server": host, "rcode": rcodes, "min_answers": least}
        if await trials.is_up("dns", parameters):
            said = f"cổng 53: DNS trả lời {rcodes[0]}", f"port 53: DNS answers {rcodes[0]}"
            return [Proposed("dns", parameters, Text(*said), interval="30s")]
    return []


def _deeper(host: str, port: int) -> list[Proposed]:
    """Return what could be asked with a login, as a comment."""
    kind = _SERVICES.get(port, "")
    if kind != "postgresql" or kind not in registry.kinds():
        return []
    password = variable(host, kind, "password")
    where = f"[{host}]" if _is_ipv6(host) else host
    parameters = {"dsn": f"postgresql://giam_sat:{password}@{where}:{port}/postgres"}
    why = Text(
        "khi đã có người dùng chỉ đọc: xem docs/probes/postgresql.md",
        "once there is a user that may only read: see docs/probes/postgresql.md",
    )
    return [Proposed(kind, parameters, why, f"{kind}-{port}", interval="60s", is_doubtful=True)]


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
