"""Completes and validates checks: options, the kind's own parameters, conditions."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError

from config.errors import Problems, shown
from config.explain import explain, field_names, unknown_key
from config.files import from_directory
from config.located import Map, Seq
from config.model import Check, CheckOptions
from config.secret_references import Secrets, secret_fields, step
from probes.conditions import ConditionError, compile_condition
from probes.model import Probe
from probes.registry import UnknownKindError, find

TIMEOUT_S = 5.0
RETRY_FLOOR_S = 1.0
STALE_INTERVALS = 3

_OPTIONS = field_names(CheckOptions)


class _Times(NamedTuple):
    timeout_s: float
    retry_interval_s: float
    stale_after_s: float


class Checks:
    """Makes checks of what is written."""

    def __init__(self, problems: Problems, secrets: Secrets) -> None:
        self._problems = problems
        self._secrets = secrets
        self._conditions: dict[tuple[str, str], str] = {}

    def build(self, raw: Any, holder: Seq, number: int, path: str, target: str) -> Check | None:
        """Return the completed check, or None when it is not in order, which is noted."""
        if not isinstance(raw, Map):
            place = holder.place_of(number)
            self._problems.add(place, "a check must be a mapping of keys to values", "such as - probe: icmp", path)
            return None
        before = len(self._problems.found)
        probe = self._probe(raw, path)
        own = field_names(probe.params) if probe is not None else ()
        options = self._options(raw, path, probe, own)
        params = self._params(raw, path, probe, own) if probe is not None else None
        times = self._times(options, raw, path) if options is not None else None
        if options is not None and probe is not None:
            self._check_conditions(options, raw, path, probe)
        if options is None or times is None or probe is None or len(self._problems.found) > before:
            return None
        if params is not None and params.least_s() > times.timeout_s:
            message = f"one run takes {params.least_s():g}s at the least, longer than the timeout, {times.timeout_s:g}s"
            self._problems.add(raw.place_of("probe"), message, path=path)
            return None
        name = options.name or options.check_name or options.probe
        return Check(
            id=f"{target}/{name}",
            target=target,
            name=name,
            probe=options.probe,
            params=params,
            interval_s=options.interval,
            timeout_s=times.timeout_s,
            retry_interval_s=times.retry_interval_s,
            stale_after_s=times.stale_after_s,
            confirm=options.confirm,
            critical=options.critical,
            down_when=options.down_when,
            degraded_when=options.degraded_when,
            labels=options.labels,
        )

    def _probe(self, raw: Map, path: str) -> Probe[Any] | None:
        kind = raw.get("probe")
        if not isinstance(kind, str):
            return None  # the options' model says so
        try:
            return find(kind)
        except UnknownKindError as error:
            message, _, hint = str(error).partition("; ")
            self._problems.add(raw.place_of("probe"), message, hint, step(path, "probe"))
            return None

    def _options(self, raw: Map, path: str, probe: Probe[Any] | None, own: tuple[str, ...]) -> CheckOptions | None:
        written = {key: value for key, value in raw.items() if key in _OPTIONS and key not in own}
        if probe is not None and len(written) < len(raw):
            for key in raw:
                if key not in written and key not in own:
                    message, hint = unknown_key(key, "check", (*_OPTIONS, *own), self._problems)
                    hint = hint if hint.startswith("did") else f"{probe.kind} has {', '.join(own)}"
                    self._problems.add(raw.place_of(key), message, hint, step(path, key))
        if "name" in written and "check_name" in written:
            place = raw.place_of("check_name")
            self._problems.add(place, "'check_name' stands beside 'name'", "keep one", step(path, "check_name"))
        try:
            return CheckOptions.model_validate(written)
        except ValidationError as error:
            explain(error, raw, path, "check", self._problems, CheckOptions)
            return None

    def _params(self, raw: Map, path: str, probe: Probe[Any], own: tuple[str, ...]) -> Any:
        """Return an instance of the kind's model; None when it does not validate, or a secret is missing."""
        before = len(self._problems.found)
        filled = self._secrets.fill(raw, path, secret_fields(probe.params), own)
        if len(self._problems.found) > before:
            return None
        try:
            written = {key: filled[key] for key in own if key in filled}
            return probe.params.model_validate(from_directory(written, self._secrets.directory))
        except ValidationError as error:
            explain(error, filled, path, f"{probe.kind} check", self._problems, probe.params)
            return None

    def _times(self, options: CheckOptions, raw: Map, path: str) -> _Times | None:
        interval = options.interval
        timeout = min(TIMEOUT_S, interval) if options.timeout is None else options.timeout
        retry = options.retry_interval
        stale = STALE_INTERVALS * interval if options.stale_after is None else options.stale_after
        wrong = []
        if timeout > interval:
            wrong.append(("timeout", f"is longer than the interval, {interval:g}s"))
        if retry is not None and retry > interval:
            wrong.append(("retry_interval", f"is longer than the interval, {interval:g}s"))
        if stale < interval:
            wrong.append(("stale_after", f"is shorter than the interval, {interval:g}s"))
        for key, trouble in wrong:
            message = f"{key!r} of {raw[key]} {trouble}"
            self._problems.add(raw.place_of(key), message, path=step(path, key))
        if wrong:
            return None
        return _Times(timeout, retry or min(interval, max(RETRY_FLOOR_S, interval / 3)), stale)

    def _check_conditions(self, options: CheckOptions, raw: Map, path: str, probe: Probe[Any]) -> None:
        for key in ("down_when", "degraded_when"):
            for number, source in enumerate(getattr(options, key)):
                reason = self._refusal(source, probe)
                if reason:
                    at = step(step(path, key), number)
                    message, _, hint = reason.rpartition("; ") if "; did you mean" in reason else (reason, "", "")
                    self._problems.add(raw[key].place_of(number), message, hint, at)

    def _refusal(self, source: str, probe: Probe[Any]) -> str:
        """Return why the text is not a condition of that kind, or ""; each text is compiled once a kind."""
        key = (probe.kind, source)
        if key not in self._conditions:
            try:
                compile_condition(source, probe)
                self._conditions[key] = ""
            except ConditionError as error:
                self._conditions[key] = str(error)
            except UnicodeError:
                self._conditions[key] = f"{shown(source)} holds characters that are not text"
        return self._conditions[key]
