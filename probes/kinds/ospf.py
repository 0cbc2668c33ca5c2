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

`changes` counts changes of state since the run before (ospfNbrEvents). In the first run it is unknown, and no condition
on it holds. OSPF version 3 has a MIB of its own, which is not asked.

**Least privilege**: reading 1.3.6.1.2.1.14, from the monitor's address alone; with net-snmp, as for the kind `snmp`:

    view thongsuot included .1.3.6.1.2.1.14
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from probes.failures import TroubleError
from probes.model import Context, Failure, Measurement, Probe
from probes.snmp_neighbours import (
    FULL,
    NAMED,
    TWO_WAY,
    NeighbourParams,
    OspfNeighbour,
    Verdict,
    counted_since,
    read_ospf,
    watch,
)


class OspfParams(NeighbourParams):
    """Parameters of the kind `ospf`."""

    full: bool = Field(False, description="whether two-way is not enough")


async def run(params: OspfParams, ctx: Context) -> Measurement:
    """Ask the router for its neighbours, and say how they are."""

    def look_at(every: list[OspfNeighbour], found: dict[str, float], facts: dict[str, Any]) -> Verdict:
        chosen = _chosen(every, params)
        _describe(chosen, params, ctx, found, facts)
        return _judge(chosen, params)

    return await watch(params, ctx, read_ospf, look_at)


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
    samples, unknown = counted_since("ospf", params, ctx, {one.address: one.events for one in neighbours}, "changes")
    found.update(samples)
    facts.update(unknown)
    if params.neighbour is not None:
        found["state"] = neighbours[0].state
        facts["state_name"] = neighbours[0].state_name
    facts["neighbours"] = {
        one.address: {"state": one.state_name, "router_id": one.router_id, "events": one.events} for one in neighbours
    }


def _judge(neighbours: list[OspfNeighbour], params: OspfParams) -> Verdict:
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
