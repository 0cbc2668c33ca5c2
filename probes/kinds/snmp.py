"""SNMP: a router's interfaces and its own health (RFC 3416; IF-MIB: RFC 2863; SNMPv3: RFC 3414, RFC 7860).

    - probe: snmp
      address: 10.0.0.1                    # host or host:port
      user: thongsuot                      # SNMPv3; for SNMPv2c: community: "${env:SNMP_COMMUNITY}"
      auth: sha256
      auth_password: ${env:SNMP_AUTH}
      privacy: aes128
      privacy_password: ${env:SNMP_PRIVACY}
      interface: ge-0/0/1                  # ifName, ifDescr, ifAlias or ifIndex
      speed: 200Mbit/s                     # what was contracted, where the port is faster
      degraded_when: ["in_utilisation_ratio > 0.9 || out_utilisation_ratio > 0.9", "in_errors_per_s > 1.0"]

**One interface** (`interface`): down (`condition`) when its operational status is down, testing, notPresent or
lowerLayerDown, or it was shut down; in and out each have their own figures. Of what it is called, ifName counts
before ifDescr, ifAlias and the number; after a reboot that numbers interfaces anew it is found again by its name. No
such interface is `query_failed`.

**Many** (`interfaces: all`, or a list of patterns such as `ge-*`): counts and the busiest; down only by a
condition. `interfaces['ge-0/0/1'].out_bps` is a fact, and `busiest` names the interface to look at: write
`utilisation_max_ratio > 0.9 && busiest != ''`, and the message shows both.

**The system**, where neither is named or with `system: true`: up-time, processors, memory, temperatures, optical
power; what the router does not tell is absent.

**Many checks of one router** share one walk of it: a reading is good for all that ask within `share_for`, though never
twice for the same check. While few interfaces are asked for, only these are read.

**Rates** are between two readings, at least `rate_window` apart (agents refresh counters every few seconds), so the
first result has none. A reset (of the agent, of an interface, of a counter) is unknown: the rates are absent then,
neither zero nor a spike. Counters of 64 bits where there are any; of 32 bits only as long as they can tell. To
conditions an unknown rate is not a number: neither more nor less than anything, so that `in_bps > 1e9` and
`in_bps < 1e3` are both false. A rule on the 95th percentile of five-minute means wants `interval: 5m`.

**No answer** is `timeout`. An agent is silent towards a community that it does not take, so this may be that; SNMPv3
says so, and it is `auth_rejected`.

**Least privilege**: a user with a read-only view of 1.3.6.1.2.1 (and the vendor's branch for CPU and memory), from the
monitor's address alone; with net-snmp:

    createUser thongsuot SHA-256 "…" AES "…"
    view thongsuot included .1.3.6.1.2.1
    rouser thongsuot priv -V thongsuot
"""

from __future__ import annotations

import asyncio
import math
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import INCOMPARABLE, Context, Failure, Measurement, Probe
from probes.run_memory import LastRun, last_run
from probes.snmp_interfaces import STATUS_NAMES, Interface
from probes.snmp_params import AgentParams
from probes.snmp_rates import TICKS_PER_S, Rates, rates
from probes.snmp_router import Reading, open_session, router_of
from probes.snmp_system import Health, read_health
from probes.units import Duration, Rate

Pattern = Annotated[str, Field(min_length=1, max_length=255)]


class SnmpParams(AgentParams):
    """Parameters of the kind `snmp`."""

    interface: str = Field("", max_length=255, description="one interface, by ifName, ifDescr, ifAlias or ifIndex")
    interfaces: Literal["all"] | tuple[Pattern, ...] = Field(
        (), description="`all`, or patterns of ifName, ifDescr or ifAlias (`ge-*`)"
    )
    system: bool = Field(False, description="look at the system too; done anyway where no interface is named")
    speed: Rate | None = Field(None, description="what an interface is said to carry, instead of its ifHighSpeed")
    share_for: Duration = Field(10.0, ge=0, le=3600, description="how old another check's reading may be to be ours")
    rate_window: Duration = Field(10.0, ge=0, le=3600, description="the least time that rates are taken over")

    @model_validator(mode="after")
    def _looks_at_one_or_many(self) -> SnmpParams:
        if self.interface and self.interfaces:
            raise ValueError("write interface (one) or interfaces (many)")
        return self


_SUMMED = (
    "in_bps",
    "out_bps",
    "in_errors_per_s",
    "out_errors_per_s",
    "in_discards_per_s",
    "out_discards_per_s",
)
_LOADS = {"in_utilisation_ratio", "out_utilisation_ratio"}
_UNKNOWN = Rates(INCOMPARABLE, None, None, None, None, None, None)


class _Baseline(NamedTuple):
    """Readings to take rates from: the latest, and those that are old enough for it."""

    last: Reading
    newer: Reading
    older: Reading | None


async def run(params: SnmpParams, ctx: Context) -> Measurement:
    """Ask the router, and say what it tells."""
    found: dict[str, float] = {}
    facts: dict[str, Any] = {}
    failure, message = None, ""
    try:
        if params.interface or params.interfaces:
            failure, message = await _watch_interfaces(params, ctx, found, facts)
        if params.system or not (params.interface or params.interfaces):
            await _watch_system(params, ctx, found, facts)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    ctx.phases.end()
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)


async def _watch_system(params: SnmpParams, ctx: Context, found: dict[str, float], facts: dict[str, Any]) -> None:
    session = await open_session(params, ctx)
    try:
        _, stamp = await session.get(())
        if stamp.ticks is not None:
            found["uptime_s"] = stamp.ticks / TICKS_PER_S
        health = await read_health(session)
    finally:
        session.close()
        found["retries"] = session.retries
        found["ignored"] = session.ignored
    _describe_health(health, found, facts)


def _describe_health(health: Health, found: dict[str, float], facts: dict[str, Any]) -> None:
    for name in ("cpu_ratio", "memory_ratio"):
        value = getattr(health, name)
        if value is not None:
            found[name] = value
    heat = [sensor.value for sensor in health.sensors if sensor.unit == "celsius"]
    light = [sensor.value for sensor in health.sensors if sensor.unit == "dbm"]
    if heat:
        found["temperature_max_celsius"] = max(heat)
    if light:
        found["optical_power_min_dbm"] = min(light)
    facts["sensors"] = {sensor.name: sensor.value for sensor in health.sensors}


async def _watch_interfaces(
    params: SnmpParams, ctx: Context, found: dict[str, float], facts: dict[str, Any]
) -> tuple[Failure | None, str]:
    asked = params.address, params.ip_version, params.context, params.interface, params.interfaces
    last: LastRun[_Baseline] = last_run(ctx, "snmp", *asked)
    baseline = last.recall()
    reading = await router_of(params, ctx).reading(
        params, ctx, params.interface or None, params.share_for, baseline.last if baseline else None
    )
    ctx.phases.end()
    before, baseline = _advance(baseline, reading, params.rate_window)
    last.keep(baseline)
    found["reading_age_s"] = max(asyncio.get_running_loop().time() - reading.at, 0.0)
    if params.interface:
        return _describe_one(params, reading, before, found, facts)
    _describe_many(params, reading, before, found, facts)
    return None, ""


def _advance(baseline: _Baseline | None, reading: Reading, window_s: float) -> tuple[Reading | None, _Baseline]:
    """Return the reading to take rates from, and what to keep for the next time."""
    if baseline is None:
        return None, _Baseline(reading, reading, None)
    if reading.at - baseline.newer.at >= window_s:
        return baseline.newer, _Baseline(reading, reading, baseline.newer)
    return baseline.older, baseline._replace(last=reading)


def _describe_one(
    params: SnmpParams,
    reading: Reading,
    before: Reading | None,
    found: dict[str, float],
    facts: dict[str, Any],
) -> tuple[Failure | None, str]:
    now = reading.called(params.interface)
    if now is None:
        raise TroubleError(Failure.QUERY_FAILED, f"the router has no interface that is called {params.interface!r}")
    old = before.called(params.interface) if before else None
    figures = _figures(now, old, params.speed)
    found.update((name, value) for name, value in figures.items() if not math.isnan(value))
    facts.update((name, value) for name, value in figures.items() if math.isnan(value))
    if now.stamp.ticks is not None:
        found["uptime_s"] = now.stamp.ticks / TICKS_PER_S
    facts.update({"name": now.names.label, "alias": now.names.alias, "descr": now.names.descr})
    facts["oper_status_name"] = STATUS_NAMES.get(now.oper or 0, "")
    if not now.is_down:
        return None, ""
    if now.admin == 2:
        return Failure.CONDITION, f"interface {now.names.label} was shut down (ifAdminStatus is down)"
    return Failure.CONDITION, f"interface {now.names.label} is {STATUS_NAMES[now.oper or 2]} (ifOperStatus)"


def _describe_many(
    params: SnmpParams,
    reading: Reading,
    before: Reading | None,
    found: dict[str, float],
    facts: dict[str, Any],
) -> None:
    chosen = [one for one in reading.interfaces.values() if _is_chosen(one, params.interfaces)]
    old = before.interfaces if before else {}
    tables = {one.names.label: _figures(one, old.get(one.names.index), params.speed) for one in chosen}
    facts["interfaces"] = tables
    facts["down"] = [one.names.label for one in chosen if one.is_down and one.admin != 2]
    found["interfaces_total"] = len(chosen)
    found["interfaces_up"] = sum(not one.is_down for one in chosen)
    found["interfaces_down"] = len(facts["down"])
    found["interfaces_shut"] = sum(one.admin == 2 for one in chosen)
    ticks = next((one.stamp.ticks for one in chosen), None)
    if ticks is not None:
        found["uptime_s"] = ticks / TICKS_PER_S
    for name in _SUMMED:
        values = [table[name] for table in tables.values() if name in table]
        if values:  # what is unknown of one is unknown of all
            total = sum(values)
            (facts if math.isnan(total) else found)[name] = total
    loads = {
        name: max(table["in_utilisation_ratio"], table["out_utilisation_ratio"])
        for name, table in tables.items()
        if table.keys() >= _LOADS and not any(math.isnan(table[load]) for load in _LOADS)
    }
    facts["busiest"] = max(loads, key=loads.__getitem__, default="")
    (found if loads else facts)["utilisation_max_ratio"] = loads.get(facts["busiest"], INCOMPARABLE)


def _is_chosen(one: Interface, wanted: str | tuple[str, ...]) -> bool:
    names = one.names
    return wanted == "all" or any(
        fnmatchcase(name, pattern) for pattern in wanted for name in (names.name, names.descr, names.alias)
    )


def _figures(now: Interface, old: Interface | None, speed_bps: float | None) -> dict[str, float]:
    """Return what is known of an interface; not a number what is not known this time."""
    speed_bps = speed_bps or now.speed_bps
    # The same number may be another interface by now: names are what an interface is.
    passed = rates(old, now) if old is not None and old.names.label == now.names.label else None
    passed = passed or _UNKNOWN
    into, out = passed.in_bps, passed.out_bps
    told: dict[str, tuple[object, float | None]] = {
        "oper_status": (now.oper, now.oper),
        "admin_status": (now.admin, now.admin),
        "speed_bps": (speed_bps, speed_bps),
        "interval_s": (now.in_octets, passed.interval_s),
        "in_bps": (now.in_octets, into),
        "out_bps": (now.out_octets, out),
        "in_errors_per_s": (now.in_errors, passed.in_errors),
        "out_errors_per_s": (now.out_errors, passed.out_errors),
        "in_discards_per_s": (now.in_discards, passed.in_discards),
        "out_discards_per_s": (now.out_discards, passed.out_discards),
    }
    if speed_bps:
        told["in_utilisation_ratio"] = (now.in_octets, into / speed_bps if into is not None else None)
        told["out_utilisation_ratio"] = (now.out_octets, out / speed_bps if out is not None else None)
    return {
        name: INCOMPARABLE if value is None else float(value)
        for name, (counted, value) in told.items()
        if counted is not None
    }


PROBE = Probe(
    kind="snmp",
    params=SnmpParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "query_s": "time of asking, in seconds; absent when another check's reading was shared",
        "reading_age_s": "how long ago the reading was begun, in seconds",
        "uptime_s": "time since the agent began anew (sysUpTime), in seconds; begins at 0 again after 497 days",
        "oper_status": "ifOperStatus: 1 up, 2 down, 3 testing, 4 unknown, 5 dormant, 6 notPresent, 7 lowerLayerDown",
        "admin_status": "ifAdminStatus: 1 up, 2 down, 3 testing",
        "speed_bps": "nominal or configured speed, in bits per second",
        "interval_s": "time that the rates are taken over, in seconds",
        "in_bps": "received, in bits per second; of many interfaces their sum",
        "out_bps": "sent, in bits per second; of many interfaces their sum",
        "in_utilisation_ratio": "received against the speed, 0 to 1",
        "out_utilisation_ratio": "sent against the speed, 0 to 1",
        "in_errors_per_s": "received packets with errors, per second",
        "out_errors_per_s": "packets that could not be sent for errors, per second",
        "in_discards_per_s": "received packets thrown away, per second",
        "out_discards_per_s": "packets thrown away before they were sent, per second",
        "interfaces_total": "interfaces chosen by `interfaces`",
        "interfaces_up": "of these, those that are not down",
        "interfaces_down": "of these, those that are down though nobody shut them down",
        "interfaces_shut": "of these, those that were shut down",
        "utilisation_max_ratio": "the highest utilisation of any of them in any direction, 0 to 1",
        "cpu_ratio": "mean load of the processors over a minute, 0 to 1",
        "memory_ratio": "memory in use, 0 to 1",
        "temperature_max_celsius": "the hottest sensor, in °C",
        "optical_power_min_dbm": "the weakest light, in dBm",
        "retries": "questions that had to be sent again",
        "ignored": "datagrams that came and were not the answer",
    },
    facts={
        "name": "string",
        "alias": "string",
        "descr": "string",
        "oper_status_name": "string",
        "busiest": "string",
        "down": "dyn",
        "interfaces": "map",
        "sensors": "map",
    },
    latency="query_s",
)
