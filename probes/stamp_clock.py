"""How far this host's clock may be wrong, as the kernel keeps account of it for NTP (adjtimex(2), RFC 5905)."""

from __future__ import annotations

import ctypes
import time
from typing import Final

from probes.stamp_codec import encode_error

REFRESH_S: Final = 10.0
UNKNOWN_ERROR_S: Final = 16.0
"""What the kernel says itself of a clock that nobody disciplines (NTP's greatest dispersion)."""

_UNSYNCHRONISED: Final = 0x0040  # STA_UNSYNC, linux/timex.h
_CLOCK_ERROR: Final = 5  # TIME_ERROR


class _Timex(ctypes.Structure):
    """The first fields of `struct timex`; the kernel fills in more, for which there is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * 512),
    )


class ClockQuality:
    """The error estimate of this host's clock in STAMP's 16 bits, asked for anew every `REFRESH_S`."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._asked = -REFRESH_S
        self._error = 0

    def error_estimate(self) -> int:
        """Return the estimate as it stands in a packet."""
        now = time.monotonic()
        if now - self._asked >= REFRESH_S:
            self._asked = now
            self._error = encode_error(*self._ask())
        return self._error

    def _ask(self) -> tuple[bool, float]:
        """Return whether the clock is synchronised, and how far it may be off in seconds."""
        timex = _Timex()
        state = self._libc.adjtimex(ctypes.byref(timex))
        if state in (-1, _CLOCK_ERROR) or timex.status & _UNSYNCHRONISED:
            return False, UNKNOWN_ERROR_S
        return True, timex.maxerror / 1e6
