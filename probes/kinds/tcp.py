"""TCP: connects, and speaks a few lines if told to (RFC 9293; TLS: RFC 8446; STARTTLS: RFC 3207 and its like).

    - probe: tcp
      address: mail.example.vn:25          # host:port; an IPv6 address in brackets
      dialogue:
        - expect: "^220 "
        - send: "EHLO prober"
        - expect: "^250[ -]STARTTLS"
        - send: "STARTTLS"
        - expect: "^220 "
        - starttls: true
      degraded_when: ["cert.expires_in < duration('720h')"]

Without a dialogue the check is up as soon as the connection stands (and TLS, with `tls: true`).

**Dialogue.** `expect` reads lines until one has the regular expression in it (RE2, the syntax of Go, Prometheus
and CEL); a prompt without a line feed counts as well. It is not met, and the check is down (`protocol`) with what
was read, when a reply of the form that SMTP, FTP and NNTP share (three digits, then a space; RFC 5321, section
4.2.1) is complete, when the peer closes after saying something, when 64 KiB or 1000 lines were read, or when the
time is up. What follows a match in the same reply (`250-STARTTLS`, then more lines up to `250 …`) is passed over by
the next `expect`, unless that finds its expression there. A peer that closes without a word is `connection_closed`;
one that says nothing, `timeout`. `send` sends a text, with CR LF after it unless it ends in a line feed. `starttls`
begins TLS; text that came before it and was not asked for is a `protocol` failure, because somebody may have put it
there (CVE-2011-0411).

**Addresses.** Of a name with several addresses the first that accepts is used, in the order of RFC 6724; to
watch each of them, write a check for each number.

**Closing** is ordinary (FIN): the watched server sees a client that came and went, not a reset, and TIME_WAIT
(60 s) stays on this side. A check cut short by its deadline closes at once.

**Figures.** `connect_s` is what a client waits, lost and repeated SYNs included: it is this kind's latency. Where no
SYN had to be repeated, it is the kernel's own measurement of the exchange (TCP_INFO), which does not grow with the
load of this process; that stands in `tcp_rtt_s` too, which is absent otherwise.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from probes.failures import NETWORK_ERRORS, classify
from probes.model import Context, Measurement, Params, Probe
from probes.resolver import IpVersion, ascii_name, resolve
from probes.tcp_address import Address, ServerName
from probes.tcp_dialogue import STEPS_LIMIT, Dialogue, Step
from probes.tcp_facts import StreamFacts
from probes.tcp_stream import TcpStream, connect
from probes.tls import CERT_FACTS, CERT_SAMPLES, Trust, context_for


class TcpParams(Params):
    """Parameters of the kind `tcp`."""

    address: Address = Field(description="`host:port`; an IPv6 address in brackets.")
    dialogue: tuple[Step, ...] = Field((), max_length=STEPS_LIMIT, description="Steps, each of one of the keys below.")
    tls: bool = Field(False, description="Whether to speak TLS from the start.")
    server_name: ServerName | None = Field(None, description="Name to ask for (SNI) and to verify instead of the host.")
    ca_file: str = Field("", description="PEM file of the only authorities to trust, instead of the system's.")
    verify: bool = Field(True, description="Whether certificate and name are verified.")
    ip_version: IpVersion | None = Field(None, description="4 or 6: only addresses of that version.")

    @model_validator(mode="after")
    def _begins_tls_once(self) -> TcpParams:
        if self.tls + sum(step.starttls is not None for step in self.dialogue) > 1:
            raise ValueError("TLS begins once: by tls or by one starttls step")
        return self


async def run(params: TcpParams, ctx: Context) -> Measurement:
    """Connect, hold the dialogue, and say what was measured on the way."""
    found: dict[str, float] = {}
    facts = StreamFacts()
    failure, message = None, ""
    try:
        await _measure(params, ctx, found, facts)
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    ctx.phases.end()
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)


async def _measure(params: TcpParams, ctx: Context, found: dict[str, float], facts: StreamFacts) -> None:
    addresses = await resolve(params.address.host, ctx, params.ip_version)
    stream = await connect(addresses, params.address.port, ctx)
    try:
        ctx.phases.end()
        figures = stream.figures()
        found["tcp_retransmits"] = figures.retransmits
        if figures.rtt_s is not None and not figures.retransmits:
            found["tcp_rtt_s"] = figures.rtt_s
            if stream.address.host == addresses[0].host:
                # Ours has the time in it until this process was woken and had its turn: 2.6 ms at p99 of 2,000
                # checks/s on a busy machine, where the kernel's is wrong by 0.01 ms.
                found["connect_s"] = min(figures.rtt_s, ctx.phases.samples["connect_s"])
        facts["ip"] = stream.address.host
        if params.tls or params.dialogue:
            await _speak(params, ctx, stream, found, facts)
    finally:
        stream.close()


async def _speak(
    params: TcpParams, ctx: Context, stream: TcpStream, found: dict[str, float], facts: StreamFacts
) -> None:
    async def start_tls() -> None:
        ctx.phases.begin("tls")
        context = context_for(Trust(params.verify, params.ca_file), ctx)
        await stream.start_tls(context, ascii_name(params.server_name or params.address.host))

    dialogue = Dialogue(stream, ctx, start_tls)
    try:
        if params.tls:
            await start_tls()
        if params.dialogue:
            await dialogue.hold(params.dialogue)
        ctx.phases.end()
    finally:
        _describe(stream, dialogue, found, facts)


def _describe(stream: TcpStream, dialogue: Dialogue, found: dict[str, float], facts: StreamFacts) -> None:
    """Add what is known at the end, also when it ended badly."""
    figures = stream.figures()
    found["tcp_retransmits"] = figures.retransmits
    if figures.rttvar_s is not None:
        found["tcp_rttvar_s"] = figures.rttvar_s
    facts["banner"], facts["matched"] = dialogue.banner, dialogue.matched
    facts.add_certificate(stream.chain, found)


PROBE = Probe(
    kind="tcp",
    params=TcpParams,
    address="address",
    run=run,
    samples={
        "resolve_s": "time of the name lookup, in seconds",
        "connect_s": "from the first SYN to the connection, in seconds; repeated SYNs included",
        "tls_s": "time of the TLS handshake, in seconds",
        "dialogue_s": "time of the dialogue, in seconds",
        "tcp_rtt_s": "round trip of SYN and SYN-ACK by the kernel, in seconds; absent when a SYN was repeated",
        "tcp_rttvar_s": "the kernel's mean deviation of the round trip at the end, in seconds (RFC 6298); only where "
        "something was said",
        "tcp_retransmits": "segments that had to be sent again, SYNs included",
        **CERT_SAMPLES,
    },
    facts={"ip": "string", "banner": "string", "matched": "dyn", **CERT_FACTS},
    latency="connect_s",
)
