"""Answers held against a JSON Schema, within bounds."""

import asyncio
import json
from time import perf_counter

import pytest
from pydantic import ValidationError

from probes.json_schema import DEPTH_LIMIT, VALUES_LIMIT
from probes.kinds.http import HttpParams
from probes.model import Failure
from tests.probes.http_servers import check, reply, serve

SCHEMA = {
    "type": "object",
    "required": ["status", "items"],
    "properties": {
        "status": {"const": "UP"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "uniqueItems": True},
    },
    "$defs": {
        "item": {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"}},
            "patternProperties": {"^x-": {"type": "string"}},
            "additionalProperties": False,
        }
    },
}


async def held(body, schema=None, **more):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with serve(reply(200, data)) as server:
        return await check(server.url, json_schema=schema or SCHEMA, body_limit="8MiB", **more)


async def test_an_answer_as_the_schema_says_is_up():
    found = await held({"status": "UP", "items": [{"id": 1, "code": "HN1", "x-note": "a"}, {"id": 2}]})
    assert (found.failure, found.message) == (None, "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"status": "DOWN", "items": []}, "$.status: 'UP' was expected"),
        ({"status": "UP"}, "$: 'items' is a required property"),
        ({"status": "UP", "items": [{"id": "x"}]}, "$.items[0].id: 'x' is not of type 'integer'"),
        ({"status": "UP", "items": [{"id": 1}, {"code": "hn"}]}, "$.items[1].code: 'hn' does not match"),
        ({"status": "UP", "items": [{"z": 1}]}, "$.items[0]: additional property 'z'"),
        ({"status": "UP", "items": [{"x-a": 1}]}, "$.items[0].x-a: 1 is not of type 'string'"),
        ({"status": "UP", "items": [{"id": 1}, {"id": 1.0}]}, "$.items: it breaks uniqueItems"),
        ([1], "$: it breaks type"),
        (b"<html>", "the body is not JSON"),
        (b"", "the body is empty"),
        ({"status": "UP", "items": [{"id": "a"}] * 1 + [{"id": str(n)} for n in range(9)]}, "and more"),
    ],
)
async def test_an_answer_that_is_not_is_a_condition_that_names_the_place(body, says):
    found = await held(body)
    assert found.failure is Failure.CONDITION
    assert found.message.startswith("not as json_schema says: ")
    assert says in found.message
    assert len(found.message) <= 300


async def test_a_wrong_status_is_told_first():
    async with serve(reply(500, b"{}")) as server:
        found = await check(server.url, json_schema=SCHEMA)
    assert found.failure is Failure.HTTP_STATUS


async def test_a_large_answer_is_compared_off_the_loop():
    late, stop = 0.0, False

    async def watch():
        nonlocal late
        while not stop:
            before = perf_counter()
            await asyncio.sleep(0.005)
            late = max(late, perf_counter() - before - 0.005)

    watcher = asyncio.ensure_future(watch())
    began = perf_counter()
    found = await held({"status": "UP", "items": [{"id": n} for n in range(15_000)]})
    spent_s, stop = perf_counter() - began, True
    await watcher
    assert found.failure is None
    assert late < max(0.5, spent_s / 2)


HOSTILE = {
    "too many values": ([0] * (VALUES_LIMIT + 1), "too many to compare"),
    "too deep": (b"[" * (DEPTH_LIMIT + 2) + b"]" * (DEPTH_LIMIT + 2), "too deep to compare"),
    "deeper than JSON may be": (b"[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize(("body", "says"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_answer_is_told_as_such(body, says):
    found = await held(body)
    assert found.failure is Failure.CONDITION
    assert says in found.message


async def test_a_pattern_takes_no_exponential_time():
    found = await held(["a" * 30_000 + "!"], {"items": {"pattern": "^(a+)+$"}})
    assert found.failure is Failure.CONDITION


async def test_unique_items_are_not_compared_in_pairs():
    found = await held([{"n": n} for n in range(20_000)], {"uniqueItems": True})
    assert found.failure is None


def test_a_schema_in_a_file(tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    assert HttpParams(url="http://a.vn", json_schema_file=file)._expected.schema is not None
    for content in ("{", '{"type": 5}'):
        file.write_text(content)
        with pytest.raises(ValidationError):
            HttpParams(url="http://a.vn", json_schema_file=file)
    with pytest.raises(ValidationError, match="cannot be read"):
        HttpParams(url="http://a.vn", json_schema_file=tmp_path / "none")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "objekt"}, "is not one"),
        ({"$ref": "#/$defs/none"}, "not in it"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "not in it"),
        ({"$ref": "file:///etc/passwd"}, "not in it"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "RE2"),
        ({"patternProperties": {"(": {}}}, ""),
    ],
)
def test_a_schema_that_is_none_or_leads_outside_is_refused(schema, says):
    with pytest.raises(ValidationError) as caught:
        HttpParams(url="http://a.vn", json_schema=schema)
    assert says in str(caught.value)
