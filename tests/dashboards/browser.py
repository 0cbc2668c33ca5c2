"""One real browser for all tests of a run, and pages that note whom they talk to and what they complain of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 20_000
"""How long a page may take on a machine that does other things too; a wait ends as soon as its event comes."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@dataclass(slots=True)
class Visit:
    """A page in a context of its own.

    Attributes:
        page: to act on.
        hosts: every host and port that it sent a request to.
        complaints: errors of scripts, violations of the security policy, failed assertions of the console.

    """

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)


@asynccontextmanager
async def visiting(
    chromium: Browser, url: str, width: int = 1366, height: int = 768, **options: object
) -> AsyncIterator[Visit]:
    """Open `url` in a window of that size and yield the visit."""
    context = await chromium.new_context(viewport={"width": width, "height": height}, **options)
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    visit = Visit(page)
    page.on("request", lambda request: visit.hosts.add(urlsplit(request.url).netloc or urlsplit(request.url).scheme))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("console", lambda said: visit.complaints.append(said.text) if said.type == "error" else None)
    try:
        await page.goto(url)
        yield visit
    finally:
        await context.close()
