"""Why something is not up, in the viewer's words: a sentence, and the figure behind it where the probe's line has one.

A condition's line ends in the values that it looked at, `rtt_mean_s > 0.08 (rtt_mean_s = 0.114)`: the sentence ends
in "trung bình 114 ms". Values that nobody has words for stay in the line, which is always shown after the sentence.
"""

from __future__ import annotations

import re

from alerts.wording import reason_in_words
from dashboards.formats import Formats
from dashboards.wording import WORDS, say

_VALUES = re.compile(r"\(([^()]{1,200})\)$")
_VALUE = re.compile(r"([a-z][a-z_.]*) = (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(ms|s|h)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "h": 3600.0}
_A_LONG_TIME_S = 120
_BEYOND_SENSE = 1e12
FIGURES_LIMIT = 2


def cause_in_words(reason: str, message: str, formats: Formats) -> str:
    """Return the sentence for a reason, with the figures that the probe's line names; "" without a reason."""
    if not reason:
        return ""
    sentence = reason_in_words(reason, formats.language)
    figures = _figures(message, formats)
    return f"{sentence}: {', '.join(figures)}" if figures else sentence


def _figures(message: str, formats: Formats) -> list[str]:
    found = _VALUES.search(message)
    values = found[1].split(", ") if found else []
    told = [figure for text in values if (figure := _figure(text, formats))]
    return told[:FIGURES_LIMIT]


def _figure(text: str, formats: Formats) -> str:
    match = _VALUE.fullmatch(text)
    if match is None or f"figure_of.{match[1]}" not in WORDS:
        return ""
    name, value, unit = match[1], float(match[2]), match[3]
    if not abs(value) < _BEYOND_SENSE:  # a peer's own words may look like a figure of ours
        return ""
    if unit or name.endswith("_s"):
        seconds = value * _UNITS_S[unit or "s"]
        shown = formats.span(seconds) if abs(seconds) >= _A_LONG_TIME_S else formats.latency(seconds)
    else:
        shown = formats.loss(value) if name.endswith("_ratio") else formats.plain(value)
    return say(f"figure_of.{name}", formats.language, value=shown)
