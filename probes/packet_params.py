"""What the kinds that send packets have in common: their parameters, and a run from address to flight."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from pydantic import Field

from probes.failures import NETWORK_ERRORS, classify
from probes.model import NOTHING, Context, Failure, Measurement, Params
from probes.packet_address import destination_of, resolve_s
from probes.packet_flight import Flight, measurement_of, samples_of
from probes.packet_socket import PacketSocket
from probes.resolver import IpVersion
from probes.units import Duration, Share

MARGIN_S = 0.025
"""What a probe keeps of its time to report a loss itself, before the runner's deadline makes it a timeout."""

COUNT_MAX = 100
SPACING_MIN_S = 0.005
SPACING_MAX_S = 10.0


class PacketParams(Params):
    """Parameters that every kind with packets has.

    Attributes:
        count: packets per check.
        spacing: time between two packets, to the next 10 ms.
        loss_max: share of lost packets that is still up; without it, all but all may be lost.
        wait: how long each packet is waited for.
        ip_version: 4 or 6 where a name has both; else the system's preference (RFC 6724).

    """

    count: int = Field(5, ge=1, le=COUNT_MAX, description="packets per check")
    spacing: Duration = Field(0.02, ge=SPACING_MIN_S, le=SPACING_MAX_S, description="between two packets")
    loss_max: Share | None = Field(
        None, description="share of lost packets that is still up; default: any short of all"
    )
    wait: Duration | None = Field(None, gt=0, le=3600, description="how long each packet is waited for")
    ip_version: IpVersion | None = Field(None, description="4 or 6, where a name has both")

    def least_s(self) -> float:
        """Return the time until the last packet is sent, and the margin for reporting."""
        return (self.count - 1) * self.spacing + MARGIN_S


Open = Callable[[socket.AddressFamily], Awaitable[PacketSocket]]


async def fly(
    params: PacketParams, host: str, port: int, size: int, ctx: Context, open_socket: Open
) -> Flight | Measurement:
    """Send a check's packets; return the flight when it is over, or the measurement that says why there was none."""
    last_send_s = (params.count - 1) * params.spacing
    margin_s = min(MARGIN_S, ctx.timeout_s / 10)
    if last_send_s >= ctx.timeout_s - margin_s:
        message = (
            f"{params.count} packets, {params.spacing:g} s apart, do not fit into a timeout of {ctx.timeout_s:g} s"
        )
        return Measurement(failure=Failure.INTERNAL, message=message)
    try:
        destination = await destination_of(host, port, params.ip_version, ctx)
        shared = await ctx.resources.open((open_socket, destination.family), partial(open_socket, destination.family))
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
        ctx.phases.end()
        return Measurement(resolve_s(ctx), failure, message)
    ctx.phases.begin("reply")
    ctx.peer = destination.sockaddr[0]
    end = ctx.deadline - margin_s
    if asyncio.get_running_loop().time() + last_send_s >= end:
        message = f"looking up {host} left no time to measure"
        return Measurement(resolve_s(ctx), Failure.DNS_TIMEOUT, message)
    flight = Flight(destination.sockaddr, params.count, size, params.spacing, params.wait, end)
    await shared.fly(flight)
    return flight


def finish(params: PacketParams, flight: Flight, ctx: Context, more: Mapping[str, float] = NOTHING) -> Measurement:
    """Return the measurement of a flight, with `more` samples of its kind."""
    return measurement_of(flight, params.loss_max, {**resolve_s(ctx), **samples_of(flight), **more})
