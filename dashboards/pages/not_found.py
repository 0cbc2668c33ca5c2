"""What an address without a page shows."""

from __future__ import annotations

from dash import dcc, html
from dash.development.base_component import Component

from dashboards.formats import Language
from dashboards.wording import say


def layout(language: Language) -> Component:
    """Return the page."""
    return html.Section(
        [
            html.P("404", className="big-number"),
            html.H1(say("not_found.title", language)),
            html.P(say("not_found.text", language)),
            html.P(dcc.Link(say("back", language), href="/", className="button")),
        ],
        className="lost",
    )
