"""Chains of requests: values passed on, escaped, and never shown; the failing step named."""

import asyncio
import json

import pytest
from pydantic import ValidationError

from config.loader import load
from probes.conditions import compile_condition
from probes.kinds.http import PROBE, HttpParams, run
from probes.model import Failure
from tests.probes.http_servers import check, context, redirect, reply, serve, then_wait

pytest_plugins = ["tests.probes.http_fixtures"]

TOKEN = "eyJhbGciOi-bi-mat"


def gateway(request):
    """A login, a query that wants its token, and a page."""
    if request.target == "/login":
        user = json.loads(request.body)["user"]
        return reply(200, json.dumps({"access_token": TOKEN, "n": 7, "ok": True, "user": user}).encode())
    if request.target.startswith("/query") and request.header("Authorization") != f"Bearer {TOKEN}":
        return reply(403, b"{}")
    return reply(200, json.dumps({"total": 3, "echo": request.header("Authorization")}).encode())


LOGIN = {"name": "login", "url": "/login", "body": '{"user": "an"}', "extract": {"token": "json.access_token"}}
QUERY = {"name": "query", "url": "/query", "headers": {"Authorization": "Bearer {{token}}"}}


def shown(found):
    """Return all that facts show of an answer."""
    return str([found.facts[name] for name in ("body", "json", "headers", "url", "steps")])


async def test_a_value_is_passed_on_and_every_step_is_timed():
    async with serve(gateway) as server:
        found = await check(server.url, steps=[LOGIN, {**QUERY, "down_when": ["json.total != 3"]}, {"url": "/"}])
        assert [request.target for request in server.requests] == ["/login", "/query", "/"]
    assert (found.failure, found.message) == (None, "")
    assert {"step_login_s", "step_query_s", "step_3_s", "first_byte_s"} <= set(found.samples)
    steps = sum(found.samples[f"step_{name}_s"] for name in ("login", "query", "3"))
    phases = sum(found.samples[f"{name}_s"] for name in ("resolve", "connect", "first_byte", "transfer"))
    assert phases <= steps
    assert found.samples["status"] == 200
    assert compile_condition("steps.login > 9.0 || json.total == 3", PROBE).holds(found, 0.1)[0]


async def test_the_failing_step_is_named_and_the_next_is_not_asked():
    async with serve(gateway) as server:
        found = await check(server.url, steps=[{"url": "/query", "name": "query"}, LOGIN])
        assert len(server.requests) == 1
    assert found.failure is Failure.HTTP_STATUS
    assert found.message == "step 'query': status not in [2xx] (status = 403)"
    assert found.samples["status"] == 403


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("json.total == 3", "step 'query': json.total == 3 (json.total = 3)"),
        ("json.echo != ''", "step 'query': json.echo != '' (json.echo = \"Bearer …\")"),
        ("body.contains('eyJ')", "step 'query': body.contains('eyJ')"),
    ],
)
async def test_a_condition_of_a_step_shows_no_extracted_value(condition, says):
    async with serve(gateway) as server:
        found = await check(server.url, steps=[LOGIN, {**QUERY, "down_when": [condition]}])
    assert found.failure is Failure.CONDITION
    assert found.message == says
    assert "eyJh" not in shown(found) + found.message


async def test_facts_and_conditions_of_the_check_never_show_an_extracted_value():
    async with serve(gateway) as server:
        found = await check(server.url, steps=[LOGIN, QUERY])
    assert found.facts["json"]["echo"] == "Bearer …"
    assert TOKEN not in shown(found)
    held, message = compile_condition("json.echo != 'x'", PROBE).holds(found, 0.1)
    assert held
    assert "eyJ" not in message


@pytest.mark.parametrize("value", ["eyJ/+bi mat", "eyJ" + "x" * 500])
async def test_an_extracted_value_in_a_url_is_shown_in_no_spelling(value):
    def answer(request):
        if request.target == "/login":
            return reply(200, json.dumps({"t": value}).encode())
        if request.target.startswith("/round"):
            return redirect(request.target)
        return reply(200, json.dumps(request.target).encode())

    login = {"url": "/login", "extract": {"t": "json.t"}}
    async with serve(answer) as server:
        ended = await check(server.url, max_redirects=2, steps=[login, {"url": "/round?t={{t}}"}])
        fine = await check(server.url, steps=[login, {"url": "/a?t={{t}}"}])
    assert ended.failure is Failure.TOO_MANY_REDIRECTS
    assert "eyJ" not in ended.message
    assert fine.failure is None
    assert "eyJ" not in shown(fine)


@pytest.mark.parametrize(
    ("extract", "says"),
    [
        ("json.nothing", "there is no 'x' to extract"),
        ("json", "is not a text, a number, true or false"),
        ("headers['x-none']", "there is no 'x' to extract"),
    ],
)
async def test_what_cannot_be_extracted_fails_the_step(extract, says):
    async with serve(gateway) as server:
        found = await check(server.url, steps=[{**LOGIN, "extract": {"x": extract}}, QUERY | {"headers": {}}])
    assert found.failure is Failure.CONDITION
    assert found.message.startswith("step 'login': ")
    assert says in found.message


NASTY = "a\"b\\c&d=e/../<f>'\r\nX-Evil: 1"
GIVEN = {"v": NASTY, "n": 7, "b": True}


@pytest.mark.parametrize(
    ("step", "body", "target"),
    [
        ({"url": "/p/{{v}}?q={{v}}"}, b"", None),
        ({"url": "/", "body": '{"v": "{{v}}", "n": {{n}}, "b": {{b}}}'}, json.dumps(GIVEN), "/"),
        (
            {"url": "/", "body": "v={{v}}", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            "v=a%22b%5Cc%26d%3De%2F..%2F%3Cf%3E%27%0D%0AX-Evil%3A+1",
            "/",
        ),
        ({"url": "/", "body": "<v>{{v}}</v>"}, f"<v>{NASTY}</v>", "/"),
    ],
)  # fmt: skip
async def test_a_value_is_escaped_for_its_place(step, body, target):
    def answer(request):
        if request.target == "/first":
            return reply(200, json.dumps(GIVEN).encode())
        return reply(200)

    first = {"url": "/first", "extract": {"v": "json.v", "n": "json.n", "b": "json.b"}}
    async with serve(answer) as server:
        found = await check(server.url, steps=[first, step])
        last = server.requests[-1]
    assert found.failure is None
    assert last.header("X-Evil") is None
    if target is None:
        assert (
            last.target
            == "/p/a%22b%5Cc%26d%3De%2F..%2F%3Cf%3E%27%0D%0AX-Evil%3A%201?q=" + last.target.partition("q=")[2]
        )
        assert "&d" not in last.target
    elif "json" in str(body)[:1] or step["body"].startswith("{"):
        assert json.loads(last.body) == json.loads(body)
    elif step["body"].startswith("<"):
        assert last.body.decode() == "<v>a&quot;b\\c&amp;d=e/../&lt;f&gt;&#x27;\r\nX-Evil: 1</v>"
    else:
        assert last.body.decode() == body


async def test_a_value_that_would_break_a_header_fails_the_step():
    answer = reply(200, json.dumps({"v": NASTY}).encode())
    steps = [{"url": "/", "extract": {"v": "json.v"}}, {"url": "/", "headers": {"X-A": "{{v}}"}}]
    async with serve(answer) as server:
        found = await check(server.url, steps=steps)
        assert len(server.requests) == 1
    assert found.failure is Failure.PROTOCOL
    assert found.message.startswith("step '2': a value that was extracted does not fit")
    assert "Evil" not in found.message


async def test_cookies_are_shared_and_redirects_followed_within_a_step():
    def answer(request):
        if request.target == "/login":
            return redirect("/home", 302, "Set-Cookie: sid=1; Path=/")
        if request.target == "/home":
            return reply(200, b"", "Set-Cookie: lang=vi; Path=/")
        return reply(200, (request.header("Cookie") or "").encode())

    async with serve(answer) as server:
        found = await check(server.url, steps=[{"url": "/login"}, {"url": "/data"}])
    assert found.facts["body"] == "sid=1; lang=vi"


async def test_the_checks_credentials_go_to_its_own_origin_alone():
    async with serve(reply(200), host="127.0.0.2") as other, serve(reply(200)) as server:
        await check(server.url, bearer_token="tk", steps=[{"url": "/"}, {"url": other.url}, {"url": "/"}])
        assert [request.header("Authorization") for request in server.requests] == ["Bearer tk", "Bearer tk"]
        assert other.requests[0].header("Authorization") is None


async def test_the_schema_is_for_the_last_answer():
    schema = {"required": ["total"]}
    async with serve(gateway) as server:
        good = await check(server.url, steps=[LOGIN, QUERY], json_schema=schema)
        bad = await check(server.url, steps=[LOGIN, QUERY, {**LOGIN, "name": "again"}], json_schema=schema)
    assert good.failure is None
    assert bad.failure is Failure.CONDITION
    assert bad.message == "step 'again': not as json_schema says: $: 'total' is a required property"


async def test_c10_a_step_that_is_not_answered_is_named():
    async def answer(request, reader, writer):
        if request.target == "/silent":
            await then_wait(b"")(request, reader, writer)
        writer.write(reply(200))

    async with serve(answer) as server, context(0.4) as ctx:
        params = HttpParams(url=server.url, steps=[{"url": "/"}, {"name": "hoi", "url": "/silent"}])
        found = await run(params, ctx)
        assert asyncio.get_running_loop().time() < ctx.deadline + 0.1
    assert found.failure is Failure.TIMEOUT
    assert found.message == "step 'hoi': no answer in time in first_byte"


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([{"url": "/{{x}}"}], "no earlier step extracts"),
        ([{"url": "/", "extract": {"x": "json.x"}}, {"url": "http://{{x}}/"}], "cannot decide which host"),
        ([{"url": "/", "extract": {"x": "jsn.x"}}], "did you mean 'json'"),
        ([{"url": "/", "down_when": ["status"]}], "not a condition"),
        ([{"url": "/", "name": "a"}, {"url": "/", "name": "a"}], "two steps"),
        ([{"url": "//evil/"}], "cannot decide which host"),
        ([{"url": "ftp://a/"}], "neither http nor https"),
        ([{"url": "/", "headers": {"Host: x": "y"}}], "not a header name"),
        ([{"url": "/"}] * 21, "at most 20"),
    ],
)
def test_what_is_wrong_with_a_chain_is_refused_with_the_configuration(steps, says):
    with pytest.raises(ValidationError) as caught:
        HttpParams(url="http://a.vn/", steps=steps)
    assert says in str(caught.value)


def test_a_chain_stands_in_a_configuration_without_being_taken_for_secrets(tmp_path):
    (tmp_path / "a.yaml").write_text(
        """
templates:
  - foreach: {t: [mot, hai]}
    targets:
      - id: "{t}"
        type: endpoint
        checks:
          - probe: http
            url: http://a.vn/
            steps:
              - {name: login, url: "/login/{t}", body: "{}", extract: {token: json.access_token}}
              - {url: "/q?x={{token}}", headers: {Authorization: "Bearer {{token}}"}}
"""
    )
    inventory = load(tmp_path, environ={})
    params = inventory.checks["hai/http"].params
    assert params.steps[0].url == "/login/hai"
    assert params.steps[1].headers["Authorization"] == "Bearer {{token}}"
