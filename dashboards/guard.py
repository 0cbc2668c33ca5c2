"""What stands before every request: who may ask (by name of host), what a browser may do with the answer.

Until there are logins, the process listens on loopback only. A hostile page elsewhere could still reach it through
a name of its own that resolves to 127.0.0.1 (DNS rebinding): a request whose Host is not a loopback name is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http.cookies import SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.viewer import CHOICES

YEAR_S = 31_536_000


def content_security_policy(script_hashes: Iterable[str]) -> str:
    """Return the policy: everything from this server alone; inline scripts only by hash.

    Inline styles are allowed because plotly writes its own style element; no style can be injected without markup,
    and markup is escaped.
    """
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(("script-src 'self'", *script_hashes)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "worker-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def is_loopback_name(host: str) -> bool:
    """Say whether a Host header names this machine: `localhost`, 127.0.0.0/8 or ::1, with or without a port."""
    name = host.strip().casefold()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") <= 1:
        name = name.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware: refuses foreign hosts, adds security headers, keeps choices, says 404 where there is no page.

    Attributes:
        policy: the content security policy; set after warm-up, when the inline scripts are known.
        is_page: says whether a path is one of the pages.

    """

    def __init__(self, app: ASGIApp, is_page: Callable[[str], bool]) -> None:
        self._app = app
        self.is_page = is_page
        self.policy = content_security_policy(())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not is_loopback_name(headers.get(b"host", b"").decode("latin-1")):
            await _refuse(scope, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._guard(scope, message)
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _guard(self, scope: Scope, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        headers["Content-Security-Policy"] = self.policy
        headers["X-Frame-Options"] = "DENY"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        if not headers.get("content-type", "").startswith("text/html"):
            return
        headers["Cache-Control"] = "no-store"
        if message["status"] == 200 and not self.is_page(scope["path"]):
            message["status"] = 404
        for cookie in chosen_cookies(scope["query_string"]):
            headers.append("Set-Cookie", cookie)


def chosen_cookies(query_string: bytes) -> list[str]:
    """Return a Set-Cookie value for each known choice in the address; anything else sets nothing."""
    pairs = parse_qsl(query_string.decode("latin-1"))
    chosen = {name: value for name, value in pairs if value in CHOICES.get(name, ())}
    cookies = []
    for name, value in chosen.items():
        cookie: SimpleCookie = SimpleCookie({name: value})
        cookie[name].update({"path": "/", "max-age": str(YEAR_S), "samesite": "Lax"})
        cookies.append(cookie[name].OutputString())
    return cookies


async def _refuse(scope: Scope, send: Send) -> None:
    """Answer 421 Misdirected Request (RFC 9110, section 15.5.20), or close a WebSocket before it opens."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = b"This server answers only to loopback names.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
