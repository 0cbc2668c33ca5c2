"""OSPF: a router's adjacencies, asked of its SNMP agent (OSPF: RFC 2328; OSPF-MIB: RFC 4750).

    - probe: ospf
      address: 10.0.0.1
      community: ${env:SNMP_COMMUNITY}     # or user, auth and privacy, as for the kind snmp
      expected: 2
      degraded_when: ["changes > 0"]

**One neighbour** (`neighbour`, its address on the link or its router id): down (`condition`) when it is neither full
nor, as is right between two routers of which none is the designated one, in two-way; with `full: true` two-way is
down too. One that the router does not see is down as well: OSPF forgets a neighbour that is gone.
**All**: down when one of them is in another state, or when fewer than `expected` are there: since neighbours are
forgotten, write how many there should be.

`changes` counts changes of state since the run before (ospfNbrEvents). OSPF version 3 has a MIB of its own,
which is not asked. Privileges: reading 1.3.6.1.2.1.14.
"""

from __future__ import annotations

import math
from ipaddress import IPv4Address
from typing import Any

from pydantic import Field, model_validator

from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import Context, Failure, Measurement, Probe
from probes.snmp_neighbours import FULL, TWO_WAY, OspfNeighbour, read_ospf, since
from probes.snmp_params import AgentParams
from probes.snmp_router import Kept, open_session

NAMED = 5
"""How many neighbours a message names."""


class OspfParams(AgentParams):
    """Parameters of the kind `ospf`; the module's docstring says what they mean."""

    neighbour: IPv4Address | None = Field(None, description="one neighbour's address or router id; default: all")
    expected: int | None = Field(None, ge=1, le=5000, description="how many adjacencies there are at the least")
    full: bool = Field(False, description="whether two-way is not enough")

    @model_validator(mode="after")
    def _counts_all_or_looks_at_one(self) -> OspfParams:
        if self.neighbour is not None and self.expected is not None:
            raise ValueError("write neighbour (one) or expected (how many)")
        return self


async def run(params: OspfParams, ctx: Context) -> Measurement:
    """Ask the router for its neighbours, and say how they are."""
    found: dict[str, float] = {}
    facts: dict[str, Any] = {}
    failure, message = None, ""
    try:
        session = await open_session(params, ctx)
        try:
            neighbours = await read_ospf(session)
        finally:
            session.close()
        ctx.phases.end()
        chosen = _chosen(neighbours, params)
        _describe(chosen, params, ctx, found, facts)
        failure, message = _judge(chosen, params)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    ctx.phases.end()
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)


def _chosen(neighbours: list[OspfNeighbour], params: OspfParams) -> list[OspfNeighbour]:
    if params.neighbour is None:
        return neighbours
    wanted = str(params.neighbour)
    chosen = [one for one in neighbours if wanted in (one.address, one.router_id)]
    if not chosen:
        raise TroubleError(Failure.CONDITION, f"the router sees no OSPF neighbour {wanted}")
    return chosen


def _is_adjacent(one: OspfNeighbour, params: OspfParams) -> bool:
    return one.state == FULL or (one.state == TWO_WAY and not params.full)


def _describe(
    neighbours: list[OspfNeighbour],
    params: OspfParams,
    ctx: Context,
    found: dict[str, float],
    facts: dict[str, Any],
) -> None:
    found["neighbours_total"] = len(neighbours)
    found["full"] = sum(one.state == FULL for one in neighbours)
    found["adjacent"] = sum(_is_adjacent(one, params) for one in neighbours)
    kept = ctx.resources.get("probes.kinds.ospf", Kept[OspfParams, dict[str, int | None]])
    before, now = kept.get(params), {one.address: one.events for one in neighbours}
    changes = since(before, now) if before is not None else None
    if changes is not None:
        found["changes"] = changes
    else:  # to conditions not a number: neither more nor less than anything
        facts["changes"] = math.nan
    kept.put(params, now)
    if params.neighbour is not None:
        found["state"] = neighbours[0].state
        facts["state_name"] = neighbours[0].state_name
    facts["neighbours"] = {
        one.address: {"state": one.state_name, "router_id": one.router_id, "events": one.events} for one in neighbours
    }


def _judge(neighbours: list[OspfNeighbour], params: OspfParams) -> tuple[Failure | None, str]:
    out = [one for one in neighbours if not _is_adjacent(one, params)]
    adjacent = len(neighbours) - len(out)
    if params.expected is not None:
        if adjacent >= params.expected:
            return None, ""
    elif not out:
        return None, ""
    named = ", ".join(f"{one.address} is {one.state_name}" for one in out[:NAMED])
    named = (": " + named if named else "") + (", …" if len(out) > NAMED else "")
    if params.neighbour is not None:
        return Failure.CONDITION, f"the neighbour {named.removeprefix(': ')}"
    wanted = f", {params.expected} are expected" if params.expected else ""
    return Failure.CONDITION, f"{adjacent} of {len(neighbours)} neighbours are adjacent{wanted}{named}"


PROBE = Probe(
    kind="ospf",
    params=OspfParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "query_s": "time of asking, in seconds",
        "neighbours_total": "neighbours looked at",
        "full": "of these, those that are full",
        "adjacent": "of these, those that are as they should be: full or, unless `full` is set, two-way",
        "changes": "changes of a neighbour's state since the run before",
        "state": "of one neighbour: 1 down, 2 attempt, 3 init, 4 twoWay, 5 exchangeStart, 6 exchange, 7 loading, "
        "8 full",
    },
    facts={"neighbours": "map", "state_name": "string"},
    latency="query_s",
)
