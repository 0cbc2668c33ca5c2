"""The scenes that the script plays in every cycle: one per kind of trouble, at its place in the ten minutes."""

from __future__ import annotations

from monitor.demo import census
from monitor.demo.plan import Plan, Service
from monitor.demo.script import MAX_AGE_S, Effect, Fault, Scene

WORST_LOSS_RATIO = 0.6
CUT = Effect(cut=True)


def _two_channel_links(plan: Plan) -> tuple[str, ...]:
    """Links of provinces, except those of the core sites, whose cable is a few metres."""
    return tuple(
        link.id for link in plan.links.values() if link.agency.startswith("UBND-") and link.channels[0].length_km > 20
    )


def _services(plan: Plan, *spoken: str, type_: str = "endpoint") -> tuple[Service, ...]:
    return tuple(s for s in plan.services.values() if s.speaks in spoken and s.type == type_ and not s.group)


def _databases(plan: Plan) -> tuple[str, ...]:
    return tuple(service.id for service in _services(plan, "postgresql", type_="connector"))


def _ministry_gateways(plan: Plan) -> tuple[str, ...]:
    """Gateways with at least two connectors behind them."""
    return tuple(g.id for g in census.GATEWAYS if not g.group and len(_connectors(plan, g.id)) > 1)


def _connectors(plan: Plan, gateway: str) -> tuple[str, ...]:
    return tuple(s.id for s in plan.services.values() if s.type == "connector" and gateway in s.depends_on)


def _lgsp(plan: Plan) -> tuple[str, ...]:
    return tuple(service.id for service in plan.services.values() if service.id.startswith("lgsp-"))


def _one_channel(plan: Plan, link: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    channel = plan.links[link].channels[1].id
    expect = {channel: ("down", "packet_loss"), link: ("degraded", "redundancy_lost")}
    return (Fault("channel_cut", channel, from_s, to_s, CUT, expect),)


def _both_channels(plan: Plan, link: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    """First one channel, half a minute later the other, which is mended first."""
    a, b = (channel.id for channel in plan.links[link].channels)
    one = {a: ("down", "packet_loss"), link: ("degraded", "redundancy_lost")}
    behind = {s.id: ("down", "connect_timeout") for host in plan.behind(link) for s in plan.on(host.id)}
    two = {b: ("down", "packet_loss"), link: ("down", ""), **behind}
    return (
        Fault("fibre_cut", a, from_s, to_s, CUT, one),
        Fault("fibre_cut", b, from_s + 30, to_s - 25, CUT, two),
    )


def _expired(_plan: Plan, service: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    return (
        Fault("certificate_expired", service, from_s, to_s, Effect(expired=True), {service: ("down", "tls_expired")}),
    )


def _slow(_plan: Plan, gateway: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    expect = {gateway: ("degraded", "condition")}
    return (Fault("slow_gateway", gateway, from_s, to_s, Effect(added_s=1.2), expect),)


def _stale(_plan: Plan, database: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    effect = Effect(stalled_since_s=from_s)
    return (Fault("database_stalled", database, from_s, to_s, effect, {database: ("down", "stale")}, MAX_AGE_S),)


def _soap_fault(_plan: Plan, service: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    return (Fault("soap_fault", service, from_s, to_s, Effect(soap_fault=True), {service: ("down", "soap_fault")}),)


def _loss(plan: Plan, link: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    channel = plan.links[link].channels[0].id
    expect = {channel: ("degraded", "condition")}
    return (Fault("packet_loss", channel, from_s, to_s, Effect(loss_ratio=WORST_LOSS_RATIO), expect),)


def _flapping(_plan: Plan, service: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    return (Fault("flapping", service, from_s, to_s, Effect(status=503), {service: ("flapping", "http_status")}),)


def _outage(plan: Plan, gateway: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    hit = (gateway, *_connectors(plan, gateway))
    expect = dict.fromkeys(hit, ("down", "connect_refused"))
    return (Fault("gateway_outage", gateway, from_s, to_s, Effect(refuse=True), expect),)


def _wrong_names(_plan: Plan, server: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    """First no answer to give (SERVFAIL), then an answer without addresses."""
    middle_s = (from_s + to_s) / 2
    return (
        Fault("dns_servfail", server, from_s, middle_s, Effect(answer="servfail"), {server: ("down", "dns_servfail")}),
        Fault("dns_empty", server, middle_s, to_s, Effect(answer="empty"), {server: ("down", "dns_answer")}),
    )


def _unhealthy(_plan: Plan, service: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    return (Fault("unhealthy", service, from_s, to_s, Effect(health="DOWN"), {service: ("down", "condition")}),)


def _detour(plan: Plan, link: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    return tuple(
        Fault("detour", channel.id, from_s, to_s, Effect(detour_s=0.11), {channel.id: ("degraded", "condition")})
        for channel in plan.links[link].channels
    )


def _login(_plan: Plan, database: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    effect = Effect(refuse_login=True)
    return (Fault("login_refused", database, from_s, to_s, effect, {database: ("down", "auth_rejected")}),)


def _refused(_plan: Plan, service: str, from_s: float, to_s: float) -> tuple[Fault, ...]:
    return (Fault("refused", service, from_s, to_s, Effect(refuse=True), {service: ("down", "connect_refused")}),)


def _over_tls(plan: Plan) -> tuple[str, ...]:
    """Endpoints with a host, and so a certificate, of their own."""
    return tuple(s.id for s in _services(plan, "rest", "soap") if s.tls and s.host == s.id and s.criticality == 2)


def _portals(plan: Plan) -> tuple[str, ...]:
    return tuple(id_ for id_ in _over_tls(plan) if plan.services[id_].speaks == "rest")


def _gateways(plan: Plan) -> tuple[str, ...]:
    return ("gw-ndop", *_ministry_gateways(plan))


def _soap_endpoints(plan: Plan) -> tuple[str, ...]:
    return tuple(service.id for service in _services(plan, "soap"))


def _name_servers(plan: Plan) -> tuple[str, ...]:
    return tuple(service.id for service in plan.services.values() if service.speaks == "dns")


SCENES = (
    Scene(25, 100, "link-lao-cai", _two_channel_links, _one_channel),
    Scene(40, 165, "dvc-quoc-gia", _over_tls, _expired),
    Scene(60, 200, "gw-ndop", _gateways, _slow),
    Scene(75, 225, "link-cao-bang", _two_channel_links, _both_channels),
    Scene(130, 290, "csdl-dat-dai", _databases, _stale),
    Scene(175, 285, "ndxp-ho-tich", _soap_endpoints, _soap_fault),
    Scene(230, 350, "link-dak-lak", _two_channel_links, _loss),
    Scene(255, 410, "lgsp-can-tho", _lgsp, _flapping),
    Scene(310, 400, "gw-tai-chinh", _ministry_gateways, _outage),
    Scene(385, 475, "dns-tslcd-2", _name_servers, _wrong_names),
    Scene(420, 520, "cong-du-lieu", _portals, _unhealthy),
    Scene(445, 560, "link-ca-mau", _two_channel_links, _detour),
    Scene(490, 590, "csdl-y-te", _databases, _login),
    Scene(530, 640, "link-quang-ninh", _two_channel_links, _one_channel),
    Scene(555, 650, "lgsp-thanh-hoa", _lgsp, _refused),
)
"""In the order in which they are played; none before 25 s, so that a start is seen to be clean."""
