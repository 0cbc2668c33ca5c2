"""AMQP 0-9-1: logs in to a broker such as RabbitMQ, opens a virtual host and looks how full a queue is.

    - probe: amqp
      address: mq.example.vn:5671           # host:port; an IPv6 address in brackets
      tls: true
      username: giamsat
      password: ${env:MQ_PASSWORD}
      vhost: dulieu
      queue: dong-bo
      messages_max: 1000
      consumers_min: 1
      degraded_when: ["messages > 200.0", "login_s > 0.5", "cert.expires_in < duration('720h')"]

The handshake, the login (SASL PLAIN, RFC 4616), the virtual host and the queue are measured apart (AMQP 0-9-1,
section 2.2.4). With `queue`, the broker is asked for it passively: nothing is made, published or consumed. `messages`
are those that are ready, not those that a consumer has taken and not yet acknowledged: it is the lag of whoever reads
the queue.

**Without `username`** nobody logs in: the check is up once the broker has offered it, and `login_s` ends there. It is
reachable then, and speaks AMQP; whether it serves anybody is not known. Brokers log such a visit as a client that broke
off.

**Down** it is, beside trouble with name, connection and TLS, when user or password are not taken (`auth_rejected`);
when there is no such virtual host or queue, or we may not see it (`query_failed` with the broker's code and words,
such as `404: NOT_FOUND - no queue 'x' in vhost '/'`); when there are more messages or fewer consumers than allowed
(`condition`); and when the broker speaks something else, AMQP 1.0 alone for one (`protocol`). A broker that is out of
memory or disk still answers all this: it stops only those who publish.

**Password.** PLAIN shows it to whoever can read the connection: without TLS it is given only with
`clear_password: true`, where the way there is trusted.

**Least privilege.** A user of its own, without tags. In RabbitMQ, to ask passively for a queue takes no permission
beyond that of opening its virtual host:

    rabbitmqctl add_user giamsat '…'
    rabbitmqctl set_permissions -p dulieu giamsat '^$' '^$' '^$'
    rabbitmqctl set_user_limits giamsat '{"max-connections": 5}'
"""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from probes import amqp_wire as wire
from probes.amqp_session import Session
from probes.amqp_wire import Depth
from probes.failures import TroubleError
from probes.model import Context, Failure, Measurement, Probe
from probes.stream_kind import SAMPLES, ClearParams, Finding, farewell, lift, measure, open_stream
from probes.tls import CERT_FACTS


class AmqpParams(ClearParams):
    """Parameters of a visit to a broker."""

    vhost: str = Field("/", description="virtual host")
    queue: str = Field("", description="the queue to look at")
    messages_max: int | None = Field(None, ge=0, description="beyond that many ready messages the check is down")
    consumers_min: int | None = Field(None, ge=1, description="below that many consumers the check is down")

    @field_validator("vhost", "queue")
    @classmethod
    def _fits_into_a_short_string(cls, value: str) -> str:
        if len(value.encode()) > 255:
            raise ValueError("a name in AMQP has at most 255 bytes")
        return value

    @model_validator(mode="after")
    def _has_a_queue_to_judge(self) -> AmqpParams:
        if not self.username and (self.queue or self.vhost != "/" or self.password.get_secret_value()):
            raise ValueError("password, vhost and queue are for those who log in: name username")
        if not self.queue and (self.messages_max, self.consumers_min) != (None, None):
            raise ValueError("messages_max and consumers_min are of a queue: name it")
        return self


async def run(params: AmqpParams, ctx: Context) -> Measurement:
    """Log in, open the virtual host, look at the queue, and leave."""

    async def speak(finding: Finding) -> None:
        stream = await open_stream(params, ctx)
        session = Session(stream, ctx, params.password.get_secret_value())
        try:
            if params.tls:
                await lift(stream, params, ctx, finding)
            await session.greet()
            if not params.username:
                return
            await session.login(params.username)
            await session.open(params.vhost)
            depth = await session.depth(params.queue) if params.queue else None
            ctx.phases.end()
            await farewell(stream, wire.connection_close(), ctx)
        finally:
            finding.facts.update(session.properties)
            stream.close()
        if depth is not None:
            finding.samples |= {"messages": depth.messages, "consumers": depth.consumers}
            _judge(depth, params)

    return await measure(ctx, speak)


def _judge(depth: Depth, params: AmqpParams) -> None:
    """Raise TroubleError for a queue that is too full, or that nobody reads."""
    if params.messages_max is not None and depth.messages > params.messages_max:
        message = f"{depth.messages} messages are ready in {params.queue}, allowed are {params.messages_max}"
        raise TroubleError(Failure.CONDITION, message)
    if params.consumers_min is not None and depth.consumers < params.consumers_min:
        message = f"{depth.consumers} consumers read {params.queue}, needed are {params.consumers_min}"
        raise TroubleError(Failure.CONDITION, message)


PROBE = Probe(
    kind="amqp",
    params=AmqpParams,
    address="address",
    run=run,
    samples={
        **SAMPLES,
        "login_s": "time from the protocol's header to the broker's limits, in seconds",
        "open_s": "time of opening the virtual host, in seconds",
        "query_s": "time of looking at the queue, in seconds",
        "messages": "messages that are ready in the queue",
        "consumers": "consumers of the queue",
    },
    facts={"product": "string", "version": "string", "cluster_name": "string", **CERT_FACTS},
    latency="login_s",
)
