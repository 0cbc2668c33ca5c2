"""What the simulated country consists of: links and their channels, hosts, and the services on them.

Pure values; nothing here opens a socket. Identifiers are what the configuration and the truth log use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Name:
    """A name in both languages."""

    vi: str
    en: str


@dataclass(frozen=True, slots=True)
class Place:
    """A site: id, name, and where it is (WGS 84, degrees)."""

    id: str
    name: Name
    province: str
    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Channel:
    """One physical channel of a link, with a reflector at its far end.

    Attributes:
        id: of the target that watches it: the link's own when it has only one channel.
        address: the last two numbers of its address in the country's block.
        length_km: of the cable, before detours.

    """

    id: str
    name: Name
    address: tuple[int, int]
    length_km: float


@dataclass(frozen=True, slots=True)
class Link:
    """An access link of the simulated network, with one or two channels."""

    id: str
    name: Name
    agency: str
    site: str
    criticality: int
    bandwidth: str
    channels: tuple[Channel, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with an address; what happens to it happens to all services on it.

    Attributes:
        id: the id of the service that stands for it, or a name of its own.
        address: the last two numbers of its address in the country's block.
        length_km: cable from where the monitor stands.
        behind: the link that it is reached over, or "".
        certificate_days: how long its certificate is still valid when the simulation starts.

    """

    id: str
    address: tuple[int, int]
    length_km: float
    behind: str = ""
    certificate_days: int = 200


@dataclass(frozen=True, slots=True)
class Service:
    """Something on a host that can be asked.

    Attributes:
        id: of the target that watches it.
        type: `endpoint` or `connector`.
        speaks: `rest`, `xroad`, `soap`, `postgresql`, `mail` or `dns`.
        tls: whether HTTP is spoken over TLS.
        host: id of its host.
        path: of its URL, or the name that a name server is asked for, or the database's name.
        median_s: of its service time.
        slow_s: the duration beyond which the configuration calls it degraded.
        depends_on: ids of the targets that it is reached through.
        interval_s: how often it is asked.
        group: id of the group of equal services that it belongs to, or "".

    """

    id: str
    type: str
    name: Name
    agency: str
    site: str
    speaks: str
    host: str
    path: str
    tls: bool = False
    criticality: int = 3
    median_s: float = 0.04
    slow_s: float = 0.8
    depends_on: tuple[str, ...] = ()
    interval_s: int = 10
    group: str = ""

    @property
    def port(self) -> str:
        """What it listens on: HTTP services share a port of their host, the others have their own."""
        if self.speaks in ("rest", "xroad", "soap"):
            return "https" if self.tls else "http"
        return self.id


@dataclass(frozen=True, slots=True)
class Group:
    """Equal services of which one is enough."""

    id: str
    name: Name
    agency: str
    site: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agency:
    """An owner."""

    id: str
    name: Name


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole country, by id."""

    agencies: Mapping[str, Agency]
    places: Mapping[str, Place]
    links: Mapping[str, Link]
    hosts: Mapping[str, Host]
    services: Mapping[str, Service]
    groups: Mapping[str, Group]

    def channels(self) -> Iterator[tuple[Link, Channel]]:
        """Yield every channel with its link."""
        for link in self.links.values():
            for channel in link.channels:
                yield link, channel

    def on(self, host: str) -> tuple[Service, ...]:
        """Return the services of a host."""
        return tuple(service for service in self.services.values() if service.host == host)

    def behind(self, link: str) -> tuple[Host, ...]:
        """Return the hosts that are reached over a link."""
        return tuple(host for host in self.hosts.values() if host.behind == link)

    def counts(self) -> dict[str, int]:
        """Return how many there are of each, for people."""
        spoken = [service.speaks for service in self.services.values()]
        channels = sum(len(link.channels) for link in self.links.values())
        return {
            "agencies": len(self.agencies),
            "sites": len(self.places),
            "links": len(self.links),
            "channels": channels,
            "endpoints": sum(service.type == "endpoint" for service in self.services.values()),
            "connectors": sum(service.type == "connector" for service in self.services.values()),
            "groups": len(self.groups),
            **{f"services that speak {kind}": spoken.count(kind) for kind in sorted(set(spoken))},
            "far ends": channels + len(self.services),
        }
