"""LDAP directories (RFC 4511): connects, binds, searches, and looks at how fresh and how far behind they are.

    - probe: ldap
      address: 10.0.0.8:636
      tls: ldaps
      bind_dn: cn=thongsuot,dc=example,dc=vn
      password: ${env:LDAP_PASSWORD}
      base: ou=people,dc=example,dc=vn
      filter: "(objectClass=person)"
      freshness: {attribute: modifyTimestamp, max_age: 1d}
      in_step: {address: "10.1.0.8:636", suffix: "dc=example,dc=vn", max_gap: 5m}
      down_when: ["entries < 1.0"]

Each phase is measured apart: `resolve`, `connect`, `tls` (StartTLS is asked for in it), `login` (bind), `query`
(search), `in_step`. A bind that is refused (codes 49, 48, 8, 13 and 53) is `auth_rejected`; any other code but success
is `query_failed` with its number, name and the server's words.

**Search.** At most 1,000 entries and 1 MiB are taken, of which only the freshness' attribute is asked for: never
anybody's data. The server is given the limits of entries and of seconds too. More entries than it gives are
`query_failed` (sizeLimitExceeded).

**Freshness.** The greatest value of an attribute of the entries found, a generalized time such as `modifyTimestamp`,
against our own clock (LDAP has no other). Older than `max_age`, or no entry with it, is `stale`.

**In step.** The `contextCSN` of a suffix, here and at another server (OpenLDAP's syncrepl; Administrator's Guide,
section 18): `gap` is by how many seconds this server's newest change is older than the other's. One bind each, as one
login. It needs the overlay `syncprov` on both.

A bind in clear sends the password to whoever listens: it is done only where `tls` is given. Without `bind_dn` it is
anonymous.

**Least privilege.** An entry of its own that may search, and read what its filter and its freshness name
(slapd.access(5)):

    access to dn.base="dc=example,dc=vn" attrs=entry,objectClass,contextCSN
      by dn.exact="cn=thongsuot,dc=example,dc=vn" read by * break
    access to dn.subtree="ou=people,dc=example,dc=vn" attrs=entry,objectClass,modifyTimestamp
      by dn.exact="cn=thongsuot,dc=example,dc=vn" read by * break
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from probes import ldap_wire as wire
from probes.database_findings import FRESHNESS_SAMPLES, IN_STEP_SAMPLES, Findings, measured
from probes.database_memory import in_session
from probes.database_params import Rule, SessionUse
from probes.failures import NETWORK_ERRORS, TroubleError, classify
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.resolver import IpVersion, ascii_name, resolve
from probes.tcp_address import HostPort, ServerName, parse_address
from probes.tcp_stream import TcpStream, connect
from probes.tls import CERT_FACTS, CERT_SAMPLES, Trust, context_for
from probes.units import Duration

ENTRIES_LIMIT = 1000
LIMIT_BYTES = 1024 * 1024
CODES = {
    1: "operationsError", 2: "protocolError", 3: "timeLimitExceeded", 4: "sizeLimitExceeded", 8: "strongerAuthRequired",
    10: "referral", 11: "adminLimitExceeded", 13: "confidentialityRequired", 32: "noSuchObject",
    34: "invalidDNSyntax", 48: "inappropriateAuthentication", 49: "invalidCredentials",
    50: "insufficientAccessRights", 51: "busy", 52: "unavailable", 53: "unwillingToPerform",
}  # fmt: skip
_REJECTED = frozenset({8, 13, 48, 49, 53})
_SCOPES = {"base": 0, "one": 1, "sub": 2}
_TIME = re.compile(rb"(\d{14})(?:[.,](\d{1,6}))?\d*Z")


def _filter(value: str) -> str:
    wire.compile_filter(value)
    return value


def _address(value: str) -> str:
    parse_address(value, 389)
    return value.strip()


Place = Annotated[str, AfterValidator(_address)]
Dn = Annotated[str, Field(max_length=1024)]


class AttributeFreshness(Rule):
    """How old the newest time in an attribute may be."""

    attribute: str = Field(
        default="modifyTimestamp",
        pattern=r"^[A-Za-z][A-Za-z0-9.-]{0,127}$",
        description="Holds a generalized time.",
    )
    max_age: Duration = Field(gt=0, description="Beyond it the data is stale.")


class LdapInStep(Rule):
    """Another server that should have the same changes."""

    address: Place = Field(description="Where it is.")
    suffix: Dn = Field(description="Whose contextCSN is compared.")
    max_gap: Duration = Field(ge=0, description="How far one may be behind the other.")


class LdapParams(Params):
    """Parameters of the kind `ldap`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    address: Place = Field(description="host:port; port 389 unless written, 636 with `tls: ldaps`.")
    tls: Literal["none", "starttls", "ldaps"] = Field("none", description="none, starttls or ldaps.")
    verify: bool = Field(True, description="Whether certificate and name are verified.")
    ca_file: str = Field("", description="PEM file of the only authorities to trust, instead of the system's.")
    server_name: ServerName | None = Field(None, description="Name to ask for (SNI) and to verify instead of the host.")
    bind_dn: Dn = Field("", description="Who logs in; anonymous without.")
    password: SecretStr | None = Field(None, description="The password, as a reference.")
    base: Dn = Field("", description="Where to search; default: the root.")
    scope: Literal["base", "one", "sub"] = Field("base", description="How deep: base, one or sub.")
    filter: Annotated[str, Field(max_length=4096), AfterValidator(_filter)] = Field(
        "(objectClass=*)", description="What to find (RFC 4515)."
    )
    freshness: AttributeFreshness | None = Field(None, description="How old the newest time in an attribute may be.")
    in_step: LdapInStep | None = Field(None, description="Another server that should have the same changes.")
    session: SessionUse = "new"
    ip_version: IpVersion | None = Field(None, description="4 or 6: only addresses of that version.")

    @model_validator(mode="after")
    def _keeps_its_secret(self) -> Self:
        if self.password is not None and (self.tls == "none" or not self.bind_dn):
            raise ValueError("a password goes with a bind_dn, and only over tls: starttls or ldaps")
        return self

    def place(self, address: str) -> HostPort:
        """Return host and port of an address."""
        return parse_address(address, 636 if self.tls == "ldaps" else 389)


@dataclass(slots=True)
class _Session:
    """One bound session."""

    stream: TcpStream
    ctx: Context
    number: int = 0
    reader: wire.Reader = field(default_factory=lambda: wire.Reader(LIMIT_BYTES))

    async def answer(self) -> wire.Message:
        while True:
            message = self.reader.next()
            if message is None:
                came = await self.stream.receive()
                if not came:
                    where = self.ctx.phases.current or "in_step"
                    raise TroubleError(Failure.CONNECTION_CLOSED, f"the server closed the connection in {where}")
                self.reader.feed(came)
            elif message.number == self.number:
                return message
            elif not message.number:  # notice of disconnection (section 4.4.1)
                raise _trouble(wire.read_outcome(message.body))
            else:
                raise TroubleError(Failure.PROTOCOL, f"the server answers message {message.number}, which nobody sent")

    async def ask(self, request: bytes, expected: int) -> wire.Outcome:
        self.reader.left = LIMIT_BYTES
        await self.stream.send(request)
        message = await self.answer()
        if message.tag != expected:
            raise TroubleError(Failure.PROTOCOL, f"the server answers with an operation {message.tag:#x}")
        return wire.read_outcome(message.body)

    async def search(self, base: str, scope: str, filter_: str, attribute: str) -> list[dict[str, list[bytes]]]:
        """Return the entries, with one attribute at most. Raises TroubleError."""
        self.number += 1
        self.reader.left = LIMIT_BYTES
        left_s = max(1, int(self.ctx.deadline - asyncio.get_running_loop().time()))
        compiled = wire.compile_filter(filter_)
        named = [attribute] if attribute else ["1.1"]  # "1.1" asks for none (section 4.5.1.8)
        limits = (ENTRIES_LIMIT, left_s)
        await self.stream.send(wire.search(self.number, base, _SCOPES[scope], compiled, named, *limits))
        entries: list[dict[str, list[bytes]]] = []
        while (message := await self.answer()).tag != wire.DONE:
            if message.tag == wire.ENTRY and len(entries) < ENTRIES_LIMIT:
                entries.append(wire.read_entry(message.body))
            elif message.tag != wire.REFERENCE:
                raise TroubleError(Failure.PROTOCOL, f"the server answers a search with an operation {message.tag:#x}")
        _refuse(wire.read_outcome(message.body))
        return entries

    def is_idle(self) -> bool:
        """Say whether the session is fit for the next run."""
        return self.stream.is_quiet() and self.reader.is_empty()

    def close(self) -> None:
        """Say farewell and close."""
        self.stream.close(wire.unbind(self.number + 1))


async def run(params: LdapParams, ctx: Context) -> Measurement:
    """Connect, bind, search, and say what was measured on the way."""
    findings = Findings()
    opening = partial(_open, params, params.address, ctx, findings)
    work = in_session(ctx, ("ldap", params), params.session, opening, partial(_measure, params, findings))
    return await measured(ctx, findings, work)


async def _open(params: LdapParams, address: str, ctx: Context, findings: Findings) -> _Session:
    place = params.place(address)
    stream = await connect(await resolve(place.host, ctx, params.ip_version), place.port, ctx)
    session = _Session(stream, ctx)
    try:
        if params.tls != "none":
            await _start_tls(params, place, session)
        ctx.phases.begin("login")
        session.number += 1
        secret = params.password.get_secret_value() if params.password is not None else ""
        outcome = await session.ask(wire.bind(session.number, params.bind_dn, secret), wire.BOUND)
        _refuse(outcome._replace(text=outcome.text.replace(secret, "***") if secret else outcome.text))
    except BaseException:
        findings.facts.add_certificate(stream.chain, findings.samples)
        stream.close()
        raise
    return session


async def _start_tls(params: LdapParams, place: HostPort, session: _Session) -> None:
    session.ctx.phases.begin("tls")
    if params.tls == "starttls":
        session.number += 1
        outcome = await session.ask(wire.start_tls(session.number), wire.EXTENDED_DONE)
        if outcome.code:
            raise TroubleError(Failure.TLS_REQUIRED, f"the server speaks no TLS: {_words(outcome)}")
        if not session.reader.is_empty():
            raise TroubleError(Failure.PROTOCOL, "the server speaks out of turn before TLS")
    context = context_for(Trust(params.verify, params.ca_file), session.ctx)
    await session.stream.start_tls(context, ascii_name(params.server_name or place.host))


async def _measure(params: LdapParams, findings: Findings, session: _Session) -> None:
    findings.facts.add_certificate(session.stream.chain, findings.samples)
    phases = session.ctx.phases
    phases.begin("query")
    attribute = params.freshness.attribute if params.freshness is not None else ""
    entries = await session.search(params.base, params.scope, params.filter, attribute)
    phases.end()
    findings.samples["entries"] = len(entries)
    if params.freshness is not None:
        times = [_time(value) for entry in entries for value in entry.get(attribute.lower(), [])]
        _judge_time(max(times, default=None), params.freshness, findings)
    if params.in_step is not None:
        phases.begin("in_step")
        await _compare(params, params.in_step, session, findings)
        phases.end()


def _judge_time(newest: float | None, rule: AttributeFreshness, findings: Findings) -> None:
    if newest is None:
        findings.find(rule.state, Failure.STALE, f"no entry has {rule.attribute}")
        return
    age_s = time.time() - newest
    findings.sample("freshness_s", age_s)
    if age_s > rule.max_age:
        message = f"the newest entry is {age_s:.0f} s old, allowed are {rule.max_age:g} s"
        findings.find(rule.state, Failure.STALE, message)


async def _compare(params: LdapParams, rule: LdapInStep, session: _Session, findings: Findings) -> None:
    other = f"the other one ({params.place(rule.address)})"
    here_s = _newest(await session.search(rule.suffix, "base", "(objectClass=*)", "contextCSN"), "this server")
    ctx = Context(session.ctx.timeout_s, session.ctx.deadline, session.ctx.resources)  # with phases of its own

    async def ask(there: _Session) -> float:
        return _newest(await there.search(rule.suffix, "base", "(objectClass=*)", "contextCSN"), other)

    try:
        opening = partial(_open, params, rule.address, ctx, Findings())
        there_s = await in_session(ctx, ("ldap", params, "in_step"), params.session, opening, ask)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
        findings.find(rule.state, failure, f"{other} cannot be asked: {message}")
        return
    gap_s = there_s - here_s
    findings.sample("gap", gap_s)
    if abs(gap_s) > rule.max_gap:
        behind = "this server" if gap_s > 0 else other
        message = f"not in step: {behind} is behind by {abs(gap_s):.0f} s, allowed are {rule.max_gap:g} s"
        findings.find(rule.state, Failure.STALE, message)


def _newest(entries: list[dict[str, list[bytes]]], where: str) -> float:
    times = [_time(value) for entry in entries for value in entry.get("contextcsn", [])]
    if not times:
        raise TroubleError(Failure.QUERY_FAILED, f"{where} shows no contextCSN")
    return max(times)


def _time(value: bytes) -> float:
    """Return a generalized time (RFC 4517, section 3.3.13), or that of a CSN, as seconds since 1970."""
    match = _TIME.match(value[:64])
    try:
        text = match[1].decode() if match else ""
        moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise TroubleError(Failure.QUERY_FAILED, f"this is no time: '{wire.printable(value, 40)}'") from None
    return moment.timestamp() + float(b"0." + ((match and match[2]) or b"0"))


def _words(outcome: wire.Outcome) -> str:
    name = f" ({CODES[outcome.code]})" if outcome.code in CODES else ""
    return f"{outcome.code}{name}: {outcome.text or 'no message'}"


def _refuse(outcome: wire.Outcome) -> None:
    if outcome.code:
        raise _trouble(outcome)


def _trouble(outcome: wire.Outcome) -> TroubleError:
    failure = Failure.AUTH_REJECTED if outcome.code in _REJECTED else Failure.QUERY_FAILED
    return TroubleError(failure, _words(outcome))


PROBE = Probe(
    kind="ldap",
    params=LdapParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "time of connecting, in seconds",
        "tls_s": "time of asking for TLS and of its handshake, in seconds",
        "login_s": "time of the bind, in seconds",
        "query_s": "time of the search, in seconds",
        "entries": "entries that the search found",
        **CERT_SAMPLES,
        **FRESHNESS_SAMPLES,
        **IN_STEP_SAMPLES,
    },
    facts={"unseen": "string", **CERT_FACTS},
    latency="query_s",
)
