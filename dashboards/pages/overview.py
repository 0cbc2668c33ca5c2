"""The overview: what is not up first, then all targets by agency."""

from __future__ import annotations

from dash.development.base_component import Component

from dashboards.components import Overview
from dashboards.formats import Language
from dashboards.overview import NOT_UP, STATES, TYPES
from dashboards.wording import group, say, state_in_words

PATH = "/"


def layout(language: Language) -> Component:
    """Return the page; it asks for its data when it is shown."""
    states = [["", say("wall.any_state", language)], [NOT_UP, say("wall.not_up_only", language)]]
    states += [[state.value, state_in_words(state, language)] for state in STATES]
    types = [["", say("wall.any_type", language)]]
    types += [[kind, say(f"type.{kind}", language)] for kind in TYPES]
    words = group("wall", language) | group("live", language)
    return Overview(id="overview", url="/live/overview", words=words, states=states, types=types)
