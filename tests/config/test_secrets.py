"""Secrets: references, files, and what is never shown."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.loader import load
from tests.config.writing import check_with, problems, read

WEB = "probe: http, url: 'http://127.0.0.1/'"


def test_a_reference_stands_anywhere_in_a_text(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    headers = "headers: {Authorization: 'Bearer ${file:token}', X-Api-Key: '${env:A}-${env:B}'}"
    check = check_with(tmp_path, f"{WEB}, {headers}", {"A": "1", "B": "2"})
    assert dict(check.params.headers) == {"Authorization": "Bearer abc", "X-Api-Key": "1-2"}


def test_a_file_loses_its_last_line_end_only(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "token").write_text("two\n lines\n\r\n")
    check = check_with(tmp_path, f"{WEB}, body: '${{file:s/token}}.'")
    assert check.params.body == "two\n lines\n."


def test_two_dollars_make_one(tmp_path: Path) -> None:
    check = check_with(tmp_path, f"{WEB}, body: 'a $${{env:A}} b ${{other}} $5 {{\"x\": 1}}'")
    assert check.params.body == 'a ${env:A} b ${other} $5 {"x": 1}'


def test_what_a_reference_gives_is_not_looked_at_again(tmp_path: Path) -> None:
    check = check_with(tmp_path, f"{WEB}, body: '${{env:A}}'", {"A": "${env:B} {x.y}", "B": "no"})
    assert check.params.body == "${env:B} {x.y}"


def test_references_fill_numbers_receivers_and_the_store(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        {"PORT": "2525", "STORE": "postgresql://u:p4ssw0rd@db/x", "PW": "p4ssw0rd"},
        a="""
settings: {store: "${env:STORE}"}
receivers:
  - {id: mail, channel: smtp, host: 127.0.0.1, port: "${env:PORT}", to: [a@example.vn], password: "${env:PW}"}
""",
    )
    assert inventory.receivers["mail"].options.port == 2525
    assert inventory.settings.store == "postgresql://u:p4ssw0rd@db/x"
    assert "p4ssw0rd" not in repr(inventory)
    assert "p4ssw0rd" not in str(inventory.receivers["mail"])


@pytest.mark.parametrize(
    "options",
    [
        "url: 'http://127.0.0.1/?password=${env:S}'",
        "url: 'http://u:${env:S}@127.0.0.1/'",
        "url: '${env:S}'",
        "url: 'http://127.0.0.1/', method: '${env:S}'",
        "url: 'http://127.0.0.1/', headers: {X-A: \"${env:S}\\n\"}",
        "url: 'http://127.0.0.1/', ip_version: '${env:S}'",
        "url: 'http://127.0.0.1/', body_limit: '${env:S}'",
        "url: 'http://127.0.0.1/', status: ['${env:S}']",
        "url: 'http://127.0.0.1/', verify: '${env:S}'",
        "url: 'http://127.0.0.1/', server_name: '${env:S}'",
        "url: 'http://127.0.0.1/', basic_auth: {username: '${env:S}', password: '${env:S}', x: '${env:S}'}",
    ],
)
@pytest.mark.parametrize("secret", ["bad secret: hunter2", "xy", "'quoted\n\"hunter2"])
def test_no_message_shows_a_secret(tmp_path: Path, options: str, secret: str) -> None:
    for problem in problems(
        tmp_path,
        {"S": secret},
        a=f"targets: [{{id: t, type: endpoint, checks: [{{probe: http, {options}}}]}}]",
    ):
        assert "hunter2" not in problem
        assert f"'{secret}'" not in problem


@pytest.mark.parametrize(
    "options",
    [
        "bearer_token: abc",
        "basic_auth: {username: u, password: abc}",
        "headers: {authorization: abc}",
        "headers: {X-Auth-Token: abc}",
        "headers: {Cookie: session=1}",
        "url: 'http://u:abc@127.0.0.1/'",
        "body: 'grant_type=x&password=abc'",
        "bearer_token: 12345",
    ],
)
def test_a_secret_in_clear_is_refused(tmp_path: Path, options: str) -> None:
    url = "" if options.startswith("url") else "url: 'http://127.0.0.1/', "
    text = f"targets: [{{id: t, type: endpoint, checks: [{{probe: http, {url}{options}}}]}}]"
    found = problems(tmp_path, a=text)
    assert any("holds a secret in clear; put it elsewhere and write ${env:" in problem for problem in found), found
    assert not any("abc" in problem or "12345" in problem for problem in found)


@pytest.mark.parametrize(
    "options",
    [
        "headers: {Accept: text/plain, X-Request-Tokens: abc}",
        "url: 'http://127.0.0.1/a:b@c'",
        "body: 'the password is not here'",
        "url: 'http://127.0.0.1:8080/?next=a@b'",
    ],
)
def test_what_is_no_secret_is_let_pass(tmp_path: Path, options: str) -> None:
    url = "" if options.startswith("url") else "url: 'http://127.0.0.1/', "
    assert check_with(tmp_path, f"probe: http, {url}{options}")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("${file:none}", "the secret's file 'none' is not usable: it cannot be read: No such file or directory"),
        ("${file:.}", "the secret's file '.' is not usable: it cannot be read: Is a directory"),
        ("${file:binary}", "the secret's file 'binary' is not UTF-8"),
        ("${file:empty}", "the secret's file 'empty' is empty"),
        ("${file:large}", "the secret's file 'large' is not usable: it is larger than 65536 bytes"),
        ("${env:BAD}", "the environment variable 'BAD' is not UTF-8"),
    ],
)
def test_a_reference_that_gives_nothing(tmp_path: Path, reference: str, message: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "large").write_bytes(b"x" * 65537)
    with pytest.raises(ConfigError) as caught:
        check_with(tmp_path, f"{WEB}, bearer_token: '{reference}'", {"BAD": "a\udcff"})
    assert [problem.message for problem in caught.value.problems] == [message]


def test_a_file_of_a_parameter_begins_at_the_configuration(tmp_path: Path) -> None:
    check = check_with(tmp_path, "probe: tls, address: '127.0.0.1:443', ca_file: ca.pem")
    assert Path(check.params.ca_file) == tmp_path / "ca.pem"
    check = check_with(tmp_path, "probe: tls, address: '127.0.0.1:443', ca_file: /etc/ca.pem")
    assert Path(check.params.ca_file) == Path("/etc/ca.pem")


def test_a_missing_secret_is_said_for_every_place(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "targets:\n"
        "- {id: a, type: endpoint, checks: [{probe: http, url: 'http://127.0.0.1/', bearer_token: '${env:T}'}]}\n"
        "- {id: b, type: endpoint, checks: [{probe: http, url: 'http://127.0.0.1/', bearer_token: '${env:T}'}]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={})
    assert [problem.line for problem in caught.value.problems] == [2, 3]
