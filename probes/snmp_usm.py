"""SNMPv3's message and its user-based security model, without I/O (RFC 3412, RFC 3414).

Digests are HMAC-MD5-96 and HMAC-SHA-96 (RFC 3414), for routers that know nothing better, and HMAC-SHA-2 (RFC 7860).
Ciphers are AES-128 in CFB (RFC 3826), and AES-192 and AES-256 in the two ways that a key too short for them is made
longer in the field: Blumenthal's (draft-blumenthal-aes-usm-04) and Reeder's (draft-reeder-snmpv3-usm-3desede-00, which
Cisco uses). DES is not offered.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import NamedTuple

from probes.snmp_ber import SEQUENCE, BerError, expect, integer, octets, read_integer, read_octets, tlv
from probes.snmp_pdu import Pdu, decode_pdu

VERSION_3, USER_BASED = 3, 3
AUTHENTIC, PRIVATE, REPORTABLE = 1, 2, 4
"""Bits of msgFlags (RFC 3412, section 6.4)."""

MESSAGE_BYTES = 65_507
"""The largest message that we can take: what fits in a UDP datagram."""

_PASSWORD_OCTETS = 1_048_576
_ENGINE_ID_OCTETS = 32
_ENGINE_NUMBER_LIMIT = 0x7FFF_FFFF


class Digest(NamedTuple):
    """An authentication protocol: its hash, and how many octets of the HMAC are sent."""

    hash: str
    octets: int


class Encryption(NamedTuple):
    """A privacy protocol: the octets of its key, and whether a short key is made longer by Reeder's rule."""

    octets: int
    reeder: bool = False


DIGESTS = {
    "md5": Digest("md5", 12),
    "sha1": Digest("sha1", 12),
    "sha224": Digest("sha224", 16),
    "sha256": Digest("sha256", 24),
    "sha384": Digest("sha384", 32),
    "sha512": Digest("sha512", 48),
}
CIPHERS = {
    "aes128": Encryption(16),
    "aes192": Encryption(24),
    "aes256": Encryption(32),
    "aes192-reeder": Encryption(24, reeder=True),
    "aes256-reeder": Encryption(32, reeder=True),
}

USM_STATS = "1.3.6.1.6.3.15.1.1."
UNSUPPORTED_LEVEL, NOT_IN_TIME, UNKNOWN_USER, UNKNOWN_ENGINE, WRONG_DIGEST, DECRYPTION_ERROR = (
    f"{USM_STATS}{number}.0" for number in range(1, 7)
)
"""What a report says (RFC 3414, section 5)."""


class Keys(NamedTuple):
    """Keys of one user at one engine.

    Attributes:
        digest, auth: how messages are authenticated and with which key; None and b"" when they are not.
        private: the key that they are encrypted with, b"" when they are not.

    """

    digest: Digest | None = None
    auth: bytes = b""
    private: bytes = b""

    @property
    def flags(self) -> int:
        """The security level as msgFlags has it."""
        return (AUTHENTIC if self.auth else 0) | (PRIVATE if self.private else 0)


class Header(NamedTuple):
    """What a message of SNMPv3 says of itself and of its sender.

    Attributes:
        message_id: of the request that it answers.
        flags: msgFlags.
        engine_id, boots, time: the authoritative engine, its start-ups and its seconds since then.
        user: in whose name.

    """

    message_id: int
    flags: int
    engine_id: bytes
    boots: int
    time: int
    user: bytes


class Envelope(NamedTuple):
    """A message of SNMPv3 taken apart, neither verified nor decrypted yet.

    Attributes:
        header: what it says of itself.
        digest: msgAuthenticationParameters.
        digest_at: where that stands in the message.
        salt: msgPrivacyParameters.
        payload: the scoped PDU with its tag, or when encrypted the octets of it.

    """

    header: Header
    digest: bytes
    digest_at: int
    salt: bytes
    payload: bytes


@lru_cache(maxsize=256)
def key_of_password(hash_: str, password: bytes) -> bytes:
    """Return the key that a password stands for (RFC 3414, appendix A.2): a hash of a million octets, so it is kept."""
    repeated = password * (_PASSWORD_OCTETS // len(password) + 1)
    return hashlib.new(hash_, repeated[:_PASSWORD_OCTETS], usedforsecurity=False).digest()


def localized(hash_: str, key: bytes, engine_id: bytes) -> bytes:
    """Return the key that is good at one engine alone (RFC 3414, section 2.6)."""
    return hashlib.new(hash_, key + engine_id + key, usedforsecurity=False).digest()


def keys_at(
    engine_id: bytes, auth: str | None, auth_password: bytes, privacy: str | None, privacy_password: bytes
) -> Keys:
    """Return a user's keys at an engine; names are those of DIGESTS and CIPHERS."""
    if auth is None:
        return Keys()
    digest = DIGESTS[auth]
    key = localized(digest.hash, key_of_password(digest.hash, auth_password), engine_id)
    if privacy is None:
        return Keys(digest, key)
    private = localized(digest.hash, key_of_password(digest.hash, privacy_password), engine_id)
    return Keys(digest, key, _lengthened(private, CIPHERS[privacy], digest.hash, engine_id))


def _lengthened(key: bytes, cipher: Encryption, hash_: str, engine_id: bytes) -> bytes:
    whole = piece = key
    while len(whole) < cipher.octets:
        if cipher.reeder:
            piece = localized(hash_, key_of_password(hash_, piece), engine_id)
        else:
            piece = hashlib.new(hash_, whole, usedforsecurity=False).digest()
        whole += piece
    return whole[: cipher.octets]


def encode_message(
    header: Header, keys: Keys, context_engine_id: bytes, context: bytes, pdu: bytes, salt: bytes
) -> bytes:
    """Return a message, encrypted and authenticated as `keys` can; `salt` are 8 octets never used before with them."""
    scoped = tlv(SEQUENCE, octets(context_engine_id) + octets(context) + pdu)
    if keys.private:
        scoped = octets(_crypt(keys.private, header, salt, scoped, encrypt=True))
    blank = bytes(keys.digest.octets) if keys.digest else b""
    security = tlv(
        SEQUENCE,
        octets(header.engine_id)
        + integer(header.boots)
        + integer(header.time)
        + octets(header.user)
        + octets(blank)
        + octets(salt if keys.private else b""),
    )
    global_data = tlv(
        SEQUENCE,
        integer(header.message_id) + integer(MESSAGE_BYTES) + octets(bytes((header.flags,))) + integer(USER_BASED),
    )
    message = tlv(SEQUENCE, integer(VERSION_3) + global_data + octets(security) + scoped)
    if keys.digest is None:
        return message
    salt_octets = 2 + len(salt) if keys.private else 2
    at = len(message) - len(scoped) - salt_octets - len(blank)
    return message[:at] + _digest(keys, message) + message[at + len(blank) :]


def decode_message(data: bytes) -> Envelope:
    """Take a message apart.

    Raises BerError.
    """
    position, end = expect(data, 0, len(data), SEQUENCE)
    version, position = read_integer(data, position, end)
    if version != VERSION_3:
        message = f"the answer is of SNMP version {version}"
        raise BerError(message)
    start, stop = expect(data, position, end, SEQUENCE)
    message_id, start = read_integer(data, start, stop)
    _, start = read_integer(data, start, stop)
    flags, start = read_octets(data, start, stop)
    model, _ = read_integer(data, start, stop)
    if len(flags) != 1 or model != USER_BASED:
        raise BerError("the answer has another security model")
    security, position = read_octets(data, stop, end)
    header, digest, digest_at, salt = _security(security, message_id, flags[0])
    payload = data[position:end]
    if flags[0] & PRIVATE:
        payload, _ = read_octets(data, position, end)
    return Envelope(header, digest, position - len(security) + digest_at, salt, payload)


def _security(data: bytes, message_id: int, flags: int) -> tuple[Header, bytes, int, bytes]:
    position, end = expect(data, 0, len(data), SEQUENCE)
    engine_id, position = read_octets(data, position, end)
    boots, position = read_integer(data, position, end)
    time, position = read_integer(data, position, end)
    user, position = read_octets(data, position, end)
    digest, position = read_octets(data, position, end)
    digest_at = position - len(digest)
    salt, _ = read_octets(data, position, end)
    if len(engine_id) > _ENGINE_ID_OCTETS or not 0 <= boots <= _ENGINE_NUMBER_LIMIT >= time >= 0:
        raise BerError("the answer's engine is not one")
    return Header(message_id, flags, engine_id, boots, time, user), digest, digest_at, salt


def is_authentic(envelope: Envelope, data: bytes, keys: Keys) -> bool:
    """Say whether somebody who knows the key sent this very message."""
    if keys.digest is None or not envelope.header.flags & AUTHENTIC or len(envelope.digest) != keys.digest.octets:
        return False
    at, length = envelope.digest_at, keys.digest.octets
    blank = data[:at] + bytes(length) + data[at + length :]
    return hmac.compare_digest(_digest(keys, blank), envelope.digest)


def open_payload(envelope: Envelope, keys: Keys) -> Pdu:
    """Return the protocol data unit in a message, decrypted if need be.

    Raises BerError.
    """
    scoped = envelope.payload
    if envelope.header.flags & PRIVATE:
        if len(envelope.salt) != 8 or not keys.private:
            raise BerError("the answer cannot be decrypted")
        scoped = _crypt(keys.private, envelope.header, envelope.salt, scoped, encrypt=False)
    position, end = expect(scoped, 0, len(scoped), SEQUENCE)
    _, position = read_octets(scoped, position, end)
    _, position = read_octets(scoped, position, end)
    return decode_pdu(scoped, position, end)


def _digest(keys: Keys, message: bytes) -> bytes:
    assert keys.digest is not None  # noqa: S101 - both callers have looked
    return hmac.digest(keys.auth, message, keys.digest.hash)[: keys.digest.octets]


def _crypt(key: bytes, header: Header, salt: bytes, data: bytes, *, encrypt: bool) -> bytes:
    """AES in CFB with 128 bits of feedback; the vector is boots, time and salt (RFC 3826, section 3.1.2.1)."""
    from cryptography.hazmat.decrepit.ciphers.modes import CFB  # noqa: PLC0415 - 30 ms that SNMPv2c does not need
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms  # noqa: PLC0415 - as above

    vector = header.boots.to_bytes(4, "big") + header.time.to_bytes(4, "big") + salt
    cipher = Cipher(algorithms.AES(key), CFB(vector))
    crypt = cipher.encryptor() if encrypt else cipher.decryptor()
    return crypt.update(data) + crypt.finalize()
