"""The client's side of SCRAM by SHA-256, SHA-512 or SHA-1, bound to TLS or not (RFC 5802, 7677; binding: RFC 5929).

The server is an adversary too: what it makes us compute is bounded, and it has to prove that it knows the
password. Derived keys are kept, so that a check costs 1 ms of PBKDF2 once and not every time (RFC 5802, section 9).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import SecretStr

from probes.failures import TroubleError
from probes.model import Failure

PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
Hash = Literal["sha256", "sha512", "sha1"]

_MECHANISMS: Mapping[Hash, str] = {"sha1": "SCRAM-SHA-1", "sha256": PLAIN, "sha512": "SCRAM-SHA-512"}

KEY = "probes.scram"
"""Where the process keeps derived keys in `Context.resources`."""

ITERATIONS_LIMIT = 600_000
"""0.2 s of one core; PostgreSQL's own default is 4,096."""

ITERATIONS_INLINE = 10_000
"""Above, the keys are derived in a thread: 2.5 ms is what the event loop can miss."""

KEYS_LIMIT = 4096
SALT_LIMIT_BYTES = 1024
NONCE_LIMIT = 1024
_NONCE_BYTES = 18


class Keys(NamedTuple):
    """What is derived from password, salt and iterations (RFC 5802, section 3)."""

    client: bytes
    server: bytes

    def __repr__(self) -> str:
        return "Keys(***)"


class KeyStore:
    """The process's derived keys, least recently used ones forgotten. Its own index holds no password."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Keys] = OrderedDict()
        self._pepper = secrets.token_bytes(32)

    async def get(self, secret: SecretStr, salt: bytes, iterations: int, hash_: Hash = "sha256") -> Keys:
        """Return the keys for a password."""
        about = b"\0".join((hash_.encode(), _prepared(secret), salt, b"%d" % iterations))
        index = hmac.digest(self._pepper, about, "sha256")
        keys = self._known.get(index)
        if keys is None:
            if iterations > ITERATIONS_INLINE:
                keys = await asyncio.to_thread(_derive, secret, salt, iterations, hash_)
            else:
                keys = _derive(secret, salt, iterations, hash_)
            self._known[index] = keys
        self._known.move_to_end(index)
        if len(self._known) > KEYS_LIMIT:
            self._known.popitem(last=False)
        return keys


class Exchange:
    """One authentication. Call `first`, `final` and `verify` in this order.

    Args:
        binding: the data of `tls-server-end-point` when the server offers PLUS, else None.
        tls: whether TLS is spoken: then we could bind, and say so, which exposes an offer that was cut out.
        user: whose password it is; "" where the protocol around it has said so already, as PostgreSQL's has.
        hash_: of the mechanism.
        iterations_least: fewer make the proof that we send cheap to guess from (RFC 7677, section 4, says 4,096).

    """

    def __init__(
        self, binding: bytes | None, *, tls: bool, user: str = "", hash_: Hash = "sha256", iterations_least: int = 1
    ) -> None:
        self.mechanism = _MECHANISMS[hash_] + ("" if binding is None else "-PLUS")
        self._hash: Hash = hash_
        self._iterations_least = iterations_least
        self._header = b"p=tls-server-end-point,," if binding is not None else b"y,," if tls else b"n,,"
        self._bound = self._header + (binding or b"")
        self._nonce = base64.b64encode(secrets.token_bytes(_NONCE_BYTES))
        self._bare = b"n=" + user.replace("=", "=3D").replace(",", "=2C").encode() + b",r=" + self._nonce
        self._proven = b""

    def first(self) -> bytes:
        """Return the client's first message."""
        return self._header + self._bare

    async def final(self, challenge: bytes, secret: SecretStr, store: KeyStore) -> bytes:
        """Return the client's final message, with its proof.

        Raises TroubleError when the server's first message is not one, or asks for too much work.
        """
        nonce, salt, iterations = _challenge(challenge, self._nonce, self._iterations_least)
        keys = await store.get(secret, salt, iterations, self._hash)
        without_proof = b"c=" + base64.b64encode(self._bound) + b",r=" + nonce
        signed = b",".join((self._bare, challenge, without_proof))
        signature = hmac.digest(hashlib.new(self._hash, keys.client).digest(), signed, self._hash)
        proof = bytes(a ^ b for a, b in zip(keys.client, signature, strict=True))
        self._proven = base64.b64encode(hmac.digest(keys.server, signed, self._hash))
        return without_proof + b",p=" + base64.b64encode(proof)

    def verify(self, outcome: bytes) -> None:
        """Check that the server knows the password too. Raises TroubleError when it does not."""
        if not self._proven or not hmac.compare_digest(outcome.partition(b",")[0], b"v=" + self._proven):
            raise TroubleError(Failure.PROTOCOL, "the server does not prove that it knows the password: an impostor?")


def end_point_binding(certificate: bytes) -> bytes | None:
    """Return the data of `tls-server-end-point` for a certificate (DER): its hash (RFC 5929, section 4.1).

    None where that is undefined (a signature without one hash, such as Ed25519).
    """
    from cryptography import exceptions, x509  # noqa: PLC0415 - only under TLS

    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, exceptions.UnsupportedAlgorithm):
        return None
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate).digest()


def _challenge(message: bytes, nonce: bytes, least: int) -> tuple[bytes, bytes, int]:
    """Return nonce, salt and iterations of the server's first message (RFC 5802, section 7)."""
    fields = [field.partition(b"=") for field in message.split(b",", 3)]
    if [name for name, _, _ in fields[:3]] != [b"r", b"s", b"i"]:
        raise TroubleError(Failure.PROTOCOL, "the server's SCRAM challenge is not one")
    combined, salt_text, count = (value for _, _, value in fields[:3])
    if not combined.startswith(nonce) or not len(nonce) < len(combined) <= NONCE_LIMIT:
        raise TroubleError(Failure.PROTOCOL, "the server's SCRAM nonce does not continue ours")
    try:
        salt = base64.b64decode(salt_text, validate=True)
    except binascii.Error:
        salt = b""
    if not 0 < len(salt) <= SALT_LIMIT_BYTES:
        raise TroubleError(Failure.PROTOCOL, "the server's SCRAM salt is not one")
    if not count.isdigit() or not 0 < int(count[:10]) <= ITERATIONS_LIMIT or len(count) > 10:
        asked = count[:20].decode("ascii", "replace")
        raise TroubleError(Failure.PROTOCOL, f"the server asks for {asked} SCRAM iterations (limit {ITERATIONS_LIMIT})")
    if int(count) < least:
        raise TroubleError(Failure.PROTOCOL, f"the server asks for {int(count)} SCRAM iterations (at least {least})")
    return combined, salt, int(count)


def _derive(secret: SecretStr, salt: bytes, iterations: int, hash_: Hash) -> Keys:
    salted = hashlib.pbkdf2_hmac(hash_, _prepared(secret), salt, iterations)
    return Keys(hmac.digest(salted, b"Client Key", hash_), hmac.digest(salted, b"Server Key", hash_))


def _prepared(secret: SecretStr) -> bytes:
    """Return the password as SASLprep makes it (RFC 4013), or as it is where that forbids it, as PostgreSQL does."""
    text = secret.get_secret_value()
    if text.isascii():
        return text.encode()
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    normal = unicodedata.normalize("NFKC", mapped)
    if not normal or any(_is_prohibited(c) for c in normal) or _mixes_directions(normal):
        normal = text
    return normal.encode()


def _is_prohibited(c: str) -> bool:
    tables = (
        stringprep.in_table_a1,
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    return any(table(c) for table in tables)


def _mixes_directions(text: str) -> bool:
    """Say whether text from right to left breaks the rule of RFC 3454, section 6."""
    if not any(stringprep.in_table_d1(c) for c in text):
        return False
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not ends or any(stringprep.in_table_d2(c) for c in text)
