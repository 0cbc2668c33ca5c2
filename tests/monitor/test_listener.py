"""The monitor's own listener, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from alerts.model import Result, State
from config.loader import load
from config.model import LOOPBACK, Inventory
from monitor.explain import figure
from monitor.listener import PROBES_AT_ONCE, Routes, _is_within, create_listener
from monitor.metrics import checks_text, engine_registry, engine_text, escape, probe_text
from probes.heartbeat_book import Signal
from probes.model import Resources


class Engine:
    """An engine that is as ready as it is told to be."""

    def __init__(self) -> None:
        self.agent = "hn-1"
        self.resources = Resources()
        self.not_ready: list[str] = []
        self.bad_config: list[str] = []
        self.heard: list[tuple[object, ...]] = []
        self.heartbeats = self  # it hears them itself
        self.inventory = Inventory()

    async def hear(self, token: str, signal: Signal, at_ms: int, *more: object) -> bool:
        self.heard.append((token, signal, *more))
        return token == "mot-job-nao-do"

    def problems(self) -> list[str]:
        return self.not_ready

    async def metrics(self) -> str:
        return engine_text(engine_registry([("gauge", "thongsuot_checks", "Checks", lambda: 7)]))

    async def reload(self) -> list[str]:
        return self.bad_config


class Served:
    """A served engine and a client of it."""

    def __init__(self, engine: Engine, client: aiohttp.ClientSession, directory: Path) -> None:
        self.engine, self.client, self._directory = engine, client, directory

    def configure(self, text: str) -> None:
        (self._directory / "thongsuot.yaml").write_text(text)
        self.engine.inventory = load(self._directory, environ={})

    async def get(self, path: str, **more: dict[str, str]) -> tuple[int, str]:
        async with self.client.get(path, **more) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, **more: dict[str, str]) -> tuple[int, str]:
        async with self.client.post(path, **more) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    engine = Engine()
    runner = web.AppRunner(create_listener(engine), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
        yield Served(engine, client, tmp_path)
    await runner.cleanup()
    await engine.resources.aclose()


async def test_alive_is_not_yet_ready(served: Served) -> None:
    served.engine.not_ready = ["the store is away; results wait in the spool"]
    assert (await served.get("/healthz"))[0] == 200
    assert await served.get("/readyz") == (503, "the store is away; results wait in the spool\n")
    served.engine.not_ready = []
    assert (await served.get("/readyz"))[0] == 200


async def test_metrics_are_in_the_prometheus_format(served: Served) -> None:
    async with served.client.get("/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "thongsuot_checks 7.0\n" in await answer.text()


async def test_a_prometheus_that_scraped_blackbox_exporter_finds_its_names(served: Served) -> None:
    port = served.client._base_url.port  # type: ignore[union-attr]
    status, text = await served.get(f"/probe?module=http_2xx&target=127.0.0.1:{port}/healthz")
    assert status == 200
    assert "\nprobe_success 1.0\n" in text
    assert "\nprobe_http_status_code 200\n" in text
    for phase in ("resolve", "connect", "processing", "transfer"):
        assert f'probe_http_duration_seconds{{phase="{phase}"}}' in text
    status, text = await served.get(f"/probe?module=tcp_connect&target=127.0.0.1:{port}")
    assert "\nprobe_success 1.0\n" in text
    status, text = await served.get("/probe?module=tcp_connect&target=127.0.0.1:1")
    assert status == 200
    assert "\nprobe_success 0.0\n" in text


@pytest.mark.parametrize(
    "query", ["", "?target=", "?target=x&module=nope", "?target=http://[&module=http", "?target=x&module=../model"]
)
async def test_a_wrong_question_is_the_askers_fault(served: Served, query: str) -> None:
    status, text = await served.get(f"/probe{query}")
    assert status == 400
    assert text.strip()


async def test_the_scrape_time_out_bounds_the_probe(served: Served) -> None:
    for header in ("1", "nan", "-5", "x", "1e99"):
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": header}
        status, _ = await served.get("/probe?module=tcp&target=127.0.0.1:1", headers=headers)
        assert status == 200


async def test_a_module_has_its_own_time_where_nobody_says_how_long_to_wait(served: Served) -> None:
    served.configure("modules: [{id: patient, probe: tcp, timeout: 20s}]")
    routes = Routes(served.engine)
    assert routes._job_of("patient", "127.0.0.1:1", None, "")[1].timeout_s == 20.0
    assert routes._job_of("patient", "127.0.0.1:1", 9.5, "")[1].timeout_s == 9.5
    assert routes._job_of("tcp", "127.0.0.1:1", None, "")[1].timeout_s == 5.0
    assert routes._job_of("tcp", "127.0.0.1:1", 1e9, "")[1].timeout_s == 60.0


@pytest.mark.parametrize("module", ["http_2xx", "https_by_address"])
async def test_a_host_can_be_asked_for_by_its_address(served: Served, module: str) -> None:
    served.configure("modules: [{id: https_by_address, probe: http, headers: {host: other.example}}]")
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Host"])
        return web.Response()

    runner = web.AppRunner(web.Application(), access_log=None)
    runner.app.router.add_get("/", answer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    _, text = await served.get(f"/probe?module={module}&target={address}&hostname=portal.example.vn")
    await runner.cleanup()
    assert "\nprobe_success 1.0\n" in text
    assert asked == ["portal.example.vn"]


async def test_only_known_networks_may_have_it_probe(served: Served) -> None:
    query = "/probe?module=tcp&target=127.0.0.1:1"
    assert (await served.get(query))[0] == 200  # a Prometheus on this machine needs no setting
    served.configure("settings: {probe_from: [10.1.0.0/16, '2001:db8::1']}")
    status, text = await served.get(query)
    assert (status, text) == (403, "not from your address: it is in no network of settings.probe_from\n")
    for path in ("/metrics", "/healthz", "/readyz", "/heartbeat/mot-job-nao-do"):
        assert (await served.get(path))[0] == 200
    served.configure("settings: {probe_from: [127.0.0.1]}")
    assert (await served.get(query))[0] == 200


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),  # a listener on [::] sees IPv4 like that
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_this_machine_is_known_by_its_address(address: str, is_local: bool) -> None:
    request = make_mocked_request("GET", "/probe").clone(remote=address)
    assert _is_within(request, LOOPBACK) is is_local


async def test_more_probes_at_once_than_it_takes_are_refused(served: Served) -> None:
    connected = asyncio.Semaphore(0)
    done = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.release()
        await done.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    query = f"/probe?module=ssh_banner&target=127.0.0.1:{server.sockets[0].getsockname()[1]}"
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": "60"}
    running = [asyncio.create_task(served.get(query, headers=headers)) for _ in range(PROBES_AT_ONCE)]
    for _ in running:
        await connected.acquire()
    async with served.client.get(query) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
    assert (await served.get("/metrics"))[0] == 200
    done.set()
    assert [status for status, _ in await asyncio.gather(*running)] == [200] * PROBES_AT_ONCE
    assert (await served.get(query))[0] == 200  # the seats are free again
    server.close()


async def test_a_reload_tells_all_problems_and_is_not_for_browsers(served: Served) -> None:
    assert await served.post("/-/reload") == (200, "reloaded\n")
    served.engine.bad_config = ["a.yaml:1: one", "b.yaml:2: two"]
    assert await served.post("/-/reload") == (422, "a.yaml:1: one\nb.yaml:2: two\n")
    status, _ = await served.post("/-/reload", headers={"Origin": "http://evil.example"})
    assert status == 403
    assert (await served.get("/-/reload"))[0] == 405


def test_label_values_are_escaped() -> None:
    assert escape('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_series_are_grouped_by_name_with_one_header_each() -> None:
    def result(check: str) -> Result:
        return Result(check, "a", 1_000, 0.5, State.UP, None, "", {"status": 200, "cert_expires_s": 10})

    labels = {name: ("http", f'check="{name}"') for name in ("a/http", "b/http")}
    text = checks_text(labels, {name: result(name) for name in labels}, {"a/http": State.UP}, {})
    assert text.count("# TYPE probe_success gauge") == 1
    lines = [line for line in text.splitlines() if line.startswith("probe_success")]
    assert lines == ['probe_success{check="a/http"} 1', 'probe_success{check="b/http"} 1']
    assert 'probe_ssl_earliest_cert_expiry{check="a/http"} 11.5' in text
    assert 'thongsuot_check_state{check="a/http"} 0' in text


def test_large_figures_keep_their_digits() -> None:
    samples = {"route_hash": float((1 << 48) - 1), "hop_1_rtt_s": 1.1e-05}
    text = probe_text("path", Result("a/path", "a", 0, 1.0, State.UP, None, "", samples))
    assert 'sample="route_hash"} 281474976710655\n' in text
    assert 'sample="hop_1_rtt_s"} 1.1e-05\n' in text
    assert figure("route_hash", samples["route_hash"]) == "281474976710655"


def test_what_was_not_measured_has_no_series() -> None:
    lost = Result("a/icmp", "a", 0, 1.0, State.DOWN, None, "", {"sent": 1, "loss_ratio": 1.0})
    text = probe_text("icmp", lost)
    assert "probe_success 0" in text
    assert 'phase="rtt"' not in text


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        ("", (Signal.SUCCESS, "", 0, "")),
        ("/start?rid=r-1", (Signal.START, "r-1", None, "")),
        ("/fail", (Signal.FAILURE, "", None, "")),
        ("/0", (Signal.SUCCESS, "", 0, "")),
        ("/7?rid=4711", (Signal.FAILURE, "4711", 7, "")),
    ],
)
async def test_a_job_says_how_it_is(served: Served, path: str, heard: tuple[object, ...]) -> None:
    assert await served.get(f"/heartbeat/mot-job-nao-do{path}") == (200, "ok\n")
    assert served.engine.heard == [("mot-job-nao-do", *heard)]


@pytest.mark.parametrize(
    "path", ["/256", "/-1", "/stop", "/1e1", "/start?rid=a%20b", f"/start?rid={'x' * 65}", "/%D9%A1"]
)
async def test_what_is_not_a_signal_is_refused(served: Served, path: str) -> None:
    assert (await served.get(f"/heartbeat/mot-job-nao-do{path}"))[0] == 400
    assert served.engine.heard == []


async def test_an_unknown_token_is_not_found(served: Served) -> None:
    assert (await served.get("/heartbeat/mot-job-khac"))[0] == 404


async def test_the_end_of_a_log_is_kept_however_long_it_is(served: Served) -> None:
    log = ("đồng bộ…\n" * 200_000 + "lỗi: hết chỗ\n").encode()
    status, _ = await served.post("/heartbeat/mot-job-nao-do/1", data=log[-900_000:])
    assert status == 200
    tail = served.engine.heard[0][-1]
    assert isinstance(tail, str)
    assert len(tail) == 4_000
    assert tail.endswith("đồng bộ…\nlỗi: hết chỗ\n")
