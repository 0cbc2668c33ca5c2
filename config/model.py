"""The frozen inventory: what a directory of configuration files says, merged, expanded and checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SkipValidation, WithJsonSchema, model_validator

from config.basics import Id, Model, Name, Named, visible
from config.calendars import Holidays, ServiceHours
from config.retention import DAY_S, FOREVER_S, KeptADay, KeptAMonth, KeptAYear
from probes.units import Duration, Rate, Share

_CONFIRM = re.compile(r"^\s*(\d+)\s+of\s+(\d+)\s*$")


def _parse_confirm(value: Any) -> Any:
    """Accept `3`, `"3 of 5"` or {down: …, up: …}; a bare value is about going down."""
    if isinstance(value, int | str) and not isinstance(value, bool):
        return {"down": value}
    return value


def _parse_down(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"needed": value, "window": value}
    if isinstance(value, str):
        match = _CONFIRM.match(value)
        if value.strip().isascii() and value.strip().isdigit():  # a template's list gives numbers as text
            return {"needed": value.strip(), "window": value.strip()}
        if match is None:
            message = f'{value!r} is not a confirmation: write a count such as 3, or "3 of 5"'
            raise ValueError(message)
        return {"needed": int(match[1]), "window": int(match[2])}
    return value


class ConfirmDown(Model):
    """`needed` bad results of the last `window`; equal when they must be consecutive."""

    needed: int = Field(3, ge=1, le=100)
    window: int = Field(3, ge=1, le=100)

    @model_validator(mode="after")
    def _needed_can_be_reached(self) -> Self:
        if self.needed > self.window:
            message = f"{self.needed} of {self.window} can never be: the first number must not be the larger one"
            raise ValueError(message)
        return self


class ConfirmRule(Model):
    """How many results confirm a change."""

    down: Annotated[ConfirmDown, BeforeValidator(_parse_down)] = ConfirmDown(needed=3, window=3)
    up: int = Field(2, ge=1, le=100)


CheckName = Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=60), AfterValidator(visible)]
"""A check's name: as an id, and short."""


class CheckOptions(Model):
    """What every check has, whatever its kind; the kind's own parameters stand beside these in the file.

    Where a kind has a parameter of its own called `name` (`dns`), `name` is that, and `check_name` the check's.
    """

    probe: str
    name: CheckName | None = None
    check_name: CheckName | None = None
    interval: Duration = Field(30.0, ge=1.0, le=86400.0)
    timeout: Duration | None = Field(None, gt=0.0)
    confirm: Annotated[ConfirmRule, BeforeValidator(_parse_confirm)] = ConfirmRule()
    retry_interval: Duration | None = Field(None, gt=0.0)
    stale_after: Duration | None = Field(None, gt=0.0)
    critical: bool = True
    down_when: tuple[str, ...] = ()
    degraded_when: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One probe kind with its parameters, run on a target at an interval. Everything is filled in.

    Attributes:
        id: `<target>/<name>`.
        target: id of its target.
        name: defaults to the probe kind.
        probe: the kind.
        params: an instance of the kind's own model, secrets filled in: therefore never in a repr.
        interval_s: time between two starts; timeout_s: the deadline of one run; retry_interval_s: the interval
            while a change is being confirmed; stale_after_s: silence after which it is unknown.

    The loader makes it of what it has validated; there are ten thousand, so it is a dataclass of 0.2 kB and not a
    model of 1.5 kB.

    """

    id: str
    target: str
    name: str
    probe: str
    params: Any = field(repr=False)
    interval_s: float
    timeout_s: float
    retry_interval_s: float
    stale_after_s: float
    confirm: ConfirmRule
    critical: bool = True
    down_when: tuple[str, ...] = ()
    degraded_when: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Objective(Model):
    """What a target has promised. Nothing is promised by default."""

    availability: Share | None = None
    latency_p95: Duration | None = None
    latency_p99: Duration | None = None
    loss: Share | None = None
    freshness: Duration | None = None


class Contract(Model):
    """What was bought."""

    bandwidth: Rate | None = None


class Agency(Model):
    """An organisation that owns targets."""

    id: Id
    name: Named = Name()


class Site(Model):
    """A place with coordinates (WGS 84, degrees)."""

    id: Id
    name: Named = Name()
    province: str = ""
    lat: float | None = Field(None, ge=-90, le=90)
    lon: float | None = Field(None, ge=-180, le=180)


class AnyOf(Model):
    """A dependency that holds while one of these is not down."""

    any: tuple[str, ...] = Field(min_length=1)


NO_NAME, NO_OBJECTIVE, NO_CONTRACT = Name(), Objective(), Contract()
"""Shared: they are frozen, and most targets have them."""

TargetType = Literal["link", "endpoint", "connector", "group"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The thing watched. The loader makes it of what it has validated.

    Attributes:
        need: how many members must be up: `policy` as a number; 0 without members.
        settle_s: how long to wait for the parents' answer before an incident of its own is opened.
        checks: its checks, filled in.

    """

    id: str
    type: TargetType
    name: Name = NO_NAME
    agency: str = ""
    site: str = ""
    criticality: int = 3
    members: tuple[str, ...] = ()
    policy: str = "all"
    need: int = 0
    depends_on: tuple[str | AnyOf, ...] = ()
    settle_s: float = 0.0
    service_hours: str = ""
    objective: Objective = NO_OBJECTIVE
    contract: Contract = NO_CONTRACT
    labels: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


class Maintenance(Model):
    """A planned window; times carry an offset or are read in the configured time zone."""

    targets: tuple[str, ...] = Field(min_length=1)
    from_: datetime = Field(alias="from")
    to: datetime
    reason: str = ""


class Silence(Maintenance):
    """A mute of notifications that changes no figure."""


class Receiver(Model):
    """Whom notifications reach, over one channel.

    Attributes:
        id: named by routes.
        channel: name of a module in `alerts/channels/`.
        options: an instance of the channel's own model, secrets filled in: therefore never in a repr.

    """

    id: Id
    channel: str
    options: Any = Field(repr=False)


class RouteMatch(Model):
    """What a route takes; what is left out matches everything."""

    agency: tuple[str, ...] = ()
    type: tuple[TargetType, ...] = ()
    target: tuple[str, ...] = ()
    severity_max: int = Field(4, ge=1, le=4)


class RouteRule(Model):
    """Which incidents go to which receivers; routes are tried in order, all that match apply until `stop`."""

    receivers: tuple[str, ...] = Field(min_length=1)
    match: RouteMatch = RouteMatch()
    stop: bool = False


_STORES = ("sqlite:///", "postgresql://")


def _host_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    in_brackets = host.startswith("[") and host.endswith("]")
    if not colon or not is_port or not host or any(c.isspace() for c in host) or (":" in host and not in_brackets):
        message = f"{value!r} is not an address to listen on: write host:port, such as 127.0.0.1:8050 or [::1]:8050"
        raise ValueError(message)
    return value


def _network(value: Any) -> Any:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(value if isinstance(value, str) else "")
    except ValueError:
        pass
    try:
        message = f"{value!r} is an address within a network: write {ip_network(str(value), strict=False)}"
    except ValueError:
        message = f"{value!r} is not a network: write one such as 10.0.0.0/8, 10.1.2.3 or 2001:db8::/32"
    raise ValueError(message)


def _store(value: str) -> str:
    if not value.startswith(_STORES) or value in _STORES:
        raise ValueError("write sqlite:///path or postgresql://user@host/database")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        near = difflib.get_close_matches(value, available_timezones(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ", such as Asia/Ho_Chi_Minh"
        message = f"{value!r} is not a time zone of the IANA database{hint}"
        raise ValueError(message) from None
    return value


def _of_rollups(value: float) -> float:
    if value not in _LOSS_INTERVALS_S:
        message = f"{value:g}s is not an interval of loss: write 5m, 10m, 15m, 30m or 1h"
        raise ValueError(message)
    return value


_LOSS_INTERVALS_S = (300.0, 600.0, 900.0, 1800.0, 3600.0)

Address = Annotated[str, AfterValidator(_host_port)]
"""`host:port`; an IPv6 address in brackets; port 0 takes any free one."""


Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_network),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "2001:db8::/32"]}),
]
"""Addresses by their common beginning (RFC 4632); a single one without its length."""

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Retention(Model):
    """How long each kind of data is kept. What is older is deleted in small steps."""

    raw: KeptADay = 14 * DAY_S
    rollups_5m: KeptADay = 90 * DAY_S
    rollups_1h: KeptADay = 3 * 366 * DAY_S
    rollups_1d: KeptAMonth = FOREVER_S
    transitions: KeptAMonth = FOREVER_S
    incidents: KeptAMonth = FOREVER_S
    audit: KeptAYear = FOREVER_S


class Settings(Model):
    """Settings of the whole installation.

    Attributes:
        timezone: IANA name: days and months are cut there, and times are shown in it.
        language: of messages and of the interface's first page.
        store: `sqlite:///path` or `postgresql://…`; its password is a reference.
        agent: id that this site's results carry.
        web, listen: addresses of the web process and of the monitor's listener.
        probe_from: networks whose clients may have the listener probe for them; its other paths are open to all.
        seats: checks that may run at once.
        queue: results that may wait to be saved.
        spool: directory where results wait while the store is away.
        simulated: pages say that the data is simulated.
        loss_interval, loss_threshold: an interval of a link is unavailable when it loses a greater share than this
            (in the manner of ITU-T Y.1540); both are printed with the figure.
        retention: how long each kind of data is kept.

    """

    timezone: Annotated[str, AfterValidator(_timezone)] = "Asia/Ho_Chi_Minh"
    language: Literal["vi", "en"] = "vi"
    store: Annotated[str, AfterValidator(_store)] = Field("sqlite:///data/thongsuot.db", repr=False)
    agent: Id = "local"
    web: Address = "127.0.0.1:8050"
    listen: Address = "127.0.0.1:9109"
    probe_from: tuple[Network, ...] = LOOPBACK
    seats: int = Field(512, ge=1, le=100_000)
    queue: int = Field(20_000, ge=10, le=10_000_000)
    spool: str = "data/spool"
    simulated: bool = False
    loss_interval: Annotated[Duration, AfterValidator(_of_rollups)] = 300.0
    loss_threshold: Share = 0.2
    retention: Retention = Retention()


class Inventory(Model):
    """Everything the configuration says; `modules` are those of `config.modules`."""

    settings: Settings = Settings()
    agencies: Mapping[str, Agency] = {}
    sites: Mapping[str, Site] = {}
    targets: Mapping[str, SkipValidation[Target]] = {}
    receivers: Mapping[str, Receiver] = {}
    routes: tuple[RouteRule, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    silences: tuple[Silence, ...] = ()
    service_hours: Mapping[str, ServiceHours] = {}
    modules: Mapping[str, Any] = {}
    holidays: Mapping[str, Holidays] = {}

    @property
    def checks(self) -> dict[str, Check]:
        """All checks by id."""
        return {check.id: check for target in self.targets.values() for check in target.checks}
