"""How far a topic is written, and how far behind it a consumer group reads: asked of those who know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from probes import kafka_wire as wire
from probes.failures import TroubleError, plain_line
from probes.kafka_session import Connection
from probes.kafka_wire import Api, Broker, Metadata, Offset, Partition
from probes.model import Context, Failure
from probes.tcp_address import HostPort, parse_address

BROKERS_LIMIT = 16
"""How many brokers of a cluster one run connects to."""

Reach = Callable[[HostPort], Awaitable[Connection]]


class Lag(NamedTuple):
    """A group's lag: messages behind, of the partitions with a commit; and how many partitions have none."""

    messages: int | None
    uncommitted: int


class Cluster:
    """The brokers of a cluster, each connected to once, when it is needed. Close them with `close`."""

    def __init__(self, first: Connection, address: HostPort, reach: Reach, ctx: Context) -> None:
        self._open: dict[HostPort, Connection] = {address: first}
        self._reach, self._ctx, self._first = reach, ctx, first

    def close(self) -> None:
        """Close every connection."""
        for connection in self._open.values():
            connection.stream.close()

    async def metadata(self, topics: Iterable[str]) -> Metadata:
        """Return what the first broker says of the cluster, in the phase `metadata`."""
        self._ctx.phases.begin("metadata")
        return wire.read_metadata(await self._first.ask(Api.METADATA, wire.metadata(topics)))

    async def ends(self, topic: str, partitions: Iterable[Partition], brokers: Iterable[Broker]) -> dict[int, int]:
        """Return the next offset of each partition that has a leader, in the phase `offsets`."""
        by_node = {broker.node: broker for broker in brokers}
        led: dict[int, list[int]] = defaultdict(list)
        for partition in partitions:
            if partition.leader in by_node:
                led[partition.leader].append(partition.number)
        found: dict[int, int] = {}
        for node, indices in led.items():
            connection = await self._to(by_node[node])
            self._ctx.phases.begin("offsets")
            answer = await connection.ask(Api.LIST_OFFSETS, wire.list_offsets(topic, indices))
            found |= _checked(wire.read_list_offsets(answer), topic, indices)
        return found

    async def lag(self, group: str, topic: str, ends: dict[int, int]) -> Lag:
        """Return how far a group is behind `ends`, in the phase `group`.

        Raises TroubleError (`query_failed`) when the group may not be looked at.
        """
        self._ctx.phases.begin("group")
        answer = await self._first.ask(Api.FIND_COORDINATOR, wire.find_coordinator(group))
        error, broker = wire.read_coordinator(answer)
        _must(error, f"group {group}")
        connection = await self._to(broker)
        self._ctx.phases.begin("group")
        answer = await connection.ask(Api.OFFSET_FETCH, wire.offset_fetch(group, topic, ends))
        error, offsets = wire.read_offset_fetch(answer)
        _must(error, f"group {group}")
        committed = _checked(offsets, topic, ends)
        behind = [max(0, ends[index] - offset) for index, offset in committed.items() if offset >= 0]
        return Lag(sum(behind) if behind else None, len(ends) - len(behind))

    async def _to(self, broker: Broker) -> Connection:
        try:
            address = parse_address(
                f"[{broker.host}]:{broker.port}" if ":" in broker.host else str(HostPort(*broker[1:]))
            )
        except ValueError:
            shown = plain_line(broker.host, 80)
            message = f"the cluster advertises broker {broker.node} at '{shown}:{broker.port}', which is no address"
            raise TroubleError(Failure.PROTOCOL, message) from None
        connection = self._open.get(address)
        if connection is None:
            if len(self._open) >= BROKERS_LIMIT:
                raise TroubleError(Failure.PROTOCOL, f"the topic is spread over more than {BROKERS_LIMIT} brokers")
            connection = self._open[address] = await self._reach(address)
        return connection


def _checked(offsets: tuple[Offset, ...], topic: str, asked: Iterable[int]) -> dict[int, int]:
    """Return offsets by partition. Raises TroubleError for one that could not be read, or that is missing."""
    for offset in offsets:
        _must(offset.error, f"partition {offset.number} of {topic}")
    found = {offset.number: offset.offset for offset in offsets}
    if found.keys() != set(asked):
        raise TroubleError(Failure.PROTOCOL, "the broker does not answer for the partitions that were asked for")
    return found


def _must(error: int, what: str) -> None:
    if error:
        raise TroubleError(Failure.QUERY_FAILED, f"{what}: {wire.error_name(error)}")
