"""Chains of requests that pass values on: log in, query, check.

Each step is a visit of its own (redirects included) over new connections; cookies are shared, and so are the phases,
which add up. What a step extracts is a secret from then on: it is put into later requests and shown nowhere. It comes
from the peer, so it is escaped for the place that it is put in, and it can never change where a request goes to.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, quote_plus

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from probes.failures import TroubleError, classify, failure_of_timeout, plain_line
from probes.http_cookies import Jar
from probes.http_exchange import Exchange
from probes.http_facts import HttpFacts, samples_of
from probes.http_request import (
    HeaderLine,
    Request,
    check_headers,
    checked_method,
    origin_of,
    sorted_by_trust,
    web_url,
)
from probes.http_status import Statuses
from probes.http_verdict import Expected, explained, judge
from probes.http_visit import Rules, Visit
from probes.model import Context, Failure, Measurement, Params, Probe
from probes.secrecy import without_secrets
from probes.tcp_stream import last_moment

if TYPE_CHECKING:
    from probes.conditions import Condition, Expression

STEPS_LIMIT = 20
VALUE_LIMIT = 16384
"""Characters of a value that is passed on."""

Value = str | int | float | bool

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,31}$"


class HttpStep(Params):
    """One step; `{{name}}` in url, headers and body stands for what an earlier step extracted."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    name: str = Field(
        "", pattern=rf"{_NAME}|^$", description="Its name in messages and samples; its number by default."
    )
    url: str = Field(description="Where to ask; it may be relative to the check's url.")
    method: str = Field("", description="GET by default, POST when there is a body.")
    headers: Mapping[str, str] = Field(default={}, repr=False, description="Headers beside the check's own.")
    body: Annotated[str, StringConstraints(strip_whitespace=False)] | None = Field(
        default=None, repr=False, description="What to send (as UTF-8)."
    )
    status: Statuses | None = Field(
        default=None, description="Codes and classes that are fine; the check's by default."
    )
    extract: Mapping[str, str] = Field(default={}, description="Names for later steps, each with a CEL expression.")
    down_when: tuple[str, ...] = Field((), description="Conditions on this step's answer.")

    @field_validator("method")
    @classmethod
    def _method(cls, value: str) -> str:
        return checked_method(value) if value else value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        authority = re.split("[/?#]", value.partition("://")[2], maxsplit=1)[0] if "://" in value else ""
        if "{{" in authority or value.startswith("//"):
            raise ValueError("a value of an answer cannot decide which host is asked")
        if "@" in authority:
            raise ValueError("credentials do not belong in the URL")
        return value

    @model_validator(mode="after")
    def _headers_are_in_order(self) -> HttpStep:
        check_headers((name, _PLACEHOLDER.sub("x", value)) for name, value in self.headers.items())
        if not all(re.match(_NAME, name) for name in self.extract):
            raise ValueError("a name to extract is letters, digits and _")
        return self

    def names_used(self) -> set[str]:
        """Return the names of its placeholders."""
        texts = [self.url, self.body or "", *self.headers.values()]
        return {name for text in texts for name in _PLACEHOLDER.findall(text)}


@dataclass(slots=True)
class Chained:
    """What came of a chain.

    Attributes:
        visit: the last one, None before the first.
        trouble: what ended it, or None.
        steps: how long each took, in seconds, by name.
        secrets: what was extracted, as texts.

    """

    visit: Visit | None = None
    trouble: TroubleError | None = None
    steps: dict[str, float] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Compiled:
    name: str
    step: HttpStep
    extract: Mapping[str, Expression]
    down_when: tuple[Condition, ...]
    expected: Expected


class Chain:
    """A compiled chain.

    Args:
        steps: as configured.
        base: the check's own request: its headers go along, and steps' URLs may be relative to its URL.
        rules: how to visit.
        expected: what every answer should be; its schema is for the last one.
        probe: the kind whose names expressions may use.

    Raises ValueError, which names the step.

    """

    def __init__(
        self, steps: Sequence[HttpStep], base: Request, rules: Rules, expected: Expected, probe: Probe[Any]
    ) -> None:
        self._base = base
        self._rules = rules
        self._steps: list[_Compiled] = []
        known: set[str] = set()
        for number, step in enumerate(steps, 1):
            name = step.name or str(number)
            if name in {each.name for each in self._steps}:
                message = f"there are two steps {name!r}"
                raise ValueError(message)
            unknown = step.names_used() - known
            if unknown:
                message = f"step {name!r} uses {min(unknown)!r}, which no earlier step extracts"
                raise ValueError(message)
            known |= set(step.extract)
            is_last = number == len(steps)
            self._steps.append(_compiled(name, step, expected, probe, is_last))
            web_url(_PLACEHOLDER.sub("x", step.url), base.url)

    async def go(self, ctx: Context) -> Chained:
        """Take the steps in turn, up to the first that fails."""
        chained, values, jar = Chained(), dict[str, Value](), Jar()
        for each in self._steps:
            began = perf_counter()
            try:
                async with asyncio.timeout_at(last_moment(ctx)):
                    trouble = await self._take(each, chained, values, jar, ctx)
            except TimeoutError:
                phase = ctx.phases.current
                trouble = TroubleError(failure_of_timeout(phase), f"no answer in time{f' in {phase}' if phase else ''}")
            ctx.phases.end()
            chained.steps[each.name] = perf_counter() - began
            if trouble is not None:
                told = without_secrets(trouble.message, chained.secrets)
                chained.trouble = TroubleError(trouble.failure, plain_line(f"step {each.name!r}: {told}"))
                return chained
        return chained

    async def _take(
        self, each: _Compiled, chained: Chained, values: dict[str, Value], jar: Jar, ctx: Context
    ) -> TroubleError | None:
        try:
            request = self._request(each.step, values)
        except ValueError as error:
            return TroubleError(Failure.PROTOCOL, f"a value that was extracted does not fit: {error}")
        visit = Visit(request, self._rules, ctx, jar, self._base.origin)
        chained.visit = visit
        try:
            await visit.go()
        except TimeoutError as error:
            if error.errno is None:  # ours; the system's own has a number
                raise
            return explained(each.expected, visit, TroubleError(*classify(error, ctx.phases.current)))
        except Exchange.errors as error:
            return explained(each.expected, visit, TroubleError(*classify(error, ctx.phases.current)))
        ctx.phases.end()
        return await judge(each.expected, visit, ctx.resources) or _look(each, chained, visit, values, ctx)

    def _request(self, step: HttpStep, values: Mapping[str, Value]) -> Request:
        """Return a step's request. Raises ValueError for a value that does not fit where it is put."""
        url = web_url(_filled(step.url, values, lambda value: quote(_text(value), safe="")), self._base.url)
        own = [(name, _filled(text, values, _text)) for name, text in step.headers.items()]
        check_headers(own)
        named = {name.lower() for name, _ in own}
        at_home = origin_of(url) == self._base.origin
        inherited = [*self._base.headers, *(self._base.private if at_home else ())]
        lines = [*(line for line in inherited if line[0].lower() not in named), *own]
        body = _filled(step.body or "", values, _escape_for(step.body or "", lines))
        public, private = sorted_by_trust(lines)
        method = step.method or ("GET" if step.body is None else "POST")
        return Request(method, url, public, private, body.encode("utf-8", "replace"))


def _compiled(name: str, step: HttpStep, expected: Expected, probe: Probe[Any], is_last: bool) -> _Compiled:
    from probes.conditions import ConditionError, compile_condition, compile_expression  # noqa: PLC0415 - CEL is large

    try:
        extract = {key: compile_expression(source, probe) for key, source in step.extract.items()}
        down_when = tuple(compile_condition(source, probe) for source in step.down_when)
    except ConditionError as error:
        message = f"step {name!r}: {error}"
        raise ValueError(message) from None
    schema = expected.schema if is_last else None
    status = step.status or expected.status
    return _Compiled(name, step, extract, down_when, Expected(status, expected.require_tls, expected.has_token, schema))


def _look(
    each: _Compiled, chained: Chained, visit: Visit, values: dict[str, Value], ctx: Context
) -> TroubleError | None:
    """Extract what later steps need, and say which condition holds, without showing what was extracted."""
    from probes.conditions import AbsentError  # noqa: PLC0415 - as in _compiled

    samples = {**ctx.phases.samples, **samples_of(visit)}
    measurement = Measurement(samples, facts=HttpFacts(visit, chained.steps))
    missing: TroubleError | None = None
    for name, expression in each.extract.items():
        try:
            value = expression.value(measurement)
        except AbsentError as error:
            missing = missing or TroubleError(Failure.CONDITION, f"there is no {name!r} to extract: {error}")
            continue
        if len(_text(value)) > VALUE_LIMIT:
            missing = TroubleError(Failure.CONDITION, f"{name!r} has more than {VALUE_LIMIT} characters")
            continue
        values[name] = value
    # One and two letters would make a riddle of every message without being a secret.
    plain = {_text(value) for value in values.values()}
    written = {
        form for text in plain for form in (text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1])
    }
    chained.secrets = tuple(sorted((text for text in written if len(text) > 2), key=len, reverse=True))
    for condition in each.down_when:
        if condition.holds(measurement, 0.0)[0]:
            secrets = (*chained.secrets, *visit.secrets)
            shown = Measurement(samples, facts=HttpFacts(visit, chained.steps, secrets))
            return TroubleError(Failure.CONDITION, condition.holds(shown, 0.0)[1] or condition.source)
    return missing


def _filled(template: str, values: Mapping[str, Value], put: Callable[[Value], str]) -> str:
    return _PLACEHOLDER.sub(lambda placeholder: put(values[placeholder[1]]), template)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _escape_for(body: str, lines: Sequence[HeaderLine]) -> Callable[[Value], str]:
    """Return what makes a value harmless in a body of this kind."""
    kind = next((value.lower() for name, value in lines if name.lower() == "content-type"), "")
    start = body.lstrip()[:1]
    if "json" in kind or (not kind and start in ("{", "[")):
        # Within the quotes of the template; a number or a truth value stands without.
        return lambda value: (
            json.dumps(value, ensure_ascii=False)[1:-1] if isinstance(value, str) else json.dumps(value)
        )
    if "x-www-form-urlencoded" in kind:
        return lambda value: quote_plus(_text(value))
    if "xml" in kind or (not kind and start == "<"):
        return lambda value: html.escape(_text(value))
    return _text
