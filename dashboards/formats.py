"""Numbers, dates and spans of time as people read them, in Vietnamese and in English.

Vietnamese writes `1.234,56`, English `1,234.56`; both write dates as `dd/mm/yyyy HH:MM`, in the configured zone.
A ratio is rounded down for display, and only a period without an outage is shown as 100 % (DESIGN, section 6.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

Language = Literal["vi", "en"]
LANGUAGES: tuple[Language, ...] = ("vi", "en")

NOTHING = "—"
"""What stands where there is no figure: never 0, never 100 %."""

_NBSP = "\u00a0"
_SPANS = {
    "vi": {"s": "giây", "m": "phút", "h": "giờ", "d": "ngày"},
    "en": {"s": "s", "m": "min", "h": "h", "d": "d"},
}


@dataclass(frozen=True, slots=True)
class Formats:
    """How one viewer reads figures.

    Attributes:
        language: `vi` or `en`.
        zone: the zone that times are shown in.

    """

    language: Language
    zone: ZoneInfo

    def number(self, value: float, decimals: int = 0) -> str:
        """Return `1.234,56` or `1,234.56`."""
        text = f"{value:,.{decimals}f}"
        return text if self.language == "en" else text.translate(_TO_VIETNAMESE)

    def plain(self, value: float) -> str:
        """Return a number that counts nothing, such as a status: no separators, no more digits than it has."""
        return f"{value:.10g}" if self.language == "en" else f"{value:.10g}".replace(".", ",")

    def ratio(self, ratio: float | None, *, outage: bool = False, decimals: int = 2) -> str:
        """Return a share as a percentage, rounded down; `100%` only where there was no outage."""
        if ratio is None:
            return NOTHING
        scale = 10**decimals
        # 0.9993 * 100 is 99.92999…: what a float carries beyond 12 digits is not part of the figure.
        steps = math.floor(round(ratio * 100 * scale, 6))
        if steps >= 100 * scale:
            if not outage and ratio >= 1:
                return "100%"
            steps = 100 * scale - 1
        return f"{self.number(steps / scale, decimals)}%"

    def objective(self, ratio: float) -> str:
        """Return a promised share as it was promised: `99,95%`, without trailing zeros."""
        text = f"{ratio * 100:.4f}".rstrip("0").rstrip(".")
        return (text if self.language == "en" else text.replace(".", ",")) + "%"

    def loss(self, ratio: float | None) -> str:
        """Return a loss as a percentage; a loss that is not zero is never shown as zero."""
        if ratio is None:
            return NOTHING
        percent = ratio * 100
        if 0 < percent < 0.1:
            return f"<{_NBSP}{self.number(0.1, 1)}%"
        return f"{self.number(percent, 0 if percent in (0, 100) or percent >= 10 else 1)}%"

    def latency(self, seconds: float | None) -> str:
        """Return a latency with three figures that count and its unit; `—` where there is none."""
        if seconds is None:
            return NOTHING
        if seconds >= 10:
            return f"{self.number(seconds, 1)}{_NBSP}s"
        milliseconds = seconds * 1000
        decimals = 2 if milliseconds < 9.995 else 1 if milliseconds < 99.95 else 0
        return f"{self.number(milliseconds, decimals)}{_NBSP}ms"

    def span(self, seconds: float) -> str:
        """Return a span of time by its two largest units: `45 giây`, `3 giờ 05 phút`, `2 ngày 4 giờ`."""
        words, whole = _SPANS[self.language], max(0, int(seconds))
        if whole < 60:
            return f"{whole}{_NBSP}{words['s']}"
        if whole < 3600:
            return f"{whole // 60}{_NBSP}{words['m']}"
        if whole < 86_400:
            return f"{whole // 3600}{_NBSP}{words['h']}{_NBSP}{whole % 3600 // 60:02d}{_NBSP}{words['m']}"
        days = self.number(whole // 86_400)
        return f"{days}{_NBSP}{words['d']}{_NBSP}{whole % 86_400 // 3600}{_NBSP}{words['h']}"

    def local(self, at_ms: int) -> datetime:
        """Return the moment in the viewer's zone."""
        return datetime.fromtimestamp(at_ms / 1000, self.zone)

    def date_time(self, at_ms: int, *, seconds: bool = False) -> str:
        """Return `dd/mm/yyyy HH:MM`, with `:SS` when asked; `—` for "never" (0)."""
        if at_ms <= 0:
            return NOTHING
        return self.local(at_ms).strftime("%d/%m/%Y %H:%M:%S" if seconds else "%d/%m/%Y %H:%M")

    def month(self, begins: str) -> str:
        """Return the month that begins at that moment (ISO 8601), `mm/yyyy`."""
        return datetime.fromisoformat(begins).astimezone(self.zone).strftime("%m/%Y")

    def since(self, at_ms: int, now_ms: int) -> str:
        """Return the time alone when it was today, else day, month and time; the year only when it is another."""
        if at_ms <= 0:
            return NOTHING
        at, now = self.local(at_ms), self.local(now_ms)
        if at.date() == now.date():
            return at.strftime("%H:%M")
        return at.strftime("%d/%m %H:%M" if at.year == now.year else "%d/%m/%Y %H:%M")

    def axis(self, at_ms: int) -> str:
        """Return the moment as a chart wants it: local wall-clock time without an offset, to the millisecond."""
        return self.local(at_ms).strftime("%Y-%m-%d %H:%M:%S.") + f"{at_ms % 1000:03d}"


_TO_VIETNAMESE = str.maketrans({",": ".", ".": ","})
