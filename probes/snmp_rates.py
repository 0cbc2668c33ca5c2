"""Rates from two readings of an interface's counters, purely: a reset is unknown, never zero and never a spike.

**The interval** is measured by the agent's own sysUpTime, which stands in the same answer as the counters: it does
not contain the way there, nor what an agent or this process was late by, which over 10 s may be some percent. It is
believed when our clock agrees with it within a twentieth (at least 1.5 s, since some agents move it only now and
then). When they do not agree, the agent began anew (sysUpTime is set back), and counters before and after have nothing
to do with each other. Our clock counts only for agents that tell no sysUpTime.

**A counter that went back** is a wrap only if it has 32 bits and the link could have carried what that would mean; if
it could have wrapped more than once, 32 bits say nothing at all, whichever way they went (RFC 2863, section 3.1.6).
"""

from __future__ import annotations

from typing import NamedTuple

from probes.snmp_interfaces import Interface
from probes.snmp_session import Stamp

TICKS_PER_S = 100
_TICKS = 1 << 32
"""sysUpTime begins anew after 497 days without anything being reset."""

_AGREE_S, _AGREE_RATIO = 1.5, 0.05
_SPARE = 1.1
"""How much more than its nominal speed an interface may seem to carry: the readings are not quite simultaneous."""

_ABSURD_BPS, _ABSURD_TIMES = 1e9, 10.0
"""Beyond both this and so many times its speed nothing was carried: a counter of 64 bits has jumped."""

_PACKETS_LIMIT = 1 << 30
"""Errors that a counter of packets may have passed through zero by."""


class Rates(NamedTuple):
    """What passed an interface per second, each None where it is unknown.

    Attributes:
        interval_s: between the two readings.
        in_bps, out_bps: bits.
        in_errors, out_errors, in_discards, out_discards: packets per second.

    """

    interval_s: float
    in_bps: float | None
    out_bps: float | None
    in_errors: float | None
    out_errors: float | None
    in_discards: float | None
    out_discards: float | None


def interval_s(before: Stamp, after: Stamp) -> float | None:
    """Return the time between two readings, None when the agent began anew in between."""
    by_us = after.at - before.at
    if by_us <= 0:
        return None
    if before.ticks is None or after.ticks is None:
        return by_us
    by_agent = ((after.ticks - before.ticks) % _TICKS) / TICKS_PER_S
    if abs(by_agent - by_us) > max(_AGREE_S, _AGREE_RATIO * by_us) or not by_agent:
        return None
    return by_agent


def rates(before: Interface, after: Interface) -> Rates | None:
    """Return the rates between two readings of one interface, None when nothing can be said of any of them."""
    elapsed_s = interval_s(before.stamp, after.stamp)
    if elapsed_s is None or before.discontinuity != after.discontinuity or before.octets_bits != after.octets_bits:
        return None
    in_bps, out_bps = (
        octets_bps(old, new, elapsed_s, after.octets_bits, after.speed_bps)
        for old, new in ((before.in_octets, after.in_octets), (before.out_octets, after.out_octets))
    )
    packets = (
        _per_s(getattr(before, name), getattr(after, name), elapsed_s)
        for name in ("in_errors", "out_errors", "in_discards", "out_discards")
    )
    return Rates(elapsed_s, in_bps, out_bps, *packets)


def octets_bps(old: int | None, new: int | None, elapsed_s: float, bits: int, speed_bps: float | None) -> float | None:
    """Return bits per second by a counter of octets, None where it tells nothing."""
    if old is None or new is None:
        return None
    if bits == 64:
        bps = (new - old) * 8 / elapsed_s
        return bps if 0 <= bps <= max(_ABSURD_BPS, _ABSURD_TIMES * (speed_bps or _ABSURD_BPS)) else None
    if speed_bps is None:
        return (new - old) * 8 / elapsed_s if new >= old else None
    if speed_bps * _SPARE * elapsed_s / 8 >= 1 << 32:
        return None
    bps = ((new - old) % (1 << 32)) * 8 / elapsed_s
    return bps if bps <= speed_bps * _SPARE or new >= old else None


def _per_s(old: int | None, new: int | None, elapsed_s: float) -> float | None:
    if old is None or new is None:
        return None
    count = (new - old) % (1 << 32)
    return count / elapsed_s if new >= old or count < _PACKETS_LIMIT else None
