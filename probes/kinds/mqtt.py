"""MQTT 3.1.1 and 5: logs in to a broker, reads the message of a topic, sends one to itself (OASIS, 2014 and 2019).

    - probe: mqtt
      address: mqtt.example.vn:8883         # host:port; an IPv6 address in brackets
      tls: true
      username: giamsat
      password: ${env:MQTT_PASSWORD}
      topic: quan-trac/ha-noi/khong-khi
      time_field: measured_at
      max_age: 15m
      echo_topic: giamsat/hn-1
      degraded_when: ["round_trip_s > 0.5", "cert.expires_in < duration('720h')"]

**Topic.** With `topic`, its retained message is read, or one that is published while we listen; none before the
time is up is `stale`. Conditions look at `payload` (text) and, where it is one, at the JSON value: `json.pm25 > 150.0`.
With `max_age` the message has to say when it was written, in its whole payload or in the `time_field` (a dotted path)
of its JSON: a number of seconds, milliseconds, microseconds or nanoseconds since 1970, or ISO 8601 with a zone. The
age is by this agent's clock; beyond `max_age` it is `stale`, and a payload without such a time is `body_decode`.

**Echo.** With `echo_topic`, a message of 32 characters is published there (at least once, not retained) and waited
for: `round_trip_s`. Take a topic that nobody else reads, a different one for each agent.

**Down** it is, beside trouble with name, connection and TLS, when user or password are not taken (`auth_rejected`),
when the broker is unavailable or refuses a topic (`query_failed` with the reason code), or does not speak this version
(`protocol`). A broker that drops in silence what we may not publish (3.1.1 knows no other way) ends in `timeout` in
`round_trip`.

**Sessions** begin and end with the check (clean start); no will is left. A client identifier that is made up for each
run throws out no other client; give a `client_id` only where the broker wants a certain one.

**Password.** Without TLS it is given only with `clear_password: true`, where the way there is trusted.

**Least privilege** in mosquitto's `acl_file`:

    user giamsat
    topic read quan-trac/ha-noi/khong-khi
    topic readwrite giamsat/hn-1
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from probes import mqtt_wire as wire
from probes.failures import TroubleError
from probes.message_time import find, time_of
from probes.model import Context, Failure, Measurement, Probe
from probes.mqtt_session import Session
from probes.mqtt_wire import Message, Version
from probes.stream_kind import SAMPLES, ClearParams, Finding, lift, measure, open_stream
from probes.tls import CERT_FACTS
from probes.units import Duration

TOPIC_LIMIT_BYTES = 1024


def _topic(value: str) -> str:
    if any(c in value for c in "+#\0") or len(value.encode()) > TOPIC_LIMIT_BYTES:
        message = f"a topic has no wildcards and at most {TOPIC_LIMIT_BYTES} bytes"
        raise ValueError(message)
    return value


Topic = Annotated[str, AfterValidator(_topic)]


class MqttParams(ClearParams):
    """Parameters of a visit to a broker."""

    version: Annotated[Version, BeforeValidator(lambda value: str(value) if type(value) is int else value)] = Field(
        "3.1.1", description="which MQTT to speak"
    )
    client_id: str = Field("", max_length=255, description="client identifier; default: a new one for each run")
    topic: Topic = Field("", description="the topic whose message to read")
    time_field: str = Field("", description="where the message's JSON says when it was written; default: all of it")
    max_age: Duration | None = Field(None, gt=0, description="beyond this age the message is stale")
    echo_topic: Topic = Field("", description="a topic of our own to publish to and read from")

    @model_validator(mode="after")
    def _has_a_topic_to_judge(self) -> MqttParams:
        if self.max_age is not None and not self.topic:
            raise ValueError("max_age is that of a topic's message: name the topic")
        if self.time_field and self.max_age is None:
            raise ValueError("time_field serves max_age: set that")
        return self


async def run(params: MqttParams, ctx: Context) -> Measurement:
    """Log in, read the topic, send the echo, and leave."""

    async def speak(finding: Finding) -> None:
        stream = await open_stream(params, ctx)
        session = Session(stream, ctx, params.version, params.password.get_secret_value())
        try:
            if params.tls:
                await lift(stream, params, ctx, finding)
            await session.login(params.client_id, params.username)
            await session.ping()
            if params.echo_topic:
                await session.echo(params.echo_topic)
            if params.topic:
                message = await session.message(params.topic)
                ctx.phases.end()
                _judge(message, params, finding)
        finally:
            stream.close(wire.GOODBYE)

    return await measure(ctx, speak)


def _judge(message: Message, params: MqttParams, finding: Finding) -> None:
    """Raise TroubleError for a message that is too old, or does not say how old it is."""
    finding.samples["payload_bytes"] = len(message.payload)
    finding.samples["retained"] = float(message.is_retained)
    text = message.payload.decode("utf-8", "replace")
    finding.facts["payload"] = text
    value: Any = text
    try:
        value = finding.facts["json"] = orjson.loads(message.payload)
    except orjson.JSONDecodeError:
        if params.time_field:
            raise TroubleError(Failure.BODY_DECODE, "the message is not JSON") from None
    if params.max_age is None:
        return
    age_s = time.time() - time_of(find(value, params.time_field) if params.time_field else value)
    finding.samples["freshness_s"] = age_s
    if age_s > params.max_age:
        raise TroubleError(Failure.STALE, f"the message is {age_s:.0f} s old, allowed are {params.max_age:g} s")


PROBE = Probe(
    kind="mqtt",
    params=MqttParams,
    address="address",
    run=run,
    samples={
        **SAMPLES,
        "login_s": "time from CONNECT to CONNACK, in seconds",
        "ping_s": "time from PINGREQ to PINGRESP, in seconds",
        "subscribe_s": "time until the broker took our subscriptions, in seconds",
        "message_s": "time until the topic's message came, in seconds",
        "round_trip_s": "time from publishing the echo to receiving it, in seconds",
        "retained": "1 when the message was retained, 0 when it was published just now",
        "payload_bytes": "size of the message, in bytes",
        "freshness_s": "age of the message by its own time and this agent's clock, in seconds",
    },
    facts={"payload": "string", "json": "dyn", **CERT_FACTS},
    latency="ping_s",
)
