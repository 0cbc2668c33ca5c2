"""A MongoDB member on loopback: OP_MSG, OP_QUERY for old greetings, SCRAM and the commands that the kind asks.

It is written from the specifications and held to them by MongoDB's own driver (`test_mongodb.py`): no server of
MongoDB's can be had here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import bson

USER, PASSWORD = "thongsuot", "rất bí mật"
NOW = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)


def message(document: dict[str, Any], to: int, number: int = 7) -> bytes:
    """Return an answer."""
    body = bson.encode(document)
    return struct.pack("<iiii", 21 + len(body), number, to, 2013) + b"\0\0\0\0\0" + body


def old_reply(document: dict[str, Any], to: int) -> bytes:
    """Return an answer to OP_QUERY (OP_REPLY), which a driver greets with."""
    body = bson.encode(document)
    return struct.pack("<iiiiiqii", 36 + len(body), 7, to, 1, 8, 0, 0, 1) + body


async def read(reader) -> tuple[int, int, dict[str, Any]]:
    """Return number, kind and document of the client's next message."""
    length, number, _, kind = struct.unpack("<iiii", await reader.readexactly(16))
    body = await reader.readexactly(length - 16)
    if kind == 2004:  # flags, the collection's name, two numbers
        start = body.index(b"\0", 4) + 1 + 8
        return number, kind, bson.decode(body[start:])
    assert kind == 2013
    document, position = {}, 4
    while position < len(body):
        assert body[position] == 0, "one document, no sequences"
        size = int.from_bytes(body[position + 1 : position + 5], "little")
        document = bson.decode(body[position + 1 : position + 1 + size])
        position += 1 + size
    return number, kind, document


def hello(**more: Any) -> dict[str, Any]:
    """Return what a primary says of itself."""
    return {
        "isWritablePrimary": True,
        "helloOk": True,
        "setName": "rs0",
        "hosts": ["a:27017", "b:27017"],
        "primary": "a:27017",
        "me": "a:27017",
        "maxBsonObjectSize": 16777216,
        "maxMessageSizeBytes": 48000000,
        "maxWriteBatchSize": 100000,
        "localTime": NOW,
        "minWireVersion": 0,
        "maxWireVersion": 21,
        "readOnly": False,
        "ok": 1.0,
        **more,
    }


def member(name: str, state: int, behind_s: float = 0, health: float = 1.0, **more: Any) -> dict[str, Any]:
    """Return one member of a replica set's status."""
    return {"name": name, "state": state, "health": health, "optimeDate": NOW - timedelta(seconds=behind_s), **more}


def refused(code: int = 13, name: str = "Unauthorized", text: str = "not authorized on admin") -> dict[str, Any]:
    """Return an error."""
    return {"ok": 0.0, "errmsg": text, "code": code, "codeName": name}


class Member:
    """A member; what it answers is `answers`, by command, and what it was asked, `asked`."""

    def __init__(self, *, mechanism: str = "SCRAM-SHA-256", password: str = PASSWORD, **answers: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self.sessions = 0
        self.mechanism, self.password = mechanism, password
        self.iterations = 4096
        self.answers: dict[str, Any] = {
            "hello": hello(),
            "serverStatus": {
                "version": "7.0.12",
                "connections": {"current": 30, "available": 70},
                "globalLock": {"currentQueue": {"total": 2}},
                "ok": 1.0,
            },
            "replSetGetStatus": {
                "set": "rs0",
                "members": [member("a", 1, self=True), member("b", 2, 4), member("c", 8, health=0.0)],
                "ok": 1.0,
            },
            "aggregate": {
                "cursor": {
                    "id": 0,
                    "ns": "admin.$cmd.aggregate",
                    "firstBatch": [{"_id": None, "operation_s": 12, "transaction_us": 2500000, "waiting": 1}],
                },
                "ok": 1.0,
            },
            "dbStats": {"db": "app", "storageSize": 4096.0, "indexSize": 1024.0, "ok": 1.0},
            "find": found({"synced_at": NOW - timedelta(seconds=100)}),
            "count": {"n": 1000, "ok": 1.0},
            "ping": {"ok": 1.0},
            "endSessions": {"ok": 1.0},
            **answers,
        }

    async def __call__(self, reader, writer) -> None:
        self.sessions += 1
        conversation = _Scram(self.mechanism, self.password, self.iterations)
        while True:
            number, kind, document = await read(reader)
            self.asked.append(document)
            name = next(iter(document))
            if name in ("saslStart", "saslContinue"):
                answer = conversation.answer(name, document)
            elif name in ("isMaster", "ismaster", "hello"):
                answer = dict(self.answers["hello"], ismaster=self.answers["hello"].get("isWritablePrimary"))
                if "saslSupportedMechs" in document:
                    answer["saslSupportedMechs"] = [self.mechanism]
            else:
                answer = self.answers.get(name, refused(59, "CommandNotFound", f"no such command: '{name}'"))
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                writer.write(old_reply(answer, number) if kind == 2004 else message(answer, number))

    def of(self, command: str) -> dict[str, Any]:
        """Return the first command of that name that was asked."""
        return next(document for document in self.asked if command in document)


def found(*documents: dict[str, Any]) -> dict[str, Any]:
    """Return a find's answer."""
    return {"cursor": {"id": 0, "ns": "app.x", "firstBatch": list(documents)}, "ok": 1.0}


class _Scram:
    """The server's side of one SCRAM conversation (RFC 5802, section 3)."""

    def __init__(self, mechanism: str, password: str, iterations: int) -> None:
        self.hash = "sha1" if mechanism == "SCRAM-SHA-1" else "sha256"
        self.mechanism, self.iterations = mechanism, iterations
        if self.hash == "sha1":
            password = hashlib.md5(f"{USER}:mongo:{password}".encode()).hexdigest()
        self.password = password.encode()
        self.first = self.challenge = b""

    def answer(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        payload = bytes(document["payload"])
        if name == "saslStart":
            if document["mechanism"] != self.mechanism:
                return refused(334, "MechanismUnavailable", "no such mechanism for the user")
            self.first = payload[3:]
            nonce = self.first.partition(b",r=")[2] + b"server"
            salt = base64.b64encode(b"0123456789abcdef")
            self.challenge = b"r=" + nonce + b",s=" + salt + b",i=%d" % self.iterations
            return {"conversationId": 1, "done": False, "payload": self.challenge, "ok": 1.0}
        without_proof, _, proof = payload.partition(b",p=")
        if not proof:
            return {"conversationId": 1, "done": True, "payload": b"", "ok": 1.0}
        salted = hashlib.pbkdf2_hmac(self.hash, self.password, b"0123456789abcdef", self.iterations)
        key = hmac.digest(salted, b"Client Key", self.hash)
        signed = b",".join((self.first, self.challenge, without_proof))
        signature = hmac.digest(hashlib.new(self.hash, key).digest(), signed, self.hash)
        user = self.first.partition(b",")[0]
        if base64.b64decode(proof) != bytes(a ^ b for a, b in zip(key, signature, strict=True)) or (
            user != b"n=" + USER.encode()
        ):
            return refused(18, "AuthenticationFailed", "Authentication failed.")
        own = hmac.digest(hmac.digest(salted, b"Server Key", self.hash), signed, self.hash)
        return {"conversationId": 1, "done": True, "payload": b"v=" + base64.b64encode(own), "ok": 1.0}
