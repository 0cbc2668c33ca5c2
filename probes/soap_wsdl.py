"""Fetches a service's description and compares it with what a check expects and with what the last run saw."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from yarl import URL

from probes.failures import TroubleError
from probes.http_access import content_of, off_loop, status_of
from probes.http_request import Request, origin_of, shown, web_url
from probes.http_visit import Rules, Visit
from probes.model import Context, Failure
from probes.run_memory import RunMemory
from probes.wsdl import Wsdl, addresses, missing
from probes.xml_tree import XmlError

BODY_LIMIT = 4 << 20
"""Bytes of one document."""

DEPTH_LIMIT = 3
"""How far imports lead."""

DOCUMENTS_LIMIT = 20
MEMORY = "probes.soap_wsdl"
"""Where the process keeps what it saw last in `Context.resources`."""


@dataclass(slots=True)
class Description:
    """A description that was fetched.

    Attributes:
        wsdl: what it declares.
        visit: the visit that its first document came by.
        digest: SHA-256 over its documents, 16 hexadecimal digits.
        documents: how many there are.
        elsewhere: imports that were not followed: on other hosts, or too many.

    """

    wsdl: Wsdl
    visit: Visit
    digest: str = ""
    documents: int = 0
    elsewhere: int = 0


async def fetch(request: Request, rules: Rules, go: Callable[[Request, Rules], Awaitable[Visit]]) -> Description:
    """Fetch a description and what it imports from its own origin.

    Args:
        request, rules: for the first document.
        go: makes a visit and waits for it; it raises what classifies as a failure.

    Raises TroubleError: the visit's own, `http_status`, `protocol`.

    """
    rules = replace(rules, body_limit=BODY_LIMIT)
    hashed = hashlib.sha256()
    found: Description | None = None
    waiting, seen = [(request.url, 0)], {request.url}
    while waiting:
        url, depth = waiting.pop(0)
        visit = await go(replace(request, url=url), rules)
        found = found or Description(Wsdl(), visit)
        content = _document(visit, url)
        hashed.update(content)
        try:
            imports = await off_loop(len(content), found.wsdl.add, content)
        except XmlError as error:
            raise TroubleError(Failure.PROTOCOL, f"the WSDL cannot be read: {error}: {shown(url)}") from None
        found.documents += 1
        for location in imports:
            target = _target(location, url)
            if target is None or origin_of(target) != request.origin or depth >= DEPTH_LIMIT:
                found.elsewhere += 1
            elif target not in seen:
                if len(seen) >= DOCUMENTS_LIMIT:
                    found.elsewhere += 1
                    continue
                seen.add(target)
                waiting.append((target, depth + 1))
    assert found is not None  # noqa: S101 - the first document is always asked for
    found.digest = hashed.hexdigest()[:16]
    return found


def _document(visit: Visit, url: URL) -> bytes:
    status = status_of(visit)
    if not 200 <= status < 300:
        raise TroubleError(Failure.HTTP_STATUS, f"the WSDL is not there (status = {status}): {shown(url)}")
    return content_of(visit)


def _target(location: str, base: URL) -> URL | None:
    try:
        return web_url(location, base)
    except ValueError:
        return None


def check(description: Description, service: str, port: str, operation: str) -> None:
    """Raise TroubleError (`protocol`) when something is not declared any more."""
    lack = missing(description.wsdl, service, port, operation)
    if lack:
        unread = f" ({description.elsewhere} imports were not followed)" if description.elsewhere else ""
        raise TroubleError(Failure.PROTOCOL, lack + unread)


def other_address(description: Description, service: str, port: str, expected: str) -> str:
    """Return the address that is declared instead of the expected one, "" where that one is declared too."""
    declared = addresses(description.wsdl, service, port)
    wanted = _comparable(expected)
    if any(_comparable(one) == wanted for one in declared):
        return ""
    return next(iter(declared), "")


def _comparable(address: str) -> tuple[object, str]:
    try:
        url = web_url(address)
    except ValueError:
        return ("", address)
    return origin_of(url), url.raw_path.rstrip("/")


def changed(ctx: Context, url: str, digest: str) -> str | None:
    """Remember a digest, and return the last run's one; None in the first run."""
    memory: RunMemory[str] = ctx.resources.get(MEMORY, RunMemory)
    before = memory.recall((ctx.check, url))
    memory.keep((ctx.check, url), digest)
    return before
