"""Parameters of the kind `wso2`, and which of them each mode takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PrivateAttr, StringConstraints, model_validator

from probes.http_access import HttpAccess, PlainUrl
from probes.http_request import web_url
from probes.http_status import Statuses
from probes.http_visit import Rules
from probes.model import Params

Mode = Literal["gateway", "integrator", "management", "publisher", "devportal"]

ANSWER_LIMIT = 8 << 20
"""Bytes of an answer."""

ARTIFACTS: Mapping[str, tuple[str, str]] = {
    "apis": ("apis", "API"),
    "proxy_services": ("proxy-services", "proxy service"),
    "endpoints": ("endpoints", "endpoint"),
    "data_services": ("data-services", "data service"),
}
"""What is expected of a Micro Integrator: parameter → resource of its management API, and what one is called."""

_PORTALS = frozenset({"apis"})
_TAKEN: Mapping[str, frozenset[str]] = {
    "gateway": frozenset(),
    "integrator": frozenset(),
    "management": frozenset(ARTIFACTS),
    "publisher": _PORTALS,
    "devportal": _PORTALS,
}

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Names = tuple[Name, ...]


class Call(Params):
    """A call of an API's own context."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    url: PlainUrl = Field(description="What to ask, with GET: a context of the gateway.")
    status: Statuses = Field(("2xx",), description="Codes and classes that are fine; 401 says that the API is there.")


class Wso2Params(HttpAccess):
    """Parameters of `wso2`."""

    url: PlainUrl = Field(description="The server: scheme, host and port, and the path before its own ones if any.")
    mode: Mode = Field("gateway", description="What to look at.")
    apis: Names = Field((), max_length=500, description="APIs that have to be there: name, or name:version.")
    proxy_services: Names = Field((), max_length=50, description="Proxy services that have to run.")
    endpoints: Names = Field((), max_length=500, description="Endpoints that have to be active.")
    data_services: Names = Field((), max_length=500, description="Data services that have to be deployed.")
    calls: tuple[Call, ...] = Field((), max_length=20, description="APIs to call, each in its own context.")

    _rules: Rules = PrivateAttr()

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Wso2Params:
        for name in sorted((set(ARTIFACTS) - _TAKEN[self.mode]) & self.model_fields_set):
            message = f"{name} has no meaning in the mode {self.mode}"
            raise ValueError(message)
        if self.mode == "management" and self.basic_auth is None:
            raise ValueError("the mode management logs in: write basic_auth")
        if self.mode == "publisher" and self.oauth2 is None and self.basic_auth is None and self.bearer_token is None:
            raise ValueError("the mode publisher needs oauth2, bearer_token or basic_auth")
        self._rules = self.rules(ANSWER_LIMIT, follows=False)
        return self

    def at(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return the URL of a path at the server."""
        return str(web_url(self.url).joinpath(path).with_query(query or None))
