"""How far places are apart, and how long light in fibre needs for it."""

from __future__ import annotations

from collections.abc import Iterable
from math import asin, cos, radians, sin, sqrt

from monitor.demo.domain import Province

EARTH_RADIUS_KM = 6371.0
FIBRE_S_PER_KM = 5e-6
"""Light in silica travels about 200 000 km/s (ITU-T G.652 fibre, group index near 1.47)."""
DETOUR = 1.4
"""Cables follow roads and rivers, not great circles."""
EQUIPMENT_S = 0.0004
"""Both directions through access and core equipment."""
CORE_PROVINCES = ("01", "48", "79")
"""Where the core sites stand: Hà Nội, Đà Nẵng, Hồ Chí Minh."""


def distance_km(one: Province, other: Province) -> float:
    """Return the great-circle distance (haversine)."""
    lat1, lat2 = radians(one.lat), radians(other.lat)
    a = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin(radians(other.lon - one.lon) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(sqrt(a))


def nearest(place: Province, candidates: Iterable[Province]) -> Province:
    """Return the candidate that is nearest to `place`."""
    return min(candidates, key=lambda candidate: distance_km(place, candidate))


def round_trip_s(length_km: float) -> float:
    """Return the least round-trip time over a cable between places so far apart."""
    return 2 * length_km * DETOUR * FIBRE_S_PER_KM + EQUIPMENT_S
