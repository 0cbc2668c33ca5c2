"""Routing neighbours as an agent shows them: BGP4-MIB (RFC 4273) and OSPF-MIB (RFC 4750), and asking for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import Field, model_validator

from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import INCOMPARABLE, Context, Failure, Measurement
from probes.run_memory import LastRun, last_run
from probes.snmp_ber import NUMBERS, number, oid, subidentifiers
from probes.snmp_params import AgentParams
from probes.snmp_router import open_session
from probes.snmp_session import Session
from probes.snmp_walk import Cell, Column, walk

_BGP = tuple(oid(f"1.3.6.1.2.1.15.3.1.{column}") for column in (2, 3, 9, 14, 15, 16, 10))
_OSPF = tuple(oid(f"1.3.6.1.2.1.14.10.1.{column}") for column in (6, 3, 7))

BGP_STATES = {1: "idle", 2: "connect", 3: "active", 4: "opensent", 5: "openconfirm", 6: "established"}
OSPF_STATES = {
    1: "down",
    2: "attempt",
    3: "init",
    4: "twoWay",
    5: "exchangeStart",
    6: "exchange",
    7: "loading",
    8: "full",
}
ESTABLISHED, STOPPED = 6, 1
TWO_WAY, FULL = 4, 8

_BGP_ERRORS = {
    1: "message header error",
    2: "OPEN message error",
    3: "UPDATE message error",
    4: "hold timer expired",
    5: "finite state machine error",
    6: "cease",
}
"""By error code (RFC 4271, section 4.5)."""

_NEIGHBOURS = 5000

NAMED = 5
"""How many neighbours a message names."""


class NeighbourParams(AgentParams):
    """Parameters of the kinds that look at a router's neighbours."""

    neighbour: ipaddress.IPv4Address | None = Field(
        None, description="one neighbour's address (in OSPF its router id does too); default: all of them"
    )
    expected: int | None = Field(
        None, ge=1, le=_NEIGHBOURS, description="how many neighbours are as they should be at the least"
    )

    @model_validator(mode="after")
    def _counts_all_or_looks_at_one(self) -> Self:
        if self.neighbour is not None and self.expected is not None:
            raise ValueError("write neighbour (one) or expected (how many)")
        return self


class BgpPeer(NamedTuple):
    """A BGP neighbour; None is what the agent does not tell.

    Attributes:
        address: the neighbour's.
        state: one of BGP_STATES.
        is_stopped: the operator has stopped the session.
        remote_as: its autonomous system.
        last_error: in words, "" when there was none.
        transitions: how often the session was established.
        established_s: since when it is, or was when it is not.
        updates: UPDATE messages that came.

    """

    address: str
    state: int
    is_stopped: bool
    remote_as: int | None
    last_error: str
    transitions: int | None
    established_s: int | None
    updates: int | None

    @property
    def state_name(self) -> str:
        """The state in words."""
        return BGP_STATES.get(self.state, f"state {self.state}")


class OspfNeighbour(NamedTuple):
    """An OSPF neighbour.

    Attributes:
        address: on the link to it.
        router_id: its own name for itself.
        state: one of OSPF_STATES.
        events: how often its state has changed, None when the agent does not tell.

    """

    address: str
    router_id: str
    state: int
    events: int | None

    @property
    def state_name(self) -> str:
        """The state in words."""
        return OSPF_STATES.get(self.state, f"state {self.state}")


async def read_bgp(session: Session) -> list[BgpPeer]:
    """Return the BGP neighbours over IPv4.

    Raises TroubleError, `query_failed` when the agent has none to show.
    """
    states, stopped, systems, errors, transitions, established, updates = await _table(session, _BGP, "BGP4-MIB")
    found = []
    for index, cell in states.items():
        address, state = _address(index), _number(cell)
        if address is None or state is None:
            continue
        error = errors.get(index)
        found.append(
            BgpPeer(
                address,
                state,
                _number(stopped.get(index)) == STOPPED,
                _number(systems.get(index)),
                last_error(error.value if error else b""),
                _number(transitions.get(index)),
                _number(established.get(index)),
                _number(updates.get(index)),
            )
        )
    return found


async def read_ospf(session: Session) -> list[OspfNeighbour]:
    """Return the OSPF neighbours (version 2).

    Raises TroubleError, `query_failed` when the agent has none to show.
    """
    states, routers, events = await _table(session, _OSPF, "OSPF-MIB")
    found = []
    for index, cell in states.items():
        address, state = _address(index), _number(cell)
        if address is not None and state is not None:
            found.append(OspfNeighbour(address, _ip(routers.get(index)), state, _number(events.get(index))))
    return found


def last_error(code: bytes) -> str:
    """Return bgpPeerLastError in words: two octets, a code and a sub-code."""
    if len(code) != 2 or not code[0]:
        return ""
    return f"{_BGP_ERRORS.get(code[0], 'error')} ({code[0]}/{code[1]})"


async def _table(session: Session, columns: Sequence[bytes], mib: str) -> list[Column]:
    found = await walk(session, columns, _NEIGHBOURS)
    if not found[0]:
        message = f"the agent shows no neighbours in {mib}: there are none, it does not have it, or may not show it"
        raise TroubleError(Failure.QUERY_FAILED, message)
    return found


def _address(index: bytes) -> str | None:
    numbers = subidentifiers(index)
    if len(numbers) < 4 or max(numbers[:4]) > 255:
        return None
    return str(ipaddress.IPv4Address(bytes(numbers[:4])))


def _ip(cell: Cell | None) -> str:
    return str(ipaddress.IPv4Address(cell.value)) if cell is not None and len(cell.value) == 4 else ""


def _number(cell: Cell | None) -> int | None:
    return number(cell.tag, cell.value) if cell is not None and cell.tag in NUMBERS else None


def counted_since(
    kind: str, params: NeighbourParams, ctx: Context, counters: Mapping[str, int | None], sample: str
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the sample of what counters have grown by since the run before, or the fact that this cannot be told."""
    last: LastRun[Mapping[str, int | None]] = last_run(
        ctx, kind, params.address, params.ip_version, params.context, params.neighbour
    )
    before = last.recall()
    last.keep(counters)
    grown = since(before, counters) if before is not None else None
    return ({}, {sample: INCOMPARABLE}) if grown is None else ({sample: grown}, {})


def since(before: Mapping[str, int | None], now: Mapping[str, int | None]) -> int | None:
    """Return by how much counters have grown between two runs, None when one began anew: it tells nothing then."""
    grown = 0
    for name, count in now.items():
        old = before.get(name)
        if old is None or count is None:
            continue
        if count < old:
            return None
        grown += count - old
    return grown


N = TypeVar("N")
Verdict = tuple[Failure | None, str]


async def watch(
    params: NeighbourParams,
    ctx: Context,
    read: Callable[[Session], Awaitable[list[N]]],
    look_at: Callable[[list[N], dict[str, float], dict[str, Any]], Verdict],
) -> Measurement:
    """Ask the router for its neighbours, and say how they are.

    Args:
        params: whom to ask.
        ctx: of the run.
        read: reads the neighbours in a session.
        look_at: adds samples and facts about them, and returns what is wrong; may raise TroubleError.

    """
    found: dict[str, float] = {}
    facts: dict[str, Any] = {}
    failure, message = None, ""
    try:
        session = await open_session(params, ctx)
        try:
            neighbours = await read(session)
        finally:
            session.close()
        ctx.phases.end()
        failure, message = look_at(neighbours, found, facts)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    ctx.phases.end()
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)
