"""Fixtures of this room."""

from tests.dashboards.browser import chromium

__all__ = ["chromium"]
