"""The interfaces of a router as IF-MIB shows them (RFC 2863): read in one walk, or a few of them by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from probes.failures import plain_line
from probes.snmp_ber import ABSENT, NUMBERS, number, oid, subidentifiers, suffix
from probes.snmp_session import Session, Stamp
from probes.snmp_walk import Cell, Column, fetch, text, walk

_TABLE, _EXTENDED = "1.3.6.1.2.1.2.2.1.", "1.3.6.1.2.1.31.1.1.1."
_DESCR, _SPEED, _ADMIN, _OPER = (oid(f"{_TABLE}{column}") for column in (2, 5, 7, 8))
_IN_OCTETS, _OUT_OCTETS = (oid(f"{_TABLE}{column}") for column in (10, 16))
_IN_DISCARDS, _IN_ERRORS, _OUT_DISCARDS, _OUT_ERRORS = (oid(f"{_TABLE}{column}") for column in (13, 14, 19, 20))
_NAME, _HC_IN, _HC_OUT, _HIGH_SPEED, _ALIAS, _DISCONTINUITY = (
    oid(f"{_EXTENDED}{column}") for column in (1, 6, 10, 15, 18, 19)
)
_LIVE = (
    _NAME,
    _ADMIN,
    _OPER,
    _HIGH_SPEED,
    _HC_IN,
    _HC_OUT,
    _IN_ERRORS,
    _OUT_ERRORS,
    _IN_DISCARDS,
    _OUT_DISCARDS,
    _DISCONTINUITY,
)
_NAMES = (_NAME, _DESCR, _ALIAS)
_LEGACY = (_IN_OCTETS, _OUT_OCTETS, _SPEED)
"""What stands in for counters of 64 bits and ifHighSpeed where an agent has none."""

UP, DORMANT = 1, 5
STATUS_NAMES = {1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "notPresent", 7: "lowerLayerDown"}
"""ifOperStatus and, of its first three, ifAdminStatus."""

_NAME_LIMIT = 80
_SPEED_FULL = 0xFFFF_FFFF
"""ifSpeed of an interface that is too fast for it."""


@dataclass(frozen=True, slots=True)
class Names:
    """What an interface is called: its number, and the names that operators know it by."""

    index: int
    name: str
    descr: str
    alias: str

    @property
    def label(self) -> str:
        """The shortest name that it has."""
        return self.name or self.descr or str(self.index)

    def is_called(self, name: str) -> bool:
        """Say whether this is the interface that somebody means."""
        return name in (self.name, self.descr, self.alias) or name == str(self.index)


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface at one moment; None is what the agent does not tell.

    Attributes:
        names: what it is called.
        admin, oper: ifAdminStatus and ifOperStatus.
        speed_bps: nominal.
        octets_bits: 64 or 32, the size of the counters of octets.
        in_octets … out_discards: counters.
        discontinuity: the agent's ticks when its counters last began anew.
        stamp: when they were read.

    """

    names: Names
    admin: int | None
    oper: int | None
    speed_bps: float | None
    octets_bits: int
    in_octets: int | None
    out_octets: int | None
    in_errors: int | None
    out_errors: int | None
    in_discards: int | None
    out_discards: int | None
    discontinuity: int | None
    stamp: Stamp

    @property
    def is_down(self) -> bool:
        """Say whether nothing can pass; an agent that does not know has not said so."""
        return self.admin == 2 or self.oper in (2, 3, 6, 7)


async def read_names(session: Session) -> dict[int, Names]:
    """Return what all interfaces are called, by ifIndex.

    Raises TroubleError.
    """
    name, descr, alias = await walk(session, _NAMES)
    return {
        index: Names(index, *(_line(column.get(raw)) for column in (name, descr, alias)))
        for raw in name | descr
        if (index := _index(raw)) is not None
    }


async def read_all(session: Session, known: dict[int, Names]) -> list[Interface]:
    """Return all interfaces in the order of their numbers; `known` is brought up to date when names changed.

    Raises TroubleError.
    """
    live = await walk(session, _LIVE)
    legacy: Sequence[Column] = ({}, {}, {})
    if any(raw not in live[4] for raw in live[2]):
        legacy = await walk(session, _LEGACY)
    if _outdated(live, known):
        known.clear()
        known.update(await read_names(session))
    return _interfaces(live, legacy, known)


async def read_some(session: Session, indexes: Collection[int], known: dict[int, Names]) -> list[Interface]:
    """Return these interfaces; those that are not there, or are no longer called the same, are left out.

    Raises TroubleError.
    """
    raw = [suffix((index,)) for index in sorted(indexes)]
    live = await fetch(session, (*_LIVE, *_LEGACY), raw)
    present = [{key: cell for key, cell in column.items() if cell.tag not in ABSENT} for column in live]
    count = len(_LIVE)
    if _outdated(present[:count], {index: known[index] for index in indexes}):
        return []
    return _interfaces(present[:count], present[count:], known)


def _outdated(live: Sequence[Column], known: dict[int, Names]) -> bool:
    """Say whether the numbers stand for other interfaces than they did."""
    names, oper = live[0], live[2]
    indexes = {_index(raw) for raw in oper}
    if indexes != set(known):
        return True
    return any(_line(cell) != known[index].name for raw, cell in names.items() if (index := _index(raw)) in known)


def _interfaces(live: Sequence[Column], legacy: Sequence[Column], known: dict[int, Names]) -> list[Interface]:
    _, admin, oper, high_speed, hc_in, hc_out, in_errors, out_errors, in_discards, out_discards, discontinuity = live
    found = []
    for raw, status in oper.items():
        names = known.get(_index(raw) or 0)
        if names is None:
            continue
        bits = 64 if raw in hc_in and raw in hc_out else 32
        into, out = (hc_in, hc_out) if bits == 64 else (legacy[0], legacy[1])
        counted = into.get(raw)
        found.append(
            Interface(
                names,
                _number(admin.get(raw)),
                _number(status),
                _speed_bps(_number(high_speed.get(raw)), _number(legacy[2].get(raw))),
                bits,
                _number(counted),
                _number(out.get(raw)),
                _number(in_errors.get(raw)),
                _number(out_errors.get(raw)),
                _number(in_discards.get(raw)),
                _number(out_discards.get(raw)),
                _number(discontinuity.get(raw)),
                (counted or status).stamp,
            )
        )
    return found


def _speed_bps(high_mbps: int | None, low_bps: int | None) -> float | None:
    """Return the speed: ifHighSpeed is in Mbit/s, and 0 for what is slower than half of one."""
    if high_mbps:
        return high_mbps * 1e6
    return float(low_bps) if low_bps and low_bps != _SPEED_FULL else None


def _index(raw: bytes) -> int | None:
    numbers = subidentifiers(raw)
    return numbers[0] if len(numbers) == 1 else None


def _number(cell: Cell | None) -> int | None:
    return number(cell.tag, cell.value) if cell is not None and cell.tag in NUMBERS else None


def _line(cell: Cell | None) -> str:
    return plain_line(text(cell), _NAME_LIMIT)
