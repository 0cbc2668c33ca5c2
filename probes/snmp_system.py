"""How a router is: processors, memory and sensors, from the MIBs that agents have; what none has is absent.

Processors: hrProcessorLoad (RFC 2790), else cpmCPUTotal1minRev (CISCO-PROCESS-MIB), else ssCpuIdle (UCD-SNMP-MIB).
Memory: UCD-SNMP-MIB (what buffers and caches hold is free), else hrStorageTable, else CISCO-MEMORY-POOL-MIB.
Sensors: ENTITY-SENSOR-MIB (RFC 3433), else CISCO-ENTITY-SENSOR-MIB, whose columns are the same; only those that the
agent says are working.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from probes.failures import TroubleError, plain_line
from probes.model import Failure
from probes.snmp_ber import NUMBERS, number, oid, oid_text
from probes.snmp_session import Session
from probes.snmp_walk import Cell, Column, text, walk

_HR_LOAD = (oid("1.3.6.1.2.1.25.3.3.1.2"),)
_CISCO_LOAD = (oid("1.3.6.1.4.1.9.9.109.1.1.1.1.7"),)
_UCD = tuple(oid(f"1.3.6.1.4.1.2021.{place}.0") for place in ("11.11", "4.5", "4.6", "4.14", "4.15"))
_HR_STORAGE = tuple(oid(f"1.3.6.1.2.1.25.2.3.1.{column}") for column in (2, 5, 6))
_HR_RAM = oid("1.3.6.1.2.1.25.2.1.2")
_CISCO_POOL = tuple(oid(f"1.3.6.1.4.1.9.9.48.1.1.1.{column}") for column in (5, 6))
_SENSORS = tuple(oid(f"1.3.6.1.2.1.99.1.1.1.{column}") for column in range(1, 6))
_CISCO_SENSORS = tuple(oid(f"1.3.6.1.4.1.9.9.91.1.1.1.1.{column}") for column in range(1, 6))
_ENTITY_NAMES = tuple(oid(f"1.3.6.1.2.1.47.1.1.1.1.{column}") for column in (7, 2))

_WATTS, _CELSIUS, _DBM = 6, 8, 14
_UNITS = 9
"""The EntitySensorDataScale that means 10⁰; each step beside it is a thousand."""

_OK = 1
_ROWS = 2000
_OPTICAL = re.compile(r"(?i)\b(optic\w*|[rt]x|receive|transmit|laser|transceiver|sfp\S*|xfp\S*|qsfp\S*)\b")
_OPTICAL_LIMIT_W = 0.1


class Sensor(NamedTuple):
    """A working sensor: what it is called, and what it shows, in °C or in dBm."""

    name: str
    unit: str
    value: float


class Health(NamedTuple):
    """How a router is, in figures between 0 and 1; None is what its agent does not tell.

    Attributes:
        cpu_ratio: the mean load of its processors over the last minute.
        memory_ratio: memory in use.
        sensors: temperatures and optical powers.

    """

    cpu_ratio: float | None
    memory_ratio: float | None
    sensors: Sequence[Sensor]


async def read_health(session: Session) -> Health:
    """Return how a router is.

    Raises TroubleError for trouble on the way; a MIB that the agent refuses is one that it does not have.
    """
    bindings, _ = await session.get(_UCD)
    ucd = [number(tag, value) if tag in NUMBERS else None for _, tag, value in bindings]
    return Health(await _cpu(session, ucd[0]), await _memory(session, *ucd[1:]), await _sensors(session))


async def _table(session: Session, columns: Sequence[bytes]) -> list[Column]:
    try:
        return await walk(session, columns, _ROWS)
    except TroubleError as error:
        if error.failure in (Failure.AUTH_REJECTED, Failure.QUERY_FAILED):  # one MIB's fault is not the router's
            return [{} for _ in columns]
        raise


async def _cpu(session: Session, idle_percent: int | None) -> float | None:
    for columns in (_HR_LOAD, _CISCO_LOAD):
        (loads,) = await _table(session, columns)
        numbers = [load for cell in loads.values() if (load := _number(cell)) is not None and 0 <= load <= 100]
        if numbers:
            return sum(numbers) / len(numbers) / 100
    return 1 - idle_percent / 100 if idle_percent is not None and 0 <= idle_percent <= 100 else None


async def _memory(
    session: Session, total: int | None, free: int | None, buffers: int | None, cached: int | None
) -> float | None:
    if total and free is not None:
        return _share(total - free - (buffers or 0) - (cached or 0), total)
    kinds, sizes, used = await _table(session, _HR_STORAGE)
    ram = [index for index, kind in kinds.items() if kind.value == _HR_RAM]
    if ram:
        return _share(_sum(used, ram), _sum(sizes, ram))
    pool_used, pool_free = await _table(session, _CISCO_POOL)
    taken = _sum(pool_used, pool_used)
    return _share(taken, taken + _sum(pool_free, pool_used))


async def _sensors(session: Session) -> list[Sensor]:
    columns = await _table(session, _SENSORS)
    if not columns[3]:
        columns = await _table(session, _CISCO_SENSORS)
    if not columns[3]:
        return []
    names, descriptions = await _table(session, _ENTITY_NAMES)
    found = []
    for index in columns[3]:
        figures = [_number(column.get(index)) for column in columns]
        label = text(names.get(index)) or text(descriptions.get(index)) or oid_text(b"\0" + index).removeprefix("0.0.")
        sensor = sensor_of(plain_line(label, 80), *figures)
        if sensor is not None:
            found.append(sensor)
    return found


def sensor_of(
    name: str, kind: int | None, scale: int | None, precision: int | None, value: int | None, status: int | None
) -> Sensor | None:
    """Return what a row of entPhySensorTable shows, None when it is neither heat nor light, or not working."""
    if status != _OK or kind is None or scale is None or value is None or not 1 <= scale <= 17:
        return None
    figure = value * 1000.0 ** (scale - _UNITS) / 10.0 ** max(-8, min(precision or 0, 9))
    if kind == _CELSIUS:
        return Sensor(name, "celsius", figure)
    if kind == _DBM:
        return Sensor(name, "dbm", figure)
    if kind == _WATTS and 0 < figure < _OPTICAL_LIMIT_W and _OPTICAL.search(name):
        return Sensor(name, "dbm", 10 * math.log10(figure * 1000))
    return None


def _number(cell: Cell | None) -> int | None:
    return number(cell.tag, cell.value) if cell is not None and cell.tag in NUMBERS else None


def _sum(column: Mapping[bytes, Cell], indexes: Sequence[bytes] | Column) -> int:
    return sum(_number(column.get(index)) or 0 for index in indexes)


def _share(part: int, whole: int) -> float | None:
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else None
