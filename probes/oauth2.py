"""Tokens by client credentials (RFC 6749, section 4.4), fetched when one is needed and kept until near their end.

Checks with the same credentials share a token, and one fetch when it is due. A token that the service refuses is
dropped and fetched again once. What fails on the way to a token is `auth_token`, whatever it is: the service that is
watched has not been asked yet. Neither token, secret nor the token server's own words reach a message; of its answer
only the error code is shown (section 5.2), since a description may repeat what was sent.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote_plus, urlencode

import orjson
from pydantic import ConfigDict, Field, SecretStr, field_validator

from probes.failures import TroubleError, classify
from probes.http_exchange import Exchange
from probes.http_request import Request, shown, web_url
from probes.http_visit import Rules, Visit
from probes.model import Context, Failure, Params
from probes.tcp_stream import last_moment
from probes.units import Duration

KEY = "probes.oauth2"
"""Where the process keeps its tokens in `Context.resources`."""

BODY_LIMIT = 65536
TOKEN_LIMIT = 16384
"""Characters of a token: it has to fit into a header line."""

UNSTATED_S = 300.0
"""How long a token is kept whose end was not told (section 5.1 recommends that it is)."""

TOKENS_LIMIT = 1000
"""Tokens kept; a configuration has a few."""

_ERROR_CODE = re.compile(r"[a-z_]{1,40}\Z")
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")  # RFC 6749, appendix A.12, without the space that would end it in a header


class OAuth2(Params):
    """Where a token comes from."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    token_url: str = Field(description="The token endpoint: an absolute http or https URL.")
    client_id: str = Field(min_length=1, description="Who we are.")
    client_secret: SecretStr = Field(description="What proves it.")
    scope: str = Field("", description="Scopes to ask for, separated by spaces.")
    audience: str = Field("", description="Whom the token is for, where the server wants to be told.")
    client_auth: Literal["client_secret_basic", "client_secret_post"] = Field(
        "client_secret_basic", description="How id and secret are sent: as a header, or in the body."
    )
    expiry_margin: Duration = Field(
        30.0, ge=0, description="How long before its end a token is replaced; a tenth of its life at most."
    )

    @field_validator("token_url")
    @classmethod
    def _web_url(cls, value: str) -> str:
        if "@" in re.split("[/?#]", value.partition("://")[2], maxsplit=1)[0]:
            raise ValueError("credentials do not belong in the URL")
        return str(web_url(value))


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    ends: float

    def __repr__(self) -> str:
        return f"_Token(ends={self.ends})"


class Tokens:
    """The process's tokens, by their credentials and the way to their server."""

    def __init__(self) -> None:
        self._known: dict[object, _Token] = {}
        self._fetches: dict[object, asyncio.Task[_Token]] = {}

    async def get(self, key: object, refused: str, fetch: Callable[[], Coroutine[Any, Any, _Token]]) -> str:
        """Return a token that has not come near its end and is not `refused`.

        Raises TroubleError (`auth_token`); a failed fetch is not remembered.
        """
        known = self._known.get(key)
        if known is not None and known.value != refused and known.ends > asyncio.get_running_loop().time():
            return known.value
        task = self._fetches.get(key)
        if task is None:
            task = asyncio.ensure_future(fetch())
            self._fetches[key] = task
            task.add_done_callback(lambda done: self._take(key, done))
        return (await asyncio.shield(task)).value

    def _take(self, key: object, done: asyncio.Task[_Token]) -> None:
        self._fetches.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            self._known.pop(key, None)
            return
        if len(self._known) >= TOKENS_LIMIT:
            self._known.clear()
        self._known[key] = done.result()

    async def aclose(self) -> None:
        """Stop what is being fetched, and forget."""
        for task in list(self._fetches.values()):
            task.cancel()
        self._known.clear()


class Authority:
    """Gives tokens for one set of credentials; `Rules.authorize` of a visit.

    Args:
        credentials: as configured.
        rules: how the service is visited: the token's server is visited likewise, without following redirects.

    """

    def __init__(self, credentials: OAuth2, rules: Rules) -> None:
        self._credentials = credentials
        self._rules = replace(
            rules, follow_redirects=False, body_limit=BODY_LIMIT, server_name="", authorize=None, sign=None
        )
        self._request = _request(credentials)
        self._key = (credentials, rules.trust, rules.ip_version, rules.proxy, rules.http_version)

    async def __call__(self, ctx: Context, refused: str) -> str:
        """Return a token, in the phase `token`.

        Raises TroubleError: `auth_token`.
        """
        ctx.phases.begin("token")
        tokens = ctx.resources.get(KEY, Tokens)
        # The fetch is shared, so it must not end with the check that began it, but with its time.
        moment = last_moment(ctx)
        aside = Context(ctx.timeout_s, moment, ctx.resources)
        try:
            async with asyncio.timeout_at(moment):
                return await tokens.get(self._key, refused, lambda: self._fetch(aside))
        except TimeoutError:
            raise self._trouble("no token in time") from None

    async def _fetch(self, ctx: Context) -> _Token:
        visit = Visit(self._request, self._rules, ctx)
        try:
            async with asyncio.timeout_at(ctx.deadline):
                await visit.go()
        except Exchange.errors as error:
            raise self._trouble(classify(error, ctx.phases.current)[1]) from None
        return self._token(visit)

    def _token(self, visit: Visit) -> _Token:
        """Return the token in an answer (RFC 6749, section 5)."""
        status = visit.head.status if visit.head is not None else 0
        content = visit.exchange.content if visit.exchange is not None else None
        try:
            answer = orjson.loads(content or b"")
        except orjson.JSONDecodeError:
            answer = None
        told = answer if isinstance(answer, dict) else {}
        if status != 200:
            code = told.get("error")
            named = f", error = {code}" if isinstance(code, str) and _ERROR_CODE.match(code) else ""
            message = f"the token server refuses (status = {status}{named})"
            raise self._trouble(message)
        token, kind = told.get("access_token"), told.get("token_type", "Bearer")
        if not (isinstance(token, str) and _TOKEN.match(token) and len(token) <= TOKEN_LIMIT):
            raise self._trouble("the answer holds no access_token")
        if not (isinstance(kind, str) and kind.lower() == "bearer"):
            raise self._trouble("the token is not of the type Bearer")
        life_s = _seconds(told.get("expires_in"))
        margin_s = min(self._credentials.expiry_margin, life_s / 10)
        return _Token(token, asyncio.get_running_loop().time() + life_s - margin_s)

    def _trouble(self, message: str) -> TroubleError:
        return TroubleError(
            Failure.AUTH_TOKEN, f"{message}: {shown(web_url(self._credentials.token_url).with_query(None))}"
        )


def _seconds(value: Any) -> float:
    """Return a token's life; some servers send the number as text."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return UNSTATED_S
    return min(seconds, 30 * 86400.0) if seconds > 0 else UNSTATED_S


def _request(credentials: OAuth2) -> Request:
    secret = credentials.client_secret.get_secret_value()
    fields = {"grant_type": "client_credentials", "scope": credentials.scope, "audience": credentials.audience}
    private: tuple[tuple[str, str], ...] = ()
    if credentials.client_auth == "client_secret_basic":
        # Both are form-encoded before they are joined (section 2.3.1).
        pair = f"{quote_plus(credentials.client_id)}:{quote_plus(secret)}".encode()
        private = (("Authorization", "Basic " + base64.b64encode(pair).decode("ascii")),)
    else:
        fields |= {"client_id": credentials.client_id, "client_secret": secret}
    return Request(
        method="POST",
        url=web_url(credentials.token_url),
        headers=(("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")),
        private=private,
        body=urlencode({name: value for name, value in fields.items() if value}).encode(),
    )
