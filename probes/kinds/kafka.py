"""Kafka: logs in to a cluster, looks at the replicas of a topic and at a consumer group's lag (Kafka Protocol Guide).

    - probe: kafka
      address: kafka-1.example.vn:9093      # one broker of the cluster; host:port
      tls: true
      username: giamsat
      password: ${env:KAFKA_PASSWORD}
      mechanism: SCRAM-SHA-256
      topic: dong-bo
      group: kho-du-lieu
      lag_max: 10000
      brokers_min: 3
      degraded_when: ["lag_messages > 1000.0", "cert.expires_in < duration('720h')"]

**Cluster.** How many brokers are alive, and which of them is the controller. **Topic.** A partition without a leader
can be neither written nor read: the check is down (`condition`). One with fewer replicas in sync than it has is one
failure away from that: the check is degraded. **Offsets.** `offset_sum` is how far the topic is written, over all its
partitions. **Group.** `lag_messages` is how far the group's committed offsets are behind that; partitions where it has
committed nothing are not part of it, and counted in `partitions_uncommitted`. A group that has committed nothing at
all, or that does not exist, has no lag.

**Down** it is, beside trouble with name, connection and TLS, when user or password are not taken (`auth_rejected`);
when the topic or the group is not there or may not be seen (`query_failed` with the error's name); when limits are not
kept (`condition`); and when the broker is none of Kafka 1.0 to 4.x (`protocol`).

**Brokers.** Offsets are known to the leader of each partition, commits to the group's coordinator. These are connected
to where the cluster advertises them (at most 16), with the same TLS and login: an agent must be able to reach them, as
any client must. Nothing is produced, consumed or committed, no topic is made.

**Password.** SCRAM (RFC 5802, RFC 7677) never sends it; the broker has to prove that it knows it too. PLAIN shows it to
whoever can read the connection. Without TLS either is used only with `clear_password: true`, where the way is trusted.

**Least privilege**, with Kafka's own authorizer:

    kafka-acls.sh --add --allow-principal User:giamsat --operation Describe --topic dong-bo
    kafka-acls.sh --add --allow-principal User:giamsat --operation Describe --group kho-du-lieu

There is no Kafka server in the tests: the probe is tried against a listener that speaks these requests as the Protocol
Guide has them, and that listener against aiokafka, a client that others have written.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from probes import kafka_wire as wire
from probes.failures import TroubleError
from probes.kafka_lag import Cluster
from probes.kafka_session import Connection, Mechanism
from probes.kafka_wire import Metadata
from probes.model import Context, Failure, Measurement, Probe
from probes.stream_kind import SAMPLES, ClearParams, DegradedError, Finding, lift, measure, open_stream
from probes.tcp_address import HostPort
from probes.tls import CERT_FACTS


class KafkaParams(ClearParams):
    """Parameters of a visit to a cluster."""

    mechanism: Mechanism = Field("SCRAM-SHA-256", description="how to log in")
    topic: str = Field("", max_length=249, description="the topic to look at")
    group: str = Field("", max_length=255, description="the consumer group whose lag in the topic to work out")
    lag_max: int | None = Field(None, ge=0, description="beyond this lag, in messages, the check is down")
    brokers_min: int = Field(1, ge=1, description="below that many live brokers the check is down")

    @model_validator(mode="after")
    def _has_what_it_judges(self) -> KafkaParams:
        if self.group and not self.topic:
            raise ValueError("a group's lag is in a topic: name it")
        if self.lag_max is not None and not self.group:
            raise ValueError("lag_max is that of a group: name it")
        return self


async def run(params: KafkaParams, ctx: Context) -> Measurement:
    """Log in, look at cluster, topic and group, and leave."""

    async def speak(finding: Finding) -> None:
        async def reach(address: HostPort) -> Connection:
            stream = await open_stream(params, ctx, address)
            try:
                connection = Connection(stream, ctx, params.password)
                if params.tls:
                    own = address == params.address
                    await lift(stream, params, ctx, finding, "" if own else address.host)
                await connection.login(params.username, params.mechanism)
            except BaseException:
                stream.close()
                raise
            return connection

        cluster = Cluster(await reach(params.address), params.address, reach, ctx)
        try:
            found = await cluster.metadata([params.topic] if params.topic else [])
            _describe(found, finding)
            await _look(cluster, found, params, finding)
            ctx.phases.end()
        finally:
            cluster.close()
        _judge(params, finding)

    return await measure(ctx, speak)


def _describe(found: Metadata, finding: Finding) -> None:
    finding.samples["brokers"] = len(found.brokers)
    if found.controller >= 0:
        finding.samples["controller_id"] = found.controller
    finding.facts["cluster_id"] = found.cluster_id[:100]


async def _look(cluster: Cluster, found: Metadata, params: KafkaParams, finding: Finding) -> None:
    """Look at the topic and the group. Raises TroubleError when they cannot be seen."""
    if not params.topic:
        return
    topic = next((topic for topic in found.topics if topic.name == params.topic), None)
    if topic is None:
        raise TroubleError(Failure.PROTOCOL, "the broker does not answer for the topic that was asked for")
    if topic.error:
        raise TroubleError(Failure.QUERY_FAILED, f"topic {params.topic}: {wire.error_name(topic.error)}")
    finding.samples |= {
        "partitions": len(topic.partitions),
        "partitions_offline": sum(partition.leader < 0 for partition in topic.partitions),
        "partitions_under_replicated": sum(partition.in_sync < partition.replicas for partition in topic.partitions),
    }
    ends = await cluster.ends(params.topic, topic.partitions, found.brokers)
    finding.samples["offset_sum"] = sum(ends.values())
    if params.group and ends:
        lag = await cluster.lag(params.group, params.topic, ends)
        finding.samples["partitions_uncommitted"] = lag.uncommitted
        if lag.messages is not None:
            finding.samples["lag_messages"] = lag.messages


def _judge(params: KafkaParams, finding: Finding) -> None:
    """Raise TroubleError for what is not as it should be, the worst first."""
    samples = finding.samples
    if samples["brokers"] < params.brokers_min:
        message = f"{samples['brokers']:g} brokers are alive, needed are {params.brokers_min}"
        raise TroubleError(Failure.CONDITION, message)
    of_all = f"of {samples.get('partitions', 0):g} partitions of {params.topic}"
    if offline := samples.get("partitions_offline"):
        raise TroubleError(Failure.CONDITION, f"{offline:g} {of_all} have no leader")
    lag = samples.get("lag_messages", 0)
    if params.lag_max is not None and lag > params.lag_max:
        message = f"{params.group} is {lag:g} messages behind in {params.topic}, allowed are {params.lag_max}"
        raise TroubleError(Failure.CONDITION, message)
    if lacking := samples.get("partitions_under_replicated"):
        raise DegradedError(Failure.CONDITION, f"{lacking:g} {of_all} have fewer replicas in sync than they should")


PROBE = Probe(
    kind="kafka",
    params=KafkaParams,
    address="address",
    run=run,
    samples={
        **SAMPLES,
        "login_s": "time of asking for the versions and of logging in, in seconds; over all brokers",
        "metadata_s": "time until the cluster had described itself, in seconds",
        "offsets_s": "time of asking the leaders for offsets, in seconds",
        "group_s": "time of asking for the group's coordinator and its commits, in seconds",
        "brokers": "brokers that are alive",
        "controller_id": "the broker that is the controller; absent: there is none",
        "partitions": "partitions of the topic",
        "partitions_offline": "partitions without a leader",
        "partitions_under_replicated": "partitions with fewer replicas in sync than they have",
        "partitions_uncommitted": "partitions where the group has committed nothing",
        "offset_sum": "next offsets of all partitions that have a leader, added up",
        "lag_messages": "messages that the group is behind, in the partitions where it has committed",
    },
    facts={"cluster_id": "string", **CERT_FACTS},
    latency="metadata_s",
)
