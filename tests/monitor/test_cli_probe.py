"""`thongsuot probe`, as a person at a terminal has it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from monitor.advice import ADVICE, next_steps, places_in
from monitor.cli_probe import language_of_environment
from probes.model import Failure
from tests.journey.product import free_port

ENGLISH = {**{name: value for name, value in os.environ.items() if not name.startswith("LC_")}, "LANG": "C.UTF-8"}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"status": "MAINTENANCE"})

    app = web.Application()
    app.router.add_get("/health", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/health"
    await runner.cleanup()


async def said(*arguments: str, environ: dict[str, str] = ENGLISH) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", "probe", *arguments), stdout=asyncio.subprocess.PIPE, env=environ
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_what_was_expected_and_what_came_stand_side_by_side(url: str) -> None:
    conditions = ["-p", "down_when=[\"json.status != 'UP'\"]", "-p", 'degraded_when=["body_bytes > 1000"]']
    status, out = await said("http", url, *conditions)
    assert status == 1
    assert "✖ DOWN in" in out
    assert "condition (layer: data)" in out
    for phase in ("resolve", "connect", "first_byte", "transfer"):
        assert f"\n  {phase} " in out
    assert "✖ down_when: json.status != 'UP' (json.status = \"MAINTENANCE\")" in out
    assert "✓ degraded_when: body_bytes > 1000" in out
    assert 'What came\n  {"status": "MAINTENANCE"}' in out
    assert "→ the service answers, but not as it should" in out


async def test_it_speaks_vietnamese_to_whom_does(url: str) -> None:
    _, out = await said("http", url, "-p", "status=204", environ={**ENGLISH, "LANG": "vi_VN.UTF-8"})
    assert "✖ NGỪNG HOẠT ĐỘNG trong" in out
    assert "\n  Mã trạng thái HTTP không được chấp nhận: http_status (tầng: ứng dụng)\n" in out
    assert "\n  Kết nối " in out
    assert "Xem tiếp" in out
    assert "What" not in out


async def test_a_watch_speaks_vietnamese_to_whom_does(url: str) -> None:
    options = ("-p", "status=204", "--language", "vi", "--watch", "--every", "50ms", "--count", "2")
    first, _, summed, failure, latency = (await said("http", url, *options))[1].splitlines()
    assert "ngừng hoạt động" in first
    assert "Mã trạng thái HTTP không được chấp nhận (http_status) status not in [204]" in first
    assert summed == "--- 2 lần đo: 2 ngừng hoạt động"
    assert failure.strip() == "2 × Mã trạng thái HTTP không được chấp nhận (http_status)"
    assert latency.lstrip().startswith("độ trễ min ")


async def test_the_bar_of_the_phase_in_which_time_ran_out_says_so() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        status, out = await said("http", f"http://127.0.0.1:{port}/", "--timeout", "300ms")
    assert status == 1
    line = next(line for line in out.splitlines() if line.strip().startswith("first_byte"))
    assert line.endswith("← time ran out here")
    assert f"thongsuot probe tcp 127.0.0.1:{port}" not in out


async def test_a_watch_prints_a_line_a_run_and_sums_up(url: str) -> None:
    status, out = await said("http", url, "--watch", "--every", "50ms", "--count", "3")
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[1] for line in lines[:3]] == ["up"] * 3
    assert lines[3] == "--- 3 runs: 3 up"
    assert lines[4].lstrip().startswith("latency min ")


async def test_a_watch_as_json_prints_results_and_nothing_else(url: str) -> None:
    status, out = await said("http", url, "-p", "status=500", "--watch", "--every", "50ms", "--count", "2", "--json")
    assert status == 1
    assert [json.loads(line)["failure"] for line in out.splitlines()] == ["http_status"] * 2


async def test_ctrl_c_ends_a_watch_with_its_sum(url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", "probe", "http", url, "--watch", "--every", "20ms"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENGLISH,
    )
    assert process.stdout is not None
    first = await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert b" up " in first
    assert b"runs: " in out
    assert err == b""
    assert process.returncode == 0


async def told(*arguments: str, environ: dict[str, str] = ENGLISH) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", "probe", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("down_when=", "'' is not a valid condition"),
        ("degraded_when=5", "'5' is not a condition"),
        ("down_when=[1, 2]", "is not a condition"),
        ("ca_file=2026-13-01", "the value of ca_file is not YAML"),
        ("headers=&a {x: *a}", "the value of headers has no end, or holds itself"),
        ("headers=" + "[" * 5000, "the value of headers has no end, or holds itself"),
        ("timeout=0s", "the timeout is longer than nothing"),
        ("bearer_token=${env:THONGSUOT_NOBODY_SET_THIS}", "'THONGSUOT_NOBODY_SET_THIS' is not set"),
        ("headers={X-Key: '${file:/no/such/file}'}", "'/no/such/file'"),
    ],
)
async def test_a_wrong_parameter_is_told_in_one_line(parameter: str, reason: str) -> None:
    status, out, err = await told("http", f"http://127.0.0.1:{free_port()}/", "-p", parameter)
    assert (status, out) == (2, "")
    assert reason in err
    assert err.count("\n") == 1


async def test_what_is_said_is_utf_8_whatever_the_locale_says(url: str) -> None:
    environ = {**ENGLISH, "PYTHONIOENCODING": "latin-1"}
    status, out, _ = await told("http", url, "-p", "status=204", "--language", "vi", environ=environ)
    assert status == 1
    assert "✖ NGỪNG HOẠT ĐỘNG" in out


async def test_a_condition_need_not_be_yaml(url: str) -> None:
    for condition in ("!(json.status == 'UP')", "'a: b' != json.status", '"x" in ["x"]'):
        status, out, _ = await told("http", url, "-p", f"down_when={condition}", "--json")
        assert status == 1
        assert json.loads(out)["message"].startswith(condition)


@pytest.mark.parametrize("body", ['{"id": 1}', "[1, 2]", "2026-13-01", "17", '"quoted"', "{{broken"])
async def test_a_body_is_text_whatever_it_looks_like(body: str) -> None:
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(await request.text())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    status, _, err = await told("http", f"http://127.0.0.1:{runner.addresses[0][1]}/", "-p", f"body={body}")
    await runner.cleanup()
    assert (status, err) == (0, "")
    assert seen == [body.strip('"')]


async def test_a_secret_is_a_reference_and_is_shown_nowhere() -> None:
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=403)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url, environ = f"http://127.0.0.1:{runner.addresses[0][1]}/", {**ENGLISH, "IAM_TOKEN": "hunter2"}
    status, out, err = await told("http", url, "-p", "bearer_token=${env:IAM_TOKEN}", environ=environ)
    keyed, out_of_keyed, _ = await told("http", url + "?key=${env:IAM_TOKEN}", "--json", environ=environ)
    await runner.cleanup()
    assert (status, keyed) == (1, 1)
    assert seen == ["Bearer hunter2", None]
    assert "hunter2" not in out + err + out_of_keyed
    assert json.loads(out_of_keyed)["address"] == url + "?key=${env:IAM_TOKEN}"


@pytest.mark.parametrize("wrong", [("--watch", "--every", "0s"), ("--watch", "--every", "5"), ("--language", "fr")])
async def test_a_wrong_option_is_told(wrong: tuple[str, ...]) -> None:
    assert (await said("tcp", f"127.0.0.1:{free_port()}", *wrong))[0] == 2


def test_there_is_advice_for_every_failure_in_both_languages() -> None:
    assert set(ADVICE) == set(Failure)
    for advice in ADVICE.values():
        assert len(advice.vi) == len(advice.en)


def test_advice_names_the_place_or_leaves_the_line_out() -> None:
    assert list(next_steps(Failure.TLS_HANDSHAKE, "https://ndxp.example/x", "en"))[-1] == (
        "thongsuot probe tls ndxp.example:443"
    )
    assert len(list(next_steps(Failure.TLS_HANDSHAKE, "no place at all", "en"))) == 1
    # What an address holds never becomes a command of its own.
    assert places_in("tcp://a;rm -rf:80") == {"address": "tcp://a;rm -rf:80"}
    assert places_in("[2001:db8::1]:862")["place"] == "[2001:db8::1]:862"


def test_the_language_is_the_environment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert language_of_environment() == "en"
    monkeypatch.setenv("LANG", "vi_VN.UTF-8")
    assert language_of_environment() == "vi"
    monkeypatch.setenv("LC_ALL", "C")
    assert language_of_environment() == "en"
