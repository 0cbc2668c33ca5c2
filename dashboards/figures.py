"""Charts as pure functions from views to plain dictionaries in plotly's format: `go.Figure` costs 60 times more.

Latency is drawn "in the smoke manner" (SmokePing, oss.oetiker.ch/smokeping): a line for the mean, smoke from the
least to the greatest, points coloured by loss. Loss stands apart, in a strip of its own. A lost packet is a gap,
never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

from alerts.model import BADNESS, State
from dashboards.formats import Formats
from dashboards.palette import Palette
from dashboards.wording import WORDS, say
from monitor.views import Point

Figure = dict[str, Any]

POINTS_LIMIT = 1200
"""Points drawn of one series; more are merged by neighbours, keeping least, greatest and worst."""

LOSS_STEPS = (0.0, 0.1, 0.5)
"""Loss up to and including each of these has its own colour; beyond the last one, the fourth."""

MARGIN = {"l": 62, "r": 14, "t": 8, "b": 38}
LATENCY_HEIGHT_PX = 270
PHASES_HEIGHT_PX = 200

_PHASE_ORDER = tuple(
    f"{phase}_s"
    for phase in (
        *("resolve", "connect", "proxy", "hello", "prelogin", "tls", "token", "upgrade", "login", "query", "details"),
        *("in_step", "first_byte", "transfer", "dialogue", "search", "ping"),
    )
)
_GAP_FACTOR = 2.5


def latency_figure(
    points: Sequence[Point], window_ms: tuple[int, int], interval_s: float, formats: Formats, palette: Palette
) -> Figure:
    """Return the smoke chart: band, mean line, points by loss, and below them the strip of losses and failed runs."""
    drawn = thin(points)
    runs = list(connected(drawn, _spacing_ms(drawn, interval_s)))
    traces: list[Figure | None] = [_band(runs, formats, palette), *_percentiles(runs, formats, palette)]
    traces.append(_line(runs, formats, palette))
    traces += _points_by_loss(drawn, formats, palette)
    if not runs:
        # An axis that nothing is drawn on has no length in plotly, and what hangs on it breaks.
        traces = [{"type": "scatter", "x": [formats.axis(window_ms[0])], "y": [None], "showlegend": False}]
    below = [_loss_bars(drawn, formats, palette, _spacing_ms(drawn, interval_s)), _failed(drawn, formats, palette)]
    layout = _layout(window_ms, LATENCY_HEIGHT_PX, formats, palette)
    layout["yaxis"] |= {"ticksuffix": " ms", "rangemode": "tozero", "nticks": 5}
    if any(below):
        _make_room_below(layout, drawn)
    if drawn and not runs:
        _say_why_empty(layout, "figure.no_latency", formats, palette)
    return _figure([trace for trace in (*traces, *below) if trace is not None], layout, drawn, formats, palette)


def _make_room_below(layout: Figure, drawn: Sequence[Point]) -> None:
    """Give the strip its place; where nothing was lost and nothing failed it would be a blank space."""
    layout["yaxis"]["domain"] = [0.24, 1]
    layout["yaxis2"] = {
        **layout["yaxis"],
        "domain": [0, 0.15],
        "range": [0, 108],
        "tickvals": [0, 100],
        "ticktext": ["0%", "100%"],
        "showticklabels": any(point.loss_ratio is not None for point in drawn),
        "fixedrange": True,
    }
    layout["xaxis"]["anchor"] = "y2"


def phases_figure(
    points: Sequence[Point], window_ms: tuple[int, int], interval_s: float, formats: Formats, palette: Palette
) -> Figure | None:
    """Return the phases of each run as stacked bars, or None where no run has any.

    A run without a phase has no bar: a filled area would draw time that nobody spent.
    """
    single = [point for point in points if point.phases]
    if not single:
        return None
    step = math.ceil(len(single) / (POINTS_LIMIT // 3))
    chosen = single[::step]
    width_ms = _spacing_ms(chosen, interval_s * step)
    names = sorted({name for point in chosen for name in point.phases}, key=_phase_rank)
    traces = [
        {
            "type": "bar",
            "name": _phase_name(name, formats),
            "x": [formats.axis(point.at_ms) for point in chosen],
            "y": [_ms(point.phases.get(name)) for point in chosen],
            "width": width_ms * 0.92,
            "marker": {"color": palette.phases[i % len(palette.phases)], "line": {"width": 0}},
            "hovertemplate": "%{y:.2f} ms",
        }
        for i, name in enumerate(names)
    ]
    layout = _layout(window_ms, PHASES_HEIGHT_PX, formats, palette)
    layout["barmode"] = "stack"
    layout["yaxis"] |= {"ticksuffix": " ms", "rangemode": "tozero", "nticks": 5}
    return _figure(traces, layout, chosen, formats, palette)


def thin(points: Sequence[Point], limit: int = POINTS_LIMIT) -> list[Point]:
    """Return at most `limit` points; neighbours are merged: least of lows, greatest of highs, worst state."""
    if len(points) <= limit:
        return list(points)
    size = math.ceil(len(points) / limit)
    return [_merged(points[i : i + size]) for i in range(0, len(points), size)]


def connected(points: Iterable[Point], spacing_ms: float) -> Iterator[list[Point]]:
    """Yield runs of points that a line may join: each has a latency, and none is missing between two of them."""
    run: list[Point] = []
    for point in points:
        late = run and point.at_ms - run[-1].at_ms > spacing_ms * _GAP_FACTOR
        if point.latency_s is None or late:
            if run:
                yield run
            run = []
        if point.latency_s is not None:
            run.append(point)
    if run:
        yield run


def loss_step(ratio: float | None) -> int:
    """Return which of the four loss colours a point has."""
    return sum((ratio or 0.0) > step for step in LOSS_STEPS)


def _merged(points: Sequence[Point]) -> Point:
    known = [point.latency_s for point in points if point.latency_s is not None]
    lows = [point.low_s for point in points if point.low_s is not None]
    highs = [point.high_s for point in points if point.high_s is not None]
    losses = [point.loss_ratio for point in points if point.loss_ratio is not None]
    return points[0]._replace(
        latency_s=math.fsum(known) / len(known) if known else None,
        low_s=min(lows, default=None),
        high_s=max(highs, default=None),
        loss_ratio=math.fsum(losses) / len(losses) if losses else None,
        state=max((point.state for point in points), key=lambda state: BADNESS.get(state, -1)),
        phases={},
        samples={},
        # Percentiles of neighbours are no percentile of both.
        p50_s=None,
        p95_s=None,
        p99_s=None,
    )


def _spacing_ms(points: Sequence[Point], interval_s: float) -> float:
    """Return the usual distance of two points: the median, but at least the check's interval."""
    distances = sorted(b.at_ms - a.at_ms for a, b in pairwise(points))
    median = distances[len(distances) // 2] if distances else 0
    return max(median, interval_s * 1000)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _band(runs: Sequence[Sequence[Point]], formats: Formats, palette: Palette) -> Figure:
    """Return one closed shape a run, with a break between shapes: a gap stays a gap."""
    edges = [
        (
            [_ms(point.latency_s if point.low_s is None else point.low_s) for point in run],
            [_ms(point.latency_s if point.high_s is None else point.high_s) for point in run],
        )
        for run in runs
    ]
    band = _filled(say("figure.band", formats.language), runs, edges, formats, palette)
    # Where percentiles are drawn in it, it stands back.
    return band | {"opacity": 0.3} if any(point.p99_s is not None for run in runs for point in run) else band


def _percentiles(runs: Sequence[Sequence[Point]], formats: Formats, palette: Palette) -> list[Figure]:
    """Return the shapes from the median to the 95th and from there to the 99th percentile, where points are many."""
    known = [run for run in ([point for point in run if point.p99_s is not None] for run in runs) if run]
    if not known:
        return []
    lines = [[[_ms(getattr(point, name)) for point in run] for name in ("p50_s", "p95_s", "p99_s")] for run in known]
    return [
        _filled("p95 – p99", known, [(p95, p99) for _, p95, p99 in lines], formats, palette),
        _filled("p50 – p95", known, [(p50, p95) for p50, p95, _ in lines], formats, palette) | {"opacity": 0.9},
    ]


def _filled(
    name: str,
    runs: Sequence[Sequence[Point]],
    edges: Sequence[tuple[Sequence[float | None], Sequence[float | None]]],
    formats: Formats,
    palette: Palette,
) -> Figure:
    x: list[str | None] = []
    y: list[float | None] = []
    for run, (lows, highs) in zip(runs, edges, strict=True):
        there = [formats.axis(point.at_ms) for point in run]
        x += [*there, *reversed(there), there[0], None]
        y += [*highs, *reversed(lows), highs[0], None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "fill": "toself",
        "fillcolor": palette.smoke,
        "opacity": 0.55,
        "line": {"width": 0, "color": palette.smoke},
        "hoverinfo": "skip",
    }


def _line(runs: Sequence[Sequence[Point]], formats: Formats, palette: Palette) -> Figure:
    x: list[str | None] = []
    y: list[float | None] = []
    for run in runs:
        x += [*(formats.axis(point.at_ms) for point in run), None]
        y += [*(_ms(point.latency_s) for point in run), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": say("figure.mean", formats.language),
        "x": x,
        "y": y,
        "connectgaps": False,
        "line": {"width": 1.2, "color": palette.muted},
        "hoverinfo": "skip",
    }


def _points_by_loss(points: Sequence[Point], formats: Formats, palette: Palette) -> list[Figure]:
    seen = sorted((p for p in points if p.latency_s is not None), key=lambda p: (loss_step(p.loss_ratio), p.at_ms))
    names = _loss_names(formats)
    has_loss = any(point.loss_ratio is not None for point in seen)
    traces = []
    for step, members in groupby(seen, key=lambda point: loss_step(point.loss_ratio)):
        group = list(members)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": names[step] if has_loss else say("figure.mean", formats.language),
                "showlegend": has_loss,
                "x": [formats.axis(point.at_ms) for point in group],
                "y": [_ms(point.latency_s) for point in group],
                "text": [_told(point, formats) for point in group],
                "marker": {
                    "color": palette.losses[step],
                    "size": 4 + step,
                    "symbol": ("circle", "diamond", "triangle-up", "square")[step],
                },
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return traces


def _loss_names(formats: Formats) -> tuple[str, str, str, str]:
    language = formats.language
    return (
        say("figure.lossless", language),
        say("figure.up_to", language, share=formats.loss(LOSS_STEPS[1])),
        say("figure.up_to", language, share=formats.loss(LOSS_STEPS[2])),
        say("figure.beyond", language, share=formats.loss(LOSS_STEPS[2])),
    )


def _told(point: Point, formats: Formats) -> str:
    """Return what a point says under the pointer; figures only, so nothing in it can be markup."""
    parts = [formats.latency(point.latency_s)]
    if point.low_s is not None and point.high_s is not None and point.low_s != point.high_s:
        parts.append(f"({formats.latency(point.low_s)} – {formats.latency(point.high_s)})")
    if point.p99_s is not None:
        told = (("p50", point.p50_s), ("p95", point.p95_s), ("p99", point.p99_s))
        parts += [f"· {name} {formats.latency(value_s)}" for name, value_s in told]
    if point.loss_ratio is not None:
        parts.append(f"· {say('figure.loss', formats.language)} {formats.loss(point.loss_ratio)}")
    return " ".join(parts)


def _loss_bars(points: Sequence[Point], formats: Formats, palette: Palette, spacing_ms: float) -> Figure | None:
    lossy = [point for point in points if point.loss_ratio]
    if not lossy:
        return None
    return {
        "type": "bar",
        "name": say("figure.loss", formats.language),
        "showlegend": False,
        "x": [formats.axis(point.at_ms) for point in lossy],
        "y": [round((point.loss_ratio or 0) * 100, 2) for point in lossy],
        "width": spacing_ms,
        "yaxis": "y2",
        "marker": {"color": [palette.losses[loss_step(point.loss_ratio)] for point in lossy], "line": {"width": 0}},
        "text": [f"{say('figure.loss', formats.language)} {formats.loss(point.loss_ratio)}" for point in lossy],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }


def _failed(points: Sequence[Point], formats: Formats, palette: Palette) -> Figure | None:
    # Where every packet was lost, the strip is full already.
    failed = [point for point in points if point.state is State.DOWN and point.loss_ratio != 1]
    if not failed:
        return None
    return {
        "type": "scatter",
        "mode": "markers",
        "name": say("figure.failed", formats.language),
        "x": [formats.axis(point.at_ms) for point in failed],
        "y": [50] * len(failed),
        "yaxis": "y2",
        "marker": {"symbol": "x-thin", "size": 7, "line": {"width": 1.6, "color": palette.text}},
        "hovertemplate": f"{say('figure.failed', formats.language)}<extra></extra>",
    }


def _phase_rank(name: str) -> tuple[int, str]:
    return (_PHASE_ORDER.index(name) if name in _PHASE_ORDER else len(_PHASE_ORDER), name)


def _phase_name(name: str, formats: Formats) -> str:
    key = f"phase.{name}"
    return say(key, formats.language) if key in WORDS else name.removesuffix("_s").replace("<", "")


def _layout(window_ms: tuple[int, int], height_px: int, formats: Formats, palette: Palette) -> Figure:
    axis = {
        "gridcolor": palette.line,
        "zeroline": False,
        "linecolor": palette.line,
        "tickfont": {"size": 11, "color": palette.muted},
        "automargin": False,
    }
    return {
        "height": height_px,
        "margin": dict(MARGIN),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "Inter, 'Segoe UI', 'Noto Sans', sans-serif", "size": 12, "color": palette.text},
        "separators": ".," if formats.language == "en" else ",.",
        "hovermode": "x",
        "hoverlabel": {"bgcolor": palette.raised, "bordercolor": palette.line, "font": {"color": palette.text}},
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "traceorder": "normal",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "font": {"size": 11},
        },
        "xaxis": {
            **axis,
            "type": "date",
            "range": [formats.axis(window_ms[0]), formats.axis(window_ms[1])],
            "tickformatstops": _TICKS,
            "hoverformat": "%d/%m %H:%M:%S",
            "showgrid": True,
        },
        "yaxis": dict(axis),
        "dragmode": "zoom",
        # The viewer's zoom outlives new data, until another window is chosen.
        "uirevision": f"{window_ms[1] - window_ms[0]}",
    }


_TICKS = [
    {"dtickrange": [None, 60_000], "value": "%H:%M:%S"},
    {"dtickrange": [60_000, 86_400_000], "value": "%H:%M\n%d/%m"},
    {"dtickrange": [86_400_000, None], "value": "%d/%m\n%Y"},
]


def _figure(
    traces: list[Figure], layout: Figure, points: Sequence[Point], formats: Formats, palette: Palette
) -> Figure:
    if not points:
        _say_why_empty(layout, "figure.empty", formats, palette)
        layout["showlegend"] = False
    return {"data": traces, "layout": layout}


def _say_why_empty(layout: Figure, key: str, formats: Formats, palette: Palette) -> None:
    """Write why nothing is drawn where it would be, without the scale that plotly would make up."""
    layout["yaxis"] |= {"showticklabels": False, "showgrid": False, "range": [0, 1]}
    layout["annotations"] = [
        {
            "text": say(key, formats.language),
            "xref": "paper",
            "yref": "y domain",
            "x": 0.5,
            "y": 0.5,
            "showarrow": False,
            "bgcolor": palette.surface,
            "font": {"size": 13, "color": palette.muted},
        }
    ]
