"""blackbox_exporter's `blackbox.yml`: each of its modules becomes one of ours, with the same verdicts.

Its verdicts are conditions here: a pattern that must not be in the body is a `down_when` that finds it. The patterns
are RE2 on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from config.imports.translation import ForeignError, Translation, drop_empty, mapping, quoted, sequence, whole

_STATUS_DEFAULT = ["2xx"]
_VERSIONS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2.0": "2.0"}
_RECORD_RULES = {
    "fail_if_matches_regexp": "answer.exists(r, r.matches({}))",
    "fail_if_all_match_regexp": "size(answer) > 0 && answer.all(r, r.matches({}))",
    "fail_if_not_matches_regexp": "answer.exists(r, !r.matches({}))",
    "fail_if_none_matches_regexp": "!answer.exists(r, r.matches({}))",
}
"""What must not be so of the records of an answer."""


class _Module:
    """One module on its way: what is known of it, and which of its keys have been looked at."""

    def __init__(self, name: str, found: Translation) -> None:
        self.name = name
        self.found = found
        self.options: dict[str, Any] = {}
        self.down_when: list[str] = []

    def leave_out(self, what: str) -> None:
        """Note what has no counterpart."""
        self.found.leave_out(f"module {self.name}", what)

    def note_rest(self, section: str, values: Mapping[str, Any], known: frozenset[str]) -> None:
        """Note the keys that nobody has looked at."""
        for key in values:
            if key not in known:
                self.leave_out(f"{section}.{key}")


def translate(document: Any) -> Translation:
    """Return the modules of a `blackbox.yml` as ours.

    Raises ForeignError when it is none.
    """
    modules = mapping(mapping(document, "the file").get("modules"), "modules")
    if not modules:
        raise ForeignError("there are no modules in it: is it a blackbox.yml?")
    found = Translation("a blackbox.yml")
    translated = []
    for name, raw in modules.items():
        section = mapping(raw, f"module {name}")
        prober = section.get("prober")
        worker = _PROBERS.get(str(prober))
        if worker is None:
            found.leave_out(f"module {name}", f"the prober {prober!r} is not known")
            continue
        module = _Module(str(name), found)
        head = worker(module, mapping(section.get(str(prober)), f"{name}.{prober}"))
        if head is None:
            continue
        timeout = section.get("timeout")
        options = drop_empty({**module.options, "timeout": timeout and str(timeout), "down_when": module.down_when})
        translated.append({"id": str(name), **head, **options})
        module.note_rest("module", section, frozenset({"prober", "timeout", str(prober)}))
    found.document["modules"] = translated
    return found


_HTTP = frozenset(
    {
        "authorization",
        "basic_auth",
        "bearer_token",
        "bearer_token_file",
        "body",
        "body_size_limit",
        "compression",
        "enable_http2",
        "fail_if_body_json_matches_cel",
        "fail_if_body_json_not_matches_cel",
        "fail_if_body_matches_regexp",
        "fail_if_body_not_matches_regexp",
        "fail_if_header_matches",
        "fail_if_header_not_matches",
        "fail_if_not_ssl",
        "fail_if_ssl",
        "follow_redirects",
        "headers",
        "ip_protocol_fallback",
        "method",
        "no_follow_redirects",
        "oauth2",
        "preferred_ip_protocol",
        "proxy_url",
        "skip_resolve_phase_with_proxy",
        "tls_config",
        "valid_http_versions",
        "valid_status_codes",
    }
)


def _http(module: _Module, http: Mapping[str, Any]) -> dict[str, Any]:
    codes = [str(code) for code in sequence(http.get("valid_status_codes"), "valid_status_codes")]
    follows = http.get("follow_redirects", not http.get("no_follow_redirects", False))
    module.options |= {
        "method": http.get("method", "GET"),
        "status": codes or _STATUS_DEFAULT,
        "headers": module.found.headers(module.name, mapping(http.get("headers"), "headers")),
        "body": http.get("body"),
        "body_limit": _size(http.get("body_size_limit")),
        **({} if follows else {"follow_redirects": False}),
        **({"require_tls": True} if http.get("fail_if_not_ssl") else {}),
    }
    _credentials(module, http)
    _tls(module, mapping(http.get("tls_config"), "tls_config"))
    _ip_version(module, http)
    if http.get("proxy_url"):
        module.options["proxy"] = module.found.without_password(f"{module.name}_proxy", str(http["proxy_url"]))
    if http.get("fail_if_ssl"):
        module.down_when.append("url.startsWith('https:')")
    versions = [str(version) for version in sequence(http.get("valid_http_versions"), "valid_http_versions")]
    if versions:
        wanted = [_VERSIONS[version] for version in versions if version in _VERSIONS]
        module.down_when.append(f"!({' || '.join(f'http_version == {version}' for version in wanted) or 'false'})")
        if "HTTP/2.0" in versions:
            module.options["http_version"] = "auto"
        for version in versions:
            if version not in _VERSIONS:
                module.leave_out(f"http.valid_http_versions: no answer is of the version {version}")
    for pattern in sequence(http.get("fail_if_body_matches_regexp"), "fail_if_body_matches_regexp"):
        module.down_when.append(f"body.matches({quoted(str(pattern))})")
    for pattern in sequence(http.get("fail_if_body_not_matches_regexp"), "fail_if_body_not_matches_regexp"):
        module.down_when.append(f"!body.matches({quoted(str(pattern))})")
    for key, sign in (("fail_if_body_json_matches_cel", ""), ("fail_if_body_json_not_matches_cel", "!")):
        if http.get(key):
            module.down_when.append(f"{sign}({_of_json(str(http[key]))})")
    module.down_when += _header_conditions(http)
    module.note_rest("http", http, _HTTP)
    return {"probe": "http"}


_LITERAL_OR_BODY = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<![\w.])body\b(?!\s*\()""")


def _of_json(expression: str) -> str:
    """Return a CEL expression over the decoded body by the name that it has here."""
    return _LITERAL_OR_BODY.sub(lambda match: match[1] or "json", expression)


def _header_conditions(http: Mapping[str, Any]) -> Iterator[str]:
    """Yield what must not be so of the headers; one that is not there has failed unless it may be missing."""
    for key, sign in (("fail_if_header_matches", ""), ("fail_if_header_not_matches", "!")):
        for rule in sequence(http.get(key), key):
            entry = mapping(rule, key)
            name = quoted(str(entry.get("header", "")).lower())
            matches = f"headers[{name}].matches({quoted(str(entry.get('regexp', '')))})"
            missing_is_fine = bool(entry.get("allow_missing", False))
            if missing_is_fine:
                yield f"{name} in headers && {sign}{matches}"
            else:
                yield f"!({name} in headers) || {sign}{matches}"


def _credentials(module: _Module, http: Mapping[str, Any]) -> None:
    basic = mapping(http.get("basic_auth"), "basic_auth")
    if basic:
        password = module.found.secret(module.name, "password")
        if basic.get("password_file"):
            password = f"${{file:{basic['password_file']}}}"
        module.options["basic_auth"] = {"username": str(basic.get("username", "")), "password": password}
    bearer = mapping(http.get("authorization"), "authorization")
    scheme = str(bearer.get("type") or "Bearer").strip()
    token_file = http.get("bearer_token_file") or bearer.get("credentials_file")
    if bearer and scheme.lower() != "bearer":
        token = f"${{file:{token_file}}}" if token_file else module.found.secret(module.name, "token")
        module.options["headers"]["Authorization"] = f"{scheme} {token}"
    elif token_file:
        module.options["bearer_token"] = f"${{file:{token_file}}}"
    elif http.get("bearer_token") or bearer.get("credentials"):
        module.options["bearer_token"] = module.found.secret(module.name, "token")
    oauth2 = mapping(http.get("oauth2"), "oauth2")
    if oauth2:
        scopes = " ".join(map(str, sequence(oauth2.get("scopes"), "scopes")))
        secret_file = oauth2.get("client_secret_file")
        module.options["oauth2"] = drop_empty(
            {
                "token_url": oauth2.get("token_url"),
                "client_id": oauth2.get("client_id"),
                "client_secret": f"${{file:{secret_file}}}"
                if secret_file
                else module.found.secret(module.name, "client_secret"),
                "scope": scopes,
            }
        )
        grant = mapping(oauth2.get("endpoint_params"), "endpoint_params")
        known = {"client_id", "client_secret", "client_secret_file", "scopes", "token_url"}
        if set(grant) <= {"grant_type"}:  # client_credentials is all that either speaks
            known.add("endpoint_params")
        module.note_rest("oauth2", oauth2, frozenset(known))
    module.found.one_credential(f"module {module.name}", module.options)


def _tls(module: _Module, tls: Mapping[str, Any], *, own_certificate: bool = True) -> None:
    if tls.get("insecure_skip_verify"):
        module.options["verify"] = False
    names = {"ca_file": "ca_file", "server_name": "server_name"}
    if own_certificate:
        names |= {"cert_file": "client_cert_file", "key_file": "client_key_file"}
    module.options |= {ours: tls[theirs] for theirs, ours in names.items() if tls.get(theirs)}
    module.note_rest("tls_config", tls, frozenset({*names, "insecure_skip_verify"}))


def _ip_version(module: _Module, section: Mapping[str, Any]) -> None:
    preferred = str(section.get("preferred_ip_protocol", "ip6"))
    if section.get("ip_protocol_fallback", True) is False:
        module.options["ip_version"] = 4 if preferred == "ip4" else 6
    elif "preferred_ip_protocol" in section:
        module.leave_out(f"preferred_ip_protocol: {preferred} (the order is that of RFC 6724)")


def _size(value: Any) -> Any:
    """Return a size of Go's units (powers of 1024) in ours, None for no limit."""
    text = str(value or "").strip()
    if text.strip("KMGB") == "0":
        return None
    return text.replace("KB", "KiB").replace("MB", "MiB").replace("GB", "GiB") or None


_TCP = frozenset(
    {
        "ip_protocol_fallback",
        "preferred_ip_protocol",
        "query_response",
        "tls",
        "tls_config",
    }
)


def _tcp(module: _Module, tcp: Mapping[str, Any]) -> dict[str, Any]:
    dialogue: list[dict[str, Any]] = []
    for raw in sequence(tcp.get("query_response"), "query_response"):
        step = mapping(raw, "query_response")
        if step.get("expect"):
            dialogue.append({"expect": str(step["expect"])})
        if step.get("send"):
            dialogue.append({"send": str(step["send"])})
            if "${" in str(step["send"]):
                module.leave_out("parts of an answer in query_response.send")
        if step.get("starttls"):
            dialogue.append({"starttls": True})
        module.note_rest("query_response", step, frozenset({"expect", "send", "starttls"}))
    module.options |= {"dialogue": dialogue, **({"tls": True} if tcp.get("tls") else {})}
    _tls(module, mapping(tcp.get("tls_config"), "tls_config"), own_certificate=False)
    _ip_version(module, tcp)
    module.note_rest("tcp", tcp, _TCP)
    return {"probe": "tcp"}


def _icmp(module: _Module, icmp: Mapping[str, Any]) -> dict[str, Any]:
    size = icmp.get("payload_size")
    module.options |= {"count": 1, **({"size": max(16, whole(size, "payload_size", 56))} if size else {})}
    _ip_version(module, icmp)
    module.note_rest("icmp", icmp, frozenset({"preferred_ip_protocol", "ip_protocol_fallback", "payload_size"}))
    return {"probe": "icmp"}


_DNS = frozenset(
    {
        "ip_protocol_fallback",
        "preferred_ip_protocol",
        "query_name",
        "query_type",
        "recursion_desired",
        "transport_protocol",
        "validate_additional_rrs",
        "validate_answer_rrs",
        "validate_authority_rrs",
        "valid_rcodes",
    }
)


def _dns(module: _Module, dns: Mapping[str, Any]) -> dict[str, Any]:
    rcodes = [str(code) for code in sequence(dns.get("valid_rcodes"), "valid_rcodes")]
    module.options |= {
        "name": str(dns.get("query_name", ".")),
        "type": str(dns.get("query_type", "ANY")),
        "rcode": rcodes or ["NOERROR"],
        "min_answers": 0,
    }
    if dns.get("recursion_desired", True) is False:
        module.options["recursion"] = False
    if str(dns.get("transport_protocol", "udp")).startswith("tcp"):
        module.options["transport"] = "tcp"
    _records(module, mapping(dns.get("validate_answer_rrs"), "validate_answer_rrs"))
    for section in ("authority", "additional"):
        if dns.get(f"validate_{section}_rrs"):
            module.leave_out(f"dns.validate_{section}_rrs")
    _ip_version(module, dns)
    module.note_rest("dns", dns, _DNS)
    return {"probe": "dns", "target": "server"}


def _records(module: _Module, rules: Mapping[str, Any]) -> None:
    for key, condition in _RECORD_RULES.items():
        for pattern in sequence(rules.get(key), key):
            module.down_when.append(condition.format(quoted(str(pattern))))


def _grpc(module: _Module, grpc: Mapping[str, Any]) -> dict[str, Any]:
    module.options |= drop_empty({"service": grpc.get("service")})
    if grpc.get("tls"):
        module.options["tls"] = True
    _tls(module, mapping(grpc.get("tls_config"), "tls_config"))
    _ip_version(module, grpc)
    known = frozenset({"service", "tls", "tls_config", "preferred_ip_protocol", "ip_protocol_fallback"})
    module.note_rest("grpc", grpc, known)
    return {"probe": "grpc"}


_PROBERS: Mapping[str, Callable[[_Module, Mapping[str, Any]], dict[str, Any] | None]] = {
    "http": _http,
    "tcp": _tcp,
    "icmp": _icmp,
    "dns": _dns,
    "grpc": _grpc,
}
