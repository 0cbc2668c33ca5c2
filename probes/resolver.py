"""Names to addresses for every kind, through c-ares (aiodns), without a thread per lookup.

A monitor has to see trouble with names when it begins and when it ends, so an answer is never older than
`CACHE_S`: c-ares itself would keep answers, negative ones too, for as long as their TTL says (an hour at most),
and a name that is back would look gone until then. Within that second, many checks of one host share a lookup.

A number is taken as it is, and `/etc/hosts` and `localhost` (RFC 6761, section 6.3) are answered without a
question to any server, so that checks of this host work offline. Search domains, `ndots` and the servers come
from `/etc/resolv.conf`. Several addresses are ordered as RFC 6724 says.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from probes.failures import TroubleError, classify
from probes.model import Context, Failure

if TYPE_CHECKING:
    import pycares

CACHE_S = 1.0
"""How old an answer may be, whatever its TTL."""

ADDRESSES_LIMIT = 16
"""How many addresses of one name are looked at; a hostile zone may hold thousands."""

KEY = "probes.resolver"
"""Where the process keeps its resolver in `Context.resources`."""

IpVersion = Literal[4, 6]

_FAMILIES: dict[int | None, socket.AddressFamily] = {
    None: socket.AF_UNSPEC,
    4: socket.AF_INET,
    6: socket.AF_INET6,
}


class Address(NamedTuple):
    """A numeric address.

    Attributes:
        host: as text, with the scope of a link-local one (`fe80::1%eth0`).
        family: AF_INET or AF_INET6.

    """

    host: str
    family: socket.AddressFamily


class Resolver:
    """The process's resolver: one c-ares channel, whose cache is emptied `CACHE_S` after it was first filled.

    Args:
        servers: where to ask (`ip` or `ip:port`) instead of where `/etc/resolv.conf` says.

    """

    def __init__(self, servers: Sequence[str] | None = None) -> None:
        import aiodns  # noqa: PLC0415 - a numeric address needs no resolver, and a cold start is short

        self._loop = asyncio.get_running_loop()
        self._aiodns = aiodns.DNSResolver(nameservers=servers)
        self._flush: asyncio.TimerHandle | None = None

    async def lookup(self, name: str, family: socket.AddressFamily) -> list[Address]:
        """Return the addresses of an ASCII name.

        Raises TroubleError with a failure of the layer `name`.
        """
        from aiodns.error import DNSError  # noqa: PLC0415 - as above

        if self._flush is None:
            self._flush = self._loop.call_later(CACHE_S, self._forget)
        try:
            found = await self._aiodns.getaddrinfo(name, family=family, type=socket.SOCK_STREAM)
        except DNSError as error:
            failure, message = classify(error, "resolve")
            raise TroubleError(failure, f"{message} ({name})") from None
        return [_address(node) for node in found.nodes[:ADDRESSES_LIMIT]]

    def _forget(self) -> None:
        self._flush = None
        # The one way to empty c-ares' cache, though aiodns does not pass it on: c-ares reads its configuration
        # again (in a thread of its own, 0.1 ms), which also makes a changed /etc/resolv.conf count.
        self._aiodns._channel.reinit()

    async def aclose(self) -> None:
        """Stop all lookups and let the channel go."""
        if self._flush is not None:
            self._flush.cancel()
        await self._aiodns.close()


async def resolve(host: str, ctx: Context, ip_version: IpVersion | None = None) -> tuple[Address, ...]:
    """Return the addresses of `host` (a name, or a number in brackets or not), best first, at least one.

    Begins the phase `resolve`, which lasts until the caller begins the next one.
    Raises TroubleError with a failure of the layer `name`; of the asked version, an absent address is one too.
    """
    ctx.phases.begin("resolve")
    number = numeric(host)
    if number is not None:
        if ip_version is not None and number.family is not _FAMILIES[ip_version]:
            raise TroubleError(Failure.DNS_ANSWER, f"{host} is not an IPv{ip_version} address")
        return (number,)
    name = ascii_name(host)
    resolver = ctx.phases.aside(partial(ctx.resources.get, KEY, Resolver))
    found = await resolver.lookup(name, _FAMILIES[ip_version])
    if not found:
        version = f"IPv{ip_version} " if ip_version else ""
        raise TroubleError(Failure.DNS_ANSWER, f"{host} has no {version}address")
    return tuple(found)


@lru_cache(maxsize=4096)
def numeric(host: str) -> Address | None:
    """Return the address that `host` is, or None when it is a name; the brackets of a URL are taken off."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        version = ipaddress.ip_address(bare).version
    except ValueError:
        return None
    return Address(bare, _FAMILIES[version])


def ascii_name(host: str) -> str:
    """Return the name as DNS spells it, `xn--…` for what is not ASCII (IDNA 2008 as UTS 46 prepares it).

    Raises TroubleError (`dns_nxdomain`) when no such name can exist.
    """
    if host.isascii():
        if host and "\0" not in host:
            return host
    else:
        import idna  # noqa: PLC0415 - its tables are large, and few names need them

        try:
            return idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError:
            pass
    raise TroubleError(Failure.DNS_NXDOMAIN, f"no such name can exist: {host!r}")


def _address(node: pycares.AddrInfoNode) -> Address:
    raw, *rest = node.addr
    host = raw.decode("ascii") if isinstance(raw, bytes) else raw
    scope = rest[2] if len(rest) == 3 else 0  # (host, port, flow, scope) for IPv6
    if scope:
        host = f"{host}%{scope}"
    return Address(host, socket.AddressFamily(node.family))
