"""Echo requests ("ping") over IPv4 and IPv6: whether a host is there, how far it is, and how much is lost on the way.

Standards: RFC 792 (ICMP), RFC 4443 (ICMPv6); loss and delay are the round-trip metrics of RFC 6673 and RFC 2681,
their variation that of RFC 3393 and RFC 5481.

    - probe: icmp
      address: 10.20.0.1
      count: 10
      loss_max: 20%
      degraded_when: ["rtt_mean_s > 0.05", "duplicates > 0"]

A check sends `count` packets, `spacing` apart, and waits for each to be answered. It is down when all are lost
(`packet_loss`), or more than the share `loss_max`. When a router says why instead, and nothing was answered, that is
the failure: `network_unreachable` or `ttl_exceeded`. A lost packet has no round-trip time: the figures are of the
answered ones alone, and absent when none was.

How long is a packet waited for? With `wait`, that long after it was sent; a later answer is a lost packet. Without,
as ping does: while nothing at all was answered, until the check's time-out; as soon as another packet of the check
was answered, one second after the last was sent, or twice the longest round trip if that is longer.

What counts as an answer repeats the identifier, the sequence number and the payload with its random token, and comes
from the address that was asked. Forged, garbled and late ones are ignored; a second answer to a packet is counted in
`duplicates` and nowhere else. A packet that could not even be sent is never taken for an answered one: without a
route it is lost, and where this host itself forbids it the check is `unknown` (`permission`).

All checks share one socket per family, raw or, where that is not allowed, Linux's ping socket. For the first the
process needs the capability CAP_NET_RAW, for the second a group within the sysctl `net.ipv4.ping_group_range`.
"""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from probes.icmp_codec import TOKEN_BYTES
from probes.icmp_socket import open_icmp_socket
from probes.model import Context, Measurement, Probe
from probes.packet_address import check_host
from probes.packet_params import PacketParams, finish, fly
from probes.units import Size

SIZE_MAX = 65_507
"""The largest payload of an IPv4 datagram with an ICMP header."""


class IcmpParams(PacketParams):
    """Parameters of an ICMP check."""

    address: str = Field(description="a name, or an IPv4 or IPv6 address")
    size: Size = Field(56, ge=TOKEN_BYTES, le=SIZE_MAX, description="bytes of payload")

    @field_validator("address")
    @classmethod
    def _is_host(cls, value: str, info: ValidationInfo) -> str:
        return check_host(value, info.data.get("ip_version"))


async def run(params: IcmpParams, ctx: Context) -> Measurement:
    """Ping the address and measure loss and round-trip times."""
    flight = await fly(params, params.address, 0, params.size, ctx, open_icmp_socket)
    return flight if isinstance(flight, Measurement) else finish(params, flight, ctx)


PROBE = Probe(
    kind="icmp",
    params=IcmpParams,
    address="address",
    run=run,
    samples={
        "sent": "packets sent",
        "received": "packets answered",
        "duplicates": "answers beyond the first to a packet",
        "loss_ratio": "share of packets without an answer",
        "rtt_min_s": "least round-trip time, seconds",
        "rtt_mean_s": "mean round-trip time, seconds",
        "rtt_median_s": "median round-trip time, seconds",
        "rtt_max_s": "greatest round-trip time, seconds",
        "rtt_stddev_s": "standard deviation of the round-trip times (ping's mdev), seconds; needs two answers",
        "ipdv_s": "mean difference between neighbouring packets' round-trip times (RFC 3393), seconds",
        "pdv_s": "95th percentile of the round-trip times less the least (RFC 5481), seconds; needs two answers",
        "ttl": "time to live (hop limit) of the last answer",
        "resolve_s": "name lookup, seconds; only for a name",
    },
    latency="rtt_mean_s",
)
