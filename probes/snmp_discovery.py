"""What is worth watching on a router, found by asking it once: plain data for `thongsuot discover snmp`.

Everything that is proposed was answered by the router: an interface that is up, a system that tells its load, a BGP
session that is established, an OSPF neighbour that is adjacent. Nothing secret is in a proposal: logging in is for
whoever writes it down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from probes.failures import TroubleError, plain_line
from probes.model import Context, Failure
from probes.snmp_ber import oid
from probes.snmp_interfaces import Interface, read_all, read_names
from probes.snmp_neighbours import ESTABLISHED, FULL, TWO_WAY, BgpPeer, OspfNeighbour, read_bgp, read_ospf
from probes.snmp_params import AgentParams
from probes.snmp_router import open_session
from probes.snmp_session import Session
from probes.snmp_system import Health, read_health

PROPOSALS_LIMIT = 1000

_SYS_DESCR, _SYS_NAME = oid("1.3.6.1.2.1.1.1.0"), oid("1.3.6.1.2.1.1.5.0")
_OCTET_STRING = 4
_BUSY = "in_utilisation_ratio > 0.9 || out_utilisation_ratio > 0.9"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A check that could be written.

    Attributes:
        probe: the kind.
        name: of the check, unique among the proposals.
        why: one line for a person.
        parameters: of the kind, without where the router is and how to log in.
        degraded_when: conditions that suit it.

    """

    probe: str
    name: str
    why: str
    parameters: dict[str, Any] = field(default_factory=dict)
    degraded_when: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Router:
    """What a router told of itself.

    Attributes:
        name, description: sysName and sysDescr.
        interfaces, health, bgp, ospf: what it shows; None and empty where it shows nothing.

    """

    name: str
    description: str
    interfaces: Sequence[Interface]
    health: Health
    bgp: Sequence[BgpPeer]
    ospf: Sequence[OspfNeighbour]


async def discover(params: AgentParams, ctx: Context) -> tuple[Router, list[Proposal]]:
    """Ask a router for all that can be watched; return what it told and what to make of it.

    Raises TroubleError, OSError.
    """
    router = await read_router(params, ctx)
    return router, propose(router)


async def read_router(params: AgentParams, ctx: Context) -> Router:
    """Ask a router for all that can be watched.

    Raises TroubleError, OSError.
    """
    session = await open_session(params, ctx)
    try:
        bindings, _ = await session.get((_SYS_NAME, _SYS_DESCR))
        name, description = (
            plain_line(value.decode("utf-8", "replace"), 200) if tag == _OCTET_STRING else ""
            for _, tag, value in bindings
        )
        interfaces = await read_all(session, await read_names(session))
        health = await read_health(session)
        return Router(name, description, interfaces, health, await _bgp(session), await _ospf(session))
    finally:
        session.close()
        ctx.phases.end()


async def _bgp(session: Session) -> list[BgpPeer]:
    try:
        return await read_bgp(session)
    except TroubleError as error:
        if error.failure not in (Failure.QUERY_FAILED, Failure.AUTH_REJECTED):
            raise
        return []


async def _ospf(session: Session) -> list[OspfNeighbour]:
    try:
        return await read_ospf(session)
    except TroubleError as error:
        if error.failure not in (Failure.QUERY_FAILED, Failure.AUTH_REJECTED):
            raise
        return []


def propose(router: Router) -> list[Proposal]:
    """Return the checks that suit a router, purely, in the order in which a person would write them."""
    found = [_system(router)]
    found += [_interface(one, router.interfaces) for one in router.interfaces if _is_link(one)]
    if router.bgp:
        found += [
            Proposal("bgp", f"bgp-{peer.address}", f"the session with AS {peer.remote_as}", {"neighbour": peer.address})
            for peer in router.bgp
            if peer.state == ESTABLISHED
        ]
    adjacent = sum(one.state in (FULL, TWO_WAY) for one in router.ospf)
    if adjacent:
        found.append(Proposal("ospf", "ospf", f"{adjacent} adjacent neighbours", {"expected": adjacent}))
    return _unique(found[:PROPOSALS_LIMIT])


def _system(router: Router) -> Proposal:
    health = router.health
    conditions = []
    if health.cpu_ratio is not None:
        conditions.append("cpu_ratio > 0.9")
    if health.memory_ratio is not None:
        conditions.append("memory_ratio > 0.9")
    why = plain_line(f"{router.name or 'the router'} itself: {router.description}", 120)
    return Proposal("snmp", "system", why, {}, tuple(conditions))


def _is_link(one: Interface) -> bool:
    """Say whether an interface carries something worth a check: it is up, and not inside the router."""
    inside = one.names.label.lower().startswith(("lo", "null", "vlan1", "docker", "veth"))
    return not one.is_down and one.oper == 1 and not inside


def _interface(one: Interface, every: Sequence[Interface]) -> Proposal:
    names = one.names
    # A name that two interfaces share would find the first of them.
    alone = sum(other.names.is_called(names.label) for other in every) == 1
    why = names.alias or names.descr or names.label
    conditions = (_BUSY,) if one.speed_bps else ()
    return Proposal(
        "snmp", f"if-{names.label}", why, {"interface": names.label if alone else str(names.index)}, conditions
    )


def _unique(proposals: list[Proposal]) -> list[Proposal]:
    seen: dict[str, int] = {}
    found = []
    for proposal in proposals:
        count = seen[proposal.name] = seen.get(proposal.name, 0) + 1
        name = proposal.name if count == 1 else f"{proposal.name}-{count}"
        found.append(Proposal(proposal.probe, name, proposal.why, proposal.parameters, proposal.degraded_when))
    return found
