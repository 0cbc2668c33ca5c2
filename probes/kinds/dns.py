"""DNS: asks one name server one question and looks at the answer (RFC 1035; EDNS(0): RFC 6891; TCP: RFC 7766).

    - probe: dns
      name: ndxp.example.vn
      type: A
      server: 10.0.0.53
      min_answers: 2
      down_when: ["!('10.1.2.3' in records)"]
      degraded_when: ["query_s > 0.2", "retries > 0"]

The check is up when a server answers with an allowed code, and, if that code is NOERROR, with enough records.
A code that is not allowed is down though the question was answered: NXDOMAIN is `dns_nxdomain`, SERVFAIL is
`dns_servfail`, any other `dns_answer`, and so are too few records and an answer that breaks the rules. Without an
answer it is `dns_timeout`; where ICMP says that nobody listens, `connect_refused`.

Only records of the asked type that belong to the name are counted, also at the end of a chain of CNAMEs: a CNAME
that leads nowhere is no address. A lost packet is not a silent server: over UDP the question is sent again after
each third of the time. A truncated answer is fetched over TCP, and a server that does not know EDNS is asked
without it. What does not come from the asked address, or answers another question, is ignored and counted
(RFC 5452): where a server answers from another address than it was asked at, `ignored` says so.

Records are written as in zone files, with the last dot of names: `10 mail.example.vn.`; TXT without its quotes.
The whole answer section is in `answer`, a line of a zone file each, tabs between its parts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from probes.dns_exchange import Inquiry, ask_tcp, ask_udp, system_servers
from probes.dns_names import NAME_LIMIT_OCTETS, name_text, reverse_name
from probes.dns_packet import RCODES, TYPE_NAMES, Answer, Question, Record, question, type_number
from probes.failures import NETWORK_ERRORS, TroubleError, classify, plain_line
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.resolver import Address, IpVersion, numeric, resolve
from probes.tcp_address import HostPort, parse_address

PORT = 53
NOERROR, FORMERR, NOTIMP, BADVERS = 0, 1, 4, 16
CNAME, TXT, ANY = 5, 16, 255
SHOWN_RECORDS = 100
"""How many records conditions can look at."""

_FAILURE_OF_RCODE = {"NXDOMAIN": Failure.DNS_NXDOMAIN, "SERVFAIL": Failure.DNS_SERVFAIL}


def _server(value: Any) -> Any:
    return parse_address(value, PORT) if isinstance(value, str) else value


def _type(value: str) -> str:
    number = type_number(value)
    return TYPE_NAMES.get(number, f"TYPE{number}")


def _rcodes(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _rcode(value: str) -> str:
    name = value.strip().upper()
    if name not in RCODES.values():
        message = f"{value!r} is not a response code; there are {', '.join(RCODES.values())}"
        raise ValueError(message)
    return name


_RCODES_SCHEMA = WithJsonSchema(
    {
        "type": ["string", "array"],
        "items": {"enum": list(RCODES.values())},
        "minItems": 1,
        "description": "allowed response codes",
    }
)


class DnsParams(Params):
    """Parameters of the kind `dns`."""

    name: str = Field(
        min_length=1,
        max_length=4 * NAME_LIMIT_OCTETS,
        description="What is looked up; with type PTR also an address, which is turned round.",
    )
    type: Annotated[str, AfterValidator(_type)] = Field("A", description="The record type, also as TYPE123.")
    server: Annotated[
        HostPort | None,
        BeforeValidator(_server),
        PlainSerializer(lambda server: str(server) if server else None, return_type=str | None),
        WithJsonSchema({"type": ["string", "null"], "examples": ["10.0.0.53", "ns1.example.vn:53"]}),
    ] = Field(None, description="host or host:port of the name server; default: this host's first (/etc/resolv.conf).")
    rcode: Annotated[
        tuple[Annotated[str, AfterValidator(_rcode)], ...],
        BeforeValidator(_rcodes),
        Field(min_length=1),
        _RCODES_SCHEMA,
    ] = Field(("NOERROR",), description="Allowed codes; `[NXDOMAIN]` watches that a name does not exist.")
    min_answers: int = Field(1, ge=0, le=1000, description="Fewest records of an answer with NOERROR.")
    transport: Literal["udp", "tcp"] = Field("udp", description="udp (with TCP for what is truncated) or tcp.")
    recursion: bool = Field(True, description="Ask the server to ask others; false for the servers of a zone.")
    dnssec_ok: bool = Field(False, description="Ask for signatures; that the server verified them is the flag `ad`.")
    ip_version: IpVersion | None = Field(
        None, description="4 or 6: only addresses of that version, for a server given by name."
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> DnsParams:
        _question(self.name, self.type)
        return self


@lru_cache(maxsize=65_536)
def _question(name: str, type_: str) -> Question:
    reverse = reverse_name(name) if type_ == "PTR" else None
    return question(reverse or name, type_number(type_))


async def run(params: DnsParams, ctx: Context) -> Measurement:
    """Ask, and say what was answered."""
    inquiry = Inquiry(_question(params.name, params.type), params.recursion, params.dnssec_ok)
    found: dict[str, float] = {}
    facts: dict[str, Any] = {}
    failure, message = None, ""
    try:
        answer = await _ask(inquiry, params, ctx, found)
        ctx.phases.end()
        _describe(answer, inquiry, found, facts)
        _judge(answer, params, int(found["answers"]))
    except NETWORK_ERRORS as error:
        failure, message = classify(error, ctx.phases.current)
    ctx.phases.end()
    found["retries"] = inquiry.retries
    found["ignored"] = inquiry.ignored
    return Measurement({**ctx.phases.samples, **found}, failure, message, facts)


async def _ask(inquiry: Inquiry, params: DnsParams, ctx: Context, found: dict[str, float]) -> Answer:
    server, port = await _server_address(params, ctx)
    ask = ask_tcp if params.transport == "tcp" else ask_udp
    answer = await ask(inquiry, server, port, ctx)
    edns = answer.rcode not in (FORMERR, NOTIMP, BADVERS)
    if not edns:  # a server from before 1999 (RFC 6891, section 7)
        answer = await ask(inquiry, server, port, ctx, edns=False)
    found["tcp_fallback"] = float(answer.truncated)
    if answer.truncated:
        answer = await ask_tcp(inquiry, server, port, ctx, edns=edns)
    return answer


async def _server_address(params: DnsParams, ctx: Context) -> tuple[Address, int]:
    server = params.server or HostPort(system_servers()[0], PORT)
    address = numeric(server.host)
    if address is None:
        address = (await resolve(server.host, ctx, params.ip_version))[0]
    return address, server.port


def _describe(answer: Answer, inquiry: Inquiry, found: dict[str, float], facts: dict[str, Any]) -> None:
    records = matching(answer, inquiry.asked)
    found["rcode"] = answer.rcode
    found["answers"] = len(records)
    found["answer_records"] = len(answer.answers)
    found["authorities"] = answer.authorities
    found["additionals"] = answer.additionals
    found["response_bytes"] = answer.size_bytes
    if records:
        found["ttl_min_s"] = min(record.ttl_s for record in records)
    facts["records"] = [plain_line(record.text, 1000) for record in records[:SHOWN_RECORDS]]
    facts["answer"] = [_zone_line(record) for record in answer.answers[:SHOWN_RECORDS]]
    facts["rcode_name"] = answer.rcode_name
    facts["flags"] = list(answer.flags)
    serials = [record.serial for record in records if record.serial is not None]
    if serials:
        facts["serial"] = serials[0]


def _zone_line(record: Record) -> str:
    """Return a record as a line of a zone file, its parts tabs apart, as other tools print it."""
    text = plain_line(record.text, 1000)
    text = f'"{text}"' if record.type == TXT else text
    type_ = TYPE_NAMES.get(record.type, f"TYPE{record.type}")
    return f"{name_text(record.owner)}\t{record.ttl_s}\tIN\t{type_}\t{text}"


def matching(answer: Answer, asked: Question) -> list[Record]:
    """Return the records of the asked type that belong to the name, or to what its CNAMEs make of it."""
    wanted = {asked.name.lower()}
    aliases = {record.owner: record.target for record in answer.answers if record.target}
    name = asked.name.lower()
    while asked.type != CNAME and (target := aliases.get(name)) is not None and target not in wanted:
        wanted.add(target)
        name = target
    return [r for r in answer.answers if r.owner in wanted and asked.type in (r.type, ANY)]


def _judge(answer: Answer, params: DnsParams, count: int) -> None:
    """Raise TroubleError for an answer that is not allowed."""
    name = answer.rcode_name
    if name not in params.rcode:
        failure = _FAILURE_OF_RCODE.get(name, Failure.DNS_ANSWER)
        raise TroubleError(failure, f"the server answered {name}, allowed is {', '.join(params.rcode)}")
    if answer.rcode == NOERROR and count < params.min_answers:
        chain = [record.target for record in answer.answers if record.target]
        to = f" (CNAME to {name_text(chain[-1])})" if chain and params.type != "CNAME" else ""
        raise TroubleError(
            Failure.DNS_ANSWER, f"{count} {params.type} records{to}, at least {params.min_answers} needed"
        )


PROBE = Probe(
    kind="dns",
    params=DnsParams,
    address="name",
    run=run,
    samples={
        "resolve_s": "time of looking up the server's own name, in seconds; absent when it is a number",
        "connect_s": "time of connecting over TCP, in seconds",
        "query_s": "from the question to the answer, in seconds; repeated questions included",
        "rcode": "response code (0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN)",
        "answers": "records of the asked type that belong to the name",
        "answer_records": "records in the answer section, CNAMEs on the way and others included",
        "authorities": "records in the authority section",
        "additionals": "records in the additional section, without that of EDNS",
        "ttl_min_s": "least time to live of these records, in seconds",
        "response_bytes": "size of the answer, in bytes",
        "tcp_fallback": "1 when the answer was truncated over UDP and fetched over TCP, else 0",
        "retries": "how often the question had to be sent again",
        "ignored": "datagrams that came and were not the answer",
    },
    facts={"records": "dyn", "answer": "dyn", "rcode_name": "string", "flags": "dyn", "serial": "int"},
    latency="query_s",
)
