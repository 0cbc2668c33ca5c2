"""A target's page: state, why, charts, history."""

from __future__ import annotations

from urllib.parse import quote

from dash import dcc, html
from dash.development.base_component import Component

from dashboards.components import History, Target
from dashboards.formats import Language
from dashboards.target import WINDOWS_S
from dashboards.wording import group, say

PATH = "/target/<target_id>"


def layout(target: str, language: Language) -> Component:
    """Return the page of the target with that id (as it stands in the address, decoded); it asks for its data."""
    words = group("target", language) | group("live", language)
    windows = [[str(window), say(f"target.window.{window}", language)] for window in WINDOWS_S]
    part = Target(
        id="target", url=f"/live/target/{quote(target, safe='')}", target=target, words=words, windows=windows
    )
    # The charts stand here empty so that plotly, the heaviest script of all, is asked for at once and not after data.
    warm = html.Div(dcc.Graph(id="warm"), hidden=True)
    return html.Div([part, html.Div(id="charts"), History(id="history", words=words), warm], className="target-page")
