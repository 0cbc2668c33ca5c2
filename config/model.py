"""The frozen inventory: what a directory of configuration files says, merged, expanded and checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SkipValidation, model_validator

from config.hours import parse_days, parse_hours
from probes.units import Duration, Rate, Share


def _visible(value: str) -> str:
    if not value.isprintable():
        message = f"{value!r} holds characters that cannot be seen"
        raise ValueError(message)
    return value


Id = Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=120), AfterValidator(_visible)]
"""An identifier: no white space and no slash (a slash parts a check's target from its name)."""


class Model(BaseModel):
    """Base of every configuration model: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Return a validator that lets a text pass if it can be parsed."""

    def check(value: str) -> str:
        parse(value)
        return value

    return check


def _one_name(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise ValueError("a name is text: write it in quotes")
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


CheckName = Annotated[str, Field(pattern=r"^[^\s/]+$", max_length=60), AfterValidator(_visible)]
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


def _day(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value.strip())
    except (ValueError, AttributeError):
        message = f"{value!r} is not a day: write such as 2026-09-02"
        raise ValueError(message) from None


Day = Annotated[date, BeforeValidator(_day)]
"""A day of the calendar, in the configured time zone."""

HOLIDAY_DAYS = 366
"""Longest holiday: whoever writes a longer one has mistaken the year."""


class Holiday(Model):
    """One day off, or all days from the first to the last, both included."""

    day: Day | None = None
    from_: Day | None = Field(None, alias="from")
    to: Day | None = None
    name: Named = Name()

    @model_validator(mode="after")
    def _is_one_day_or_several(self) -> Self:
        if (self.day is None) is (self.from_ is None) or (self.from_ is None) is not (self.to is None):
            raise ValueError("write either 'day', or 'from' and 'to'")
        if self.from_ is not None and self.to is not None and not 0 <= (self.to - self.from_).days < HOLIDAY_DAYS:
            message = f"it lasts from {self.from_} to {self.to}: it ends before it begins, or is longer than a year"
            raise ValueError(message)
        return self

    @property
    def days(self) -> list[date]:
        """All its days."""
        first, last = self.day or self.from_, self.day or self.to
        if first is None or last is None:
            return []
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]


class Holidays(Model):
    """A calendar of days off, and of the days that are worked in their place.

    Attributes:
        days: on these no service is promised.
        works_on: on these it is, whatever day of the week they are: what a swap of days has made working days.

    """

    id: Id
    name: Named = Name()
    days: tuple[Holiday, ...] = ()
    works_on: tuple[Day, ...] = ()

    @model_validator(mode="after")
    def _no_day_is_both(self) -> Self:
        both = sorted(self.days_off & set(self.works_on))
        if both:
            message = f"{both[0]} is both a day off and a day that is worked"
            raise ValueError(message)
        return self

    @property
    def days_off(self) -> frozenset[date]:
        """Every day off."""
        return frozenset(day for holiday in self.days for day in holiday.days)


class ServiceHours(Model):
    """When a service is promised, in the configured time zone.

    Attributes:
        days: days of the week and ranges of them, such as `mon-fri` or `mon,wed,sat`.
        hours: times of the day, such as `08:00-17:00` or `07:30-11:30,13:00-16:30`; the end is not in it.
        holidays: ids of the calendars whose days off are not served; what one of them works on is.

    """

    id: Id
    days: Annotated[str, AfterValidator(_checked(parse_days))] = "mon-sun"
    hours: Annotated[str, AfterValidator(_checked(parse_hours))] = "00:00-24:00"
    holidays: tuple[str, ...] = ()


_STORES = ("sqlite:///", "postgresql://")


def _host_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    in_brackets = host.startswith("[") and host.endswith("]")
    if not colon or not is_port or not host or any(c.isspace() for c in host) or (":" in host and not in_brackets):
        message = f"{value!r} is not an address to listen on: write host:port, such as 127.0.0.1:8050 or [::1]:8050"
        raise ValueError(message)
    return value


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


Address = Annotated[str, AfterValidator(_host_port)]
"""`host:port`; an IPv6 address in brackets; port 0 takes any free one."""


class Settings(Model):
    """Settings of the whole installation.

    Attributes:
        timezone: IANA name: days and months are cut there, and times are shown in it.
        language: of messages and of the interface's first page.
        store: `sqlite:///path` or `postgresql://…`; its password is a reference.
        agent: id that this site's results carry.
        web, listen: addresses of the web process and of the monitor's listener.
        seats: checks that may run at once.
        queue: results that may wait to be saved.
        spool: directory where results wait while the store is away.
        simulated: pages say that the data is simulated.

    """

    timezone: Annotated[str, AfterValidator(_timezone)] = "Asia/Ho_Chi_Minh"
    language: Literal["vi", "en"] = "vi"
    store: Annotated[str, AfterValidator(_store)] = Field("sqlite:///data/thongsuot.db", repr=False)
    agent: Id = "local"
    web: Address = "127.0.0.1:8050"
    listen: Address = "127.0.0.1:9109"
    seats: int = Field(512, ge=1, le=100_000)
    queue: int = Field(20_000, ge=10, le=10_000_000)
    spool: str = "data/spool"
    simulated: bool = False


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
