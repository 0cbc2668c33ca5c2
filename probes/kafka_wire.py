"""Kafka's protocol without I/O (Apache Kafka, "Protocol Guide"), in versions that brokers from 1.0 to 4.x speak.

A request is a size, a header and a body; a response a size, the request's number and a body. None of the versions
that are used here is a flexible one (KIP-482): strings and arrays have lengths of two and four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple, TypeVar

from probes.failures import TroubleError
from probes.model import Failure
from probes.octets import Octets

RESPONSE_LIMIT_BYTES = 1024 * 1024
ITEMS_LIMIT = 10_000
CLIENT_ID = "thongsuot"
LATEST = -1

T = TypeVar("T")


class Api(IntEnum):
    """The requests that a probe makes."""

    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    SASL_AUTHENTICATE = 36


VERSIONS: Mapping[Api, int] = {
    # The oldest that 4.0 still takes (KIP-896), except Metadata, whose fifth tells of offline replicas.
    Api.LIST_OFFSETS: 1,
    Api.METADATA: 5,
    Api.OFFSET_FETCH: 2,
    Api.FIND_COORDINATOR: 0,
    Api.SASL_HANDSHAKE: 1,
    Api.API_VERSIONS: 0,
    Api.SASL_AUTHENTICATE: 0,
}

ERRORS: Mapping[int, str] = {
    -1: "UNKNOWN_SERVER_ERROR", 3: "UNKNOWN_TOPIC_OR_PARTITION", 5: "LEADER_NOT_AVAILABLE",
    6: "NOT_LEADER_OR_FOLLOWER", 7: "REQUEST_TIMED_OUT", 8: "BROKER_NOT_AVAILABLE", 9: "REPLICA_NOT_AVAILABLE",
    14: "COORDINATOR_LOAD_IN_PROGRESS", 15: "COORDINATOR_NOT_AVAILABLE", 16: "NOT_COORDINATOR",
    17: "INVALID_TOPIC_EXCEPTION", 24: "INVALID_GROUP_ID", 29: "TOPIC_AUTHORIZATION_FAILED",
    30: "GROUP_AUTHORIZATION_FAILED", 31: "CLUSTER_AUTHORIZATION_FAILED", 33: "UNSUPPORTED_SASL_MECHANISM",
    34: "ILLEGAL_SASL_STATE", 35: "UNSUPPORTED_VERSION", 58: "SASL_AUTHENTICATION_FAILED",
}  # fmt: skip


class Broker(NamedTuple):
    """A broker as the cluster advertises it."""

    node: int
    host: str
    port: int


class Partition(NamedTuple):
    """A partition of a topic; `leader` is -1 where there is none."""

    error: int
    number: int
    leader: int
    replicas: int
    in_sync: int


class Topic(NamedTuple):
    """A topic, with the error that says why it cannot be seen."""

    error: int
    name: str
    partitions: tuple[Partition, ...]


class Metadata(NamedTuple):
    """What a cluster says of itself; `controller` is -1 where it has none."""

    brokers: tuple[Broker, ...]
    cluster_id: str
    controller: int
    topics: tuple[Topic, ...]


class Offset(NamedTuple):
    """An offset of a partition: the next to be written, or that a group has committed (-1: none)."""

    number: int
    offset: int
    error: int


class Cursor(Octets):
    """Reads Kafka's values."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "the broker's response")

    def text(self) -> str:
        """Return a string, "" for a null one."""
        return self.octets(max(0, self.number("h"))).decode("utf-8", "replace")

    def blob(self) -> bytes:
        """Return bytes, none for a null."""
        return self.octets(max(0, self.number("i")))

    def array(self, read: Callable[[Cursor], T]) -> tuple[T, ...]:
        """Return an array's items, none for a null one."""
        count = max(0, self.number("i"))
        if count > min(ITEMS_LIMIT, self.left):  # an item has an octet at the least
            raise TroubleError(Failure.PROTOCOL, f"the broker's response has an array of {count} items")
        return tuple(read(self) for _ in range(count))


def error_name(code: int) -> str:
    """Return `UNKNOWN_TOPIC_OR_PARTITION (3)`."""
    return f"{ERRORS.get(code, 'error')} ({code})"


def request(api: Api, number: int, body: bytes = b"") -> bytes:
    """Return a request."""
    head = struct.pack(">hhi", api, VERSIONS[api], number) + _text(CLIENT_ID)
    return struct.pack(">i", len(head) + len(body)) + head + body


def read_size(data: bytes) -> int:
    """Return the size that a response begins with. Raises TroubleError when it is none that is taken."""
    size = int(struct.unpack(">i", data)[0])
    if not 4 <= size <= RESPONSE_LIMIT_BYTES:
        raise TroubleError(Failure.PROTOCOL, f"this is not Kafka: it begins with {data!r}")
    return size


def read_versions(cursor: Cursor) -> tuple[int, dict[int, tuple[int, int]]]:
    """Return an error code, and the least and the greatest version of each request."""
    error = cursor.number("h")
    triples = cursor.array(lambda item: (item.number("h"), item.number("h"), item.number("h")))
    return error, {api: (least, greatest) for api, least, greatest in triples}


def sasl_handshake(mechanism: str) -> bytes:
    """Return the body that asks for a mechanism."""
    return _text(mechanism)


def read_handshake(cursor: Cursor) -> tuple[int, tuple[str, ...]]:
    """Return an error code and the mechanisms that the broker has."""
    return cursor.number("h"), cursor.array(Cursor.text)


def sasl_authenticate(data: bytes) -> bytes:
    """Return the body that carries a mechanism's message."""
    return struct.pack(">i", len(data)) + data


def read_authenticate(cursor: Cursor) -> tuple[int, str, bytes]:
    """Return an error code, the broker's words, and the mechanism's message."""
    return cursor.number("h"), cursor.text(), cursor.blob()


def metadata(topics: Iterable[str]) -> bytes:
    """Return the body that asks for topics, and makes none that is not there."""
    return _array([_text(topic) for topic in topics]) + b"\0"


def read_metadata(cursor: Cursor) -> Metadata:
    """Return what a cluster says of itself."""
    cursor.number("i")  # throttle time
    brokers = cursor.array(_read_broker)
    return Metadata(brokers, cursor.text(), cursor.number("i"), cursor.array(_read_topic))


def list_offsets(topic: str, partitions: Iterable[int]) -> bytes:
    """Return the body that asks for the next offsets of partitions, of whoever leads them."""
    return struct.pack(">i", -1) + _array(
        [_text(topic) + _array([struct.pack(">iq", partition, LATEST) for partition in partitions])]
    )


def read_list_offsets(cursor: Cursor) -> tuple[Offset, ...]:
    """Return the next offsets."""

    def read(item: Cursor) -> Offset:
        number, error = item.number("i"), item.number("h")
        item.number("q")  # time stamp
        return Offset(number, item.number("q"), error)

    return _only(cursor.array(lambda topic: (topic.text(), topic.array(read))))


def find_coordinator(group: str) -> bytes:
    """Return the body that asks who keeps a group's offsets."""
    return _text(group)


def read_coordinator(cursor: Cursor) -> tuple[int, Broker]:
    """Return an error code and the broker."""
    return cursor.number("h"), _read_host(cursor)


def offset_fetch(group: str, topic: str, partitions: Iterable[int]) -> bytes:
    """Return the body that asks for what a group has committed."""
    numbers = _array([struct.pack(">i", partition) for partition in partitions])
    return _text(group) + _array([_text(topic) + numbers])


def read_offset_fetch(cursor: Cursor) -> tuple[int, tuple[Offset, ...]]:
    """Return an error code and the committed offsets."""

    def read(item: Cursor) -> Offset:
        number, offset = item.number("i"), item.number("q")
        item.text()  # the consumer's own note
        return Offset(number, offset, item.number("h"))

    offsets = _only(cursor.array(lambda topic: (topic.text(), topic.array(read))))
    return cursor.number("h"), offsets


def _only(topics: tuple[tuple[str, tuple[Offset, ...]], ...]) -> tuple[Offset, ...]:
    if len(topics) != 1:
        raise TroubleError(Failure.PROTOCOL, f"the broker answers for {len(topics)} topics where one was asked for")
    return topics[0][1]


def _read_host(cursor: Cursor) -> Broker:
    return Broker(cursor.number("i"), cursor.text(), cursor.number("i"))


def _read_broker(cursor: Cursor) -> Broker:
    broker = _read_host(cursor)
    cursor.text()  # rack
    return broker


def _read_topic(cursor: Cursor) -> Topic:
    error, name = cursor.number("h"), cursor.text()
    cursor.number("b")  # internal
    return Topic(error, name, cursor.array(_read_partition))


def _read_partition(cursor: Cursor) -> Partition:
    error, number, leader = cursor.number("h"), cursor.number("i"), cursor.number("i")
    replicas, in_sync, _offline = (len(cursor.array(lambda item: item.number("i"))) for _ in range(3))
    return Partition(error, number, leader, replicas, in_sync)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def _array(items: list[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)
