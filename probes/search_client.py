"""Questions to an Elasticsearch or OpenSearch cluster over HTTP: how to log in, and JSON answers, bounded."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from probes.failures import TroubleError, plain_line
from probes.http_request import Request, web_url
from probes.http_visit import Rules, Visit
from probes.model import Context, Failure, Params
from probes.tcp_address import ServerName
from probes.tls import Trust

ANSWER_LIMIT_BYTES = 1024 * 1024
_PRINTABLE = r"^[\x21-\x7e]+$"


class Login(Params):
    """A user and a password (RFC 7617)."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    username: str = Field(pattern=r"^[^:\x00-\x1f\x7f]+$", description="Who asks; without a colon.")
    password: SecretStr = Field(description="What proves it, as a reference.")


class Access(Params):
    """Where a cluster is and how to log in.

    Attributes:
        url: of a node or of what stands before the nodes.
        basic_auth, api_key, bearer_token: how to log in; one of them, or none.
        verify, ca_file, server_name: whom to trust under TLS.
        ip_version: 4 or 6: only addresses of that version.

    """

    model_config = ConfigDict(hide_input_in_errors=True)

    url: str = Field(description="Of a node, or of what stands before the nodes; without credentials in it.")
    basic_auth: Login | None = Field(None, description="User and password.")
    api_key: SecretStr | None = Field(None, description="An API key in its encoded form (Elasticsearch).")
    bearer_token: SecretStr | None = Field(None, description="A token.")
    verify: bool = Field(True, description="Whether certificate and name are verified.")
    ca_file: Path | None = Field(None, description="PEM file of the only authorities to trust.")
    server_name: ServerName | None = Field(None, description="Name to ask for and to verify instead of the host.")
    ip_version: Literal[4, 6] | None = Field(None, description="4 or 6: only addresses of that version.")

    @field_validator("url")
    @classmethod
    def _web_url(cls, value: str) -> str:
        url = web_url(value)
        if "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("credentials do not belong in the URL: use basic_auth or api_key")
        return str(url.with_query(None)).rstrip("/")

    @field_validator("api_key", "bearer_token")
    @classmethod
    def _one_word(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().isascii():
            raise ValueError("a key or token is one word of ASCII")
        if value is not None and not value.get_secret_value().isprintable():
            raise ValueError("a key or token is printable")
        return value

    @model_validator(mode="after")
    def _one_login(self) -> Access:
        if sum(login is not None for login in (self.basic_auth, self.api_key, self.bearer_token)) > 1:
            raise ValueError("there is more than one of basic_auth, api_key and bearer_token")
        return self

    def authorization(self) -> tuple[tuple[str, str], ...]:
        """Return the header that logs in, if any."""
        if self.basic_auth is not None:
            pair = f"{self.basic_auth.username}:{self.basic_auth.password.get_secret_value()}".encode()
            return (("Authorization", "Basic " + base64.b64encode(pair).decode("ascii")),)
        if self.api_key is not None:
            return (("Authorization", f"ApiKey {self.api_key.get_secret_value()}"),)
        if self.bearer_token is not None:
            return (("Authorization", f"Bearer {self.bearer_token.get_secret_value()}"),)
        return ()


class Client:
    """Asks one cluster, each question over a connection of its own.

    Attributes:
        chain: the certificates (DER) that the last server showed.

    """

    def __init__(self, access: Access, ctx: Context) -> None:
        self._access = access
        self._ctx = ctx
        self._rules = Rules(
            follow_redirects=False,
            max_redirects=0,
            body_limit=ANSWER_LIMIT_BYTES,
            trust=Trust(access.verify, str(access.ca_file or ""), ("http/1.1",)),
            server_name=access.server_name or "",
            ip_version=access.ip_version,
        )
        self.chain: list[bytes] = []

    async def ask(self, path: str, body: Any = None, forgiven: frozenset[int] = frozenset()) -> dict[str, Any] | None:
        """Return a JSON answer, a list as the member `list`; None for a status that is forgiven.

        Raises TroubleError: `auth_rejected` for 401, `query_failed` for a question that is refused, `http_status` for
        another bad status, `protocol` for what is no JSON; and what `Visit.go` raises.
        """
        headers = (("Content-Type", "application/json"),) if body is not None else ()
        request = Request(
            method="GET" if body is None else "POST",
            url=web_url(self._access.url + path),
            headers=headers,
            private=self._access.authorization(),
            body=b"" if body is None else orjson.dumps(body),
        )
        visit = Visit(request, self._rules, self._ctx)
        try:
            await visit.go()
        finally:
            if visit.session is not None:
                self.chain = visit.session.chain()
        status = visit.head.status if visit.head is not None else 0
        if status in forgiven:
            return None
        answer = _json(visit, status)
        if 200 <= status < 300:
            return answer
        raise TroubleError(_meaning(status), f"status {status}: {_reason(answer)}")


def _json(visit: Visit, status: int) -> dict[str, Any]:
    content = visit.exchange.content if visit.exchange is not None else None
    try:
        answer = orjson.loads(content or b"")
    except orjson.JSONDecodeError:
        if not 200 <= status < 300:
            return {}
        raise TroubleError(Failure.PROTOCOL, "the answer is not JSON: this is no search cluster") from None
    if isinstance(answer, list):
        return {"list": answer}
    return answer if isinstance(answer, dict) else {}


def _meaning(status: int) -> Failure:
    if status == 401:
        return Failure.AUTH_REJECTED
    return Failure.QUERY_FAILED if status in (400, 403, 404) else Failure.HTTP_STATUS


def _reason(answer: dict[str, Any]) -> str:
    """Return the server's own words (documentation, "REST API conventions": an error has a type and a reason)."""
    error = answer.get("error")
    if isinstance(error, dict):
        return plain_line(f"{error.get('type', '')}: {error.get('reason', '')}", 200)
    return plain_line(str(error), 200) if error else "no reason given"
