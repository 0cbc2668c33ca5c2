"""Routing neighbours as an agent shows them: BGP4-MIB (RFC 4273) and OSPF-MIB (RFC 4750)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from probes.failures import TroubleError
from probes.model import Failure
from probes.snmp_ber import NUMBERS, number, oid, subidentifiers
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
