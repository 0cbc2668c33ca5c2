"""`thongsuot reflector`: the other end of the `stamp` probe."""

from __future__ import annotations
