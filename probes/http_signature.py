"""Requests signed with a shared secret: by a template of one's own, or as HTTP Message Signatures (RFC 9421).

A template is text with placeholders `{{name}}`, the same for what is signed and for the headers that tell of it; no
placeholder but the ones in `PLACEHOLDERS` is known, and a wrong one is refused with the configuration. What is signed
is made anew for every request (and every hop of a redirect within the origin), so time stamps and nonces are fresh.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Literal

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from probes.failures import plain_line
from probes.http_request import HeaderLine, Request, check_headers, host_header
from probes.model import Params

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")

PLACEHOLDERS = (
    "method", "path", "query", "target", "url", "host", "date", "timestamp", "timestamp_ms", "iso_time", "nonce",
    "key_id", "body", "body_sha256", "body_sha256_base64", "content_digest",
)  # fmt: skip
"""What a template may name: `target` is path and query; `date` is HTTP's (RFC 9110, section 5.6.7); `timestamp` is Unix
time in seconds; `iso_time` is `2026-10-01T00:00:10Z`; the digests of the body are hexadecimal and Base64;
`content_digest` is RFC 9530's."""

Component = Literal[
    "@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query", "content-digest",
    "content-type", "date",
]  # fmt: skip


class HmacSignature(Params):
    """How requests are signed."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True, str_strip_whitespace=False)

    secret: SecretStr = Field(description="The shared secret, as text (UTF-8), or as `key_encoding` says.")
    key_encoding: Literal["text", "hex", "base64"] = Field("text", description="How the secret is written.")
    key_id: str = Field("", description="The secret's name, where the service wants it.")
    algorithm: Literal["sha256", "sha512", "sha1"] = Field("sha256", description="Hash of the HMAC (RFC 2104).")
    template: str = Field(
        "{{method}}\n{{target}}\n{{timestamp}}\n{{body_sha256}}", description="What is signed, with placeholders."
    )
    encoding: Literal["hex", "base64"] = Field("hex", description="How the signature is written.")
    header: str = Field("X-Signature", description="The header that the signature goes in.")
    value: str = Field("{{signature}}", description="That header's value, with placeholders and `signature`.")
    headers: Mapping[str, str] = Field(
        default={"X-Timestamp": "{{timestamp}}"}, description="Other headers that tell what was signed."
    )
    components: tuple[Component, ...] = Field(
        (), description="Sign as RFC 9421 does, these components, instead of by the template (HMAC with SHA-256)."
    )

    @field_validator("template", "value")
    @classmethod
    def _known(cls, value: str) -> str:
        _check(value)
        return value

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        check_headers(value.items())
        for text in value.values():
            _check(text)
            if "{{body}}" in text.replace(" ", ""):
                raise ValueError("a body does not fit into a header")
        return value

    @model_validator(mode="after")
    def _signs(self) -> HmacSignature:
        check_headers([(self.header, "x"), ("x", self.key_id)])
        if '"' in self.key_id or "\\" in self.key_id or not self.key_id.isascii():
            raise ValueError("key_id holds characters that no header may quote")
        if "{{signature}}" not in self.value.replace(" ", ""):
            raise ValueError("value has to name {{signature}}")
        if not self.components and "signature" in _PLACEHOLDER.findall(self.template):
            raise ValueError("the template cannot sign the signature")
        if self.components and self.algorithm != "sha256":
            raise ValueError("RFC 9421 knows HMAC with SHA-256 alone (section 3.3.3)")
        self.key()
        return self

    def key(self) -> bytes:
        """Return the secret's bytes. Raises ValueError."""
        text = self.secret.get_secret_value()
        try:
            if self.key_encoding == "hex":
                return bytes.fromhex(text)
            return base64.b64decode(text, validate=True) if self.key_encoding == "base64" else text.encode()
        except ValueError:
            message = f"the secret is not {self.key_encoding}"
            raise ValueError(message) from None


def signer(how: HmacSignature) -> Callable[[Request], tuple[HeaderLine, ...]]:
    """Return what signs requests; `Rules.sign` of a visit."""
    key = how.key()
    if how.components:
        return lambda request: message_signature(how, key, request, int(time.time()))
    return lambda request: _by_template(how, key, request)


def message_signature(how: HmacSignature, key: bytes, request: Request, created_s: int) -> tuple[HeaderLine, ...]:
    """Return the header lines of RFC 9421 (section 2.5 says what is signed, section 4 how it is told)."""
    lines: list[HeaderLine] = []
    given = {name.lower(): value for name, value in [*request.headers, *request.private]}
    if "content-digest" in how.components and "content-digest" not in given:
        lines.append(("Content-Digest", _content_digest(request.body)))
    if "date" in how.components and "date" not in given:
        lines.append(("Date", formatdate(created_s, usegmt=True)))
    given |= {name.lower(): value for name, value in lines}
    names = [name for name in how.components if name.startswith("@") or name in given]
    key_id = f';keyid="{how.key_id}"' if how.key_id else ""
    covered = " ".join(f'"{name}"' for name in names)
    parameters = f'({covered});created={created_s}{key_id};alg="hmac-sha256"'
    base = [f'"{name}": {_component(name, request, given)}' for name in names]
    text = "\n".join([*base, f'"@signature-params": {parameters}'])
    signed = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode("ascii")
    return (*lines, ("Signature-Input", f"sig1={parameters}"), ("Signature", f"sig1=:{signed}:"))


def _component(name: str, request: Request, given: Mapping[str, str]) -> str:
    """Return a component's value (RFC 9421, sections 2.1 and 2.2)."""
    url = request.url
    derived = {
        "@method": request.method,
        "@target-uri": str(url),
        "@authority": host_header(url).lower(),
        "@scheme": url.scheme,
        "@request-target": url.raw_path_qs or "/",
        "@path": url.raw_path or "/",
        "@query": f"?{url.raw_query_string}",
    }
    return derived[name] if name in derived else given[name].strip()


def _by_template(how: HmacSignature, key: bytes, request: Request) -> tuple[HeaderLine, ...]:
    now = time.time()
    digest = hashlib.sha256(request.body)
    values = {
        "method": request.method,
        "path": request.url.raw_path or "/",
        "query": request.url.raw_query_string,
        "target": request.url.raw_path_qs or "/",
        "url": str(request.url),
        "host": host_header(request.url),
        "date": formatdate(now, usegmt=True),
        "timestamp": str(int(now)),
        "timestamp_ms": str(int(now * 1000)),
        "iso_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "nonce": secrets.token_hex(16),
        "key_id": how.key_id,
        "body_sha256": digest.hexdigest(),
        "body_sha256_base64": base64.b64encode(digest.digest()).decode("ascii"),
        "content_digest": _content_digest(request.body),
    }
    signed = hmac.digest(key, _filled(how.template, values, request.body), how.algorithm)
    values["signature"] = signed.hex() if how.encoding == "hex" else base64.b64encode(signed).decode("ascii")
    lines = [*how.headers.items(), (how.header, how.value)]
    return tuple((name, _filled(text, values, b"").decode()) for name, text in lines)


def _filled(template: str, values: Mapping[str, str], body: bytes) -> bytes:
    """Return a template with its placeholders filled in, once: what a value holds is not looked at again."""
    parts = _PLACEHOLDER.split(template)
    return b"".join(
        part.encode() if index % 2 == 0 else body if part == "body" else values[part].encode()
        for index, part in enumerate(parts)
    )


def _check(template: str) -> None:
    for name in _PLACEHOLDER.findall(template):
        if name not in PLACEHOLDERS and name != "signature":
            message = f"there is no {plain_line(name, 40)!r} to sign; there are {', '.join(PLACEHOLDERS)}"
            raise ValueError(message)


def _content_digest(body: bytes) -> str:
    """Return RFC 9530's Content-Digest."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"
