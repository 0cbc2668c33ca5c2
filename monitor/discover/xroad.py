"""Proposes checks for what a security server's client may call: its catalogue, `listClients` and `allowedMethods`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from monitor.discover.proposal import Discovery, NothingFoundError, Proposed, Text, why_not
from monitor.discover.trials import Trials
from probes.failures import plain_line
from probes.http_request import web_url
from probes.xroad_params import XroadParams

PROVIDERS_LIMIT = 200
"""Subsystems that are asked for their services; the rest is told of."""


async def discover(url: str, trials: Trials, options: Mapping[str, Any]) -> Discovery:
    """List the subsystems of an instance, ask each which services it opens, and propose how to watch them.

    Raises NothingFoundError, ValueError for parameters that are none.
    """
    where = web_url(url)
    parameters = {"url": str(where), **options}
    _check(parameters)
    listing = {"url": str(where), **{key: value for key, value in options.items() if key not in _OF_A_SERVICE}}
    listed = await _listed("clients", {**listing, "mode": "clients"}, trials)
    if isinstance(listed, Text):
        raise NothingFoundError(listed.en)
    host = where.host or "xroad"
    providers = [one for one in listed if one.count("/") == 3]
    answers = await asyncio.gather(*(_services(one, parameters, trials) for one in providers[:PROVIDERS_LIMIT]))
    about = Text(
        f"{where}: {len(listed)} thành viên và hệ thống con; {options['client']} được gọi các dịch vụ dưới đây.",
        f"{where}: {len(listed)} members and subsystems; {options['client']} may call the services below.",
    )
    found = Discovery(host.replace(":", "-"), "endpoint", host, about)
    why = Text("các hệ thống con còn được đăng ký", "the subsystems are still registered")
    registered = {**_written(listing), "mode": "clients", "expected": providers[:1000]}
    found.checks.append(Proposed("xroad", registered, why, "clients", interval="5m"))
    for provider, services in zip(providers, answers, strict=False):
        if isinstance(services, Text):
            found.notes.append(Text(f"{provider}: {services.vi}", f"{provider}: {services.en}"))
        else:
            found.checks += [_check_of(one, parameters) for one in services]
    left = len(providers) - PROVIDERS_LIMIT
    if left > 0:
        found.notes.append(Text(f"{left} hệ thống con chưa được hỏi.", f"{left} subsystems were not asked."))
    return found


_OF_A_SERVICE = ("client", "protocol", "user_id")


def _check(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError for what the kind does not take, without showing a value."""
    try:
        XroadParams.model_validate({**parameters, "service": "I/C/M/S"})
    except ValidationError as error:
        told = [problem["msg"].removeprefix("Value error, ") for problem in error.errors(include_input=False)]
        raise ValueError("; ".join(told)) from None


async def _services(provider: str, parameters: Mapping[str, Any], trials: Trials) -> list[str] | Text:
    return await _listed("services", {**parameters, "service": provider}, trials)


async def _listed(what: str, parameters: Mapping[str, Any], trials: Trials) -> list[str] | Text:
    """Return what a check lists, or why it lists nothing."""
    seen = await trials.run("xroad", parameters)
    if seen is None:
        return Text(f"không hỏi được danh mục {what}", f"the {what} cannot be asked for")
    if seen.result.failure is not None:
        return Text(why_not(seen.result).vi, plain_line(seen.result.message, 200))
    return [str(one) for one in seen.measurement.facts["listed"]]


def _check_of(service: str, parameters: Mapping[str, Any]) -> Proposed:
    why = Text(f"{service} mở cho bên gọi", f"{service} is open to the client")
    name = "-".join(service.split("/")[3:])
    return Proposed("xroad", {**_written(parameters), "service": service}, why, name, interval="60s", timeout="20s")


def _written(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without what only the command line should know."""
    return {key: value for key, value in parameters.items() if key not in ("basic_auth", "bearer_token", "headers")}
