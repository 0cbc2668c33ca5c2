"""The pages' data as JSON over HTTP: one answer for all viewers, an ETag so that what is unchanged costs nothing.

    GET /live/overview?q=&state=&type=      GET /live/target/<id>?window=&theme=

Every answer, a 304 too, carries the server's clock and the monitor's heartbeat in its headers, so that the browser
can say how old its figures are even when nothing changed, and when answers stop coming.

This is not a Dash callback on purpose (docs/decisions/0070-live-data.md): polling by callback costs twice as much,
starves when an answer takes longer than its interval, and has no time-out.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import orjson
import structlog
from fastapi import APIRouter, Request, Response

from dashboards.formats import Formats, Language
from dashboards.overview import Filter, overview_data
from dashboards.palette import Theme
from dashboards.reading import Reading, Shared, StoreAwayError
from dashboards.target import WINDOWS_S, target_data
from dashboards.viewer import viewer_of
from monitor.views import Overview, TargetPage

READ_TIMEOUT_S = 10.0
KEPT_ANSWERS = 256
ID_LIMIT = 200

OVERVIEW_EVERY_S = 1.0
TARGET_EVERY_S = {3600: 2.0, 21_600: 5.0, 86_400: 15.0, 604_800: 60.0, 2_592_000: 60.0, 31_536_000: 60.0}
"""How often the browser asks again, and how long an answer is shared."""

IN_A_THREAD_FROM = 1000
"""Targets from which an answer is drawn up beside the event loop instead of on it."""

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer ready to be sent.

    Attributes:
        body: JSON; packed: the same through gzip.
        etag: of the body.
        heartbeat_ms: when the monitor last wrote.
        simulated: the data is of the demo country.

    """

    body: bytes
    packed: bytes
    etag: str
    heartbeat_ms: int
    simulated: bool


class Live:
    """Reads for all viewers and keeps answers for a moment.

    Attributes:
        reading: the reading door.
        zone: the zone that times are shown in.
        language: the installation's language.
        clock: milliseconds since the epoch.
        build: names what is served; browsers reload themselves when it is another.

    """

    def __init__(
        self,
        reading: Reading,
        zone: ZoneInfo,
        language: Language,
        clock: Callable[[], int],
        build: str,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self.reading, self.zone, self.language, self.clock, self.build = reading, zone, language, clock, build
        self._read_timeout_s = read_timeout_s
        self._overviews: Shared[str, Overview] = Shared(1)
        self._answers: Shared[tuple[object, ...], Answer | None] = Shared(KEPT_ANSWERS)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route("/live/overview", self.overview, methods=["GET"])
        router.add_api_route("/live/target/{target}", self.target, methods=["GET"])
        router.add_api_route("/healthz", self.healthz, methods=["GET"])
        return router

    async def aclose(self) -> None:
        """Stop what is under way."""
        await self._answers.aclose()
        await self._overviews.aclose()

    async def healthz(self) -> dict[str, str]:
        """Say that the web process answers, and whether it can read the store."""
        try:
            await self._overview()
        except StoreAwayError:
            return {"status": "ok", "store": "away"}
        return {"status": "ok", "store": "ok"}

    async def overview(self, request: Request) -> Response:
        """Answer with the overview's data."""
        query = request.query_params
        viewer = viewer_of(query, request.cookies, self.language)
        wanted = Filter(query.get("q", ""), query.get("state", ""), query.get("type", ""))

        async def ask() -> Answer:
            overview = await self._overview()
            formats = Formats(viewer.language, self.zone)
            data = await _drawn(len(overview.rows), lambda: overview_data(overview, wanted, formats))
            return _answer(data, overview)

        key = ("overview", viewer.language, wanted)
        return await self._respond(request, key, OVERVIEW_EVERY_S, ask)

    async def target(self, request: Request, target: str) -> Response:
        """Answer with a target page's data, 404 for a target that is not there."""
        query = request.query_params
        viewer = viewer_of(query, request.cookies, self.language)
        window_s = _window(query.get("window", ""))

        async def ask() -> Answer | None:
            page = await self._target_page(target, window_s)
            if page is None:
                return None
            formats, theme = Formats(viewer.language, self.zone), viewer.theme
            points = sum(len(panel.points) for panel in page.checks)
            return _answer(await _drawn(points, lambda: _target(page, formats, theme)), page)

        key = ("target", target, window_s, viewer)
        return await self._respond(request, key, TARGET_EVERY_S[window_s], ask)

    async def _overview(self) -> Overview:
        async def ask() -> Overview:
            return await self._in_time(self.reading.overview(self.clock()))

        return await self._overviews.get("", OVERVIEW_EVERY_S, ask)

    async def _target_page(self, target: str, window_s: int) -> TargetPage | None:
        if len(target) > ID_LIMIT:
            return None
        return await self._in_time(self.reading.target_page(target, self.clock(), window_s))

    async def _in_time(self, asked: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._read_timeout_s):
                return await asked
        except TimeoutError:
            message = f"the store did not answer within {self._read_timeout_s:g} s"
            raise StoreAwayError(message) from None

    async def _respond(
        self, request: Request, key: tuple[object, ...], every_s: float, ask: Callable[[], Any]
    ) -> Response:
        headers = {"Cache-Control": "no-store", "Thongsuot-Again": f"{every_s:g}"}
        try:
            # An overview is shared for a second already: keeping its drawing as long again would double its age.
            answer = await self._answers.get(key, every_s / 2, ask)
        except StoreAwayError as error:
            log.warning("the store is away", error=str(error))
            return self._problem(503, "store_away", headers)
        if answer is None:
            return self._problem(404, "unknown_target", headers)
        headers |= {
            "ETag": answer.etag,
            "Thongsuot-Build": self.build,
            "Vary": "Accept-Encoding, Cookie",
            "Thongsuot-Now": str(self.clock()),
            "Thongsuot-Heartbeat": str(answer.heartbeat_ms),
            "Thongsuot-Simulated": "1" if answer.simulated else "0",
        }
        if request.headers.get("if-none-match") == answer.etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(answer.packed, media_type="application/json", headers=headers)
        return Response(answer.body, media_type="application/json", headers=headers)

    def _problem(self, status: int, problem: str, headers: dict[str, str]) -> Response:
        headers["Thongsuot-Now"] = str(self.clock())
        return Response(
            orjson.dumps({"problem": problem}), status_code=status, media_type="application/json", headers=headers
        )


def _target(page: TargetPage, formats: Formats, theme: Theme) -> dict[str, Any]:
    return target_data(page, formats, theme)


def _window(text: str) -> int:
    return next((window for window in WINDOWS_S if str(window) == text), WINDOWS_S[0])


async def _drawn(size: int, draw: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return await asyncio.to_thread(draw) if size >= IN_A_THREAD_FROM else draw()


def _answer(data: dict[str, Any], source: Overview | TargetPage) -> Answer:
    body = orjson.dumps(data)
    etag = '"' + hashlib.blake2b(body, digest_size=12).hexdigest() + '"'
    return Answer(body, gzip.compress(body, 5, mtime=0), etag, source.heartbeat_ms, source.simulated)
