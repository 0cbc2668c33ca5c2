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
fell and rose between two runs shows in nothing else. In the first run it is unknown, and no condition on it holds.

BGP4-MIB knows neighbours over IPv4 alone; `neighbours_total` says how many it shows.

**Least privilege**: reading 1.3.6.1.2.1.15, from the monitor's address alone; with net-snmp, as for the kind `snmp`:

    view thongsuot included .1.3.6.1.2.1.15
"""

from __future__ import annotations

from typing import Any

from probes.failures import TroubleError
from probes.model import Context, Failure, Measurement, Probe
from probes.snmp_neighbours import ESTABLISHED, NAMED, BgpPeer, NeighbourParams, Verdict, counted_since, read_bgp, watch


class BgpParams(NeighbourParams):
    """Parameters of the kind `bgp`."""


async def run(params: BgpParams, ctx: Context) -> Measurement:
    """Ask the router for its neighbours, and say how they are."""

    def look_at(every: list[BgpPeer], found: dict[str, float], facts: dict[str, Any]) -> Verdict:
        chosen = _chosen(every, params)
        _describe(chosen, params, ctx, found, facts)
        return _judge(chosen, params)

    return await watch(params, ctx, read_bgp, look_at)


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
    samples, unknown = counted_since("bgp", params, ctx, {peer.address: peer.transitions for peer in peers}, "flaps")
    found.update(samples)
    facts.update(unknown)
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


def _judge(peers: list[BgpPeer], params: BgpParams) -> Verdict:
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
