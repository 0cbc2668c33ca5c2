"""Proposes checks for a SOAP service by its WSDL: one a port, of the description, and calls that look safe."""

from __future__ import annotations

import re
from typing import Any

from monitor.discover.fetching import ask
from monitor.discover.proposal import Discovery, NothingFoundError, Proposed, Text, why_not
from monitor.discover.trials import Trials
from probes.failures import TroubleError
from probes.http_access import HttpAccess
from probes.http_request import Request, web_url
from probes.http_visit import Rules, Visit
from probes.soap_wsdl import fetch
from probes.wsdl import Operation, Port

_READS = re.compile(
    r"(?i)(get|list|ping|status|version|health|echo|check|find|query|search|read|lookup|describe|is(?=[A-Z])|tra|hoi|lay)"
)
"""How operations are called that read; a name is no promise, so that such a call is proposed as a comment."""


async def discover(url: str, trials: Trials, access: HttpAccess) -> Discovery:
    """Read a WSDL, and propose how to watch its ports.

    Raises NothingFoundError, ValueError for what is no URL.
    """
    where = web_url(url)

    async def go(request: Request, rules: Rules) -> Visit:
        return await ask(request, rules, trials)

    try:
        description = await fetch(access.request(str(where)), access.rules(0), go)
    except TroubleError as error:
        raise NothingFoundError(error.message) from None
    ports = [port for port in description.wsdl.ports() if port.address]
    if not ports:
        raise NothingFoundError("the WSDL declares no SOAP port")
    host = where.host or "soap"
    about = Text(
        f"WSDL {where}, cổng dịch vụ SOAP: {len(ports)}. Lời gọi nằm trong chú thích: hãy xem xét trước khi dùng.",
        f"The WSDL {where}, SOAP ports: {len(ports)}. Calls stand in comments: judge them before they are used.",
    )
    found = Discovery(host.replace(":", "-"), "endpoint", host, about)
    skipped = 0
    for port in ports:
        parameters = {"url": port.address, "wsdl": str(where), "service": port.service, "port": port.name}
        checks, left = propose(port, parameters)
        found.checks += [await _tried(checks[0], trials), *checks[1:]]
        skipped += left
    elsewhere = sorted({port.address for port in ports if not _is_near(port.address, str(where))})
    for address in elsewhere[:10]:
        found.notes.append(
            Text(
                f"WSDL đưa bên gọi đến máy chủ khác: {address}; hãy thử máy chủ đó riêng.",
                f"The WSDL sends clients to another host, which was not asked: {address}",
            )
        )
    found.drop_invalid()
    if not found.checks:
        raise NothingFoundError("the WSDL names no address that can be asked")
    if skipped:
        found.notes.append(
            Text(
                f"Thao tác không có vẻ chỉ đọc, hoặc cần tham số, thì không đề xuất gọi: {skipped}.",
                f"Operations that do not look as if they only read, or need parameters, are not called: {skipped}.",
            )
        )
    return found


def propose(port: Port, parameters: dict[str, Any]) -> tuple[list[Proposed], int]:
    """Return the checks of a port, its description's first, and how many operations are left out; purely."""
    if port.version == "1.2":
        parameters = {**parameters, "version": "1.2"}
    count = len(port.operations)
    why = Text(
        f"WSDL còn khai báo {port.name} ({count} thao tác)", f"the WSDL declares {port.name}: {count} operations"
    )
    checks = [Proposed("soap", parameters, why, f"wsdl-{port.name}", interval="5m")]
    safe = [one for one in port.operations if _looks_safe(one)]
    for one in safe:
        call: dict[str, Any] = {**parameters, "operation": one.element, "namespace": one.namespace}
        if one.element != one.name:
            # The element's name is what is sent; the WSDL would be searched for it as an operation.
            call = {key: value for key, value in call.items() if key not in ("wsdl", "service", "port")}
        if one.action:
            call["soap_action"] = one.action
        checks.append(
            Proposed(
                "soap",
                call,
                Text(
                    f"gọi {one.name}: có vẻ chỉ đọc, không tham số", f"calls {one.name}: seems to read, no parameters"
                ),
                f"{port.name}-{one.name}",
                is_doubtful=True,
            )
        )
    return checks, count - len(safe)


def _is_near(address: str, where: str) -> bool:
    try:
        return web_url(address).host == web_url(where).host
    except ValueError:
        return False


def _looks_safe(operation: Operation) -> bool:
    return bool(operation.is_plain and operation.namespace and _READS.match(operation.name))


async def _tried(check: Proposed, trials: Trials) -> Proposed:
    """Return a check of the description alone; without looking at the address where that is not the one reached."""
    seen = await trials.run(check.probe, check.parameters)
    if seen is None or seen.result.failure is None:
        return check
    why = why_not(seen.result)
    return Proposed(
        check.probe,
        check.parameters,
        Text(f"{check.why.vi}; chạy thử: {why.vi}", f"{check.why.en}; tried: {why.en}"),
        check.name,
        check.interval,
        is_doubtful=True,
    )
