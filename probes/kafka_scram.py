"""SCRAM as Kafka has it: with the user in the first message, by SHA-256 or SHA-512, and without a word of binding."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from typing import Literal

from pydantic import SecretStr

from probes.postgresql_scram import Exchange, Keys, KeyStore, _challenge, _prepared

Hash = Literal["sha256", "sha512"]


class NamedExchange(Exchange):
    """One authentication of a user (RFC 5802, section 5.1). Kafka knows no channel binding: the header says so."""

    def __init__(self, user: str, hash_: Hash) -> None:
        super().__init__(None, tls=False)
        self._hash = hash_
        name = user.replace("=", "=3D").replace(",", "=2C").encode()
        self._bare = b"n=" + name + b",r=" + self._nonce

    async def final(self, challenge: bytes, secret: SecretStr, store: KeyStore) -> bytes:
        """Return the client's final message; the keys of SHA-512 are derived anew each time, in a thread.

        Raises TroubleError when the server's first message is not one, or asks for too much work.
        """
        if self._hash == "sha256":
            return await super().final(challenge, secret, store)
        nonce, salt, iterations = _challenge(challenge, self._nonce)
        keys = await asyncio.to_thread(_derive, secret, salt, iterations)
        without_proof = b"c=" + base64.b64encode(self._bound) + b",r=" + nonce
        signed = b",".join((self._bare, challenge, without_proof))
        signature = hmac.digest(hashlib.sha512(keys.client).digest(), signed, "sha512")
        proof = bytes(a ^ b for a, b in zip(keys.client, signature, strict=True))
        self._proven = base64.b64encode(hmac.digest(keys.server, signed, "sha512"))
        return without_proof + b",p=" + base64.b64encode(proof)


def _derive(secret: SecretStr, salt: bytes, iterations: int) -> Keys:
    salted = hashlib.pbkdf2_hmac("sha512", _prepared(secret), salt, iterations)
    return Keys(hmac.digest(salted, b"Client Key", "sha512"), hmac.digest(salted, b"Server Key", "sha512"))
