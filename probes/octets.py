"""Reads values out of octets that a peer sent, one after the other, never beyond their end."""

from __future__ import annotations

import struct
from typing import Any

from probes.failures import TroubleError
from probes.model import Failure


class Octets:
    """A position in some octets; `what` names them in a message. Raises TroubleError (`protocol`) at their end."""

    __slots__ = ("_data", "_position", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._position, self._what = data, 0, what

    @property
    def left(self) -> int:
        """How many octets are left."""
        return len(self._data) - self._position

    def number(self, form: str) -> Any:
        """Return a number of a form of `struct`, in network order."""
        return struct.unpack(f">{form}", self.octets(struct.calcsize(f">{form}")))[0]

    def octets(self, count: int) -> bytes:
        """Return that many octets."""
        if not 0 <= count <= self.left:
            raise TroubleError(Failure.PROTOCOL, f"{self._what} is cut short")
        data = self._data[self._position : self._position + count]
        self._position += count
        return data
