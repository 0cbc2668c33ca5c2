"""Parameters of the kind `xroad`, and which of them each mode takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from probes.http_access import HttpAccess, PlainUrl
from probes.http_request import Request, web_url
from probes.http_visit import Rules
from probes.soap_message import Template, content_lines, minimal
from probes.units import Duration
from probes.xroad_identity import (
    XROAD,
    Client,
    Identity,
    Server,
    Service,
    message_id,
    rest_client,
    rest_path,
    soap_header,
)

Mode = Literal["service", "clients", "health", "configuration", "diagnostics", "operational"]

ANSWER_LIMIT = 16 << 20
"""Bytes of an answer; the records of operational monitoring are packed."""

_TAKEN: Mapping[str, frozenset[str]] = {
    "service": frozenset({"client", "service", "protocol", "access", "user_id"}),
    "clients": frozenset({"instance", "expected"}),
    "health": frozenset(),
    "configuration": frozenset(),
    "diagnostics": frozenset({"api_key"}),
    "operational": frozenset({"client", "servers", "service", "window", "user_id"}),
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "service": ("client", "service"),
    "diagnostics": ("api_key",),
    "operational": ("client", "servers"),
}


class XroadParams(HttpAccess):
    """Parameters of `xroad`."""

    url: PlainUrl = Field(
        description="The security server (in the mode configuration the source of it), an http or https URL."
    )
    client: Client | None = Field(None, description="In whose name: INSTANCE/CLASS/MEMBER/SUBSYSTEM.")
    service: Service | None = Field(
        None, description="What is watched: INSTANCE/CLASS/MEMBER/SUBSYSTEM, and /SERVICE/VERSION below it."
    )
    mode: Mode = Field(
        default_factory=lambda given: "service" if given.get("client") or given.get("service") else "health",
        description="What to look at: service where a client or a service is named, else health.",
    )
    protocol: Literal["soap", "rest"] = Field("soap", description="Which services: those of SOAP, or those of REST.")
    access: bool = Field(
        True, description="Whether the client must be allowed to call it; false: that it exists is enough."
    )
    user_id: str = Field("", max_length=200, description="User in whose name is asked, where the provider wants one.")
    instance: str = Field("", max_length=100, description="Another, federated instance whose clients are listed.")
    expected: tuple[Client, ...] = Field((), max_length=1000, description="Members and subsystems that must be listed.")
    servers: tuple[Server, ...] = Field(
        (), max_length=4, description="Servers whose records are read: INSTANCE/CLASS/MEMBER/SERVER, the own one first."
    )
    window: Duration = Field(300.0, ge=10, le=86400, description="How long back records are read.")
    api_key: SecretStr | None = Field(None, description="Key of the server's management API.")

    _rules: Rules = PrivateAttr()

    @model_validator(mode="after")
    def _fits_its_mode(self) -> XroadParams:
        every = frozenset().union(*_TAKEN.values())
        for name in sorted((every - _TAKEN[self.mode]) & self.model_fields_set):
            message = f"{name} has no meaning in the mode {self.mode}"
            raise ValueError(message)
        for name in _NEEDED.get(self.mode, ()):
            if not getattr(self, name):
                message = f"the mode {self.mode} needs {name}"
                raise ValueError(message)
        if self.protocol == "rest" and self.service is not None and self.service.version:
            raise ValueError("a REST service has no version in X-Road")
        if self.api_key is not None and not self.api_key.get_secret_value().isprintable():
            raise ValueError("api_key holds characters that no key has")
        self._rules = self.rules(ANSWER_LIMIT, follows=False)
        return self

    def at(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return the URL of a path at the server."""
        url = web_url(self.url)
        return str(url.joinpath(path.strip("/"), encoded=True).with_query(query or None)) if path else self.url

    def soap(self, service: Identity, body: str = "", server: Identity | None = None) -> Request:
        """Return a SOAP request to a service, with an empty body of its name or a given one."""
        client = self.client or service.provider
        header = soap_header(client, service, self.user_id, server)
        text = minimal("1.1", service.service, XROAD, {}, header)
        if body:
            start, end = text.index("<e:Body>") + len("<e:Body>"), text.index("</e:Body>")
            text = text[:start] + body + text[end:]
        return self.request(self.url, content_lines("1.1", ""), Template(text).encoded())

    def rest(self, service: Identity) -> Request:
        """Return a REST request to a service."""
        lines = [("X-Road-Client", rest_client(self.client or service.provider)), ("X-Road-Id", message_id())]
        lines += [("X-Road-UserId", self.user_id)] if self.user_id else []
        return self.request(self.at(rest_path(service)), [*lines, ("Accept", "application/json")])
