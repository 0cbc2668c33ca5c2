"""Names and places from the domain data (`config/domain/*.csv`)."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import config

DOMAIN = Path(config.__file__).parent / "domain"


@dataclass(frozen=True, slots=True)
class Province:
    """A first-level unit: official code, names, and its centre (WGS 84, degrees)."""

    code: str
    name_vi: str
    name_en: str
    full_name_vi: str
    lat: float
    lon: float

    @property
    def slug(self) -> str:
        """The name as it stands in identifiers: `cao-bang`."""
        return slug(self.name_vi)


@dataclass(frozen=True, slots=True)
class Organisation:
    """A ministry or another body: code, kind and names."""

    code: str
    kind: str
    name_vi: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Holding:
    """A database or a platform: its number in the domain data, names (`name_en` may be "") and owner's code."""

    number: str
    name_vi: str
    name_en: str
    owner: str


@dataclass(frozen=True, slots=True)
class Domain:
    """All that the simulation takes from the domain data, by code or number, in the files' order."""

    provinces: Mapping[str, Province]
    organisations: Mapping[str, Organisation]
    databases: Mapping[str, Holding]
    platforms: Mapping[str, Holding]


def slug(text: str) -> str:
    """Return `text` in lower-case ASCII letters and digits with hyphens: `Đắk Lắk` → `dak-lak`."""
    plain = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in plain if not unicodedata.combining(c))
    return "-".join(words.split())


def read(directory: Path = DOMAIN) -> Domain:
    """Read the domain data."""
    provinces = [
        Province(r["code"], r["name_vi"], r["name_en"], r["full_name_vi"], float(r["lat"]), float(r["lon"]))
        for r in _rows(directory / "provinces.csv")
    ]
    organisations = [
        Organisation(r["code"], r["kind"], r["name_vi"], r["name_en"]) for r in _rows(directory / "ministries.csv")
    ]
    databases = [
        Holding(r["id"], r["name_vi"], r["name_en"], r["owner_code"]) for r in _rows(directory / "databases.csv")
    ]
    platforms = [
        Holding(r["group"] + r["no"], r["name_vi_short"], "", r["owner_code"])
        for r in _rows(directory / "platforms.csv")
    ]
    return Domain(
        {province.code: province for province in provinces},
        {organisation.code: organisation for organisation in organisations},
        {database.number: database for database in databases},
        {platform.number: platform for platform in platforms},
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
