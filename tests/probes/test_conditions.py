"""Conditions: checked when they are read, true or false with the actual values, never a crash."""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.conditions import MESSAGE_LIMIT, AbsentError, ConditionError, compile_condition, one_line
from probes.model import INCOMPARABLE, Context, Measurement, Params, Probe


async def _never(_: Params, __: Context) -> Measurement:
    raise AssertionError("conditions run no probes")


PROBE = Probe(
    kind="http",
    params=Params,
    address="url",
    run=_never,
    samples={"status": "status code", "loss_ratio": "share lost"},
    facts={"json": "dyn", "body": "string", "headers": "map", "cert.expires_in": "duration"},
)


class NotJson(Mapping[str, Any]):
    """Facts of an answer whose body is not JSON."""

    def __getitem__(self, name: str) -> object:
        if name == "json":
            raise AbsentError("the body is not JSON")
        return {"body": "<html>"}[name]

    def __iter__(self) -> Any:
        return iter(("json", "body"))

    def __len__(self) -> int:
        return 2


def holds(
    source: str, samples: dict[str, float] | None = None, facts: Mapping[str, Any] | None = None
) -> tuple[bool, str]:
    measurement = Measurement(samples or {}, facts=facts or {})
    return compile_condition(source, PROBE).holds(measurement, 0.9)


def test_a_condition_that_holds_shows_the_actual_value() -> None:
    assert holds("status != 200", {"status": 503}) == (True, "status != 200 (status = 503)")
    assert holds("status != 200", {"status": 200}) == (False, "")


@pytest.mark.parametrize("source", ["loss_ratio > 0.0", "loss_ratio < 9.0", "loss_ratio == 0.0", "loss_ratio >= 0.0"])
def test_a_figure_between_two_runs_is_neither_more_nor_less_in_the_first(source: str) -> None:
    assert holds(source, facts={"loss_ratio": INCOMPARABLE}) == (False, "")
    assert holds(source) == (True, f"{source}: there is no loss_ratio"), "what was not measured at all fails"


def test_numbers_compare_whatever_their_type() -> None:
    assert holds("loss_ratio > 0", {"loss_ratio": 0.4})[0]
    assert holds("status > 199.5", {"status": 200})[0]


def test_durations_compare_with_durations() -> None:
    assert holds("duration > duration('800ms')") == (True, "duration > duration('800ms') (duration = 900ms)")
    expires = {"cert.expires_in": timedelta(days=10)}
    assert holds("cert.expires_in < duration('720h')", facts=expires)[1].endswith("(cert.expires_in = 240h)")


def test_a_path_into_json_shows_what_stood_there() -> None:
    assert holds("json.a['b'][0] != 'UP'", facts={"json": {"a": {"b": ["DOWN"]}}}) == (
        True,
        "json.a['b'][0] != 'UP' (json.a['b'][0] = \"DOWN\")",
    )


@pytest.mark.parametrize("source", ["json.status != 'UP'", "json.status == 'DOWN'", "!(json.status == 'UP')"])
@pytest.mark.parametrize("facts", [NotJson(), {"json": {}}, {"json": {"status": None}}, {"json": []}, {"json": 3}])
def test_what_cannot_be_evaluated_has_failed_whichever_way_round(source: str, facts: Mapping[str, Any]) -> None:
    failed, message = holds(source, facts=facts)
    assert failed
    assert message.startswith(source + ": ")


@pytest.mark.parametrize(
    ("source", "json", "reason"),
    [
        ("json.a.b == 1", {"a": "x"}, "there is nothing below a value that is no object"),
        ("json[5] == 1", [1, 2], "there is no [5] in a list of 2"),
        ("json.a > 5", {"a": "x"}, "string > int64 has no meaning"),
        ("size(json.a) > 1", {"a": 1}, "size(int64) has no meaning"),
    ],
)
def test_why_a_condition_cannot_be_evaluated_is_said_in_plain_words(source: str, json: Any, reason: str) -> None:
    assert holds(source, facts={"json": json})[1].startswith(f"{source}: {reason}")


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("body.contains('FORBIDDEN')", {"body": "fine\0FORBIDDEN"}),
        ("body.matches('FORBIDDEN')", {"body": "\0FORBIDDEN"}),
        ("headers['x-node'].contains('FORBIDDEN')", {"headers": {"x-node": "a\0FORBIDDEN"}}),
        ("json.a[0].contains('FORBIDDEN')", {"json": {"a": ["a\0FORBIDDEN"]}}),
        ("json.a != null && json.a.contains('FORBIDDEN')", {"json": {"a": "a\0FORBIDDEN"}}),
    ],
)
def test_nothing_hides_behind_a_nul(source: str, facts: dict[str, Any]) -> None:
    assert holds(source, facts=facts)[0]


@pytest.mark.parametrize(
    "source", ["headers['X-Node'] == 'B'", 'headers[ "x-NODE" ] == "B"', "'X-Node' in headers", "size(headers) == 1"]
)
def test_the_name_of_a_header_has_no_case(source: str) -> None:
    failed, message = holds(source, facts={"headers": {"x-node": "B"}})
    assert failed
    assert message.startswith(source)


def test_only_the_name_of_a_header_has_no_case() -> None:
    assert not holds("body.contains('headers[\"X\"]')", facts={"body": 'headers["x"]'})[0]
    assert not holds("headers['x-node'] == 'B'", facts={"headers": {"x-node": "b"}})[0]


@pytest.mark.parametrize("source", ["json.a == 1", "json.a != 1", "json != null", "size(json) == 0"])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_value_that_is_too_deep_has_failed(source: str, opening: str) -> None:
    value: Any = 1
    for _ in range(1000):
        value = [value] if opening == "[" else {"a": value}
    assert holds(source, facts={"json": value}) == (True, f"{source}: it is more than 100 levels deep")


def test_a_condition_that_speaks_of_null_sees_it() -> None:
    assert holds("json.error != null", facts={"json": {"error": None}}) == (False, "")
    assert holds("json.error != null", facts={"json": {"error": "x"}})[0]


def test_an_unknown_name_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ConditionError, match="did you mean 'status'"):
        compile_condition("statu != 200", PROBE)


@pytest.mark.parametrize("source", ["status", "'text'", "1 + 1", "status ! = 3", "", "body > 3", "(" * 400])
def test_what_is_not_a_condition_is_refused(source: str) -> None:
    with pytest.raises(ConditionError):
        compile_condition(source, PROBE)


def test_a_hostile_body_takes_no_exponential_time() -> None:
    before = time.perf_counter()
    assert holds("!body.matches('^(a+)+$')", facts={"body": "a" * 100_000 + "b"})[0]
    assert time.perf_counter() - before < 2


def test_a_message_is_bounded_and_printable() -> None:
    _, message = holds("body != ''", facts={"body": "x\n\x1b[31m" * 10_000})
    assert len(message) <= MESSAGE_LIMIT
    assert message.isprintable()


@given(st.text())
def test_one_line_is_always_one_bounded_line(text: str) -> None:
    line = one_line(text, 50)
    assert len(line) <= 50
    assert line.isprintable()


@given(st.text(max_size=60))
def test_any_text_compiles_or_is_refused(source: str) -> None:
    try:
        condition = compile_condition(source, PROBE)
    except ConditionError:
        return
    condition.holds(Measurement({"status": 1}), 0.1)
