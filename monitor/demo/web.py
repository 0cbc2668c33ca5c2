"""The far ends that speak HTTP: health answers in JSON, an X-Road-like gateway (REST), and SOAP 1.1.

Every answer says that it is simulated, and carries metadata only.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from monitor.demo.listener import BACKLOG
from monitor.demo.stage import Actor, Log

BODY_MAX_BYTES = 64 * 1024
SIMULATED = "dữ liệu mô phỏng"
HEADERS = {"Server": "mo-phong", "X-Mo-Phong": "simulated data", "Cache-Control": "no-store"}

_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>{}</soap:Body></soap:Envelope>
"""
_FAULT = _ENVELOPE.format(
    "<soap:Fault><faultcode>soap:Server</faultcode>"
    "<faultstring>Không kết nối được hệ thống nguồn (mô phỏng)</faultstring></soap:Fault>"
)
_INVALID = _ENVELOPE.format(
    "<soap:Fault><faultcode>soap:Client</faultcode><faultstring>not a SOAP envelope</faultstring></soap:Fault>"
)
_METADATA = _ENVELOPE.format(
    '<m:layThongTinResponse xmlns:m="urn:mo-phong"><m:dichVu>{}</m:dichVu><m:trangThai>UP</m:trangThai>'
    "<m:ghiChu>dữ liệu mô phỏng</m:ghiChu></m:layThongTinResponse>"
)


class WebServer:
    """Serves the HTTP services of one host on one port."""

    def __init__(self, actors: Mapping[str, Actor]) -> None:
        self._actors = actors
        self._web: web.Server = web.Server(self._handle, access_log=None, keepalive_timeout=15.0)
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, sock: socket.socket, actors: Mapping[str, Actor], context: ssl.SSLContext | None) -> WebServer:
        """Listen on a bound socket; `actors` are the services by path."""
        server = cls(actors)
        loop = asyncio.get_running_loop()
        server._server = await loop.create_server(server._web, sock=sock, ssl=context, backlog=BACKLOG)
        return server

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        actor = self._actors.get(request.path)
        if actor is None:
            return _json({"error": "not found", "simulated": True}, 404)
        body = await request.content.read(BODY_MAX_BYTES)
        await actor.take_time()
        effect = actor.effect()
        if effect.status:
            return _json({"error": SIMULATED, "simulated": True}, effect.status)
        speak = {"soap": _soap, "xroad": _xroad}.get(actor.service.speaks, _health)
        return speak(actor, request, body)

    async def close(self) -> None:
        """Stop listening and abort all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._web.connections):
            _abort(connection)
        await self._web.shutdown(0)


def _abort(connection: RequestHandler) -> None:
    transport = connection.transport
    if isinstance(transport, asyncio.Transport):
        transport.abort()


def _json(value: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=HEADERS, content_type="application/json")


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, headers=HEADERS, content_type="text/xml", charset="utf-8")


def _health(actor: Actor, request: web.BaseRequest, _body: bytes) -> web.Response:
    if request.method not in ("GET", "HEAD"):
        return _json({"error": "method not allowed", "simulated": True}, 405)
    service = actor.service
    return _json({
        "status": actor.effect().health or "UP",
        "service": service.id,
        "name": service.name.vi,
        "simulated": True,
        "note": SIMULATED,
    })  # fmt: skip


def _xroad(actor: Actor, request: web.BaseRequest, _body: bytes) -> web.Response:
    """Answer as an X-Road security server does to `listMethods` (X-Road: Service Metadata Protocol for REST)."""
    if "X-Road-Client" not in request.headers:
        error = {"type": "Client.MissingHeader", "message": "Required header X-Road-Client is missing"}
        return _json({**error, "simulated": True}, 400)
    _, _, instance, class_, member, subsystem, _ = request.path.split("/")
    service = {
        "objectType": "SERVICE",
        "xRoadInstance": instance,
        "memberClass": class_,
        "memberCode": member,
        "subsystemCode": subsystem,
        "serviceCode": "traThongTin",
    }
    return _json({"status": actor.effect().health or "UP", "service": [service], "simulated": True, "note": SIMULATED})


def _soap(actor: Actor, request: web.BaseRequest, body: bytes) -> web.Response:
    """Answer SOAP 1.1 over HTTP (section 6); the fault in the script comes with a 200, as careless servers do it."""
    if request.method != "POST" or b"Envelope" not in body:
        return _xml(_INVALID, 500)
    return _xml(_FAULT if actor.effect().soap_fault else _METADATA.format(actor.service.id))


class Receiver:
    """Where notifications arrive: writes down what it is told, and thanks for it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._web: web.Server = web.Server(self._handle, access_log=None)
        self._server: asyncio.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        """Serve on a listening socket."""
        self._server = await asyncio.get_running_loop().create_server(self._web, sock=sock)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.content.read(BODY_MAX_BYTES)
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _json({"error": "not JSON"}, 400)
        self._log.write({"path": request.path, "told": told})
        return _json({"ok": True})

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        await self._web.shutdown(0)
