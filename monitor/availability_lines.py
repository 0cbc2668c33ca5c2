"""Availability as lines for people: every figure is rounded down, and 100 % is only shown where nothing failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from alerts.availability import Availability, format_availability
from alerts.counted import Outage
from alerts.periods import utc_text
from monitor.queries.signed import SignedPeriod
from monitor.together import Together

_MET = {True: "met", False: "NOT MET", None: "-"}


def figure_lines(figures: Sequence[Availability], language: str) -> Iterator[str]:
    """Give one line per target."""
    width = max((len(figure.target) for figure in figures), default=0)
    for figure in figures:
        yield f"{figure.target:<{width}}  {_counted(figure, language)}  objective {_MET[figure.met]}"


def together_lines(parts: Sequence[Together], language: str) -> Iterator[str]:
    """Give one line per group, agency, province or programme."""
    width = max((len(part.id or "-") for part in parts), default=0)
    for part in parts:
        met = f"met {part.met}, not met {part.missed}, of {part.targets} targets"
        yield f"{part.id or '-':<{width}}  {_counted(part.figures, language)}  objectives {met}"


def outage_lines(figure: Availability, outages: Iterable[Outage]) -> Iterator[str]:
    """Give one line per outage, with its share of the error budget where there is one."""
    for outage in outages:
        spent = figure.budget_share(outage.counted_ms)
        share = "" if spent is None else f"  {int(spent * 1000) / 10:.1f} % of the error budget"
        span = f"{utc_text(outage.from_ms)} – {utc_text(outage.to_ms)}"
        yield f"  outage {span}  {outage.counted_ms / 1000:.3f} s  {outage.reason or '-'}{share}"


def compared_lines(signed: Availability, now: Availability | None, language: str) -> Iterator[str]:
    """Say how what is counted now differs from what was signed, where it does."""
    if now is None:
        yield f"  {signed.target}: is not in the configuration any more"
    elif now != signed:
        shown, was = (
            format_availability(one.availability, outage=one.outages > 0, language=language, digits=4)
            for one in (now, signed)
        )
        down_s, known_s = (now.down_ms - signed.down_ms) / 1000, (now.known_ms - signed.known_ms) / 1000
        change = f"down {down_s:+.3f} s, known {known_s:+.3f} s, outages {now.outages - signed.outages:+d}"
        yield f"  {signed.target}: counted now {shown} instead of {was}: {change}"


def signed_line(period: SignedPeriod) -> str:
    """Return who signed a period off, and when."""
    return f"signed off by {period.signed_by} on {utc_text(period.signed_ms)}"


def _counted(figure: Availability, language: str) -> str:
    shown = format_availability(figure.availability, outage=figure.outages > 0, language=language)
    coverage = "-" if figure.coverage is None else f"{int(figure.coverage * 10_000) / 100:.2f} %"
    longest = figure.longest_outage_ms // 1000
    return f"{shown:>10}  coverage {coverage:>9}  outages {figure.outages:>4}  longest {longest:>7} s"
