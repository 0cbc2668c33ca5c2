"""Proposes checks for a router that answers SNMP: itself, its links, its neighbours (`probes/snmp_discovery.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from monitor.discover.proposal import Discovery, NothingFoundError, Proposed, Text, variable
from monitor.discover.trials import Trials
from probes.failures import NETWORK_ERRORS, classify
from probes.snmp_discovery import Proposal, Router
from probes.snmp_discovery import discover as ask
from probes.snmp_params import AgentParams

_SECRETS = ("community", "auth_password", "privacy_password")


async def discover(address: str, trials: Trials, login: Mapping[str, Any]) -> Discovery:
    """Ask a router what it has, and propose how to watch it; what logs in is written as a reference.

    Raises NothingFoundError, ValueError for a login that is none.
    """
    try:
        params = AgentParams.model_validate({"address": address, **login})
    except ValidationError as error:
        told = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors(include_input=False))
        raise ValueError(told) from None
    try:
        router, proposals = await ask(params, trials.context())
    except NETWORK_ERRORS as error:
        raise NothingFoundError(classify(error)[1]) from None
    host = params.address.host
    shown = {
        key: variable(router.name or host, "snmp", key) if key in _SECRETS else value for key, value in login.items()
    }
    checks = [
        Proposed(
            one.probe,
            {"address": address, **one.parameters, **shown},
            Text(_in_vietnamese(one, router), one.why),
            one.name,
            degraded_when=one.degraded_when,
        )
        for one in proposals
    ]
    told = router.name or host
    about = Text(
        f"{told}: {len(router.interfaces)} giao diện; chỉ những gì đang hoạt động được đề xuất.",
        f"{told}: {len(router.interfaces)} interfaces; only what is up is proposed.",
    )
    return Discovery(host.replace(":", "-"), "link", told, about, checks)


def _in_vietnamese(one: Proposal, router: Router) -> str:
    """Return what was seen; an interface's is its own name, in whatever language that is."""
    if one.probe == "bgp":
        return "phiên BGP đang thiết lập"
    if one.probe == "ospf":
        return f"số láng giềng OSPF kề cận: {one.parameters['expected']}"
    if one.name == "system":
        return f"chính thiết bị {router.name}: {router.description}"
    return one.why
