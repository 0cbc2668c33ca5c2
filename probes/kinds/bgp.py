"""BGP: a router's sessions with its neighbours, asked of its SNMP agent (BGP-4: RFC 4271; BGP4-MIB: RFC 4273).

    - probe: bgp
      address: 10.0.0.1
      community: ${env:SNMP_COMMUNITY}     # or user, auth and privacy, as for the kind snmp
      neighbour: 10.255.0.2                # without it: all of them
      degraded_when: ["flaps > 0", "established_s < 600.0"]

**One neighbour** (`neighbour`): down (`condition`) when its session is not established, with the state that it is in
and the last error that was sent or received; one that is not configured on the router is `query_failed`.
**All**: down when one is not established that nobody has stopped (bgpPeerAdminStatus), or, with `expected`, when
fewer than that are.

`flaps` counts sessions that were established anew since the run before (bgpPeerFsmEstablishedTransitions): one that
fell and rose between two runs shows in nothing else. The first run has none.

BGP4-MIB knows neighbours over IPv4 alone; `neighbours_total` says how many it shows.
Privileges: reading 1.3.6.1.2.1.15.
"""

from __future__ import annotations

import math
from ipaddress import IPv4Address
from typing import Any

from pydantic import Field, model_validator

from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import Context, Failure, Measurement, Probe
from probes.snmp_neighbours import ESTABLISHED, BgpPeer, read_bgp, since
from probes.snmp_params import AgentParams
from probes.snmp_router import Kept, open_session

NAMED = 5
"""How many neighbours a message names."""


class BgpParams(AgentParams):
    """Parameters of the kind `bgp`; the module's docstring says what they mean."""

    neighbour: IPv4Address | None = Field(None, description="one neighbour's address; default: all of them")
    expected: int | None = Field(None, ge=1, le=5000, description="how many are established at the least")

    @model_validator(mode="after")
    def _counts_all_or_looks_at_one(self) -> BgpParams:
        if self.neighbour is not None and self.expected is not None:
            raise ValueError("write neighbour (one) or expected (how many)")
        return self


async def run(params: BgpParams, ctx: Context) -> Measurement:
    """Ask the router for its neighbours, and say how they are."""
    found: dict[str, float] = {}
    facts: dict[str, Any] = {}
    failure, message = None, ""
    try:
        session = await open_session(params, ctx)
        try:
            peers = await read_bgp(session)
        finally:
            session.close()
        ctx.phases.end()
        chosen = _chosen(peers, params)
        _describe(chosen, params, ctx, found, facts)
        failure, message = _judge(chosen, params)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    ctx.phases.end()
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)


def _chosen(peers: list[BgpPeer], params: BgpParams) -> list[BgpPeer]:
    if params.neighbour is None:
        return peers
    chosen = [peer for peer in peers if peer.address == str(params.neighbour)]
    if not chosen:
        raise TroubleError(Failure.QUERY_FAILED, f"the router has no BGP neighbour {params.neighbour}")
    return chosen


def _describe(
    peers: list[BgpPeer], params: BgpParams, ctx: Context, found: dict[str, float], facts: dict[str, Any]
) -> None:
    found["neighbours_total"] = len(peers)
    found["established"] = sum(peer.state == ESTABLISHED for peer in peers)
    ages = [peer.established_s for peer in peers if peer.state == ESTABLISHED and peer.established_s is not None]
    if ages:
        found["established_s"] = min(ages)
    kept = ctx.resources.get("probes.kinds.bgp", Kept[BgpParams, dict[str, int | None]])
    before, now = kept.get(params), {peer.address: peer.transitions for peer in peers}
    flaps = since(before, now) if before is not None else None
    if flaps is not None:
        found["flaps"] = flaps
    else:  # to conditions not a number: neither more nor less than anything
        facts["flaps"] = math.nan
    kept.put(params, now)
    if params.neighbour is not None:
        found["state"] = peers[0].state
        facts["state_name"], facts["last_error"] = peers[0].state_name, peers[0].last_error
    facts["neighbours"] = {
        peer.address: {
            "state": peer.state_name,
            "as": peer.remote_as,
            "last_error": peer.last_error,
            "established_s": peer.established_s,
            "updates": peer.updates,
        }
        for peer in peers
    }


def _judge(peers: list[BgpPeer], params: BgpParams) -> tuple[Failure | None, str]:
    out = [peer for peer in peers if peer.state != ESTABLISHED]
    established = len(peers) - len(out)
    if params.neighbour is None:
        if params.expected is None:
            out = [peer for peer in out if not peer.is_stopped]
        elif established >= params.expected:
            return None, ""
    if not out and params.expected is None:
        return None, ""
    named = ", ".join(_told(peer) for peer in out[:NAMED]) + (", …" if len(out) > NAMED else "")
    if params.neighbour is not None:
        return Failure.CONDITION, f"the session with {named}"
    wanted = f", {params.expected} are expected" if params.expected else ""
    return Failure.CONDITION, f"{established} of {len(peers)} sessions are established{wanted}: {named}"


def _told(peer: BgpPeer) -> str:
    stopped = ", stopped by the operator" if peer.is_stopped else ""
    error = f", last error: {peer.last_error}" if peer.last_error else ""
    return f"{peer.address} is {peer.state_name}{stopped}{error}"


PROBE = Probe(
    kind="bgp",
    params=BgpParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "query_s": "time of asking, in seconds",
        "neighbours_total": "neighbours looked at",
        "established": "of these, those whose session is established",
        "established_s": "since when the youngest session is established, in seconds",
        "flaps": "sessions established anew since the run before",
        "state": "of one neighbour: 1 idle, 2 connect, 3 active, 4 opensent, 5 openconfirm, 6 established",
    },
    facts={"neighbours": "map", "state_name": "string", "last_error": "string"},
    latency="query_s",
)
