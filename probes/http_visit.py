"""A request and the redirects that it meets, each over a new connection (RFC 9110, section 15.4).

As browsers do (Fetch standard, section 4.4): 303 turns into a GET, and so do 301 and 302 of a POST; 307 and 308 keep
method and body. Cookies that a redirect sets go along. What was configured as a credential (authorization, cookies,
any header that is not known to be harmless) goes to the first URL's origin alone: another host, another port
or another scheme never sees it, nor does the first one after a detour.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yarl import URL

from probes.certificates import PeerCertificate
from probes.connection import connect
from probes.failures import TroubleError
from probes.http_cookies import Jar
from probes.http_exchange import Exchange, Head
from probes.http_proxy import ConnectTunnel, Proxy, connect_through
from probes.http_request import HeaderLine, Origin, Request, shown, web_url
from probes.model import Context, Failure
from probes.resolver import IpVersion, resolve
from probes.tcp_address import HostPort
from probes.tls import TlsSession, Trust, context_for, peer_certificate, sni_name

if TYPE_CHECKING:
    from probes.http2_exchange import NegotiatedExchange

REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Rules:
    """How to visit.

    Attributes:
        follow_redirects, max_redirects: whether, and how often.
        body_limit: decoded bytes of the final body.
        trust: whose certificates are accepted.
        server_name: the name to ask for and to verify at the first URL's origin, "" for its host.
        ip_version: 4, 6, or None for any.
        http_version: `1.1`, `2` or `auto`.
        proxy: where to go through, or None.
        authorize: gives a token for the first URL's origin; it is told which one was refused, "" at first.
        sign: gives the header lines that sign a request to the first URL's origin.

    """

    follow_redirects: bool
    max_redirects: int
    body_limit: int
    trust: Trust
    server_name: str
    ip_version: IpVersion | None
    http_version: str = "1.1"
    proxy: Proxy | None = None
    authorize: Callable[[Context, str], Awaitable[str]] | None = None
    sign: Callable[[Request], tuple[HeaderLine, ...]] | None = None


class Visit:
    """One visit, as far as it came: what is known is kept, also when `go` raised.

    Args:
        request, rules: what to ask, and how.
        ctx: the check's.
        jar: cookies of earlier visits of the same check; new ones go in.
        home: the origin that credentials are for, where it is not the request's own.

    Attributes:
        request: the last one sent.
        redirects: how many were followed.
        exchange: the last one, None before a connection stood.

    """

    def __init__(
        self, request: Request, rules: Rules, ctx: Context, jar: Jar | None = None, home: Origin | None = None
    ) -> None:
        self.request = request
        self.redirects = 0
        self.exchange: Exchange | None = None
        self._certificate: PeerCertificate | None = None
        self._rules = rules
        self._ctx = ctx
        self._first_origin = home or request.origin
        self._strayed = self._first_origin != request.origin
        self._jar = Jar() if jar is None else jar
        self._token = ""

    @property
    def head(self) -> Head | None:
        """The last answer's header, if one came."""
        return self.exchange.head if self.exchange is not None else None

    @property
    def session(self) -> TlsSession | None:
        """The last connection's TLS session, if there was one."""
        return self.exchange.session if self.exchange is not None else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The token that was got for it: shown nowhere, also where the service repeats it."""
        return (self._token,) if self._token else ()

    def certificate(self) -> PeerCertificate | None:
        """Return what the last peer's certificate says, also one that does not verify."""
        if self._certificate is None and self.session is not None:
            self._certificate = peer_certificate(self.session.chain())
        return self._certificate

    async def go(self) -> None:
        """Send the request and follow where it leads.

        Raises what classifies as a failure (`Exchange.errors`).
        """
        authorize = None if self._strayed else self._rules.authorize
        if authorize is not None:
            self._token = await authorize(self._ctx, "")
        while True:
            await self._exchange()
            head = self.head
            if head is not None and head.status == 401 and authorize is not None and not self._strayed:
                # A token may be withdrawn before its time: a new one is asked for, once.
                self._token, authorize = await authorize(self._ctx, self._token), None
                continue
            if head is None or not self.leads_on(head):
                self._keep_cookies()
                return
            self.request = self._next(head)
            self._strayed = self._strayed or self.request.origin != self._first_origin
            self.redirects += 1

    async def _exchange(self) -> None:
        """Ask once, over a new connection, which is closed whatever happens."""
        request, ctx, rules = self.request, self._ctx, self._rules
        self.exchange = None
        self._certificate = None
        try:
            if rules.proxy is None:
                addresses = await resolve(request.host, ctx, rules.ip_version)
                exchange = await connect(addresses, request.url.port or 0, self._maker(), ctx)
            else:
                exchange = await connect_through(rules.proxy, self._maker(), ctx, rules.ip_version)
            await exchange.done
        finally:
            if self.exchange is not None:
                self.exchange.close()
        if rules.proxy is not None and exchange.head is not None and exchange.head.status == 407:
            raise self._tunnel(rules.proxy).refusal(407)

    def _maker(self) -> Callable[[], Exchange]:
        """Return what makes an exchange for each address that is tried."""
        request, rules = self.request, self._rules
        cookies = self._jar.header_for(request.url)
        more = self._more(request)
        is_safe = request.url.scheme == "https"
        if rules.http_version == "2" or (rules.http_version == "auto" and is_safe):
            return self._negotiated(request, cookies, more)
        to_proxy = rules.proxy is not None and not is_safe
        if to_proxy and rules.proxy is not None:
            more = (*more, *rules.proxy.headers)
        encoded = request.encode(cookies, more, to_proxy) if cookies or more or to_proxy else request.encoded

        def make() -> Exchange:
            self.exchange = Exchange(
                self._ctx.phases,
                self._secure if is_safe else None,
                encoded,
                bodiless=request.method == "HEAD",
                body_limit=rules.body_limit,
                skips_body=self.leads_on,
                tunnel=self._tunnel(rules.proxy) if is_safe and rules.proxy is not None else None,
            )
            return self.exchange

        return make

    def _negotiated(self, request: Request, cookies: str, more: tuple[HeaderLine, ...]) -> Callable[[], Exchange]:
        exchange = self._ctx.phases.aside(_negotiating)
        rules, is_safe = self._rules, request.url.scheme == "https"

        def make() -> Exchange:
            self.exchange = exchange(
                self._ctx.phases,
                self._secure if is_safe else None,
                request,
                cookies,
                more,
                insists=rules.http_version == "2",
                body_limit=rules.body_limit,
                skips_body=self.leads_on,
                tunnel=self._tunnel(rules.proxy) if rules.proxy is not None else None,
            )
            return self.exchange

        return make

    def _tunnel(self, proxy: Proxy) -> ConnectTunnel:
        return ConnectTunnel(proxy, HostPort(self.request.host, self.request.url.port or 0))

    def _more(self, request: Request) -> tuple[HeaderLine, ...]:
        """Return the lines that are made for this request alone, if it goes where credentials may go."""
        if self._strayed:
            return ()
        more: tuple[HeaderLine, ...] = (("Authorization", f"Bearer {self._token}"),) if self._token else ()
        return more if self._rules.sign is None else (*more, *self._rules.sign(request))

    def _keep_cookies(self) -> None:
        if self.head is not None and "set-cookie" in self.head.fields:
            for cookie in self.head.all("set-cookie"):
                self._jar.take(cookie, self.request.url)

    def _secure(self) -> TlsSession:
        trust = self._rules.trust
        return TlsSession(context_for(trust, self._ctx), self._server_name(), trust)

    def _server_name(self) -> str:
        if self._rules.server_name and self.request.origin == self._first_origin:
            return sni_name(self._rules.server_name)
        return sni_name(self.request.host)

    def leads_on(self, head: Head) -> bool:
        """Say whether an answer is a redirect that is to be followed."""
        return self._rules.follow_redirects and head.status in REDIRECTS and bool(head.first("location"))

    def _next(self, head: Head) -> Request:
        """Return the request that a redirect asks for.

        Raises TroubleError: `too_many_redirects` instead of a request past the limit, `protocol` for a target
        that is no web address.
        """
        request = self.request
        self._keep_cookies()
        try:
            url: URL = web_url(head.first("location"), request.url)
        except ValueError as error:
            raise TroubleError(Failure.PROTOCOL, f"a redirect leads nowhere: {error}") from None
        if self.redirects >= self._rules.max_redirects:
            limit = self._rules.max_redirects
            raise TroubleError(Failure.TOO_MANY_REDIRECTS, f"more than {limit} redirects (next: {shown(url)})")
        return (request.as_get() if _becomes_get(head.status, request.method) else request).elsewhere(url)


def _negotiating() -> type[NegotiatedExchange]:
    from probes.http2_exchange import NegotiatedExchange  # noqa: PLC0415 - h2 is for those who ask for it

    return NegotiatedExchange


def _becomes_get(status: int, method: str) -> bool:
    if status == 303:
        return method != "HEAD"
    return status in (301, 302) and method == "POST"
