"""The one place where the web process is wired: Dash on FastAPI, its pages, the live data, the guard before them."""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import dash
from dash import ClientsideFunction, Dash, Input, Output, html
from dash.development.base_component import Component
from fastapi import FastAPI, Response
from starlette.types import ASGIApp, Message

from dashboards import palette
from dashboards.components import Header
from dashboards.formats import Language
from dashboards.guard import Guard, content_security_policy
from dashboards.live import READ_TIMEOUT_S, Live
from dashboards.packing import Packing
from dashboards.pages import not_found, overview
from dashboards.pages import target as target_page
from dashboards.reading import Reading
from dashboards.viewer import Viewer, viewer_of
from dashboards.wording import group, say


def now_ms() -> int:
    """Return the wall clock in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def create_app(
    reading: Reading,
    *,
    language: Language = "vi",
    timezone: str = "Asia/Ho_Chi_Minh",
    clock: Callable[[], int] = now_ms,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> ASGIApp:
    """Return the web application over a reading door. It owns `reading` and closes it at the end of its lifespan."""
    live = Live(reading, ZoneInfo(timezone), language, clock, build(), read_timeout_s)

    @asynccontextmanager
    async def lifespan(server: FastAPI) -> AsyncIterator[None]:
        await _warm_up(server)
        # What stands after warm-up stays: a full collection would stop the pages for a quarter of a second.
        gc.freeze()
        guard.policy = content_security_policy(site.csp_hashes())
        yield
        await live.aclose()
        await reading.aclose()

    # FastAPI's own documentation pages fetch their scripts from outside.
    server = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    server.include_router(live.router())
    server.add_api_route("/palette.css", _stylesheet, methods=["GET"])
    site = Site(server, language, timezone)
    guard = Guard(Packing(server), is_page)
    return guard


def build() -> str:
    """Return a name for what is served, other after each change: a wall that runs for months reloads itself by it."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.suffix in {".py", ".js", ".css"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def is_page(path: str) -> bool:
    """Say whether a page answers at this path."""
    return path == "/" or (path.startswith("/target/") and path.count("/") == 2 and len(path) > len("/target/"))


class Site(Dash):  # type: ignore[misc]  # dash ships no types
    """The pages."""

    def __init__(self, server: FastAPI, language: Language, timezone: str) -> None:
        self._language = language
        self._timezone = timezone
        super().__init__(
            "dashboards",
            server=server,
            backend="fastapi",
            use_pages=True,
            pages_folder="",
            include_pages_meta=False,
            serve_locally=True,
            suppress_callback_exceptions=True,
            update_title=None,
            title=say("product", language),
            add_log_handler=False,
        )
        # Dash's browser part opens a WebSocket, whether used or not, when the backend could serve one.
        self.backend.websocket_capability = False
        self.layout = self._frame
        self._register_pages()
        self.clientside_callback(
            ClientsideFunction("thongsuot", "charts"),
            Output("charts", "children"),
            Input("target", "charts"),
            prevent_initial_call=True,
        )

    def viewer(self) -> Viewer:
        """Return who makes the current request."""
        request = self.backend.request_adapter()
        return viewer_of(request.args, request.cookies, self._language)

    def interpolate_index(self, **parts: str) -> str:
        """Return the document that every page starts from, in the viewer's language and theme."""
        viewer = self.viewer()
        say_here = {key: escape(say(key, viewer.language)) for key in ("product", "no_script", "live.loading")}
        return _DOCUMENT.format(
            language=viewer.language,
            theme=viewer.theme,
            title=say_here["product"],
            no_script=say_here["no_script"],
            loading=say_here["live.loading"],
            **{name: parts[name] for name in ("metas", "css", "config", "scripts", "renderer")},
        )

    def _register_pages(self) -> None:
        """Make the pages known to Dash; its registry is global, so each application replaces the one before."""
        dash.page_registry.clear()
        dash.register_page("overview", path=overview.PATH, title=self._title("overview"), layout=_page(self._overview))
        dash.register_page(
            "target", path_template=target_page.PATH, title=self._target_title, layout=_page(self._target)
        )
        dash.register_page(
            "not_found_404", path="/404", title=self._title("not_found.title"), layout=_page(self._not_found)
        )

    def _frame(self) -> Component:
        language = self.viewer().language
        header = Header(id="header", words=group("live", language), language=language, timezone=self._timezone)
        skip = html.A(say("skip", language), href="#content", className="skip")
        return html.Div([skip, header, html.Main(dash.page_container, id="content", tabIndex="-1")], id="frame")

    def _overview(self) -> Component:
        return overview.layout(self.viewer().language)

    def _target(self) -> Component:
        path = str(dash.ctx.inputs.get("_pages_location.pathname", ""))
        return target_page.layout(unquote(path.removeprefix("/target/")), self.viewer().language)

    def _not_found(self) -> Component:
        return not_found.layout(self.viewer().language)

    def _title(self, key: str) -> Callable[..., str]:
        def title(**_: str) -> str:
            language = self.viewer().language
            return f"{say(key, language)} · {say('product', language)}"

        return title

    def _target_title(self, target_id: str = "") -> str:
        return f"{unquote(target_id)} · {say('product', self.viewer().language)}"


def _page(layout: Callable[[], Component]) -> Callable[..., Component]:
    """Return the layout deaf to the address's query, which Dash passes as arguments of any name."""

    def deaf(*_: object, **_query: object) -> Component:
        return layout()

    return deaf


def _stylesheet() -> Response:
    return Response(palette.stylesheet(), media_type="text/css")


async def _warm_up(server: FastAPI) -> None:
    """Ask once for what the first visitor will: Dash sets itself up lazily, in a third of a second."""
    for path in ("/", "/_dash-layout", "/_dash-dependencies"):
        await _get(server, path)


async def _get(app: ASGIApp, path: str) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            failure = f"warm-up: {path} answered {message['status']}"
            raise RuntimeError(failure)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": {},
    }
    await app(scope, receive, send)


_DOCUMENT = """<!DOCTYPE html>
<html lang="{language}" data-theme="{theme}">
<head>
{metas}
<meta name="color-scheme" content="dark light">
<title>{title}</title>
<link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
<link rel="preload" as="font" type="font/woff2" crossorigin href="/assets/fonts/inter-latin-wght-normal.woff2">
<link rel="preload" as="font" type="font/woff2" crossorigin href="/assets/fonts/inter-vietnamese-wght-normal.woff2">
<link rel="stylesheet" href="/palette.css">
{css}
</head>
<body>
<div id="react-entry-point"><p class="loading" role="status">{loading}</p></div>
<noscript>{no_script}</noscript>
<footer>{config}{scripts}{renderer}</footer>
</body>
</html>"""
