"""Draws the plan of the country from the domain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.demo import census
from monitor.demo.domain import Domain, Organisation, Province, slug
from monitor.demo.geography import CORE_PROVINCES, distance_km, nearest
from monitor.demo.plan import Agency, Channel, Group, Host, Link, Name, Place, Plan, Service

OTHER_DIRECTION = 1.25
"""The second channel takes another direction, and is longer."""
CENTRE = "01"
"""Where the monitor and most hosts stand."""


def draw(domain: Domain, scale: float = 1.0) -> Plan:
    """Return the plan; `scale` (0 to 1) is the share of provinces and ministries that it has."""
    provinces = _provinces(domain, scale)
    draft = _Draft(domain, provinces, _province_links(domain, provinces) | _ministry_links(domain, scale))
    draft.add_gateways()
    draft.add_endpoints()
    draft.add_databases()
    draft.add_procedures()
    draft.add_lgsp()
    groups = {
        id_: Group(id_, Name(vi, en), owner, CENTRE, members) for id_, (vi, en, owner, members) in census.GROUPS.items()
    }
    places = {p.code: Place(p.code, Name(p.name_vi, p.name_en), p.code, p.lat, p.lon) for p in provinces}
    owners = dict.fromkeys(link.agency for link in draft.links.values())
    owners |= dict.fromkeys(service.agency for service in draft.services.values())
    owners |= dict.fromkeys(group.agency for group in groups.values())
    agencies = {code: _agency(domain, code) for code in owners}
    return Plan(agencies, places, draft.links, draft.hosts, draft.services, groups)


def _provinces(domain: Domain, scale: float) -> list[Province]:
    wanted = dict.fromkeys((*census.FIRST_PROVINCES, *domain.provinces))
    kept = list(wanted)[: max(len(census.FIRST_PROVINCES), round(len(wanted) * scale))]
    return [province for code, province in domain.provinces.items() if code in kept]


def _agency(domain: Domain, code: str) -> Agency:
    if code in domain.organisations:
        organisation = domain.organisations[code]
        return Agency(code, Name(organisation.name_vi, organisation.name_en))
    province = domain.provinces[code.removeprefix("UBND-")]
    full = province.full_name_vi
    return Agency(
        code,
        Name(f"Ủy ban nhân dân {full[0].lower()}{full[1:]}", f"People's Committee of {province.name_en}"),
    )


def _province_links(domain: Domain, provinces: list[Province]) -> dict[str, Link]:
    cores = [domain.provinces[code] for code in CORE_PROVINCES]
    links = {}
    for province in provinces:
        core = nearest(province, cores)
        id_ = f"link-{province.slug}"
        channels = tuple(
            Channel(
                f"{id_}-{letter}",
                Name(
                    f"{province.name_vi}, kênh {letter.upper()} về {core.name_vi}",
                    f"{province.name_en}, channel {letter.upper()} to {core.name_en}",
                ),
                (int(province.code), number),
                distance_km(province, core) * stretch + 8.0,
            )
            for number, (letter, stretch) in enumerate((("a", 1.0), ("b", OTHER_DIRECTION)), 1)
        )
        name = Name(f"Đường truyền cấp I {province.name_vi}", f"Tier-I link {province.name_en}")
        links[id_] = Link(id_, name, f"UBND-{province.code}", province.code, 2, "200Mbit/s", channels)
    return links


def _ministry_links(domain: Domain, scale: float) -> dict[str, Link]:
    wanted = [o for o in domain.organisations.values() if o.kind in (*census.TWO_CHANNELS, *census.ONE_CHANNEL)]
    with_gateway = [gateway.owner for gateway in census.GATEWAYS]
    wanted.sort(key=lambda o: with_gateway.index(o.code) if o.code in with_gateway else len(with_gateway))
    kept = wanted[: max(6, round(len(wanted) * scale))]
    links = (_ministry_link(o, number) for number, o in enumerate(kept))
    return {link.id: link for link in links}


def _ministry_link(organisation: Organisation, number: int) -> Link:
    id_ = f"link-{slug(organisation.code)}"
    name = Name(f"Đường truyền cấp I {organisation.name_vi}", f"Tier-I link {organisation.name_en}")
    length_km = 1.5 + number * 7 % 13
    address = 100 + number
    channels = tuple(
        Channel(
            f"{id_}-{letter}",
            Name(f"{organisation.name_vi}, kênh {letter.upper()}", f"{organisation.name_en}, channel {letter.upper()}"),
            (address, index),
            length_km * stretch,
        )
        for index, (letter, stretch) in enumerate((("a", 1.0), ("b", 2.0)), 1)
    )
    if organisation.kind in census.ONE_CHANNEL:
        channels = (Channel(id_, name, (address, 1), length_km),)
    return Link(id_, name, organisation.code, CENTRE, 2, "1Gbit/s", channels)


def _path(speaks: str, owner: str, id_: str) -> str:
    return {
        "xroad": f"/r1/VN-MP/GOV/{slug(owner)}/{id_}/listMethods",
        "soap": f"/soap/{id_}",
        "mail": id_,
        "dns": id_,
        "postgresql": id_.replace("-", "_"),
    }.get(speaks, f"/{id_}/health")


@dataclass(slots=True)
class _Draft:
    """Hosts and services as they are added, kind by kind."""

    domain: Domain
    provinces: list[Province]
    links: dict[str, Link]
    hosts: dict[str, Host] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)

    def _from_centre_km(self, province: Province) -> float:
        return distance_km(self.domain.provinces[CENTRE], province) + 10

    def _add(self, service: Service) -> None:
        self.services[service.id] = service

    def add_gateways(self) -> None:
        """Add the gateways, behind their owners' links where they have one."""
        for number, gateway in enumerate(census.GATEWAYS, 1):
            link = f"link-{slug(gateway.owner)}"
            behind = link if gateway.behind_link and link in self.links else ""
            length_km = self._from_centre_km(self.domain.provinces[gateway.province])
            self.hosts[gateway.id] = Host(gateway.id, (200, number), length_km, behind, 45 + number * 23)
            self._add(
                Service(
                    gateway.id,
                    "endpoint",
                    Name(gateway.vi, gateway.en),
                    gateway.owner,
                    gateway.province,
                    "rest",
                    gateway.id,
                    _path("rest", gateway.owner, gateway.id),
                    tls=True,
                    criticality=1,
                    median_s=0.03,
                    depends_on=(behind,) if behind else (),
                    interval_s=5,
                    group=gateway.group,
                )
            )
        self.hosts[census.NDXP_HOST] = Host(census.NDXP_HOST, (200, 100), 10, "", 61)

    def add_endpoints(self) -> None:
        """Add the platforms' endpoints: on a gateway, or on hosts of their own."""
        groups = {member: group for group, (*_, members) in census.GROUPS.items() for member in members}
        for number, endpoint in enumerate(census.ENDPOINTS, 1):
            host = endpoint.host or endpoint.id
            if host not in self.hosts:
                self.hosts[host] = Host(host, (201, number), 12, "", 40 + number * 19)
            gateway = census.NDXP if host == census.NDXP_HOST else host
            self._add(
                Service(
                    endpoint.id,
                    "endpoint",
                    Name(endpoint.vi, endpoint.en),
                    endpoint.owner,
                    CENTRE,
                    endpoint.speaks,
                    host,
                    _path(endpoint.speaks, endpoint.owner, endpoint.id),
                    tls=endpoint.tls,
                    criticality=2,
                    median_s=endpoint.median_s,
                    slow_s=2.0,
                    depends_on=(gateway,) if endpoint.host else (),
                    interval_s=5 if endpoint.speaks == "dns" else 10,
                    group=groups.get(endpoint.id, ""),
                )
            )

    def add_databases(self) -> None:
        """Add the databases, each on the host of the gateway that it is reached over."""
        for database in census.DATABASES:
            holding = self.domain.databases[database.number]
            id_ = f"csdl-{database.slug}"
            self._add(
                Service(
                    id_,
                    "connector",
                    Name(holding.name_vi, holding.name_en),
                    holding.owner,
                    CENTRE,
                    database.speaks,
                    census.NDXP_HOST if database.gateway == census.NDXP else database.gateway,
                    _path(database.speaks, holding.owner, id_),
                    tls=database.speaks in ("rest", "soap"),
                    criticality=database.criticality,
                    median_s=0.006 if database.speaks == "postgresql" else 0.06,
                    slow_s=2.0,
                    depends_on=(database.gateway,),
                )
            )

    def add_procedures(self) -> None:
        """Add a ministry's own system for administrative procedures to each ministry, behind its link."""
        ministries = (o for o in self.domain.organisations.values() if o.kind in census.TWO_CHANNELS)
        for number, organisation in enumerate(ministries, 1):
            code = slug(organisation.code)
            if f"link-{code}" in self.links:
                name = Name(f"Giải quyết TTHC {organisation.name_vi}", f"Procedures, {organisation.name_en}")
                days = 30 + number * 17
                self._add_behind(f"tthc-{code}", name, organisation.code, CENTRE, (202, number), 12, days)

    def add_lgsp(self) -> None:
        """Add each province's own sharing platform, behind the province's link."""
        for province in self.provinces:
            number = int(province.code)
            name = Name(f"LGSP {province.name_vi}", f"LGSP {province.name_en}")
            owner, address = f"UBND-{province.code}", (number, 10)
            length_km, days = self._from_centre_km(province), 25 + number * 3
            self._add_behind(f"lgsp-{province.slug}", name, owner, province.code, address, length_km, days)

    def _add_behind(
        self, id_: str, name: Name, owner: str, site: str, address: tuple[int, int], length_km: float, days: int
    ) -> None:
        """Add a health endpoint on a host of its own behind the link of the same place; a few have no TLS."""
        link = f"link-{id_.partition('-')[2]}"
        self.hosts[id_] = Host(id_, address, length_km, link, days)
        path, tls = _path("rest", owner, id_), address[0] % 3 != 0
        self._add(
            Service(id_, "endpoint", name, owner, site, "rest", id_, path, tls=tls, median_s=0.05, depends_on=(link,))
        )
