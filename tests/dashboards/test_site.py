"""What stands before the pages: headers, hosts, status codes, languages, packing; all over real HTTP."""

from __future__ import annotations

import re

import aiohttp
import pytest

from dashboards.app import create_app, is_page
from dashboards.guard import chosen_cookies, is_loopback_name
from tests.dashboards import sample
from tests.dashboards.server import serving


@pytest.fixture
async def site():
    async with (
        serving(create_app(sample.SampleReading(), clock=lambda: sample.NOW_MS)) as url,
        aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client,
    ):
        yield client


async def test_a_page_speaks_vietnamese_unless_asked_otherwise(site):
    async with site.get("/") as answer:
        assert answer.status == 200
        assert '<html lang="vi" data-theme="dark">' in await answer.text()
        assert "Set-Cookie" not in answer.headers
    async with site.get("/?lang=en&theme=light") as answer:
        assert '<html lang="en" data-theme="light">' in await answer.text()
    async with site.get("/") as answer:
        assert '<html lang="en" data-theme="light">' in await answer.text(), "the choice is kept in a cookie"


async def test_a_choice_that_does_not_exist_changes_nothing(site):
    async with site.get('/?lang=xx"><script>&theme=pink') as answer:
        text = await answer.text()
        assert '<html lang="vi" data-theme="dark">' in text
        assert "Set-Cookie" not in answer.headers
        assert 'xx"><script>' not in text


async def test_every_answer_carries_the_security_headers(site):
    for path in (
        "/",
        "/live/overview",
        "/live/target/nope",
        "/nowhere",
        "/healthz",
        "/palette.css",
        "/assets/base.css",
    ):
        async with site.get(path) as answer:
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "Server" not in answer.headers or "uvicorn" in answer.headers["Server"]


async def test_inline_scripts_run_only_by_hash(site):
    async with site.get("/") as answer:
        policy = answer.headers["Content-Security-Policy"]
        text = await answer.text()
    scripts = re.search("script-src ([^;]+)", policy)[1]
    assert "unsafe" not in scripts
    inline = re.findall(r"<script(?![^>]*(?:src=|application/json))[^>]*>", text)
    assert scripts.count("'sha256-") >= len(inline) > 0


async def test_no_page_names_another_host(site):
    async with site.get("/") as answer:
        text = await answer.text()
    urls = re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    assert urls
    assert [url for url in urls if not url.startswith("/") or url.startswith("//")] == []


async def test_no_documentation_page_that_would_fetch_from_outside(site):
    for path in ("/docs", "/redoc", "/openapi.json"):
        async with site.get(path) as answer:
            assert answer.status == 404


async def test_an_address_without_a_page_is_a_404_with_the_same_document(site):
    async with site.get("/nowhere/at/all") as answer:
        assert answer.status == 404
        assert "react-entry-point" in await answer.text()


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/", True), ("/target/a", True), ("/target/", False), ("/target/a/b", False), ("/x", False), ("/targets", False)],
)
def test_pages_are_known_by_their_path(path, expected):
    assert is_page(path) is expected


async def test_another_name_for_this_machine_is_refused(site):
    """DNS rebinding: a hostile page's own name resolves to 127.0.0.1."""
    for path in ("/", "/live/overview", "/_dash-layout", "/healthz"):
        async with site.get(path, headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
            assert "Mục tiêu" not in await answer.text()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost:8050", True),
        ("127.0.0.1", True),
        ("127.9.9.9:80", True),
        ("[::1]:8050", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("[::ffff:8.8.8.8]", False),
        ("[", False),
    ],
)
def test_loopback_names(host, loopback):
    assert is_loopback_name(host) is loopback


def test_cookies_are_set_only_for_known_choices():
    assert chosen_cookies(b"lang=en&theme=%0d%0aSet-Cookie:x=1&lang2=vi") == [
        "lang=en; Max-Age=31536000; Path=/; SameSite=Lax"
    ]
    assert chosen_cookies(b"\xff\xfe=%ff&lang") == []


async def test_scripts_are_packed(site):
    async with site.get("/") as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        script = re.search(r'src="(/_dash-component-suites/dash/dash-renderer[^"]+)"', await answer.text())[1]
    sizes = []
    for _ in range(2):
        async with site.get(script) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert "max-age" in answer.headers["Cache-Control"]
            sizes.append(int(answer.headers["Content-Length"]))
            assert len(await answer.read()) > 2 * sizes[0]
    assert sizes[0] == sizes[1]
    async with site.get(script, headers={"Accept-Encoding": "identity"}) as answer:
        assert "Content-Encoding" not in answer.headers


async def test_a_font_is_not_packed_twice(site):
    async with site.get("/assets/fonts/inter-vietnamese-wght-normal.woff2") as answer:
        assert "Content-Encoding" not in answer.headers
        assert (await answer.read())[:4] == b"wOF2"


async def test_a_hostile_query_does_not_break_the_layout(site):
    body = {
        "outputs": [{"id": "_pages_content", "property": "children"}, {"id": "_pages_store", "property": "data"}],
        "inputs": [
            {"id": "_pages_location", "property": "pathname", "value": "/target/%3Cscript%3E"},
            {"id": "_pages_location", "property": "search", "value": "?self=1&target_id=other&_=2"},
        ],
        "changedPropIds": ["_pages_location.pathname"],
    }
    async with site.get("/_dash-dependencies") as answer:
        output = next(d["output"] for d in await answer.json() if "_pages_content" in d["output"])
    async with site.post("/_dash-update-component", json=body | {"output": output}) as answer:
        assert answer.status == 200
        shown = await answer.json(content_type=None)
    part = shown["response"]["_pages_content"]["children"]["props"]["children"][0]["props"]
    assert part["target"] == "<script>"
    assert part["url"] == "/live/target/%3Cscript%3E"
