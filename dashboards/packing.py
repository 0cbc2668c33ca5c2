"""Gzip for pages and scripts, off the event loop, each fixed file packed once.

Starlette's own middleware packs on the loop: plotly's 4.8 MB would hold up every wall for a quarter of a second at
each visit.
"""

from __future__ import annotations

import asyncio
import gzip
from collections import OrderedDict

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST_BYTES = 500
ON_THE_LOOP_BYTES = 64 * 1024
KEPT_FILES = 200
FIXED = ("/_dash-component-suites/", "/assets/")
TYPES = ("text/", "application/javascript", "application/json", "image/svg+xml")


class Packing:
    """ASGI middleware that sends text through gzip to those who accept it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        accepts = scope["type"] == "http" and b"gzip" in dict(scope["headers"]).get(b"accept-encoding", b"")
        if not accepts:
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Packed(self, scope, send).send)

    async def packed(self, scope: Scope, body: bytes, version: bytes) -> bytes:
        """Return the body through gzip, from memory when it is a fixed file that was asked for before."""
        if not scope["path"].startswith(FIXED):
            return await _gzip(body)
        key = (scope["path"], version)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = await _gzip(body)
            while len(self._kept) > KEPT_FILES:
                self._kept.popitem(last=False)
        return kept


class _Packed:
    """One answer: held back until it is whole, then sent packed; sent as it is when it cannot be packed."""

    def __init__(self, packing: Packing, scope: Scope, send: Send) -> None:
        self._packing, self._scope, self._send = packing, scope, send
        self._start: Message = {}
        self._body = bytearray()
        self._as_it_is = False

    async def send(self, message: Message) -> None:
        """Take the application's next message."""
        if message["type"] == "http.response.start":
            self._start = message
            headers = MutableHeaders(scope=message)
            kind = headers.get("content-type", "")
            self._as_it_is = "content-encoding" in headers or not kind.startswith(TYPES) or message["status"] != 200
            if self._as_it_is:
                await self._send(message)
        elif self._as_it_is or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish()

    async def _finish(self) -> None:
        headers = MutableHeaders(scope=self._start)
        headers.add_vary_header("Accept-Encoding")
        body = bytes(self._body)
        if len(body) >= SMALLEST_BYTES:
            version = (headers.get("etag", "") + str(len(body))).encode("latin-1")
            body = await self._packing.packed(self._scope, body, version)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body})


async def _gzip(body: bytes) -> bytes:
    if len(body) < ON_THE_LOOP_BYTES:
        return gzip.compress(body, 6, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, 6, mtime=0)
