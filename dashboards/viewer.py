"""Who looks: the language and theme of one request, from its address, else its cookies, else the installation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from dashboards.formats import LANGUAGES, Language
from dashboards.palette import THEMES, Theme

CHOICES: Mapping[str, tuple[str, ...]] = {"lang": LANGUAGES, "theme": THEMES}
"""What may be chosen with `?name=value` and is then kept in a cookie of the same name."""

T = TypeVar("T", bound=str)


@dataclass(frozen=True, slots=True)
class Viewer:
    """One viewer's choices."""

    language: Language
    theme: Theme


def viewer_of(query: Mapping[str, str], cookies: Mapping[str, str], default: Language) -> Viewer:
    """Return the viewer's choices; what is not a known choice is ignored."""
    language = _chosen("lang", LANGUAGES, query, cookies, default)
    return Viewer(language, _chosen("theme", THEMES, query, cookies, "dark"))


def _chosen(name: str, known: tuple[T, ...], query: Mapping[str, str], cookies: Mapping[str, str], default: T) -> T:
    for value in (query.get(name), cookies.get(name)):
        for choice in known:
            if value == choice:
                return choice
    return default
