"""Writes the configuration that watches the country, in the product's own format.

Channels and two-channel links are one template each over a CSV list; the rest is plain YAML. Thresholds and
objectives are made up for the simulation: no public number stands behind them.
"""

from __future__ import annotations

import csv
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.demo import census, postgres
from monitor.demo.nameserver import ZONE
from monitor.demo.plan import Channel, Host, Link, Name, Plan, Service
from monitor.demo.script import MAX_AGE_S

HEAD = "# Dữ liệu mô phỏng. Simulated: everything here is invented, nothing is official.\n"
SOAP = (
    '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
    '<soap:Body><m:layThongTin xmlns:m="urn:mo-phong"/></soap:Body></soap:Envelope>'
)
FAST = {"confirm": {"down": 2, "up": 2}, "retry_interval": "2s"}
STAMP = {
    "probe": "stamp",
    "count": 10,
    "spacing": "20ms",
    "wait": "800ms",
    "interval": "5s",
    "timeout": "2s",
    "confirm": {"down": 3, "up": 2},
    "retry_interval": "1s",
    "degraded_when": ["loss_ratio > 0.05", "rtt_mean_s > 0.08"],
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the configuration needs beside the plan.

    Attributes:
        address_of: where a channel or service listens, `host:port`, by id.
        ca_file: the certificate authority of the country.
        password_file: the databases' password.
        data: the directory of the store.
        web, listen: where the product listens.
        receiver: where notifications go, a URL without a path.

    """

    address_of: Callable[[str], str]
    ca_file: Path
    password_file: Path
    data: Path
    web: str
    listen: str
    receiver: str


def write(directory: Path, plan: Plan, facts: Facts) -> None:
    """Write all files; older ones of the same names are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    writer = _Writer(plan, facts)
    _dump(directory / "settings.yaml", writer.settings())
    _dump(directory / "organisations.yaml", writer.organisations())
    for name, (header, rows) in writer.lists().items():
        _dump_list(directory / name, header, rows)
    _dump(directory / "links.yaml", {"templates": _LINK_TEMPLATES})
    for name, type_ in (("endpoints.yaml", "endpoint"), ("connectors.yaml", "connector")):
        services = [service for service in plan.services.values() if service.type == type_]
        targets = [writer.service(service) for service in services]
        _dump(directory / name, {"targets": [*targets, *(writer.groups() if type_ == "endpoint" else ())]})


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    text = yaml.dump(content, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
    path.write_text(HEAD + text, encoding="utf-8")


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # libyaml's where it is there
    """Writes shared values out each time: the files are for people."""

    def ignore_aliases(self, data: Any) -> bool:
        """Say that nothing is an alias."""
        return True


def _dump_list(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        output = csv.writer(file, lineterminator="\n")
        output.writerow(header)
        output.writerows(rows)


def _named(name: Name) -> dict[str, str]:
    return {"vi": name.vi, "en": name.en} if name.en else {"vi": name.vi}


_LINK_TEMPLATES = [
    {
        "foreach": {"channel": "channels.csv"},
        "targets": [
            {
                "id": "{channel.id}",
                "type": "link",
                "name": {"vi": "{channel.name_vi}", "en": "{channel.name_en}"},
                "agency": "{channel.agency}",
                "site": "{channel.site}",
                "criticality": "{channel.criticality}",
                "objective": {"availability": "99.5%", "latency_p95": "40ms", "loss": "1%"},
                "contract": {"bandwidth": "{channel.bandwidth}"},
                "checks": [{**STAMP, "address": "{channel.address}"}],
            }
        ],
    },
    {
        "foreach": {"link": "links.csv"},
        "targets": [
            {
                "id": "{link.id}",
                "type": "link",
                "name": {"vi": "{link.name_vi}", "en": "{link.name_en}"},
                "agency": "{link.agency}",
                "site": "{link.site}",
                "criticality": "{link.criticality}",
                "members": ["{link.id}-a", "{link.id}-b"],
                "policy": "any",
                "objective": {"availability": "99.9%"},
                "contract": {"bandwidth": "{link.bandwidth}"},
            }
        ],
    },
]


class _Writer:
    def __init__(self, plan: Plan, facts: Facts) -> None:
        self._plan = plan
        self._facts = facts
        self._may_ping = may_ping()

    def settings(self) -> dict[str, Any]:
        receivers = [{"id": "noc", "channel": "webhook", "url": f"{self._facts.receiver}/noc"}]
        routes: list[dict[str, Any]] = [{"receivers": ["noc"]}]
        if "BCA" in self._plan.agencies:
            receivers.append({"id": "bca", "channel": "webhook", "url": f"{self._facts.receiver}/bca"})
            routes.append({"receivers": ["bca"], "match": {"agency": ["BCA"], "severity_max": 2}})
        return {
            "settings": {
                "timezone": "Asia/Ho_Chi_Minh",
                "language": "vi",
                "simulated": True,
                "agent": "mo-phong",
                "store": f"sqlite:///{self._facts.data / 'thongsuot.db'}",
                "spool": str(self._facts.data / "spool"),
                "web": self._facts.web,
                "listen": self._facts.listen,
            },
            "receivers": receivers,
            "routes": routes,
        }

    def organisations(self) -> dict[str, Any]:
        return {
            "agencies": [{"id": a.id, "name": _named(a.name)} for a in self._plan.agencies.values()],
            "sites": [
                {"id": p.id, "name": _named(p.name), "province": p.province, "lat": p.lat, "lon": p.lon}
                for p in self._plan.places.values()
            ],
        }

    def lists(self) -> dict[str, tuple[Sequence[str], Iterable[Sequence[str]]]]:
        header = ("id", "name_vi", "name_en", "agency", "site", "criticality", "bandwidth")
        channels = [
            (*self._row(link, channel), self._facts.address_of(channel.id)) for link, channel in self._plan.channels()
        ]
        links = [self._row(link, link) for link in self._plan.links.values() if len(link.channels) > 1]
        return {"channels.csv": ((*header, "address"), channels), "links.csv": (header, links)}

    def _row(self, link: Link, thing: Link | Channel) -> tuple[str, ...]:
        # A channel of two weighs less than the link, whose other channel still stands.
        criticality = link.criticality if thing.id == link.id else link.criticality + 1
        name = link.name if thing.id == link.id else thing.name
        return (thing.id, name.vi, name.en, link.agency, link.site, str(criticality), link.bandwidth)

    def groups(self) -> list[dict[str, Any]]:
        return [
            {
                "id": group.id,
                "type": "group",
                "name": _named(group.name),
                "agency": group.agency,
                "site": group.site,
                "criticality": 1,
                "members": list(group.members),
                "policy": "any",
            }
            for group in self._plan.groups.values()
        ]

    def service(self, service: Service) -> dict[str, Any]:
        target: dict[str, Any] = {
            "id": service.id,
            "type": service.type,
            "name": _named(service.name),
            "agency": service.agency,
            "site": service.site,
            "criticality": service.criticality,
        }
        if service.depends_on:
            target["depends_on"] = list(service.depends_on)
        objective: dict[str, str] = {"availability": "99.9%" if service.criticality == 1 else "99.5%"}
        if service.speaks == "postgresql":
            objective["freshness"] = f"{MAX_AGE_S:.0f}s"
        target["objective"] = objective
        target["checks"] = [
            {**check, "interval": f"{service.interval_s}s", "timeout": "4s", **FAST} for check in self._checks(service)
        ]
        return target

    def _checks(self, service: Service) -> list[dict[str, Any]]:
        host = self._plan.hosts[service.host]
        kind = {"mail": self._mail, "dns": self._dns, "postgresql": self._postgresql}.get(service.speaks, self._http)
        checks = [{**kind(service), "degraded_when": self._degraded(service)}]
        if service.id in census.WITH_TLS_CHECK:
            checks.append(
                {
                    "probe": "tls",
                    "address": self._facts.address_of(service.id),
                    "server_name": f"{host.id}.{ZONE}",
                    "ca_file": str(self._facts.ca_file),
                    "degraded_when": ["cert.expires_in < duration('240h')"],
                }
            )
        if service.group == census.NDXP and self._may_ping:
            checks.append(self._icmp(service))
        return checks

    def _degraded(self, service: Service) -> list[str]:
        slow = f"duration > duration('{service.slow_s * 1000:.0f}ms')"
        return [slow, "cert.expires_in < duration('240h')"] if service.tls else [slow]

    def _http(self, service: Service) -> dict[str, Any]:
        scheme = "https" if service.tls else "http"
        check: dict[str, Any] = {
            "probe": "http",
            "url": f"{scheme}://{self._facts.address_of(service.id)}{service.path}",
        }
        if service.tls:
            check["ca_file"] = str(self._facts.ca_file)
        if service.speaks == "soap":
            return {**check, "method": "POST", "headers": {"Content-Type": "text/xml; charset=utf-8"}, "body": SOAP}
        if service.speaks == "xroad":
            check["headers"] = {"X-Road-Client": "VN-MP/GOV/GIAM-SAT/thong-suot"}
        return {**check, "down_when": ["json.status != 'UP'"]}

    def _postgresql(self, service: Service) -> dict[str, Any]:
        password = f"${{file:{self._facts.password_file}}}"
        return {
            "probe": "postgresql",
            "dsn": f"postgresql://{postgres.USER}:{password}@{self._facts.address_of(service.id)}/{service.path}",
            "query": postgres.ROWS_QUERY,
            "freshness": {"query": postgres.AGE_QUERY, "max_age": f"{MAX_AGE_S:.0f}s"},
        }

    def _mail(self, service: Service) -> dict[str, Any]:
        dialogue = [{"expect": "^220 "}, {"send": "EHLO giam-sat"}, {"expect": "^250 "}, {"send": "QUIT"}]
        return {"probe": "tcp", "address": self._facts.address_of(service.id), "dialogue": dialogue}

    def _dns(self, service: Service) -> dict[str, Any]:
        return {
            "probe": "dns",
            "check_name": "dns",
            "name": f"{census.NDXP_HOST}.{ZONE}",
            "type": "A",
            "server": self._facts.address_of(service.id),
        }

    def _icmp(self, service: Service) -> dict[str, Any]:
        host: Host = self._plan.hosts[service.host]
        address = self._facts.address_of(host.id).rpartition(":")[0]
        return {"probe": "icmp", "address": address, "count": 3, "critical": False}


def may_ping() -> bool:
    """Say whether this user may send ICMP echo requests, by a raw socket or by Linux's ping socket."""
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except OSError:
            continue
        return True
    return False
