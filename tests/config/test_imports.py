"""Configurations of other monitors become ours, and nothing is lost without a word."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config import imports
from config.imports.translation import ForeignError, Translation, plain_id
from config.loader import load

FOREIGN = Path(__file__).parent / "foreign"
FILES = {"blackbox": "blackbox.yml", "gatus": "gatus.yaml", "uptime-kuma": "uptime-kuma.json"}


def translated(format_: str) -> Translation:
    return imports.translate(format_, yaml.safe_load((FOREIGN / FILES[format_]).read_text()))


@pytest.mark.parametrize("format_", imports.FORMATS)
def test_what_is_written_is_a_configuration_of_ours(format_: str, tmp_path: Path) -> None:
    found = translated(format_)
    (tmp_path / "foreign.yaml").write_text(found.as_yaml())
    values = dict.fromkeys(found.secrets, "a-secret-value")
    inventory = load(tmp_path, environ={**os.environ, **values})
    assert len(inventory.modules) + len(inventory.targets) == sum(map(len, found.document.values()))


@pytest.mark.parametrize("format_", imports.FORMATS)
def test_no_secret_is_carried_over(format_: str) -> None:
    found = translated(format_)
    assert found.secrets
    assert "hunter2" not in found.as_yaml()


def test_what_a_module_of_blackbox_exporter_proves_itself_with() -> None:
    found = translated("blackbox")
    modules = {module["id"]: module for module in found.document["modules"]}
    module = modules["http_scheme"]
    assert module["headers"] == {"Authorization": "Token ${env:HTTP_SCHEME_TOKEN}"}
    assert (module["client_cert_file"], module["client_key_file"]) == ("/c.pem", "/k.pem")
    assert module["proxy"] == "http://noc:${env:HTTP_SCHEME_PROXY_PASSWORD}@10.0.0.3:3128"
    assert "body_limit" not in module
    assert modules["http_json"]["down_when"] == [
        "(json.error == 'body of body.x' || size(json.rows) == 0)",
        '!(json.status == "UP")',
    ]
    assert found.left_out == [
        "module icmp: icmp.dont_fragment",
        "module http_scheme: http.oauth2_like",
        "module tcp_own_certificate: tls_config.cert_file",
        "module tcp_own_certificate: tls_config.key_file",
    ]


def test_gatus_conditions_are_turned_round() -> None:
    found = translated("gatus")
    first = found.document["targets"][0]
    assert first["checks"][0]["down_when"] == [
        "status != 200",
        "duration >= duration('300ms')",
        'json.status != "UP"',
        "json.nodes[0].load >= 5",
        "size(json.nodes) < 2",
        "has(json.errors)",
        '!body.matches("(?s)^.*ready.*$")',
        "!(status == 200 || status == 204)",
        "cert.expires_in <= duration('48h')",
    ]
    assert [target["id"] for target in found.document["targets"]] == [
        "NDXP-Cổng-dịch-vụ-công",
        "duong-truyen",
        "thu",
        "ten-mien",
        "đồ-thị",
        "hỏi",
        "gọi",
        "ten-mien-tcp",
        "NDXP-đồng-bộ",
    ]
    assert found.left_out == [
        "endpoint NDXP/Cổng dịch vụ công: the condition [IP] == 10.0.0.1: [IP] has no counterpart",
        "endpoint NDXP/Cổng dịch vụ công: alerts",
        "endpoint nghỉ: it is disabled",
        "endpoint la: there is no kind for 'sctp://10.0.0.9:38412'",
        "endpoint đồ thị: the condition [BODY].data.id == ${env:ID}: it holds an environment variable",
        "endpoint đồ thị: the header Authorization: it contradicts the other credentials",
        "endpoint ten-mien-kin: there is no kind for 'tls://10.0.0.53:853'",
        "external endpoint NDXP/đồng bộ: what pushes must call /heartbeat/<token> of our listener from now on",
        "the file: web",
    ]


@pytest.mark.parametrize(
    ("condition", "turned_round"),
    [
        ("[BODY].waiting <= [BODY].limit", "json.waiting > json.limit"),
        ("len([BODY].rows) == [BODY].count", "size(json.rows) != json.count"),
        ("[BODY].owner != len([BODY].rows)", "json.owner == size(json.rows)"),
        ("[STATUS] == [IP]", None),
        ("[BODY].name == any(pat(a*), b)", None),
        ("[BODY].name == any(a, b)", '!(json.name == "a" || json.name == "b")'),
    ],
)
def test_a_gatus_condition_between_two_placeholders(condition: str, turned_round: str | None) -> None:
    endpoint = {"name": "a", "url": "http://10.0.0.1/", "conditions": [condition]}
    found = imports.translate("gatus", {"endpoints": [endpoint]})
    assert found.document["targets"][0]["checks"][0].get("down_when") == ([turned_round] if turned_round else None)
    assert bool(found.left_out) is (turned_round is None)


@pytest.mark.parametrize(
    ("given", "ours"), [("168h", "1d"), ("500ms", "1s"), ("1h30m", "1h30m"), ("often", "60s"), (None, "60s")]
)
def test_a_gatus_interval_is_within_our_bounds(given: str | None, ours: str) -> None:
    found = imports.translate("gatus", {"endpoints": [{"name": "a", "url": "tcp://10.0.0.1:22", "interval": given}]})
    assert found.document["targets"][0]["checks"][0]["interval"] == ours
    assert bool(found.left_out) is (given is not None and given != ours)


@pytest.mark.parametrize(("given", "ours"), [("20s", "5s"), ("3s", "3s"), (None, "5s")])
def test_a_gatus_time_out_is_no_longer_than_the_interval(given: str | None, ours: str) -> None:
    endpoint = {"name": "a", "url": "tcp://10.0.0.1:22", "interval": "5s", "client": {"timeout": given}}
    found = imports.translate("gatus", {"endpoints": [endpoint]})
    assert found.document["targets"][0]["checks"][0]["timeout"] == ours
    assert bool(found.left_out) is (given == "20s")


def test_gatus_clients_are_carried_over() -> None:
    checks = {target["id"]: target["checks"][0] for target in translated("gatus").document["targets"]}
    graph = checks["đồ-thị"]
    assert graph["url"] == "https://api.example.vn/graphql"
    assert graph["basic_auth"] == {"username": "noc", "password": "${env:ENDPOINT_DO_THI_PASSWORD}"}
    assert json.loads(graph["body"]) == {"query": "{ users { id } }"}
    assert graph["headers"] == {"X-Node": "${env:NODE} costs $5", "Content-Type": "application/json"}
    assert (graph["ip_version"], graph["client_cert_file"], graph["client_key_file"]) == (4, "/c.pem", "/k.pem")
    assert graph["proxy"] == "http://noc:${env:ENDPOINT_DO_THI_PROXY_PASSWORD}@10.0.0.3:3128"
    assert graph["down_when"] == ['json.data["my-key"] != "x"', 'json["in"].use != true']
    assert graph["timeout"] == "5s"  # ten seconds, were the interval as long
    assert checks["ten-mien"]["timeout"] == "10s"
    assert checks["hỏi"]["dialogue"] == [{"send": "trạng thái"}, {"expect": ""}]
    assert checks["gọi"] == checks["gọi"] | {"probe": "grpc", "address": "10.0.0.8:50051", "tls": True, "verify": False}
    assert checks["ten-mien-tcp"]["transport"] == "tcp"
    job = checks["NDXP-đồng-bộ"]
    assert (job["probe"], job["schedule"]) == ("heartbeat", "30m")


def test_uptime_kuma_keeps_groups_retries_and_tags() -> None:
    found = translated("uptime-kuma")
    by_id = {target["id"]: target for target in found.document["targets"]}
    assert by_id["Trung-tâm-dữ-liệu"]["members"] == ["Dân-cư", "Kênh-A"]
    people = by_id["Dân-cư"]
    assert people["labels"] == {"bộ": "BCA"}
    check = people["checks"][0]
    assert check["confirm"] == {"down": 3, "up": 1}
    assert check["status"] == ["2xx", "301"]
    assert check["down_when"] == ['!body.contains("UP")']
    assert check["follow_redirects"] is False
    assert by_id["SSH"]["checks"][0]["address"] == "[2001:db8::1]:22"
    assert by_id["Sao-lưu"]["checks"][0]["probe"] == "heartbeat"
    assert by_id["Đất-đai"]["type"] == "connector"
    assert "monitor Cũ: it is paused" in found.left_out
    assert "monitor Trò chơi: the type 'gamedig' has no counterpart" in found.left_out


def test_uptime_kuma_beyond_our_bounds() -> None:
    found = translated("uptime-kuma")
    by_id = {target["id"]: target for target in found.document["targets"]}
    assert by_id.keys().isdisjoint({"Ngoài", "Trong"})
    check = by_id["Tên-miền"]["checks"][0]
    assert check["server"] == "[2001:db8::53]:5353"
    assert (check["interval"], check["confirm"]["down"]) == ("86400s", 100)
    assert {line for line in found.left_out if "group" in line or "name servers" in line} == {
        "group Trong: it has no members that could be carried over",
        "group Ngoài: it has no members that could be carried over",
        "monitor Tên miền: the name servers beside 2001:db8::53: a check asks one",
    }


def test_uptime_kuma_databases_keep_their_addresses_without_their_passwords() -> None:
    found = translated("uptime-kuma")
    checks = {target["id"]: target["checks"][0] for target in found.document["targets"] if "checks" in target}
    assert checks["Đất-đai"]["dsn"] == "postgresql://u:${env:MONITOR_DAT_DAI_PASSWORD}@10.0.0.7/dd"
    assert checks["Hộ-tịch"]["dsn"] == "mysql://u:${env:MONITOR_HO_TICH_PASSWORD}@10.0.0.7:3306/ht"
    assert checks["Văn-bản"]["uri"] == (
        "mongodb://u:${env:MONITOR_VAN_BAN_PASSWORD}@10.0.0.7:27017/vb?authSource=admin&tls=true"
    )
    queue = {"address": "10.0.0.7:6380", "password": "${env:MONITOR_HANG_DOI_PASSWORD}", "database": 2, "tls": True}
    assert checks["Hàng-đợi"] == checks["Hàng-đợi"] | queue
    assert checks["Thuế"]["dsn"] == (
        "sqlserver://u:${env:MONITOR_THUE_PASSWORD}@10.0.0.7:1433/thue?encrypt=yes&trustServerCertificate=no"
    )
    assert {line for line in found.left_out if "address" in line or "connection" in line or "query" in line} == {
        "monitor Hộ tịch: the option charset of its address",
        "monitor Văn bản: its query",
        "monitor Cụm: its address: a check watches one server, host:port",
        "monitor Thuế: Connection Timeout of its connection string",
    }


def test_uptime_kuma_brokers_and_requests() -> None:
    found = translated("uptime-kuma")
    checks = {target["id"]: target["checks"][0] for target in found.document["targets"] if "checks" in target}
    broker = {"address": "10.0.0.7:8883", "username": "u", "password": "${env:MONITOR_QUAN_TRAC_PASSWORD}", "tls": True}
    assert checks["Quan-trắc"] == checks["Quan-trắc"] | broker
    assert (checks["Thư"]["address"], checks["Thư"]["tls"]) == ("10.0.0.7:25", "starttls")
    assert checks["Ổ-cắm"]["url"] == "wss://api.example.vn/s"
    sent = checks["Nộp"]
    assert (sent["url"], sent["headers"]) == (
        "https://nop.example.vn/",
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert sent["basic_auth"] == {"username": "noc", "password": "${env:MONITOR_NOP_PASSWORD}"}
    assert sent["status"] == ["200", "201", "202", "3xx"]
    assert [line.partition(": ")[2] for line in found.left_out if line.startswith("monitor Nộp")] == [
        "the accepted status codes x",
        "its proxy: write it as the parameter proxy",
        "the header Authorization: it contradicts the other credentials",
    ]


@pytest.mark.parametrize(
    ("format_", "document", "said"),
    [
        ("blackbox", {}, "there are no modules"),
        ("blackbox", [1], "the file is not a mapping"),
        ("blackbox", {"modules": {"a": []}}, "module a is not a mapping"),
        ("gatus", {"endpoints": {"a": 1}}, "endpoints is not a list"),
        ("gatus", None, "there are no endpoints"),
        ("uptime-kuma", {"monitorList": ["x"]}, "a monitor is not a mapping"),
        ("nagios", {}, "there is no format 'nagios'"),
        ("gatos", {}, "did you mean 'gatus'?"),
    ],
)
def test_what_is_not_such_a_file_is_said(format_: str, document: Any, said: str) -> None:
    with pytest.raises(ForeignError, match=said.replace("?", r"\?")):
        imports.translate(format_, document)


def test_secrets_stay_apart() -> None:
    found = Translation("")
    assert found.secret("monitor Đất đai", "password") == "${env:MONITOR_DAT_DAI_PASSWORD}"
    assert found.secret("monitor Đất đai", "password") == "${env:MONITOR_DAT_DAI_PASSWORD}"
    assert found.secret("monitor dat/đãi", "password") == "${env:MONITOR_DAT_DAI_PASSWORD_2}"
    assert found.secret("2xx", "token") == "${env:_2XX_TOKEN}"
    assert found.secret("监控", "密码") == "${env:SECRET}"
    assert found.secret("監控", "密碼") == "${env:SECRET_2}"


def test_ids_stay_apart() -> None:
    assert plain_id("a b/c", {"a-b-c"}) == "a-b-c-2"
    assert plain_id("  ", set()) == "unnamed"


leaves = st.none() | st.booleans() | st.integers(-5, 500) | st.text(max_size=8)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
words = st.sampled_from(
    ["url", "name", "conditions", "client", "dns", "interval", "headers", "type", "prober", "http", "method", "parent"]
)


@given(st.sampled_from(imports.FORMATS), st.lists(st.dictionaries(words, trees, max_size=6), min_size=1, max_size=3))
def test_no_file_however_odd_is_a_crash(format_: str, entries: list[dict[str, Any]]) -> None:
    documents = {
        "blackbox": {"modules": {str(number): {"prober": "http", **entry} for number, entry in enumerate(entries)}},
        "gatus": {"endpoints": [{"url": "https://a.example/", **entry} for entry in entries]},
        "uptime-kuma": {"monitorList": [{"type": "http", **entry} for entry in entries]},
    }
    try:
        found = imports.translate(format_, documents[format_])
    except ForeignError:
        return
    yaml.safe_load(found.as_yaml())
    json.dumps(found.left_out)
