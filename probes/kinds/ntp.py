"""NTP: whether a time server answers, is synchronised, and how far its clock is from this agent's (RFC 5905).

    - probe: ntp
      address: ntp.example.vn           # host or host:port; the port is 123 unless given
      offset_max: 100ms
      stratum_max: 4
      degraded_when: ["root_distance_s > 0.05"]

Time stamps of results, one-way delays and certificates rest on clocks: watch the server that the agents follow, and a
second one that they do not. The offset is the server's clock less this agent's: it cannot tell which of the two is
wrong. It is of the answer that came back quickest, and right to half of its round trip.

The check is down when nobody answers (`packet_loss`, as with `icmp`); when the server says that its own clock is not
synchronised, refuses service (a kiss of death, such as RATE or DENY), or is beyond `offset_max` or `stratum_max`
(`condition`). What is no answer to the question, or comes from elsewhere, is ignored. A single question is asked unless
`count` says otherwise: many servers limit how often they are asked.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from probes.model import Context, Failure, Measurement, Probe
from probes.ntp_codec import PACKET_BYTES, PORT
from probes.ntp_socket import Reading, open_ntp_socket
from probes.packet_address import check_host
from probes.packet_params import COUNT_MAX, PacketParams, finish, fly
from probes.tcp_address import HostPort, parse_address
from probes.units import Duration


def _parse(value: object) -> object:
    return parse_address(value, PORT) if isinstance(value, str) else value


class NtpParams(PacketParams):
    """Parameters of an NTP check."""

    address: Annotated[
        HostPort,
        BeforeValidator(_parse),
        WithJsonSchema({"type": "string", "examples": ["ntp.example.vn", "10.1.0.1:123", "[2001:db8::1]:123"]}),
    ] = Field(description=f"host or host:port of the server; the port is {PORT} unless given")
    count: int = Field(1, ge=1, le=COUNT_MAX, description="questions per check")
    offset_max: Duration | None = Field(
        None, gt=0, description="how far the two clocks may be apart; default: no limit"
    )
    stratum_max: int | None = Field(
        None, ge=1, le=15, description="how far from a reference clock it may be; default: no limit"
    )

    @field_validator("address")
    @classmethod
    def _is_host(cls, value: HostPort, info: ValidationInfo) -> HostPort:
        check_host(value.host, info.data.get("ip_version"))
        return value


async def run(params: NtpParams, ctx: Context) -> Measurement:
    """Ask the server for the time and judge its answer."""
    flight = await fly(params, params.address.host, params.address.port, PACKET_BYTES, ctx, open_ntp_socket)
    if isinstance(flight, Measurement):
        return flight
    readings: list[Reading] = flight.extras or []
    if not readings:
        return finish(params, flight, ctx)
    best = min(readings, key=lambda reading: reading.delay_ns)
    found = finish(params, flight, ctx, _samples(best))
    facts = {"reference": best.answer.reference}
    trouble = None if found.failure else _trouble(params, best)
    if trouble is None:
        return Measurement(found.samples, found.failure, found.message, facts)
    return Measurement(found.samples, Failure.CONDITION, trouble, facts)


def _samples(reading: Reading) -> dict[str, float]:
    answer, delay_s = reading.answer, reading.delay_ns / 1e9
    samples: dict[str, float] = {"stratum": answer.stratum, "leap": answer.leap}
    if answer.is_synchronised:
        samples |= {
            "offset_s": reading.offset_ns / 1e9,
            "root_delay_s": answer.root_delay_s,
            "root_dispersion_s": answer.root_dispersion_s,
            "root_distance_s": (answer.root_delay_s + delay_s) / 2 + answer.root_dispersion_s,
            "precision_s": answer.precision_s,
            "set_age_s": answer.set_s,
        }
    return samples


def _trouble(params: NtpParams, reading: Reading) -> str | None:
    answer = reading.answer
    if answer.stratum == 0:
        return f"the server refuses service (kiss of death {answer.reference or 'without a code'})"
    if not answer.is_synchronised:
        return f"the server's clock is not synchronised (leap {answer.leap}, stratum {answer.stratum})"
    if params.stratum_max is not None and answer.stratum > params.stratum_max:
        return f"stratum {answer.stratum} > {params.stratum_max}"
    offset_s = reading.offset_ns / 1e9
    if params.offset_max is not None and abs(offset_s) > params.offset_max:
        return f"offset {offset_s:+.6g} s, allowed are {params.offset_max:g} s"
    return None


PROBE = Probe(
    kind="ntp",
    params=NtpParams,
    address="address",
    run=run,
    samples={
        "offset_s": "the server's clock less this agent's, seconds; only of a synchronised server",
        "stratum": "distance from a reference clock: 1 has one of its own; 0 is a refusal",
        "leap": "leap indicator: 0 none, 1 and 2 a leap second at the end of the day, 3 unsynchronised",
        "root_delay_s": "round trip from the server to its reference clock, seconds",
        "root_dispersion_s": "how far the server's clock may have drifted from it, seconds",
        "root_distance_s": "how wrong the time got here may be altogether (RFC 5905, section 10), seconds",
        "precision_s": "precision of the server's clock, seconds",
        "set_age_s": "time since the server's clock was last set or corrected, seconds",
        "sent": "questions sent",
        "received": "questions answered",
        "duplicates": "answers beyond the first to a question",
        "loss_ratio": "share of questions without an answer",
        "rtt_min_s": "least round-trip time without the server's own, seconds",
        "rtt_mean_s": "mean round-trip time, seconds",
        "rtt_median_s": "median round-trip time, seconds",
        "rtt_max_s": "greatest round-trip time, seconds",
        "rtt_stddev_s": "standard deviation of the round-trip times, seconds; needs two answers",
        "ipdv_s": "mean difference between neighbouring questions' round-trip times (RFC 3393), seconds",
        "pdv_s": "95th percentile of the round-trip times less the least (RFC 5481), seconds; needs two answers",
        "resolve_s": "name lookup, seconds; only for a name",
    },
    facts={"reference": "string"},
    latency="rtt_mean_s",
)
