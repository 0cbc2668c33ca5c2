"""Where a flight goes: the address as configured, made into a socket address. Numbers take no lookup."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from probes.model import Context, Params
from probes.resolver import Address, IpVersion, numeric, resolve


class Destination(NamedTuple):
    """Where to send: the family and the address as sockets spell it, host first."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]


async def destination_of(host: str, port: int, ip_version: IpVersion | None, ctx: Context) -> Destination:
    """Return where to send for a host, by a lookup in the phase `resolve` if it is a name.

    Raises TroubleError with a failure of the layer `name`.
    """
    number = numeric(host)
    if number is not None:
        return _destination(number, port)
    addresses = await resolve(host, ctx, ip_version)
    ctx.phases.end()
    return _destination(addresses[0], port)


def _destination(address: Address, port: int) -> Destination:
    # The number of a link-local address's interface can change.
    return _socket_address(address, port) if "%" in address.host else _kept_socket_address(address, port)


def _socket_address(address: Address, port: int) -> Destination:
    family = address.family
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    host = address.host
    if family == socket.AF_INET6:
        mapped = ipaddress.IPv6Address(host).ipv4_mapped
        if mapped is not None:
            family, host = socket.AF_INET, str(mapped)
    # As bytes: for a str, getaddrinfo would load the tables of IDNA first.
    found = socket.getaddrinfo(host.encode("ascii"), port, family, socket.SOCK_DGRAM, 0, flags)
    return Destination(family, found[0][4])


_kept_socket_address = lru_cache(maxsize=65_536)(_socket_address)


def check_host(host: str, ip_version: int | None) -> str:
    """Return the host if packets can be sent to it and answered from it.

    Raises ValueError, saying what is wrong: not a host, not one host, or not of the wanted IP version.
    """
    number = numeric(host)
    if number is None:
        if not host or len(host) > 253 or any(c.isspace() or c in "/:[]@%" for c in host):
            message = f"{host!r} is not a host: write a name, or an IPv4 or IPv6 address"
            raise ValueError(message)
        return host
    address = ipaddress.ip_address(number.host)
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        message = f"{host} is not the address of one host"
        raise ValueError(message)
    if ip_version is not None and address.version != ip_version:
        message = f"{host} is not an IPv{ip_version} address"
        raise ValueError(message)
    return host


class HostParams(Params):
    """Parameters of a kind that sends packets of its own making to one host."""

    ip_version: IpVersion | None = Field(None, description="4 or 6, where a name has both")  # the address is read by it
    address: str = Field(description="a name, or an IPv4 or IPv6 address")

    @field_validator("address")
    @classmethod
    def _is_host(cls, value: str, info: ValidationInfo) -> str:
        return check_host(value, info.data.get("ip_version"))


def resolve_s(ctx: Context) -> dict[str, float]:
    """Return the sample of the name lookup, if there was one."""
    return {"resolve_s": ctx.phases.samples["resolve_s"]} if "resolve_s" in ctx.phases.samples else {}
