"""What the readers of the databases' protocols have in common: bytes come in pieces, and not without an end."""

from __future__ import annotations


class WireReader:
    """Keeps the bytes of a stream until a whole message can be cut from them.

    Attributes:
        left: how many bytes may still come; set it anew for each phase.

    """

    def __init__(self, left: int) -> None:
        self.left = left
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data

    def is_empty(self) -> bool:
        """Say whether all that came was taken out."""
        return not self._buffer
