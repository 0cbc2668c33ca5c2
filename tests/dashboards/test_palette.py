"""Colours that everyone can read and tell apart, and a stylesheet that has no others."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import pytest

from alerts.model import State
from dashboards.palette import PALETTES, THEMES, contrast, luminance, stylesheet

ASSETS = Path(__file__).parents[2] / "dashboards" / "assets"

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009,
# severity 1.0, on linear RGB.
VISIONS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}


def seen(colour: str, vision: str) -> tuple[float, float, float]:
    """Return the colour in CIE L*a*b* (D65) as that eye sees it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    r, g, b = (min(1.0, max(0.0, sum(m * c for m, c in zip(line, linear, strict=True)))) for line in VISIONS[vision])
    x, y, z = (
        0.4124 * r + 0.3576 * g + 0.1805 * b,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        0.0193 * r + 0.1192 * g + 0.9505 * b,
    )
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x / 0.9505, y, z / 1.089))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert luminance("#ffffff") == pytest.approx(1)


@pytest.mark.parametrize("theme", THEMES)
def test_all_writing_reads_on_all_backgrounds(theme):
    palette = PALETTES[theme]
    behind = (palette.page, palette.surface, palette.raised, *palette.tints.values())
    for writing in (palette.text, palette.muted, palette.accent):
        assert min(contrast(writing, background) for background in behind) >= 4.5
    assert contrast(palette.page, palette.accent) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("state", State)
def test_every_state_reads_on_what_it_stands_on(theme, state):
    palette = PALETTES[theme]
    for background in (palette.page, palette.surface, palette.raised, palette.tints[state]):
        assert contrast(palette.states[state], background) >= 4.5


def test_the_banner_reads():
    assert contrast(PALETTES["dark"].states[State.DOWN], PALETTES["dark"].page) >= 4.5
    assert contrast(PALETTES["light"].states[State.DOWN], PALETTES["light"].surface) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", VISIONS)
def test_states_are_told_apart_by_every_eye(theme, vision):
    colours = [seen(colour, vision) for colour in PALETTES[theme].states.values()]
    assert min(math.dist(a, b) for a, b in itertools.combinations(colours, 2)) > 12


def test_the_stylesheet_offers_both_themes():
    css = stylesheet()
    assert css.count("--accent:") == len(THEMES)
    assert ':root[data-theme="light"]' in css


def test_no_other_file_has_a_colour_of_its_own():
    for file in ASSETS.glob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;\s,)])", text) == [], file.name
