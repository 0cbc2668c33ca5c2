"""The frozen inventory: what a directory of configuration files says, merged, expanded and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from probes.units import Duration, Rate, Share

Id = Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=120)]
"""An identifier: no white space and no slash (a slash parts a check's target from its name)."""


class Model(BaseModel):
    """Base of every configuration model: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _one_name(value: Any) -> Any:
    return {"vi": value} if isinstance(value, str) else value


class Name(Model):
    """A name in Vietnamese and, if there is one, in English."""

    vi: str = ""
    en: str = ""

    def in_language(self, language: str) -> str:
        """Return the name in that language, or in the other one where it is missing."""
        return (self.en or self.vi) if language == "en" else (self.vi or self.en)


Named = Annotated[Name, BeforeValidator(_one_name)]
"""A name: one string, or one per language."""

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
        if match is None:
            message = f'{value!r} is not a confirmation: write a count such as 3, or "3 of 5"'
            raise ValueError(message)
        return {"needed": int(match[1]), "window": int(match[2])}
    return value


class ConfirmDown(Model):
    """`needed` bad results of the last `window`; equal when they must be consecutive."""

    needed: int = Field(3, ge=1, le=100)
    window: int = Field(3, ge=1, le=100)


class ConfirmRule(Model):
    """How many results confirm a change."""

    down: Annotated[ConfirmDown, BeforeValidator(_parse_down)] = ConfirmDown(needed=3, window=3)
    up: int = Field(2, ge=1, le=100)


class CheckOptions(Model):
    """What every check has, whatever its kind; the kind's own parameters stand beside these in the file."""

    probe: str
    name: Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=60)] | None = None
    interval: Duration = Field(30.0, ge=1.0, le=86400.0)
    timeout: Duration | None = Field(None, gt=0.0)
    confirm: Annotated[ConfirmRule, BeforeValidator(_parse_confirm)] = ConfirmRule()
    retry_interval: Duration | None = Field(None, gt=0.0)
    stale_after: Duration | None = Field(None, gt=0.0)
    critical: bool = True
    down_when: tuple[str, ...] = ()
    degraded_when: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}


class Check(Model):
    """One probe kind with its parameters, run on a target at an interval. Everything is filled in.

    Attributes:
        id: `<target>/<name>`.
        target: id of its target.
        name: defaults to the probe kind.
        probe: the kind.
        params: the kind's parameters as written, secrets expanded; validated by the kind's own model.
        interval_s: time between two starts; timeout_s: the deadline of one run; retry_interval_s: the interval
            while a change is being confirmed; stale_after_s: silence after which it is unknown.

    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    id: str
    target: str
    name: str
    probe: str
    params: Any
    interval_s: float
    timeout_s: float
    retry_interval_s: float
    stale_after_s: float
    confirm: ConfirmRule
    critical: bool = True
    down_when: tuple[str, ...] = ()
    degraded_when: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}


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


TargetType = Literal["link", "endpoint", "connector", "group"]


class Target(Model):
    """The thing watched.

    Attributes:
        need: how many members must be up: `policy` as a number; 0 without members.
        settle_s: how long to wait for the parents' answer before an incident of its own is opened.
        checks: its checks, filled in.

    """

    id: Id
    type: TargetType
    name: Named = Name()
    agency: str = ""
    site: str = ""
    criticality: int = Field(3, ge=1, le=4)
    members: tuple[str, ...] = ()
    policy: str = "all"
    need: int = 0
    depends_on: tuple[str | AnyOf, ...] = ()
    settle_s: float = 0.0
    service_hours: str = ""
    objective: Objective = Objective()
    contract: Contract = Contract()
    labels: Mapping[str, str] = {}
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
        options: the channel's own settings, validated by its model.

    """

    id: Id
    channel: str
    options: Any


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


class ServiceHours(Model):
    """When a service is promised, in the configured time zone: `days` such as `mon-fri`, `hours` as `08:00-17:00`."""

    id: Id
    days: str = "mon-sun"
    hours: str = "00:00-24:00"


class Settings(Model):
    """Settings of the whole installation."""

    timezone: str = "Asia/Ho_Chi_Minh"
    language: Literal["vi", "en"] = "vi"
    store: str = "sqlite:///data/thongsuot.db"
    agent: Id = "local"
    web: str = "127.0.0.1:8050"
    listen: str = "127.0.0.1:9109"
    seats: int = Field(512, ge=1, le=100_000)
    queue: int = Field(20_000, ge=10, le=10_000_000)
    spool: str = "data/spool"
    simulated: bool = False


class Inventory(Model):
    """Everything the configuration says."""

    settings: Settings = Settings()
    agencies: Mapping[str, Agency] = {}
    sites: Mapping[str, Site] = {}
    targets: Mapping[str, Target] = {}
    receivers: Mapping[str, Receiver] = {}
    routes: tuple[RouteRule, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    silences: tuple[Silence, ...] = ()
    service_hours: Mapping[str, ServiceHours] = {}

    @property
    def checks(self) -> dict[str, Check]:
        """All checks by id."""
        return {check.id: check for target in self.targets.values() for check in target.checks}
