"""What every kind that asks an SNMP agent is told: where it is, and in whose name it is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from probes.model import Params
from probes.resolver import IpVersion
from probes.tcp_address import HostPort, parse_address

PORT = 161
PASSWORD_LEAST = 8
"""Characters (RFC 3414, section 11.2)."""


def _agent(value: Any) -> Any:
    return parse_address(value, PORT) if isinstance(value, str) else value


AgentAddress = Annotated[
    HostPort,
    BeforeValidator(_agent),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.1", "router.example.vn:161"]}),
]
"""A host, and a port where it is not 161."""


class Login(NamedTuple):
    """In whose name an agent is asked; None and "" for what is not used."""

    community: SecretStr | None
    user: str
    auth: str | None
    auth_password: SecretStr | None
    privacy: str | None
    privacy_password: SecretStr | None
    context: str


class AgentParams(Params):
    """Parameters that the kinds `snmp`, `bgp` and `ospf` share."""

    model_config = ConfigDict(hide_input_in_errors=True)

    address: AgentAddress = Field(description="host or host:port (161)")
    community: SecretStr | None = Field(None, description="SNMPv2c: the community, as a reference")
    user: str = Field("", max_length=32, description="SNMPv3: the user's name")
    auth: Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"] | None = Field(
        None, description="SNMPv3: how messages are authenticated; sha256 and above are to be preferred"
    )
    auth_password: SecretStr | None = Field(None, description="SNMPv3: 8 characters at the least, as a reference")
    privacy: Literal["aes128", "aes192", "aes256", "aes192-reeder", "aes256-reeder"] | None = Field(
        None, description="SNMPv3: how they are encrypted; the -reeder variants are Cisco's"
    )
    privacy_password: SecretStr | None = Field(None, description="SNMPv3: 8 characters at the least, as a reference")
    context: str = Field("", max_length=255, description="SNMPv3: the context's name, where a router has several")
    answer_bytes: int = Field(
        1400,
        ge=484,
        le=65_000,
        description="how large an answer to ask for, in bytes; beyond a packet of the path it arrives in fragments",
    )
    ip_version: IpVersion | None = Field(None, description="4 or 6: only addresses of that version")

    @model_validator(mode="after")
    def _names_one_who_asks(self) -> AgentParams:
        if (self.community is None) == (not self.user):
            raise ValueError("write either community (SNMPv2c) or user (SNMPv3)")
        if self.community is not None and (self.auth or self.privacy or self.context):
            raise ValueError("auth, privacy and context are of SNMPv3: write user instead of community")
        if self.privacy and not self.auth:
            raise ValueError("privacy needs auth (RFC 3414, section 1.4.3)")
        for name in ("auth", "privacy"):
            password = getattr(self, f"{name}_password")
            if (getattr(self, name) is None) != (password is None):
                message = f"{name} and {name}_password belong together"
                raise ValueError(message)
            if password is not None and len(password.get_secret_value()) < PASSWORD_LEAST:
                message = f"{name}_password has {PASSWORD_LEAST} characters at the least"
                raise ValueError(message)
        return self

    @property
    def login(self) -> Login:
        """In whose name the agent is asked."""
        return Login(
            self.community,
            self.user,
            self.auth,
            self.auth_password,
            self.privacy,
            self.privacy_password,
            self.context,
        )
