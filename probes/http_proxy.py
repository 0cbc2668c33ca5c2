"""Through a proxy: a tunnel for https (CONNECT; RFC 9110, section 9.3.6), the absolute form for http (RFC 9112, 3.2.2).

All that happens before the target is spoken to is the phase `proxy`, and what fails in it is told as the proxy's.
A proxy sees neither the requests to an https URL nor their credentials, and its own credentials go to nobody else.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from yarl import URL

from probes.connection import Connection, connect
from probes.failures import NETWORK_ERRORS, TroubleError, classify, plain_line
from probes.http_request import HeaderLine, web_url
from probes.model import Context, Failure
from probes.resolver import IpVersion, resolve
from probes.tcp_address import HostPort

ANSWER_LIMIT = 16384
"""Bytes of a proxy's answer to CONNECT."""

_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |\r)")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        address: where it is.
        headers: what it alone is told: Proxy-Authorization, or nothing.

    """

    address: HostPort
    headers: tuple[HeaderLine, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"http://{self.address}"


def parse_proxy(text: str) -> Proxy:
    """Return the proxy of `http://user:password@host:port`; what is reserved in a password is percent-encoded.

    Raises ValueError, which never shows a password.
    """
    url = web_url(text)
    if url.scheme != "http":
        raise ValueError("a proxy is spoken to over http: http://host:port")
    if url.raw_path_qs not in ("", "/"):
        raise ValueError("a proxy has no path: http://host:port")
    host = (url.raw_host or "").replace("%25", "%")
    user, at, _ = URL(text).raw_authority.rpartition("@")
    if not at:
        return Proxy(HostPort(host, url.port or 80))
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}".encode()
    return Proxy(
        HostPort(host, url.port or 80),
        (("Proxy-Authorization", "Basic " + base64.b64encode(pair).decode("ascii")),),
    )


def _proxy(value: Any) -> Any:
    return parse_proxy(value) if isinstance(value, str) else value


ProxyUrl = Annotated[
    Proxy,
    BeforeValidator(_proxy),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["http://10.0.0.1:3128"]}),
]
"""A proxy, written as a URL; shown without its credentials."""


class ConnectTunnel:
    """Asks a proxy for a tunnel to `target`."""

    def __init__(self, proxy: Proxy, target: HostPort) -> None:
        self._proxy = proxy
        self._target = target
        self._read = b""
        self.open = False
        self.rest = b""

    def first(self) -> bytes:
        """Return the request."""
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}", "User-Agent: thongsuot"]
        lines += [f"{name}: {value}" for name, value in self._proxy.headers]
        return "\r\n".join([*lines, "", ""]).encode()

    def receive(self, data: bytes) -> bytes:
        """Take the proxy's answer; there is nothing more to say to it.

        Raises TroubleError for any answer but 2xx.
        """
        self._read += data
        header, end, rest = self._read.partition(_END)
        if not end:
            if len(self._read) > ANSWER_LIMIT:
                raise self._trouble(Failure.PROTOCOL, f"its answer is longer than {ANSWER_LIMIT} bytes")
            return b""
        status = _STATUS.match(header + b"\r")
        if status is None:
            shown = plain_line(header[:40].decode("ascii", "replace"))
            raise self._trouble(Failure.PROTOCOL, f"its answer is not HTTP/1: {shown!r}")
        code = int(status[1])
        if code // 100 != 2:
            raise self.refusal(code)
        self.open, self.rest = True, rest
        return b""

    def refusal(self, code: int) -> TroubleError:
        """Return what a status of the proxy means."""
        if code == 407:
            return self._trouble(Failure.AUTH_REJECTED, "it does not take our credentials (status = 407)")
        return self._trouble(Failure.HTTP_STATUS, f"it opens no tunnel to {self._target} (status = {code})")

    def ended(self) -> TroubleError:
        """Return what it means that the proxy closed the connection."""
        return self._trouble(Failure.CONNECTION_CLOSED, f"it closed the connection to {self._target} before it stood")

    def _trouble(self, failure: Failure, message: str) -> TroubleError:
        return TroubleError(failure, f"proxy {self._proxy.address}: {message}")


C = TypeVar("C", bound=Connection)


async def connect_through(proxy: Proxy, make: Callable[[], C], ctx: Context, ip_version: IpVersion | None) -> C:
    """Return a connection to the proxy; begins the phase `proxy`.

    Raises TroubleError, which names the proxy.
    """
    ctx.phases.begin("proxy")
    aside = Context(ctx.timeout_s, ctx.deadline, ctx.resources)  # its phases are all one to the check
    try:
        addresses = await resolve(proxy.address.host, aside, ip_version)
        return await connect(addresses, proxy.address.port, make, aside)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, aside.phases.current)
        raise TroubleError(failure, plain_line(f"proxy {proxy.address}: {message}")) from None
