"""One probe, once: what `thongsuot probe` and `/probe` run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from alerts.model import Result
from monitor.jobs import Job
from monitor.runner import measure
from probes import registry
from probes.conditions import ConditionError, compile_condition
from probes.model import Resources
from probes.units import parse_duration

CHECK_OPTIONS = ("down_when", "degraded_when", "timeout")
"""What `-p` accepts beside the kind's own parameters."""

MODULES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "http_2xx": ("http", {}),
    "http_post_2xx": ("http", {"method": "POST"}),
    "tcp_connect": ("tcp", {}),
    "pop3s_banner": ("tcp", {"tls": True, "dialogue": [{"expect": "^\\+OK"}]}),
    "grpc": ("grpc", {"tls": True}),
    "grpc_plain": ("grpc", {}),
    "ssh_banner": ("tcp", {"dialogue": [{"expect": "^SSH-2.0-"}, {"send": "SSH-2.0-blackbox-ssh-check"}]}),
    "icmp": ("icmp", {"count": 1}),
    "icmp_ttl5": ("icmp", {"count": 1}),
}
"""The modules of blackbox_exporter's default configuration, so that its scrapes keep working."""


class WrongUseError(ValueError):
    """The kind, the address or a parameter is not right; the message says what is."""


def prepare(kind: str, address: str, options: Mapping[str, Any], timeout_s: float = 5.0, taking: str = "") -> Job:
    """Make a job that is in no configuration; `taking` is the parameter that takes the address, if another one.

    Raises WrongUseError.
    """
    try:
        probe = registry.find(kind)
    except registry.UnknownKindError as error:
        raise WrongUseError(str(error)) from None
    own = {name: value for name, value in options.items() if name not in CHECK_OPTIONS}
    try:
        params = probe.params.model_validate({**own, taking or probe.address: address})
        if "timeout" in options:
            timeout_s = parse_duration(str(options["timeout"]))
        down_when = tuple(compile_condition(text, probe) for text in _texts(options, "down_when"))
        degraded_when = tuple(compile_condition(text, probe) for text in _texts(options, "degraded_when"))
    except ValidationError as error:
        raise WrongUseError(_plainly(error, kind)) from None
    except (ConditionError, ValueError) as error:
        raise WrongUseError(str(error)) from None
    if timeout_s <= 0:
        raise WrongUseError("the timeout is longer than nothing")
    if params.least_s() > timeout_s:
        message = f"one run takes {params.least_s():g} s at the least, longer than the timeout, {timeout_s:g} s"
        raise WrongUseError(message)
    return Job(
        id=f"{kind}:{getattr(params, probe.address)}",  # as the kind shows it: a dsn without its password
        run=probe.run,
        params=params,
        timeout_s=timeout_s,
        interval_s=timeout_s,
        retry_interval_s=timeout_s,
        down_when=down_when,
        degraded_when=degraded_when,
        latency=probe.latency,
    )


async def run_once(job: Job, agent: str) -> Result:
    """Run the job with resources of its own and close these."""
    resources = Resources()
    try:
        return await measure(job, resources, agent)
    finally:
        await resources.aclose()


def _texts(options: Mapping[str, Any], name: str) -> list[str]:
    value = options.get(name, [])
    return [str(text) for text in value] if isinstance(value, list | tuple) else [str(value)]


def _plainly(error: ValidationError, kind: str) -> str:
    """Say in one line per problem what is wrong, without echoing values: one of them may be a secret."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in problem["loc"]) or kind
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"the kind {kind} has no such parameter"
        lines.append(f"{where}: {text}")
    return "; ".join(lines)
