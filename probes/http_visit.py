"""A request and the redirects that it meets, each over a new connection (RFC 9110, section 15.4).

As browsers do (Fetch standard, section 4.4): 303 turns into a GET, and so do 301 and 302 of a POST; 307 and 308 keep
method and body. Cookies that a redirect sets go along. What was configured as a credential (authorization, cookies,
any header that is not known to be harmless) goes to the first URL's origin alone: another host, another port
or another scheme never sees it, nor does the first one after a detour.
"""

from __future__ import annotations

from dataclasses import dataclass

from yarl import URL

from probes.connection import connect
from probes.failures import TroubleError
from probes.http_cookies import Jar
from probes.http_exchange import Exchange, Head
from probes.http_request import Request, shown, web_url
from probes.model import Context, Failure
from probes.resolver import IpVersion, resolve
from probes.tls import PeerCertificate, TlsSession, Trust, context_for, peer_certificate, sni_name

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

    """

    follow_redirects: bool
    max_redirects: int
    body_limit: int
    trust: Trust
    server_name: str
    ip_version: IpVersion | None


class Visit:
    """One visit, as far as it came: what is known is kept, also when `go` raised.

    Attributes:
        request: the last one sent.
        redirects: how many were followed.
        exchange: the last one, None before a connection stood.

    """

    def __init__(self, request: Request, rules: Rules, ctx: Context) -> None:
        self.request = request
        self.redirects = 0
        self.exchange: Exchange | None = None
        self._certificate: PeerCertificate | None = None
        self._rules = rules
        self._ctx = ctx
        self._first_origin = request.origin
        self._jar = Jar()

    @property
    def head(self) -> Head | None:
        """The last answer's header, if one came."""
        return self.exchange.head if self.exchange is not None else None

    @property
    def session(self) -> TlsSession | None:
        """The last connection's TLS session, if there was one."""
        return self.exchange.session if self.exchange is not None else None

    def certificate(self) -> PeerCertificate | None:
        """Return what the last peer's certificate says, also one that does not verify."""
        if self._certificate is None and self.session is not None:
            self._certificate = peer_certificate(self.session.chain())
        return self._certificate

    async def go(self) -> None:
        """Send the request and follow where it leads.

        Raises what classifies as a failure (`Exchange.errors`).
        """
        while True:
            await self._exchange()
            head = self.head
            if head is None or not self.leads_on(head):
                return
            self.request = self._next(head)
            self.redirects += 1

    async def _exchange(self) -> None:
        """Ask once, over a new connection, which is closed whatever happens."""
        request, ctx, rules = self.request, self._ctx, self._rules
        self.exchange = None
        self._certificate = None
        addresses = await resolve(request.host, ctx, rules.ip_version)

        cookies = self._jar.header_for(request.url)

        def make() -> Exchange:
            self.exchange = Exchange(
                ctx.phases,
                self._secure if request.url.scheme == "https" else None,
                request.encode(cookies) if cookies else request.encoded,
                bodiless=request.method == "HEAD",
                body_limit=rules.body_limit,
                skips_body=self.leads_on,
            )
            return self.exchange

        try:
            exchange = await connect(addresses, request.url.port or 0, make, ctx)
            await exchange.done
        finally:
            if self.exchange is not None:
                self.exchange.close()

    def _secure(self) -> TlsSession:
        return TlsSession(context_for(self._rules.trust, self._ctx.resources), self._server_name())

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
        for cookie in head.all("set-cookie"):
            self._jar.take(cookie, request.url)
        try:
            url: URL = web_url(head.first("location"), request.url)
        except ValueError as error:
            raise TroubleError(Failure.PROTOCOL, f"a redirect leads nowhere: {error}") from None
        if self.redirects >= self._rules.max_redirects:
            limit = self._rules.max_redirects
            raise TroubleError(Failure.TOO_MANY_REDIRECTS, f"more than {limit} redirects (next: {shown(url)})")
        return (request.as_get() if _becomes_get(head.status, request.method) else request).elsewhere(url)


def _becomes_get(status: int, method: str) -> bool:
    if status == 303:
        return method != "HEAD"
    return status in (301, 302) and method == "POST"
