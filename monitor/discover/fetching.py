"""Reads a document that describes a service, from a file or by HTTP: bounded, with the probes' own requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitor.discover.proposal import NothingFoundError
from monitor.discover.trials import Trials
from probes.failures import TroubleError, classify
from probes.http_access import HttpAccess, content_of, status_of
from probes.http_exchange import Exchange
from probes.http_request import Request
from probes.http_visit import Rules, Visit

DOCUMENT_LIMIT = 8 << 20
"""Bytes of a document."""


def access_of(options: Mapping[str, Any]) -> HttpAccess:
    """Return how to reach a platform, from what was given on the command line.

    Raises ValueError, which names no value.
    """
    try:
        return HttpAccess.model_validate(dict(options))
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False, include_context=False)
        ]
        raise ValueError("; ".join(lines)) from None


async def ask(request: Request, rules: Rules, trials: Trials) -> Visit:
    """Make one visit.

    Raises TroubleError.
    """
    context = trials.context()
    visit = Visit(request, rules, context)
    try:
        async with asyncio.timeout_at(context.deadline):
            await visit.go()
    except Exchange.errors as error:
        raise TroubleError(*classify(error, context.phases.current)) from None
    return visit


async def document(where: str, access: HttpAccess, trials: Trials) -> tuple[bytes, str]:
    """Return a document and the URL that it stands at, "" for a file.

    Raises NothingFoundError, ValueError for what is neither a URL nor a file.
    """
    if where.startswith(("http://", "https://")):
        request = access.request(where, [("Accept", "application/json, application/yaml, */*")])
        try:
            visit = await ask(request, access.rules(DOCUMENT_LIMIT), trials)
        except TroubleError as error:
            raise NothingFoundError(error.message) from None
        if not 200 <= status_of(visit) < 300:
            message = f"it is not there (status = {status_of(visit)})"
            raise NothingFoundError(message)
        return content_of(visit), str(visit.request.url)
    return _from_file(where), ""


def _from_file(where: str) -> bytes:
    try:
        with Path(where).open("rb") as file:
            data = file.read(DOCUMENT_LIMIT + 1)
    except OSError as error:
        message = f"{where} is neither a URL nor a file that can be read: {error.strerror}"
        raise ValueError(message) from None
    if len(data) > DOCUMENT_LIMIT:
        message = f"{where} is larger than {DOCUMENT_LIMIT >> 20} MiB"
        raise ValueError(message)
    return data
