"""The colours of both themes: one accent, four states, and the charts'. The only place where a colour is written.

The state colours are the Okabe-Ito set (Okabe and Ito, "Color Universal Design", 2008: bluish green, orange,
vermillion, reddish purple), moved in lightness until each reads at 4.5:1 on its theme's surfaces (WCAG 2.2, 1.4.3).
They never stand alone: a shape or a word is beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from alerts.model import State

Theme = Literal["dark", "light"]
THEMES: tuple[Theme, ...] = ("dark", "light")


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme, as `#rrggbb`.

    Attributes:
        page, surface, raised: backgrounds, from the back to the front.
        line: borders that carry no meaning.
        text, muted: writing.
        accent: links, focus, the chosen option.
        states: by state.
        tints: backgrounds of rows in a state that is not up.
        smoke: the band between the least and the greatest latency.
        losses: points by loss: none, some, much, most.
        phases: stacked phases, in order.

    """

    page: str
    surface: str
    raised: str
    line: str
    text: str
    muted: str
    accent: str
    states: Mapping[State, str]
    tints: Mapping[State, str]
    smoke: str
    losses: tuple[str, str, str, str]
    phases: tuple[str, ...]


PALETTES: Mapping[Theme, Palette] = {
    "dark": Palette(
        page="#0d1217",
        surface="#141b22",
        raised="#1d2730",
        line="#2a3742",
        text="#e9eef3",
        muted="#a3b2c0",
        accent="#63b3ff",
        states={State.UP: "#2fb98c", State.DEGRADED: "#ffd75e", State.DOWN: "#ff6a35", State.UNKNOWN: "#cba6f0"},
        tints={State.UP: "#141b22", State.DEGRADED: "#2b2616", State.DOWN: "#351b10", State.UNKNOWN: "#251f30"},
        smoke="#4b6478",
        losses=("#2fb98c", "#8fd0ff", "#ffd75e", "#ff6a35"),
        phases=("#63b3ff", "#2fb98c", "#ffd75e", "#cba6f0", "#ff6a35", "#a3b2c0"),
    ),
    "light": Palette(
        page="#eef2f5",
        surface="#ffffff",
        raised="#f3f6f9",
        line="#d3dce3",
        text="#14202b",
        muted="#51616f",
        accent="#0a5cab",
        states={State.UP: "#007a56", State.DEGRADED: "#946200", State.DOWN: "#961f00", State.UNKNOWN: "#69409a"},
        tints={State.UP: "#ffffff", State.DEGRADED: "#fff6dc", State.DOWN: "#ffece4", State.UNKNOWN: "#f5eefc"},
        smoke="#b9c8d4",
        losses=("#007a56", "#0a5cab", "#946200", "#961f00"),
        phases=("#3f8fd6", "#12966d", "#d9a021", "#9a74c7", "#d9622b", "#7d8d9a"),
    ),
}


def stylesheet() -> str:
    """Return both themes as custom properties, dark when nothing was chosen."""
    return "\n".join(f"{_selector(theme)} {{\n{_properties(palette)}\n}}" for theme, palette in PALETTES.items())


def _selector(theme: Theme) -> str:
    return ":root" if theme == "dark" else f':root[data-theme="{theme}"]'


def _properties(palette: Palette) -> str:
    plain = ("page", "surface", "raised", "line", "text", "muted", "accent")
    pairs = [(name, getattr(palette, name)) for name in plain]
    pairs += [(state.value, colour) for state, colour in palette.states.items()]
    pairs += [(f"{state.value}-tint", colour) for state, colour in palette.tints.items()]
    return "\n".join(f"  --{name}: {colour};" for name, colour in pairs)


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2, "relative luminance")."""
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
