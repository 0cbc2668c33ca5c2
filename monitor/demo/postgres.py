"""The far end that speaks PostgreSQL's wire protocol, version 3 (PostgreSQL documentation, chapter 55).

It takes SCRAM-SHA-256 logins (RFC 5802, RFC 7677), simple and extended queries, and answers the few questions that a
monitor asks, from a made-up table of synchronisation metadata. There is no data behind it. The wire format is in
`postgres_wire.py`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from monitor.demo import postgres_wire as wire
from monitor.demo.stage import Actor

ROWS_QUERY = "SELECT count(*) AS so_ban_ghi FROM dong_bo"
AGE_QUERY = "SELECT extract(epoch FROM now() - max(cap_nhat_luc))::float8 AS tuoi_s FROM dong_bo"
NEWEST_QUERY = "SELECT max(cap_nhat_luc) AS cap_nhat_luc FROM dong_bo"
"""How many rows the synchronisation log has, how old the newest is, and when it came."""
USER = "giam_sat"
ROWS = 1200
NEW_ROW_EVERY_S = 7.0
ITERATIONS = 4096
"""Of PBKDF2: the least that RFC 7677 allows, and PostgreSQL's own default."""

Answers = Mapping[str, Callable[[], wire.Table]]


class Refused(Exception):  # noqa: N818 - it is what happened, not a fault of the program
    """The login ends here; SQLSTATE and message are for the client."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Verifier:
    """What a server keeps of a password (RFC 5802, section 3): salt, StoredKey and ServerKey."""

    def __init__(self, password: str) -> None:
        self.salt = secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, ITERATIONS)
        self._server_key = hmac.digest(salted, b"Server Key", "sha256")
        self._stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()

    def check(self, proof: bytes, auth_message: bytes) -> bytes | None:
        """Return the server's signature if the client's proof is right, else None."""
        signature = hmac.digest(self._stored_key, auth_message, "sha256")
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=False))
        if len(proof) != len(signature) or not hmac.compare_digest(
            hashlib.sha256(client_key).digest(), self._stored_key
        ):
            return None
        return hmac.digest(self._server_key, auth_message, "sha256")


class Database:
    """One simulated database: who it is, and what it answers."""

    def __init__(self, actor: Actor, password: str) -> None:
        self.actor = actor
        self.name = actor.service.path
        self.verifier = Verifier(password)
        self.answers: Answers = {
            normal(ROWS_QUERY): lambda: wire.Table(("so_ban_ghi", wire.INT8), (self._rows(),)),
            normal(AGE_QUERY): lambda: wire.Table(("tuoi_s", wire.FLOAT8), (self._age_s(),)),
            normal(NEWEST_QUERY): lambda: wire.Table(("cap_nhat_luc", wire.TIMESTAMPTZ), (self._newest(),)),
            "select 1": lambda: wire.Table(("?column?", wire.INT4), (1,)),
            "select now()": lambda: wire.Table(("now", wire.TIMESTAMPTZ), (datetime.now(UTC),)),
            "select version()": lambda: wire.Table(("version", wire.TEXT), (wire.VERSION,)),
            "select pg_is_in_recovery()": lambda: wire.Table(("pg_is_in_recovery", wire.BOOL), (False,)),
            "select pg_advisory_unlock_all()": lambda: wire.Table(("pg_advisory_unlock_all", wire.VOID), ("",)),
        }

    def _rows(self) -> int:
        return ROWS + int(self._newest_s() // NEW_ROW_EVERY_S)

    def _newest_s(self) -> float:
        """Return the script time of the newest row: one comes every few seconds, unless the database is stalled."""
        stalled_s = self.actor.effect().stalled_since_s
        now_s = self.actor.script_s() if stalled_s is None else stalled_s
        return now_s - now_s % NEW_ROW_EVERY_S if stalled_s is None else now_s

    def _age_s(self) -> float:
        return round(self.actor.script_s() - self._newest_s(), 6)

    def _newest(self) -> datetime:
        return self.actor.utc(self._newest_s())


def normal(query: str) -> str:
    """Return a statement as the table of answers has it: one space between words, lower case, no semicolon."""
    return " ".join(query.split()).rstrip("; ").lower()


async def converse(database: Database, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak with one client, from its first packet to its last."""
    try:
        parameters = await wire.read_startup(reader, writer)
        if parameters is None:
            return
        await database.actor.take_time()
        await _log_in(database, parameters, reader, writer)
    except Refused as refused:
        writer.write(wire.error("FATAL", refused.code, str(refused)))
        return
    await Session(database, reader, writer).run()


async def _log_in(
    database: Database, parameters: Mapping[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Authenticate by SCRAM-SHA-256 (RFC 5802, section 5; PostgreSQL, section 55.3). Raises Refused."""
    user = parameters.get("user", "")
    writer.write(wire.authentication(wire.SASL, b"SCRAM-SHA-256\0\0"))
    mechanism, first = wire.initial_response(await _password_message(reader))
    if mechanism != b"SCRAM-SHA-256" or not first.startswith((b"n,", b"y,")):
        raise Refused("08P01", "only SCRAM-SHA-256 without channel binding is taken")
    gs2, _, bare = first.partition(b",,")
    nonce = _attributes(bare).get(b"r", b"") + secrets.token_urlsafe(18).encode()
    salt = base64.b64encode(database.verifier.salt)
    server_first = b"r=%b,s=%b,i=%d" % (nonce, salt, ITERATIONS)
    writer.write(wire.authentication(wire.SASL_CONTINUE, server_first))
    final = await _password_message(reader)
    unproven, _, proof = final.rpartition(b",p=")
    said = _attributes(unproven)
    is_bound = said.get(b"r") == nonce and said.get(b"c") == base64.b64encode(gs2 + b",,")
    signature = database.verifier.check(_decoded(proof), b",".join((bare, server_first, unproven)))
    if not is_bound or signature is None or user != USER or database.actor.effect().refuse_login:
        message = f'password authentication failed for user "{user[:63]}"'
        raise Refused("28P01", message)
    if parameters.get("database", user) != database.name:
        message = f'database "{parameters.get("database", user)[:63]}" does not exist'
        raise Refused("3D000", message)
    writer.write(wire.authentication(wire.SASL_FINAL, b"v=" + base64.b64encode(signature)))
    writer.write(wire.authentication(wire.OK) + wire.greeting(user))


async def _password_message(reader: asyncio.StreamReader) -> bytes:
    kind, body = await wire.read_message(reader)
    if kind != b"p":
        raise Refused("08P01", "expected a SASL response")
    return body


def _attributes(text: bytes) -> dict[bytes, bytes]:
    return {part[:1]: part[2:] for part in text.split(b",") if part[1:2] == b"="}


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


class Session:
    """A logged-in client: its prepared statements and portals, and where it is in a transaction."""

    PREPARED_MAX = 64

    def __init__(self, database: Database, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._database = database
        self._reader = reader
        self._writer = writer
        self._status = b"I"
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, tuple[str, tuple[int, ...]]] = {}
        self._skips = False

    async def run(self) -> None:
        """Answer until the client says goodbye."""
        handlers: Mapping[bytes, Callable[[wire.Fields], Any]] = {
            b"P": self._parse,
            b"B": self._bind,
            b"D": self._describe,
            b"C": self._close,
        }
        while True:
            await self._writer.drain()
            kind, body = await wire.read_message(self._reader)
            if kind == b"X":
                return
            if kind == b"Q":
                await self._simple(body)
            elif kind == b"S":
                self._skips = False
                self._ready()
            elif kind == b"E" and not self._skips:
                await self._execute(wire.Fields(body))
            elif kind in handlers and not self._skips:
                handlers[kind](wire.Fields(body))
            elif kind not in handlers and kind not in (b"H", b"E"):
                self._fail("0A000", "this simulation does not take that message")

    def _ready(self) -> None:
        self._writer.write(wire.message(b"Z", self._status))

    def _fail(self, code: str, message: str) -> None:
        """Report an error; in the extended protocol what follows is skipped up to the next Sync (section 55.2.3)."""
        self._skips = True
        if self._status == b"T":
            self._status = b"E"
        self._writer.write(wire.error("ERROR", code, message))

    async def _simple(self, body: bytes) -> None:
        statements = [part for part in body.rstrip(b"\0").decode("utf-8", "replace").split(";") if part.strip()]
        if not statements:
            self._writer.write(wire.message(b"I"))
        self._skips = False
        for statement in statements:
            table = self._table(statement)
            if self._skips:
                break
            if table is not None:
                self._writer.write(wire.row_description(table, ()))
            await self._give(statement, table, ())
        self._skips = False
        self._ready()

    def _table(self, statement: str) -> wire.Table | None:
        """Return what the statement answers, None when it answers nothing; fail where it is not understood."""
        text = normal(statement)
        if text in self._database.answers:
            return self._database.answers[text]()
        if wire.command_tag(text) is None:
            self._fail("42601", "this simulation has no answer to that statement")
        return None

    async def _give(self, statement: str, table: wire.Table | None, formats: tuple[int, ...]) -> None:
        if table is not None:
            await self._database.actor.take_time(is_new=False)
            self._writer.write(wire.data_row(table, formats))
            self._writer.write(wire.message(b"C", b"SELECT 1\0"))
            return
        tag = wire.command_tag(normal(statement)) or ""
        if tag in ("BEGIN", "COMMIT", "ROLLBACK"):
            self._status = b"T" if tag == "BEGIN" else b"I"
        self._writer.write(wire.message(b"C", tag.encode() + b"\0"))

    def _parse(self, fields: wire.Fields) -> None:
        name, query = fields.text(), fields.text().decode("utf-8", "replace")
        if len(self._statements) >= self.PREPARED_MAX:
            self._fail("54000", "too many prepared statements")
            return
        self._table(query)
        if not self._skips:
            self._statements[name] = query
            self._writer.write(wire.message(b"1"))

    def _bind(self, fields: wire.Fields) -> None:
        portal, statement = fields.text(), fields.text()
        fields.shorts()
        for _ in range(fields.short()):
            fields.value()
        formats = fields.shorts()
        if statement not in self._statements or len(self._portals) >= self.PREPARED_MAX:
            self._fail("26000", "there is no such prepared statement")
            return
        self._portals[portal] = (self._statements[statement], formats)
        self._writer.write(wire.message(b"2"))

    def _describe(self, fields: wire.Fields) -> None:
        kind, name = fields.kind(), fields.text()
        query, formats = (self._statements.get(name), ()) if kind == b"S" else self._portals.get(name, (None, ()))
        if query is None:
            self._fail("26000", "there is nothing of that name")
            return
        if kind == b"S":
            self._writer.write(wire.message(b"t", b"\0\0"))
        table = self._table(query)
        self._writer.write(wire.message(b"n") if table is None else wire.row_description(table, formats))

    async def _execute(self, fields: wire.Fields) -> None:
        portal = fields.text()
        if portal not in self._portals:
            self._fail("34000", "there is no such portal")
            return
        query, formats = self._portals[portal]
        await self._give(query, self._table(query), formats)

    def _close(self, fields: wire.Fields) -> None:
        kind, name = fields.kind(), fields.text()
        (self._statements if kind == b"S" else self._portals).pop(name, None)
        self._writer.write(wire.message(b"3"))
