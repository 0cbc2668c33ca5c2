"""STAMP, the Simple Two-way Active Measurement Protocol: loss, delay and its variation to a reflector of one's own.

Standards: RFC 8762 and RFC 8972, over IPv4 and IPv6; also against TWAMP Light reflectors (RFC 5357, Appendix I). The
other end is `thongsuot reflector`, or the reflector built into many routers. Where ping meets a host's or router's slow
path, and is often rate-limited or blocked, STAMP is UDP like the traffic that it stands for.

    - probe: stamp
      address: 10.1.0.1
      count: 50
      dscp: EF                            # the class of the traffic that it stands for
      key: ${env:STAMP_KEY}               # authenticated mode
      degraded_when: ["loss_forward_ratio > 0.01", "dscp_forward != 46"]

    - probe: stamp
      address: 10.20.0.1                # host or host:port of the reflector
      count: 50
      loss_max: 2%
      degraded_when: ["rtt_mean_s > 0.05"]

A check sends `count` packets of `size` octets, `spacing` apart; the reflector answers with packets of the same size.
The round-trip time is without the time that the reflector says it held the packet (T3 − T2), unless what it says
cannot be. What is lost, what is waited for (`wait`), `loss_max`, duplicates and the figures are as with `icmp`; an
answer must repeat the packet's number and timestamp and come from the address and port that was asked. Nothing
listening on the reflector's port is `connect_refused`, where the far end says so.

**Loss by direction** is told with a reflector that counts (RFC 8762, section 4.3; ours does), of the packets up to the
last answered one: what is lost behind it may have been lost on either way. Each check is a session of its own for the
reflector, told by its SSID (RFC 8972, section 3). With a reflector that keeps no state both figures are absent.

**Variation by direction** (`ipdv_…`) needs no clocks that are right. **Delay by direction** does: the figures are there
only when both clocks say that they follow UTC, and the error of both together is at most `clock_error_max` (10 %) of
the least delay of that direction. What this host's clock says of itself is the kernel's account (adjtimex), which its
time daemon keeps. A reflector with PTP time stamps has no delays by direction: PTP's time is not UTC.

**Class of service.** With `dscp` packets leave with that DSCP and ask for it in return; `dscp_forward` is the one with
which they arrived at the far end (RFC 8972, section 4.4), `dscp_backward` the one with which the answers arrived
here: what differs was remarked on the way.

**Authenticated mode** (`key`, RFC 8762, section 4.4): packets carry an HMAC in both directions, and what comes without
a true one is no answer. A key is a text, or octets written as `hex:…`.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from probes.model import Context, Measurement, Probe
from probes.packet_address import check_host
from probes.packet_flight import Flight
from probes.packet_params import COUNT_MAX, PacketParams, finish, fly
from probes.shared_key import key_bytes
from probes.stamp_codec import PORT, TEST_BYTES
from probes.stamp_figures import Readings, delay_figures, loss_figures, variation_figures
from probes.stamp_socket import PLAIN, Manner, open_stamp_socket
from probes.tcp_address import HostPort, parse_address
from probes.units import Share, Size

SIZE_MAX = 65_507
"""The largest payload of an IPv4 UDP datagram."""

CLASSES = {"EF": 46, "VA": 44, "LE": 1, **{f"CS{n}": n * 8 for n in range(8)}} | {
    f"AF{c}{d}": c * 8 + d * 2 for c in range(1, 5) for d in range(1, 4)
}
"""DSCP by name (RFC 4594, RFC 5865, RFC 8622)."""


def _parse(value: object) -> object:
    return parse_address(value, PORT) if isinstance(value, str) else value


def _parse_class(value: Any) -> Any:
    if isinstance(value, str) and not value.isdecimal():
        if value.upper() not in CLASSES:
            message = f"{value!r} is not a DSCP: write 0 to 63, or a name such as EF, AF41, CS5"
            raise ValueError(message)
        return CLASSES[value.upper()]
    return value


class StampParams(PacketParams):
    """Parameters of a STAMP check."""

    model_config = ConfigDict(hide_input_in_errors=True)  # the key stands in it

    address: Annotated[
        HostPort,
        BeforeValidator(_parse),
        WithJsonSchema({"type": "string", "examples": ["10.1.0.1", "10.1.0.1:862", "[2001:db8::1]:862"]}),
    ] = Field(description=f"host or host:port of the reflector; the port is {PORT} unless given")
    count: int = Field(10, ge=1, le=COUNT_MAX, description="packets per check")
    size: Size | None = Field(
        None, ge=TEST_BYTES, le=SIZE_MAX, description="octets of UDP payload, both ways (default: what is needed)"
    )
    dscp: Annotated[
        int | None,
        BeforeValidator(_parse_class),
        WithJsonSchema({"type": ["integer", "string"], "examples": ["EF", "AF41", 46]}),
    ] = Field(None, ge=0, le=63, description="class of both ways: 0 to 63, or a name such as EF, AF41, CS5")
    key: SecretStr | None = Field(None, description="shared key of authenticated mode")
    clock_error_max: Share = Field(
        0.1, description="greatest error of both clocks, as a share of the delay, for delays by direction"
    )

    @field_validator("address")
    @classmethod
    def _is_host(cls, value: HostPort, info: ValidationInfo) -> HostPort:
        check_host(value.host, info.data.get("ip_version"))
        return value

    @field_validator("key")
    @classmethod
    def _is_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            key_bytes(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        least = self.manner().least_bytes()
        if self.size is not None and self.size < least:
            message = f"size: a packet with such a key and DSCP has {least} octets at the least"
            raise ValueError(message)
        return self

    def manner(self) -> Manner:
        """Return how the test packets are sent."""
        if self.dscp is None and self.key is None:
            return PLAIN
        return Manner(self.dscp, key_bytes(self.key) if self.key is not None else b"")


async def run(params: StampParams, ctx: Context) -> Measurement:
    """Send test packets to the reflector and measure loss, round-trip times and what is known by direction."""
    manner = params.manner()
    open_socket = open_stamp_socket if manner is PLAIN else manner
    size = manner.usual_bytes() if params.size is None else params.size
    flight = await fly(params, params.address.host, params.address.port, size, ctx, open_socket)
    if isinstance(flight, Measurement):
        return flight
    readings: Readings | None = flight.extras
    if readings is None:
        return finish(params, flight, ctx)
    found = finish(params, flight, ctx, _told(params, flight, readings))
    if found.failure is None or not readings.unauthentic:
        return found
    message = f"{found.message} ({readings.unauthentic} came without a true HMAC: are the keys the same?)"
    return Measurement(found.samples, found.failure, message)


def _told(params: StampParams, flight: Flight, readings: Readings) -> dict[str, float]:
    estimate = readings.estimate
    if estimate is None:
        return {}
    samples: dict[str, float] = {"reflector_synchronised": int(estimate.is_synchronised)}
    if estimate.error_s is not None:
        samples["reflector_error_s"] = estimate.error_s
    if flight.held_ns:
        samples["residence_mean_s"] = sum(flight.held_ns) / len(flight.held_ns) / 1e9
    samples |= loss_figures(readings)
    samples |= delay_figures(readings, params.clock_error_max)
    samples |= variation_figures(readings, flight)
    if readings.dscp_forward is not None:
        samples["dscp_forward"] = readings.dscp_forward
        samples["dscp_refused"] = int(readings.is_dscp_refused)
    if readings.dscp_backward is not None:
        samples["dscp_backward"] = readings.dscp_backward
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
        "loss_forward_ratio": "share of packets lost on the way there; with a reflector that counts",
        "loss_backward_ratio": "share of answers lost on the way back; with a reflector that counts",
        "ipdv_forward_s": "mean difference between neighbouring packets' delays on the way there, seconds",
        "ipdv_backward_s": "mean difference between neighbouring packets' delays on the way back, seconds",
        "delay_forward_min_s": "least delay on the way there, seconds; only between clocks that are right",
        "delay_forward_mean_s": "mean delay on the way there, seconds; only between clocks that are right",
        "delay_backward_min_s": "least delay on the way back, seconds; only between clocks that are right",
        "delay_backward_mean_s": "mean delay on the way back, seconds; only between clocks that are right",
        "clocks_error_s": "how far both clocks may be off together, seconds; only when both follow UTC",
        "dscp_forward": "DSCP with which packets arrived at the far end; only with `dscp`",
        "dscp_backward": "DSCP with which answers arrived here; only with `dscp`",
        "dscp_refused": "1 when the far end would not answer with that DSCP, else 0; only with `dscp`",
        "residence_mean_s": "mean time that the reflector held a packet, seconds",
        "reflector_synchronised": "1 when the reflector's clock follows UTC by an outside source, else 0",
        "reflector_error_s": "how far the reflector's clock may be off by its own estimate, seconds",
        "resolve_s": "name lookup, seconds; only for a name",
    },
    latency="rtt_mean_s",
)
