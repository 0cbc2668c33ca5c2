"""STAMP, the Simple Two-way Active Measurement Protocol: loss, delay and its variation to a reflector of one's own.

Standard: RFC 8762, unauthenticated mode, over IPv4 and IPv6; also against TWAMP Light reflectors (RFC 5357,
Appendix I). The other end is `thongsuot reflector`, or the reflector built into many routers. Where ping meets a
host's or router's slow path, and is often rate-limited or blocked, STAMP is UDP like the traffic that it stands for.

A check sends `count` packets of `size` octets, `spacing` apart; the reflector answers with packets of the same size.
The round-trip time is without the time that the reflector says it held the packet (T3 − T2), unless what it says
cannot be. What is lost, what is waited for (`wait`), `loss_max`, duplicates and the figures are as with `icmp`; an
answer must repeat the packet's number and timestamp and come from the address and port that was asked. Nothing
listening on the reflector's port is `connect_refused`, where the far end says so.

One-way figures are not made: they mean something only between two clocks that are both known to be right.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from probes.model import Context, Measurement, Probe
from probes.packet_address import check_host
from probes.packet_flight import Flight
from probes.packet_params import COUNT_MAX, PacketParams, finish, fly
from probes.stamp_codec import PORT, TEST_BYTES, ErrorEstimate
from probes.stamp_socket import open_stamp_socket
from probes.tcp_address import HostPort, parse_address
from probes.units import Size

SIZE_MAX = 65_507
"""The largest payload of an IPv4 UDP datagram."""


def _parse(value: object) -> object:
    return parse_address(value, PORT) if isinstance(value, str) else value


class StampParams(PacketParams):
    """Parameters of a STAMP check."""

    address: Annotated[
        HostPort,
        BeforeValidator(_parse),
        WithJsonSchema({"type": "string", "examples": ["10.1.0.1", "10.1.0.1:862", "[2001:db8::1]:862"]}),
    ] = Field(description=f"host or host:port of the reflector; the port is {PORT} unless given")
    count: int = Field(10, ge=1, le=COUNT_MAX, description="packets per check")
    size: Size = Field(TEST_BYTES, ge=TEST_BYTES, le=SIZE_MAX, description="octets of UDP payload, both ways")

    @field_validator("address")
    @classmethod
    def _is_host(cls, value: HostPort, info: ValidationInfo) -> HostPort:
        check_host(value.host, info.data.get("ip_version"))
        return value


async def run(params: StampParams, ctx: Context) -> Measurement:
    """Send test packets to the reflector and measure loss and round-trip times."""
    flight = await fly(params, params.address.host, params.address.port, params.size, ctx, open_stamp_socket)
    if isinstance(flight, Measurement):
        return flight
    return finish(params, flight, ctx, _of_reflector(flight))


def _of_reflector(flight: Flight) -> dict[str, float]:
    estimate: ErrorEstimate | None = flight.extras
    if estimate is None:
        return {}
    samples: dict[str, float] = {"reflector_synchronised": int(estimate.is_synchronised)}
    if estimate.error_s is not None:
        samples["reflector_error_s"] = estimate.error_s
    if flight.held_ns:
        samples["residence_mean_s"] = sum(flight.held_ns) / len(flight.held_ns) / 1e9
    return samples


PROBE = Probe(
    kind="stamp",
    params=StampParams,
    address="address",
    run=run,
    samples={
        "sent": "packets sent",
        "received": "packets answered",
        "duplicates": "answers beyond the first to a packet",
        "loss_ratio": "share of packets without an answer, both ways together",
        "rtt_min_s": "least round-trip time without the reflector's own, seconds",
        "rtt_mean_s": "mean round-trip time, seconds",
        "rtt_median_s": "median round-trip time, seconds",
        "rtt_max_s": "greatest round-trip time, seconds",
        "rtt_stddev_s": "standard deviation of the round-trip times, seconds; needs two answers",
        "ipdv_s": "mean difference between neighbouring packets' round-trip times (RFC 3393), seconds",
        "pdv_s": "95th percentile of the round-trip times less the least (RFC 5481), seconds; needs two answers",
        "residence_mean_s": "mean time that the reflector held a packet, seconds",
        "reflector_synchronised": "1 when the reflector's clock follows UTC by an outside source, else 0",
        "reflector_error_s": "how far the reflector's clock may be off by its own estimate, seconds",
        "resolve_s": "name lookup, seconds; only for a name",
    },
    latency="rtt_mean_s",
)
