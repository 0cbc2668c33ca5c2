"""Keys that two of our agents share: a text, or octets written as `hex:…`."""

from __future__ import annotations

from typing import Final

from pydantic import SecretStr

KEY_MIN_BYTES: Final = 8
KEY_MAX_BYTES: Final = 1024
_HEX: Final = "hex:"


def key_bytes(key: SecretStr | str) -> bytes:
    """Return the octets of a key.

    Raises ValueError, without a word of the key in it.
    """
    text = key.get_secret_value() if isinstance(key, SecretStr) else key
    try:
        octets = bytes.fromhex(text.removeprefix(_HEX)) if text.startswith(_HEX) else text.encode()
    except ValueError:
        message = "a key that begins with 'hex:' is written in pairs of hexadecimal digits"
        raise ValueError(message) from None
    if not KEY_MIN_BYTES <= len(octets) <= KEY_MAX_BYTES:
        message = f"a key has {KEY_MIN_BYTES} to {KEY_MAX_BYTES} octets, not {len(octets)}"
        raise ValueError(message)
    return octets
