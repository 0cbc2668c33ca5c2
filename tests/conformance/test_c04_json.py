"""C4. A JSON condition on what is not JSON, is empty, lacks the path or has null there: down, never a crash."""

import pytest

from probes.conditions import compile_condition
from probes.kinds.http import PROBE
from tests.probes.http_servers import check, reply, serve

BODIES = {
    "not JSON": b"<html>",
    "empty": b"",
    "blank": b" \r\n",
    "no path": b'{"other": 1}',
    "null": b'{"status": null}',
    "a list": b"[]",
    "bare null": b"null",
    "bad UTF-8": b'{"status": "\xff\xfe"',
    "a lone surrogate": b'{"status": "\\ud800"}'[:-1],
    "too deep": b"[" * 100_000,
    "deeper than Python goes": b'{"status":' * 1000 + b"1" + b"}" * 1000,
    "a NUL": b'{"status": "UP\x00"}',
}


@pytest.mark.parametrize("condition", ["json.status != 'UP'", "json.status == 'DOWN'"], ids=["must", "must not"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_c4_a_json_condition_that_cannot_be_answered_is_down_with_a_message(body, condition):
    async with serve(reply(200, body, "Content-Type: application/json")) as server:
        found = await check(server.url)
    assert found.failure is None
    holds, message = compile_condition(condition, PROBE).holds(found, 0.01)
    assert holds
    assert message.startswith(condition)
    assert len(message) > len(condition)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"status": "UP"}', "application/json"),
        (b'\xef\xbb\xbf{"status": "UP"}', "application/json"),
        ('{"status": "UP"}'.encode("utf-16"), "application/json"),
        ('{"status": "UP"}'.encode("utf-16-le"), "application/json; charset=utf-16le"),
        (b'{"status": "UP", "big": 123456789012345678901234567890, "n": 18446744073709551615}', "text/plain"),
    ],
)
async def test_c4_json_that_is_there_is_read(body, content_type):
    async with serve(reply(200, body, f"Content-Type: {content_type}")) as server:
        found = await check(server.url)
    assert compile_condition("json.status != 'UP'", PROBE).holds(found, 0.01) == (False, "")
