"""Proposes checks for a REST service by its OpenAPI description (3.0, 3.1): reads that need no parameter.

Nothing but the description is asked for: even a GET may be dear, so that these proposals are not tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import orjson
import yaml

from monitor.discover.fetching import document
from monitor.discover.proposal import Discovery, NothingFoundError, Proposed, Text, variable
from monitor.discover.trials import Trials
from probes.failures import plain_line
from probes.http_access import HttpAccess
from probes.http_request import web_url

OPERATIONS_LIMIT = 200
_REFERENCES_LIMIT = 16


async def discover(where: str, trials: Trials, access: HttpAccess) -> Discovery:
    """Read a description, and propose how to watch what it describes.

    Raises NothingFoundError, ValueError for what is neither a URL nor a file.
    """
    data, url = await document(where, access, trials)
    return propose(_read(data), url or where, is_url=bool(url))


def propose(root: Mapping[str, Any], where: str, *, is_url: bool) -> Discovery:
    """Return the checks that a description suggests, purely.

    Raises NothingFoundError.
    """
    version = str(root.get("openapi", ""))
    if not version.startswith(("3.0", "3.1")):
        raise NothingFoundError("it is no OpenAPI description of version 3.0 or 3.1")
    base = _server(root, where if is_url else "")
    title = plain_line(str(_map(root.get("info")).get("title") or "API"), 80)
    host = web_url(base).host or "api"
    about = Text(
        f"{title}: các thao tác GET không cần tham số. Chưa thao tác nào được gọi thử.",
        f"{title}: the GET operations without parameters. None of them was called.",
    )
    found = Discovery(host.replace(":", "-"), "endpoint", title, about)
    book = _Book(root)
    skipped = 0
    for path, operation, parameters in _reads(root, book):
        if "{" in path or any(one.get("required") is True for one in parameters):
            skipped += 1
            continue
        if len(found.checks) >= OPERATIONS_LIMIT:
            break
        found.checks.append(_check(base, path, operation, book, host, found))
    if skipped:
        found.notes.append(
            Text(f"{skipped} thao tác GET cần tham số: bỏ qua.", f"{skipped} GET operations need parameters: left out.")
        )
    found.drop_invalid()
    if not found.checks:
        raise NothingFoundError("it has no GET operation without required parameters")
    return found


def _read(data: bytes) -> Mapping[str, Any]:
    """Return the document. Raises NothingFoundError."""
    try:
        read = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            read = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
        except (yaml.YAMLError, RecursionError, ValueError):
            raise NothingFoundError("it is neither JSON nor YAML") from None
    if not isinstance(read, Mapping):
        raise NothingFoundError("it is no OpenAPI description")
    return read


class _Book:
    """Follows references inside a document; one that leads elsewhere, or round in circles, leads to nothing."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root

    def open(self, value: Any) -> Mapping[str, Any]:
        for _ in range(_REFERENCES_LIMIT):
            found = _map(value)
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return found
            value = self.root
            for part in reference.removeprefix("#/").split("/") if reference.startswith("#/") else [""]:
                value = _map(value).get(part.replace("~1", "/").replace("~0", "~"))
        return {}

    def scheme(self, name: str) -> Mapping[str, Any]:
        schemes = _map(_map(self.root.get("components")).get("securitySchemes"))
        return self.open(schemes.get(name))


def _reads(root: Mapping[str, Any], book: _Book) -> Iterator[tuple[str, Mapping[str, Any], list[Mapping[str, Any]]]]:
    for path, raw in _map(root.get("paths")).items():
        item = book.open(raw)
        operation = item.get("get")
        if isinstance(operation, Mapping) and isinstance(path, str) and path.startswith("/"):
            parameters = [
                book.open(one) for one in [*_list(item.get("parameters")), *_list(operation.get("parameters"))]
            ]
            yield path, operation, parameters


def _check(base: str, path: str, operation: Mapping[str, Any], book: _Book, host: str, found: Discovery) -> Proposed:
    url = base.rstrip("/") + path
    parameters: dict[str, Any] = {"url": url, "status": _statuses(operation)}
    security = operation.get("security", book.root.get("security"))
    is_complete = _secure(parameters, _list(security), book, host, path, found)
    what = plain_line(str(operation.get("summary") or operation.get("operationId") or path), 100)
    is_old = operation.get("deprecated") is True
    if is_old:
        what = f"{what} (deprecated)"
    name = str(operation.get("operationId") or path.strip("/").replace("/", "-") or "root")
    return Proposed(
        "http",
        parameters,
        Text(what, what),
        plain_line(name, 60),
        degraded_when=(
            "duration > duration('2s')",
            *(("cert.expires_in < duration('720h')",) if url[4] == "s" else ()),
        ),
        is_doubtful=is_old or not is_complete,
    )


def _statuses(operation: Mapping[str, Any]) -> list[Any]:
    """Return the codes of success that an operation names."""
    named = [str(code).lower() for code in _map(operation.get("responses"))]
    fine = [code for code in named if len(code) == 3 and code[0] == "2" and (code[1:] == "xx" or code.isdecimal())]
    return [int(code) if code.isdecimal() else code for code in fine] or ["2xx"]


def _secure(
    parameters: dict[str, Any], security: list[Any], book: _Book, host: str, path: str, found: Discovery
) -> bool:
    """Add placeholders for the first way to be let in that we know; say whether there is one."""
    ways = [_map(way) for way in security]
    if not ways or any(not way for way in ways):
        return True
    for way in ways:
        added: dict[str, Any] = {}
        if all(_add_scheme(added, str(name), book.scheme(name), host) for name in way):
            parameters.update(added)
            return True
    known = ", ".join(plain_line(str(name), 40) for way in ways for name in way)
    found.notes.append(
        Text(f"{path}: chưa hỗ trợ cách đăng nhập {known}.", f"{path}: there is no way to log in by {known}.")
    )
    return False


def _add_scheme(added: dict[str, Any], name: str, scheme: Mapping[str, Any], host: str) -> bool:
    kind, way = scheme.get("type"), str(scheme.get("scheme", "")).lower()
    if kind == "http" and way == "basic":
        added["basic_auth"] = {"username": "giam-sat", "password": variable(host, name, "password")}
    elif (kind == "http" and way == "bearer") or kind == "openIdConnect":
        added["bearer_token"] = variable(host, name, "token")
    elif kind == "apiKey" and scheme.get("in") == "header":
        header = plain_line(str(scheme.get("name", "")), 60)
        added["headers"] = {**added.get("headers", {}), header: variable(host, name, "key")}
    elif kind == "oauth2":
        flow = _map(_map(scheme.get("flows")).get("clientCredentials"))
        if not isinstance(flow.get("tokenUrl"), str):
            added["bearer_token"] = variable(host, name, "token")
            return True
        added["oauth2"] = {
            "token_url": flow["tokenUrl"],
            "client_id": "giam-sat",
            "client_secret": variable(host, name, "secret"),
        }
    else:
        return False
    return True


def _server(root: Mapping[str, Any], where: str) -> str:
    """Return the base URL. Raises NothingFoundError where the description names none that can be asked."""
    server = _map(next(iter(_list(root.get("servers"))), {}))
    url = str(server.get("url") or "/")
    for name, value in _map(server.get("variables")).items():
        url = url.replace(f"{{{name}}}", str(_map(value).get("default", "")))
    try:
        return str(web_url(urljoin(where, url)))
    except ValueError:
        raise NothingFoundError("it names no server with an address: give the URL of the description") from None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
