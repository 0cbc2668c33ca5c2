"""A `blackbox.yml`, translated, gives the verdicts of blackbox_exporter itself, on the same servers."""

import asyncio
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import yaml
from aiohttp import web

from config import imports
from config.loader import load
from monitor.listener import create_listener
from probes.model import Resources
from tests.journey.product import free_port, until
from tests.probes import dns_servers

FOREIGN = Path(__file__).parents[1] / "config" / "foreign" / "blackbox.yml"
EXPORTER = shutil.which("prometheus-blackbox-exporter")

PLAIN = ["/", "/ready", "/error", "/404", "/401", "/redirect", "/nodes", "/debug", "/long"]
CASES = [
    *(("http_2xx", f"http{path}") for path in PLAIN),
    *(("http_words", f"http{path}") for path in PLAIN),
    *(("http_post_401", f"http{path}") for path in ("/401", "/")),
    *(("http_plain_only", place) for place in ("http/", "https/")),
    *(("http_tls_only", place) for place in ("http/", "https/")),
    *(("http_no_redirect", f"http{path}") for path in ("/redirect", "/")),
    *(("http_small", f"http{path}") for path in ("/", "/long")),
    *(("tcp_banner", place) for place in ("ssh", "web", "closed")),
    *(("tcp_connect", place) for place in ("ssh", "web", "closed")),
    ("icmp", "host"),
    ("dns_soa", "dns"),
    ("dns_soa", "dns-other"),
    ("dns_soa", "dns-nxdomain"),
    ("dns_lines", "dns"),
    ("dns_lines", "dns-other"),
    ("dns_lines", "dns-alias"),
]


EXACT = {
    "probe_ip_protocol",
    "probe_ip_addr_hash",
    "probe_http_status_code",
    "probe_http_ssl",
    "probe_http_version",
    "probe_http_content_length",
    "probe_dns_answer_rrs",
    "probe_dns_authority_rrs",
    "probe_dns_additional_rrs",
    "probe_dns_query_succeeded",
    "probe_icmp_reply_hop_limit",
    'probe_tls_version_info{version="TLS 1.3"}',
}
"""Series whose values have to be the same to the digit. (It counts a redirect that it does not follow; we do not.)"""


def _name(series: str) -> str:
    """Return a series without what differs between certificates' spellings."""
    return series.partition("{")[0] if series.startswith("probe_ssl_last_chain_info") else series


async def _answer(request: web.Request) -> web.Response:
    path = request.path
    if path == "/redirect":
        return web.Response(status=302, headers={"Location": "/"})
    if path in ("/404", "/401"):
        return web.Response(status=int(path[1:]), text="no")
    if path == "/long":
        return web.Response(text="x" * 5000)
    headers = {"X-Node": "n1" if path != "/nodes" else "edge"}
    if path == "/debug":
        headers["X-Debug"] = "1"
    return web.Response(text="ready, but error 42" if path == "/error" else "ready", headers=headers)


class Engine:
    """As much of an engine as `/probe` asks for."""

    agent = "local"
    heartbeats: Any = None

    def __init__(self, directory: Path) -> None:
        self.resources = Resources()
        self.inventory = load(directory, environ={"HTTP_LOGIN_PASSWORD": "a"})

    def problems(self) -> list[str]:
        return []

    async def metrics(self) -> str:
        return ""

    async def reload(self) -> list[str]:
        return []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path_factory.getbasetemp() / "ca.pem")
    return context


@pytest.fixture
async def places(certificate: ssl.SSLContext) -> AsyncIterator[dict[str, str]]:
    """Where to find what the cases speak of."""

    async def banner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate).start()
    plain, secure = (address[1] for address in runner.addresses)
    async with AsyncExitStack() as stack:
        ssh = await stack.enter_async_context(await asyncio.start_server(banner, "127.0.0.1", 0))
        replies = {
            "dns": dns_servers.always(dns_servers.a("127.0.0.1")),
            "dns-other": dns_servers.always(dns_servers.a("10.9.9.9")),
            "dns-alias": dns_servers.always(
                dns_servers.record(5, dns_servers.wire("www.example.vn")),
                dns_servers.a("10.9.9.9", owner=dns_servers.wire("www.example.vn")),
            ),
            "dns-nxdomain": dns_servers.always(rcode=3),
        }
        servers = {
            name: await stack.enter_async_context(dns_servers.name_server(reply)) for name, reply in replies.items()
        }
        yield {
            "http": f"http://127.0.0.1:{plain}",
            "web": f"127.0.0.1:{plain}",
            "https": f"https://127.0.0.1:{secure}",
            "ssh": f"127.0.0.1:{ssh.sockets[0].getsockname()[1]}",
            "closed": f"127.0.0.1:{free_port()}",
            "host": "127.0.0.1",
            **{name: server.address for name, server in servers.items()},
        }
    await runner.cleanup()


async def test_the_verdicts_and_the_names_are_the_same(
    places: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    document = yaml.safe_load(FOREIGN.read_text())
    for module in ("http_scheme", "http_json", "tcp_own_certificate"):  # not known to it yet, or without its files
        del document["modules"][module]
    for module in document["modules"].values():
        if module["prober"] == "http":
            module["http"]["tls_config"] = {"ca_file": str(tmp_path_factory.getbasetemp() / "ca.pem")}
    theirs, ours = tmp_path / "blackbox.yml", tmp_path / "ours"
    theirs.write_text(yaml.safe_dump(document))
    ours.mkdir()
    (ours / "modules.yaml").write_text(imports.translate("blackbox", document).as_yaml())
    engine = Engine(ours)
    runner = web.AppRunner(create_listener(engine), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = free_port()
    assert EXPORTER is not None, "blackbox_exporter is not installed: make test installs it"
    exporter = await asyncio.create_subprocess_exec(
        *(EXPORTER, f"--config.file={theirs}", f"--web.listen-address=127.0.0.1:{port}"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as client:
            base = f"http://127.0.0.1:{port}"
            await until(lambda: _answers(client, f"{base}/-/healthy"), "the exporter answers")
            differing = []
            for module, what in CASES:
                name, slash, path = what.partition("/")
                query = {"module": module, "target": places[name] + slash + path}
                expected = await _scrape(client, f"{base}/probe", query)
                found = await _scrape(client, f"http://127.0.0.1:{runner.addresses[0][1]}/probe", query)
                missing = {_name(series) for series in expected} - {_name(series) for series in found}
                assert missing == set(), (module, what)
                for exact in EXACT & expected.keys():
                    assert found[exact] == expected[exact], (module, what, exact)
                if found["probe_success"] != expected["probe_success"]:
                    differing.append((module, what, found["probe_success"], expected["probe_success"]))
            assert differing == []
    finally:
        exporter.terminate()
        await exporter.wait()
        await runner.cleanup()
        await engine.resources.aclose()


async def _answers(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _scrape(client: aiohttp.ClientSession, url: str, query: dict[str, str]) -> dict[str, float]:
    async with client.get(url, params=query, headers={"X-Prometheus-Scrape-Timeout-Seconds": "2"}) as answer:
        text = await answer.text()
        assert answer.status == 200, text
    found = {}
    for line in text.splitlines():
        match = re.match(r"([a-z_]+(?:\{[^}]*\})?) (\S+)$", line)
        if match:
            found[match[1]] = float(match[2])
    return found
