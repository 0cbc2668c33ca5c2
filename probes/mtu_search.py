"""The search for a path's MTU: which sizes to try next, given what came of those before, without a socket.

Packetization layer path MTU discovery (RFC 4821, RFC 8899): a size is known to fit when a probe of it was answered, and
taken not to fit when several were not while a smaller one was. What routers say (RFC 1191, RFC 8201) makes it quick,
and is never needed: a router that drops without a word is a black hole (RFC 2923), found by silence. The size that a
router names is a ceiling, unless it cannot be: it must still be answered to count.

Sizes are of IP packets, in bytes. Each step tries several at once, the usual ones first: a search over silence costs a
few waits, not ten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

USUAL: Final = (
    *(1280, 1300, 1330, 1340, 1350, 1360, 1370, 1380, 1390, 1400, 1406, 1410, 1414, 1418, 1420, 1422, 1426, 1428, 1430),
    *(1436, 1438, 1440, 1442, 1446, 1450, 1454, 1456, 1458, 1460, 1462, 1464, 1468, 1472, 1476, 1480, 1484, 1488, 1492),
    *(1496, 1500, 1504, 1508, 1548, 1550, 1600, 2000, 4352, 4464, 4470, 8192, 8900, 8952, 8958, 8986, 9000, 9001, 9180),
    *(9190, 9200, 9216),
)
"""Sizes that links and tunnels really have: Ethernet less IPsec, GRE, VXLAN, PPPoE, WireGuard and VLAN headers."""

AT_ONCE: Final = 8
PLATEAUS: Final = (32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)
"""RFC 1191, section 7.1: what to try when a router does not say what would fit."""


@dataclass(slots=True)
class Search:
    """Between which sizes the MTU is.

    Attributes:
        fits: the largest size that was answered; 0 before the first.
        ceiling: the largest size that may still fit.
        floor: the smallest size to try.
        expected: what the MTU was before, 0 where that is not known.
        hint: a size that a router said would fit, still to be tried; 0 for none.
        reporter: the router whose word the ceiling is, "" where it is this host's or silence's.

    """

    floor: int
    ceiling: int
    expected: int = 0
    fits: int = 0
    hint: int = 0
    reporter: str = ""
    _silent: set[int] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        """Whether the MTU is known."""
        return 0 < self.fits >= self.ceiling

    @property
    def found_silence(self) -> bool:
        """Whether the ceiling is where packets begin to vanish without a word."""
        return self.ceiling + 1 in self._silent

    def next_sizes(self) -> list[int]:
        """Return the sizes to try side by side in the next step, ascending; [] when there is nothing left to try."""
        if self.is_over:
            return []
        if not self.fits:
            before = {self.expected, self.expected + 1} if self.floor <= self.expected < self.ceiling else set()
            return sorted({self.floor, self.ceiling, *before})
        return [self.hint] if self.fits < self.hint <= self.ceiling else self._spread()

    def answered(self, size: int) -> None:
        """Take an answer to a probe of that size."""
        self.fits = max(self.fits, size)
        if size > self.ceiling:  # against a router's word, or later than it was waited for
            self.ceiling, self.reporter = size, ""

    def reported(self, size: int, mtu: int, host: str) -> None:
        """Take a router's word that a probe of that size does not fit, and which size would (0: it does not say)."""
        if not self.fits < size <= self.ceiling:
            return
        if not max(self.floor, self.fits) <= mtu < size:
            mtu = 0  # it cannot be: smaller than what does fit, or no smaller than what does not
        self.ceiling, self.reporter = max(mtu or size - 1, self.floor), host
        self.hint = mtu or next((plateau for plateau in PLATEAUS if self.fits < plateau < size), 0)

    def silent(self, size: int) -> None:
        """Take it that probes of that size were not answered, as often as they were sent."""
        if not self.fits < size <= self.ceiling:
            return
        self._silent.add(size)
        self.ceiling, self.reporter = size - 1, ""

    def _spread(self) -> list[int]:
        """Return sizes above what fits, up to the ceiling: usual ones, and evenly spread ones where these are few."""
        usual = [size for size in USUAL if self.fits < size < self.ceiling]
        if len(usual) > AT_ONCE:
            usual = [usual[place * len(usual) // AT_ONCE] for place in range(AT_ONCE)]
        parts = AT_ONCE - len(usual) + 1
        even = [self.fits + (self.ceiling - self.fits) * part // parts for part in range(1, parts)]
        return sorted({*usual, *(size for size in even if size > self.fits), self.ceiling})
