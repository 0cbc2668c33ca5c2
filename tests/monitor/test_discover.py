"""`thongsuot discover`: what is proposed is a configuration of ours, and a check that was proposed is up."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import typer
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.model import Result, State
from config.loader import load
from monitor import cli_discover
from monitor.discover import host, openapi, router, web, wsdl, xroad
from monitor.discover.fetching import access_of
from monitor.discover.proposal import Discovery, NothingFoundError, Proposed, Text, why_not
from monitor.discover.trials import Trials
from monitor.oneshot import prepare, run_once
from probes import registry
from probes.model import Failure
from tests.probes.http_servers import redirect, reply, serve
from tests.probes.soap_servers import WSDL, dan_cu
from tests.probes.tcp_servers import refusing_port, saying
from tests.probes.tcp_servers import serve as serve_stream
from tests.probes.xroad_servers import SecurityServer
from tests.snmpd import COMMUNITY, Snmpd, interfaces

pytest_plugins = ["tests.probes.http_fixtures"]

ENGLISH = {**{name: value for name, value in os.environ.items() if not name.startswith("LC_")}, "LANG": "C.UTF-8"}
JSON = "Content-Type: application/json"


@pytest.fixture
async def trials():
    made = Trials(1.5)
    yield made
    await made.aclose()


def loaded(found: Discovery, folder: Path, language: str = "en"):
    """Return the checks that our loader makes of a proposal."""
    folder.mkdir(exist_ok=True)
    (folder / "found.yaml").write_text(found.as_yaml(language))
    inventory = load(folder, environ={**os.environ, **dict.fromkeys(found.secrets(), "a-secret-value")})
    return list(inventory.checks.values())


async def assert_up(found: Discovery, **options):
    for one in found.checks:
        if not one.is_doubtful:
            address = registry.find(one.probe).address
            parameters = {**one.parameters, **options, "down_when": list(one.down_when)}
            parameters = {key: value for key, value in parameters.items() if "${env" not in str(value)}
            result = await run_once(prepare(one.probe, parameters.pop(address), parameters), "test")
            assert result.failure is None, (one, result.message)


# --- url


async def test_a_url_that_tells_its_health_gets_a_condition_on_it(trials, tmp_path):
    async with serve(reply(200, b'{"status": "UP", "components": {}}', JSON)) as server:
        found = await web.discover(f"{server.url}actuator/health", trials)
        assert found.checks[0].down_when == ("json.status != 'UP'",)
        await assert_up(found)
    check = loaded(found, tmp_path)[0]
    assert (check.probe, check.interval_s) == ("http", 30)


@pytest.mark.parametrize(
    ("body", "down_when"),
    [
        (b'{"status": "DOWN"}', ()),
        (b'{"state": "ok"}', ("json.state != 'ok'",)),
        (b'{"status": "x\' || true || \'"}', ()),
        (b'["UP"]', ()),
        (b"hello", ()),
        (b"", ()),
    ],
)
async def test_only_a_health_that_is_known_to_be_well_becomes_a_condition(trials, body, down_when):
    async with serve(reply(200, body, JSON)) as server:
        assert (await web.discover(server.url, trials)).checks[0].down_when == down_when


async def test_the_status_that_came_is_the_one_to_expect_and_redirects_are_told(trials, tmp_path):
    def answer(request):
        return redirect("/login", 302) if request.target == "/" else reply(401)

    async with serve(answer) as server:
        found = await web.discover(server.url, trials)
        await assert_up(found)
    assert found.checks[0].parameters["status"] == [401]
    assert any("redirects to" in note.en for note in found.notes)
    assert loaded(found, tmp_path)


async def test_a_certificate_that_is_not_trusted_is_told_and_its_end_is_watched(trials, tmp_path, self_signed):
    async with serve(reply(200, b"x"), self_signed.context) as server:
        found = await web.discover(server.url, trials)
        await assert_up(found)
    check = found.checks[0]
    assert check.parameters["verify"] is False
    assert check.parameters["require_tls"] is True
    assert web.EXPIRY in check.degraded_when
    assert any("ca_file" in note.en for note in found.notes)
    assert loaded(found, tmp_path, "vi")


async def test_nobody_there_is_nothing_found(trials):
    with pytest.raises(NothingFoundError, match="connect_refused"):
        await web.discover(f"http://127.0.0.1:{refusing_port()}/", trials)


# --- host


async def test_what_listens_on_a_host_is_proposed_as_what_it_is(trials, tmp_path):
    async with (
        serve(reply(200, b"x")) as site,
        serve_stream(saying(b"SSH-2.0-test\r\n")) as ssh,
        serve_stream(saying(b"220 mail ESMTP\r\n")) as mail,
        serve_stream(saying(b"\x00\x01")) as other,
    ):
        closed = refusing_port()
        found = await host.discover("127.0.0.1", trials, [site.port, ssh, mail, other, closed])
        await assert_up(found)
    kinds = {check.name or check.probe: check for check in found.checks}
    assert set(kinds) == {"icmp", f"http-{site.port}", f"tcp-{ssh}", f"tcp-{mail}", f"tcp-{other}"}
    assert kinds[f"tcp-{ssh}"].parameters["dialogue"] == [{"expect": "^SSH-2.0-"}]
    assert kinds[f"tcp-{mail}"].parameters["dialogue"] == [{"expect": "^220[ -]"}]
    assert "dialogue" not in kinds[f"tcp-{other}"].parameters
    assert len(loaded(found, tmp_path)) == 5


async def test_a_database_is_not_logged_in_to_and_a_login_is_a_comment(trials, postgres, monkeypatch):
    port = int(postgres.port)
    monkeypatch.setitem(host._SERVICES, port, "postgresql")
    monkeypatch.setattr(host, "PORTS", (*host.PORTS, port))
    found = await host.discover("127.0.0.1", trials, [port])
    tcp, deeper = found.checks[1:]
    assert (tcp.probe, tcp.is_doubtful) == ("tcp", False)
    assert (deeper.probe, deeper.is_doubtful) == ("postgresql", True)
    text = found.as_yaml("en")
    assert "#       - probe: postgresql" in text
    assert found.secrets() == ["X_127_0_0_1_POSTGRESQL_PASSWORD"]


async def test_what_is_no_host_is_refused(trials):
    with pytest.raises(ValueError, match="host"):
        await host.discover("a b", trials, [80])


# --- wsdl


async def test_a_wsdl_gives_a_check_a_port_and_calls_that_look_safe_as_comments(trials, tmp_path):
    async with serve(dan_cu) as server:
        found = await wsdl.discover(f"{server.url}?wsdl", trials, access_of({}))
        await assert_up(found)
        description, call = found.checks
        assert (description.name, description.is_doubtful) == ("wsdl-DanCuPort", False)
        assert (call.name, call.is_doubtful) == ("DanCuPort-GetStatus", True)
        assert call.parameters["soap_action"] == "urn:GetStatus"
        parameters = dict(call.parameters)
        result = await run_once(prepare("soap", parameters.pop("url"), parameters), "test")
        assert result.failure is None, result.message
    assert any(note.en.endswith("are not called: 1.") for note in found.notes)
    text = found.as_yaml("en")
    assert [check.probe for check in loaded(found, tmp_path)] == ["soap"]
    # What is a comment is as valid as the rest once the mark is taken away.
    (tmp_path / "found.yaml").write_text(text.replace("\n#       ", "\n      "))
    assert len(load(tmp_path, environ={}).checks) == 2


@pytest.mark.parametrize("body", [b"", b"<a/>", WSDL.split("<w:service")[0].encode() + b"</w:definitions>"])
async def test_what_is_no_wsdl_gives_nothing(trials, body):
    async with serve(reply(200, body)) as server:
        with pytest.raises(NothingFoundError):
            await wsdl.discover(server.url, trials, access_of({}))


async def test_an_address_that_no_check_can_have_is_left_out(trials, tmp_path):
    text = WSDL.replace("{address}", "http://noi-bo.example:8080/dan-cu").replace(
        "</w:service>",
        '<w:port name="Kin" binding="t:DanCuSoap"><s:address location="file:///etc/passwd"/></w:port></w:service>',
    )
    async with serve(reply(200, text.encode())) as server:
        found = await wsdl.discover(server.url, trials, access_of({}))
    assert [check.name for check in found.checks] == ["wsdl-DanCuPort", "DanCuPort-GetStatus"]
    assert any("2 entries" in note.en for note in found.notes)
    assert any("http://noi-bo.example:8080/dan-cu" in note.en for note in found.notes)
    assert len(loaded(found, tmp_path)) == 1


# --- openapi

API = {
    "openapi": "3.1.0",
    "info": {"title": "Danh mục", "version": "1"},
    "servers": [{"url": "/{v}", "variables": {"v": {"default": "v1"}}}],
    "security": [{"key": []}],
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "oauth": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://iam.example/token"}}},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
        },
        "parameters": {"id": {"name": "id", "in": "query", "required": True}},
    },
    "paths": {
        "/health": {"get": {"operationId": "health", "security": [], "responses": {"200": {}, "503": {}}}},
        "/tinh": {"get": {"summary": "Tỉnh", "responses": {"2XX": {}}}, "post": {}},
        "/xa": {"get": {"security": [{"oauth": []}], "parameters": [{"name": "q", "in": "query"}]}},
        "/cu": {"get": {"deprecated": True, "security": []}},
        "/phien": {"get": {"security": [{"cookie": []}]}},
        "/tinh/{id}": {"get": {}},
        "/tim": {"get": {"parameters": [{"$ref": "#/components/parameters/id"}]}},
        "/vong": {"get": {"parameters": [{"$ref": "#/paths/~1vong/get/parameters/0"}], "security": []}},
    },
}


@pytest.mark.parametrize("as_yaml", [True, False])
async def test_the_reads_of_an_api_become_checks_with_placeholders(trials, tmp_path, as_yaml):
    text = yaml.safe_dump(API, allow_unicode=True) if as_yaml else json.dumps(API)
    async with serve(reply(200, text.encode())) as server:
        found = await openapi.discover(f"{server.url}docs/openapi", trials, access_of({}))
        assert len(server.requests) == 1, "an operation was called"
    urls = {check.parameters["url"].removeprefix(server.url): check for check in found.checks}
    assert set(urls) == {"v1/health", "v1/tinh", "v1/xa", "v1/cu", "v1/phien", "v1/vong"}
    assert urls["v1/health"].parameters["status"] == [200]
    assert urls["v1/tinh"].parameters["headers"] == {"X-Key": "${env:X_127_0_0_1_KEY_KEY}"}
    assert urls["v1/xa"].parameters["oauth2"]["token_url"] == "https://iam.example/token"
    assert [urls[path].is_doubtful for path in ("v1/cu", "v1/phien", "v1/tinh")] == [True, True, False]
    assert any(note.en.startswith("2 GET operations") for note in found.notes)
    assert len(loaded(found, tmp_path / "c")) == 4


async def test_a_name_that_no_header_can_have_is_left_out(trials, tmp_path):
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "X-Key\nX: y"}}
    evil = {**API, "components": {"securitySchemes": schemes}, "servers": [{"url": "https://api.example/a b"}]}
    file = tmp_path / "api.json"
    file.write_text(json.dumps(evil))
    found = await openapi.discover(str(file), trials, access_of({}))
    assert all("X-Key" not in str(check.parameters) for check in found.checks)
    assert any("entries" in note.en for note in found.notes)
    assert loaded(found, tmp_path / "c")


async def test_a_file_is_read_too_when_it_names_its_server(trials, tmp_path):
    file = tmp_path / "api.yaml"
    file.write_text(yaml.safe_dump({**API, "servers": [{"url": "https://api.example/v2"}]}))
    found = await openapi.discover(str(file), trials, access_of({}))
    assert found.checks[0].parameters["url"].startswith("https://api.example/v2/")
    file.write_text(yaml.safe_dump(API))
    with pytest.raises(NothingFoundError, match="names no server"):
        await openapi.discover(str(file), trials, access_of({}))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"swagger": "2.0"}', b'{"openapi": "3.0.0", "paths": 3}', b"\xff\0"]
)
async def test_what_is_no_openapi_gives_nothing(trials, text):
    async with serve(reply(200, text)) as server:
        with pytest.raises(NothingFoundError):
            await openapi.discover(server.url, trials, access_of({}))


_KEYS = [
    *("openapi", "paths", "/a", "get", "parameters", "$ref", "security", "components", "securitySchemes", "key"),
    *("type", "in", "name", "servers", "url", "variables", "responses", "200", "operationId", "scheme", "flows", 7),
]
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["3.0.1", "http", "basic", "oauth2", "#/paths", "#/", "https://a.example", "/{v}", "GET\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=6),
    max_leaves=30,
)


@given(_VALUES, _VALUES, _VALUES)
@settings(deadline=None, max_examples=60)
def test_a_hostile_description_gives_checks_or_nothing(item, schemes, servers):
    root = {"openapi": "3.0.1", "paths": {"/a": item, "/b": {"get": item}}, "servers": servers}
    root |= {"components": {"securitySchemes": schemes}, "security": [schemes, {"key": []}]}
    try:
        found = openapi.propose(root, "https://api.example/openapi.json", is_url=True)
    except NothingFoundError:
        return
    assert yaml.safe_load(found.as_yaml("vi"))["targets"] is not None


# --- snmp


async def test_a_router_is_proposed_without_its_community(trials, tmp_path):
    server = Snmpd()
    try:
        server.start()
        server.serve(interfaces(2))
        found = await router.discover(server.address, trials, {"community": COMMUNITY})
        await assert_up(found, community=COMMUNITY)
        with pytest.raises(NothingFoundError):
            await router.discover(server.address, Trials(0.3), {"community": "sai"})
    finally:
        server.close()
    assert found.secrets() == ["X_127_0_0_1_SNMP_COMMUNITY"]
    text = found.as_yaml("vi")
    assert f"community: {COMMUNITY}" not in text
    assert "# chính thiết bị " in text
    assert " itself: " not in text
    assert {check.probe for check in loaded(found, tmp_path)} == {"snmp"}


# --- xroad


async def test_a_catalogue_gives_a_check_a_service_that_is_open(trials, tmp_path):
    own = SecurityServer(clients=["VN/GOV/BCA", "VN/GOV/BCA/DANCU"])
    async with serve(own) as server:
        found = await xroad.discover(server.url, trials, {"client": "VN/GOV/BTC/THUE"})
        await assert_up(found)
        own.fault = ("Server.ClientProxy.NetworkError", "no way")
        away = await xroad.discover(server.url, trials, {"client": "VN/GOV/BTC/THUE"})
    assert [check.name for check in found.checks] == ["clients", "DANCU-tra-cuu-v1"]
    assert len(loaded(found, tmp_path)) == 2
    assert away.notes[0].en.startswith("VN/GOV/BCA/DANCU: the network between the security servers")


async def test_what_is_no_security_server_gives_nothing(trials):
    async with serve(reply(404)) as server:
        with pytest.raises(NothingFoundError, match="404"):
            await xroad.discover(server.url, trials, {"client": "VN/GOV/BTC/THUE"})
        with pytest.raises(ValueError, match="not an X-Road identifier"):
            await xroad.discover(server.url, trials, {"client": "VN"})


# --- how it is written


def test_hostile_text_stays_in_its_comment(tmp_path):
    evil = Text("x\n- probe: icmp", "x\r\n- probe: icmp\u2028y")
    check = Proposed("http", {"url": "http://127.0.0.1/"}, evil, "a/b\nc: [")
    found = Discovery("m", "endpoint", "tên: [\n", evil, [check, check], [evil])
    assert [check.probe for check in loaded(found, tmp_path)] == ["http", "http"]


def test_nothing_but_doubts_is_still_a_configuration(tmp_path):
    check = Proposed("http", {"url": "http://127.0.0.1/"}, Text("a", "b"), is_doubtful=True)
    found = Discovery("m", "endpoint", "m", Text("a", "b"), [check])
    assert loaded(found, tmp_path) == []


async def said(*arguments, environ=ENGLISH):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", "discover", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_line_prints_yaml_or_json_and_says_how_it_went():
    async with serve(reply(200, b'{"status":"UP"}', JSON)) as server:
        (status, out, _), (as_json, told, _) = await asyncio.gather(
            said("url", server.url, environ={**ENGLISH, "LANG": "vi_VN.UTF-8"}), said("url", server.url, "--json")
        )
    assert (status, as_json) == (0, 0)
    assert yaml.safe_load(out) == json.loads(told)["document"]
    assert "Đã hỏi" in out
    assert "was asked once" in told


def test_why_something_is_not_up_begins_with_a_sentence_of_the_readers_language():
    result = Result("x/http", "a", 0, 0.1, State.DOWN, Failure.CONNECT_REFUSED, "connection refused in connect", {})
    assert why_not(result).vi == "Kết nối bị từ chối (connection refused in connect)"
    assert why_not(result).en == "connect_refused: connection refused in connect"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("url", "{nobody}"), 3, "does not answer: connect_refused"),
        (("xroad", "{nobody}", "client=VN/GOV/BTC/THUE"), 3, "the own security server"),
        (("cloud", "x"), 2, "cannot be discovered"),
        (("url", "ftp://x/"), 2, "neither http nor https"),
        (("url", "{nobody}", "a=1"), 2, "no parameter 'a'"),
        (("host", "127.0.0.1", "ports=[x]"), 2, "ports are numbers"),
        (("host", "127.0.0.1", "ports="), 2, "ports are numbers"),
        (("xroad", "{nobody}"), 2, "client="),
        (("snmp", "127.0.0.1"), 2, "community"),
        (("openapi", "/no/such/file"), 2, "neither a URL nor a file"),
        (("wsdl", "{nobody}", "verify=perhaps"), 2, "verify"),
    ],
)
def test_the_command_line_tells_wrong_use_from_nothing_found(arguments, status, words, capsys, monkeypatch):
    monkeypatch.setattr(cli_discover, "set_up_logs", lambda: None)
    what, address, *parameters = (one.format(nobody=f"http://127.0.0.1:{refusing_port()}/") for one in arguments)
    with pytest.raises(typer.Exit) as ended:
        cli_discover.discover(cli_discover.Request(what, address, parameters, "1s", as_json=False))
    assert ended.value.exit_code == status
    assert words in capsys.readouterr().err


async def test_a_host_whose_name_is_not_found_is_not_called_silent(trials):
    with pytest.raises(NothingFoundError, match="name lookup failed"):
        await host.discover("khong-co.invalid", trials, [22])
