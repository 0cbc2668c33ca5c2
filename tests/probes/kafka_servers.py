"""A Kafka cluster on loopback that speaks enough of the protocol to be looked at; its octets are put together here.

It is written from Apache Kafka's Protocol Guide, apart from the probe's own codec, and offers exactly one version of
each request. That it speaks Kafka is shown by aiokafka, which test_kafka.py lets look at it first.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tests.probes.tcp_servers import serve

USER, PASSWORD, SALT, ITERATIONS = "giamsat", "mật-khẩu", b"salt-salt-salt", 4096
VERSIONS: Mapping[int, int] = {1: 4, 2: 1, 3: 5, 8: 2, 9: 2, 10: 0, 17: 1, 18: 0, 36: 0}


def text(value: str | None) -> bytes:
    """Return a nullable string."""
    if value is None:
        return b"\xff\xff"
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def array(*items: bytes) -> bytes:
    """Return an array."""
    return struct.pack(">i", len(items)) + b"".join(items)


def numbers(*values: int) -> bytes:
    """Return an array of 32-bit numbers."""
    return array(*(struct.pack(">i", value) for value in values))


@dataclass
class Part:
    """A partition: who leads it (-1: nobody), its replicas, those in sync, how far it is written and read."""

    leader: int = 0
    replicas: tuple[int, ...] = (0, 1)
    in_sync: tuple[int, ...] = (0, 1)
    end: int = 0
    committed: int = -1


@dataclass
class Cluster:
    """Two brokers with the topic `dong-bo`; change what they say between two visits."""

    parts: list[Part] = field(default_factory=lambda: [Part(0, end=100, committed=90), Part(1, end=50, committed=50)])
    ports: list[int] = field(default_factory=list)
    with_sasl: bool = False
    mechanisms: tuple[str, ...] = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    topic_error: int = 0
    group_error: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Serve both brokers and yield the first one's address."""
        async with AsyncExitStack() as stack:
            self.ports = [
                await stack.enter_async_context(serve(lambda r, w, n=node: self._talk(n, r, w), tls=tls))
                for node in (0, 1)
            ]
            yield f"127.0.0.1:{self.ports[0]}"

    async def _talk(self, node: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        login = Login(self.mechanisms)
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            data = await reader.readexactly(size)
            api, version, number = struct.unpack_from(">hhi", data)
            (length,) = struct.unpack_from(">h", data, 8)
            body = data[10 + max(0, length) :]
            self.asked.append((node, api))
            if self.with_sasl and not login.done and api not in (17, 18, 36):
                return  # as a broker does: it hangs up
            answer = self._versions(version) if api == 18 else login.answer(api, body)
            if answer is None:
                assert version == VERSIONS[api], f"version {version} of request {api} was not offered"
                answer = self._answer(node, api, body)
            writer.write(struct.pack(">ii", 4 + len(answer), number) + answer)

    @staticmethod
    def _versions(version: int) -> bytes:
        offered = array(*(struct.pack(">hhh", api, one, one) for api, one in VERSIONS.items()))
        return struct.pack(">h", 0 if version == 0 else 35) + offered  # an unknown version is answered as version 0

    def _answer(self, node: int, api: int, body: bytes) -> bytes:
        if api == 3:
            return self._metadata(body)
        if api == 10:
            return struct.pack(">hi", 0, 1) + text("127.0.0.1") + struct.pack(">i", self.ports[1])
        if api == 2:
            asked = struct.unpack_from(">i", body, 4 + 4 + 2 + len("dong-bo"))[0]
            at = 4 + 4 + 2 + len("dong-bo") + 4
            which = [struct.unpack_from(">iq", body, at + 12 * i)[0] for i in range(asked)]
            rows = (
                struct.pack(">ihqq", n, 0 if self.parts[n].leader == node else 6, -1, self.parts[n].end) for n in which
            )
            return array(text("dong-bo") + array(*rows))
        assert api == 9, f"request {api} is not one that is expected"
        rows = (
            struct.pack(">iq", n, part.committed) + text("") + struct.pack(">h", 0)
            for n, part in enumerate(self.parts)
            if struct.pack(">i", n) in body
        )
        return array(text("dong-bo") + array(*rows)) + struct.pack(">h", self.group_error)

    def _metadata(self, body: bytes) -> bytes:
        brokers = array(
            *(
                struct.pack(">i", node) + text("127.0.0.1") + struct.pack(">i", port) + text(None)
                for node, port in enumerate(self.ports)
            )
        )
        rows = (
            struct.pack(">hii", 0 if part.leader >= 0 else 5, n, part.leader)
            + numbers(*part.replicas)
            + numbers(*part.in_sync)
            + numbers()
            for n, part in enumerate(self.parts)
        )
        everything = body[:4] == b"\xff\xff\xff\xff"
        topics = []
        if b"dong-bo" in body or everything:
            topics.append(struct.pack(">h", self.topic_error) + text("dong-bo") + b"\0" + array(*rows))
        elif body[:4] != b"\0\0\0\0":
            topics.append(struct.pack(">h", 3) + body[4:-1] + b"\0" + array())
        return struct.pack(">i", 0) + brokers + text("cum-1") + struct.pack(">i", 1) + array(*topics)


class Login:
    """The server's side of SASL: PLAIN, and SCRAM (RFC 5802)."""

    def __init__(self, mechanisms: tuple[str, ...]) -> None:
        self.mechanisms, self.mechanism, self.done = mechanisms, "", False
        self._first = self._challenge = b""

    def answer(self, api: int, body: bytes) -> bytes | None:
        """Return the answer to a request of SASL, None for another one."""
        if api == 17:
            self.mechanism = body[2:].decode()
            error = 0 if self.mechanism in self.mechanisms else 33
            return struct.pack(">h", error) + array(*map(text, self.mechanisms))
        if api != 36:
            return None
        answer = self._plain(body[4:]) if self.mechanism == "PLAIN" else self._scram(body[4:])
        if answer is None:
            return struct.pack(">h", 58) + text(f"no: {body[4:].decode()}") + struct.pack(">i", 0)
        return struct.pack(">h", 0) + text(None) + struct.pack(">i", len(answer)) + answer

    def _plain(self, message: bytes) -> bytes | None:
        acts_as, user, password = message.decode().split("\0")  # RFC 4616: as whom to act may be left out
        self.done = acts_as in ("", USER) and (user, password) == (USER, PASSWORD)
        return b"" if self.done else None

    def _scram(self, message: bytes) -> bytes | None:
        if not self._first:
            assert message.startswith(f"n,,n={USER},r=".encode())
            self._first = message[3:]
            nonce = self._first.split(b"r=")[1] + secrets.token_hex(8).encode()
            self._challenge = b"r=%s,s=%s,i=%d" % (nonce, base64.b64encode(SALT), ITERATIONS)
            return self._challenge
        name = "sha512" if self.mechanism.endswith("512") else "sha256"
        without_proof, _, proof = message.rpartition(b",p=")
        salted = hashlib.pbkdf2_hmac(name, PASSWORD.encode(), SALT, ITERATIONS)
        key = hmac.digest(salted, b"Client Key", name)
        signed = b",".join((self._first, self._challenge, without_proof))
        signature = hmac.digest(hashlib.new(name, key).digest(), signed, name)
        self.done = base64.b64decode(proof) == bytes(a ^ b for a, b in zip(key, signature, strict=True))
        server = hmac.digest(hmac.digest(salted, b"Server Key", name), signed, name)
        return b"v=" + base64.b64encode(server) if self.done else None
