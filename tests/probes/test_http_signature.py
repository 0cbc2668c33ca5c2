"""Signed requests: by a template, and as RFC 9421 does."""

import base64
import hashlib
import hmac

import pytest
from pydantic import ValidationError

from probes.http_request import Request, web_url
from probes.http_signature import HmacSignature, message_signature
from probes.kinds.http import HttpParams
from tests.probes.http_servers import check, redirect, reply, serve

KEY = "khoa-bi-mat"


def expected(text, algorithm="sha256"):
    return hmac.new(KEY.encode(), text.encode(), algorithm)


async def test_the_default_template_is_what_a_gateway_can_check():
    async with serve(reply(200)) as server:
        await check(f"{server.url}a?b=1", body='{"x": 1}', hmac={"secret": KEY})
        (asked,) = server.requests
    digest = hashlib.sha256(b'{"x": 1}').hexdigest()
    signed = expected(f"POST\n/a?b=1\n{asked.header('X-Timestamp')}\n{digest}").hexdigest()
    assert asked.header("X-Signature") == signed


async def test_a_template_of_ones_own_with_a_nonce_and_base64():
    how = {
        "secret": base64.b64encode(KEY.encode()).decode(),
        "key_encoding": "base64",
        "key_id": "vn-1",
        "algorithm": "sha512",
        "encoding": "base64",
        "template": "{{method}}|{{host}}|{{path}}|{{query}}|{{ nonce }}|{{body}}|{{content_digest}}",
        "header": "Authorization",
        "value": 'HMAC keyId="{{key_id}}",signature="{{signature}}"',
        "headers": {"X-Nonce": "{{nonce}}", "Content-Digest": "{{content_digest}}"},
    }
    async with serve(reply(200)) as server:
        for _ in range(2):
            await check(f"{server.url}a?b=1", body="{{nonce}} is text", hmac=how)
        first, second = server.requests
    digest = base64.b64encode(hashlib.sha256(b"{{nonce}} is text").digest()).decode()
    assert first.header("Content-Digest") == f"sha-256=:{digest}:"
    text = f"POST|{server.address}|/a|b=1|{first.header('X-Nonce')}|{{{{nonce}}}} is text|sha-256=:{digest}:"
    signed = base64.b64encode(expected(text, "sha512").digest()).decode()
    assert first.header("Authorization") == f'HMAC keyId="vn-1",signature="{signed}"'
    assert first.header("X-Nonce") != second.header("X-Nonce")


def test_the_message_signature_is_that_of_the_standards_example():
    """RFC 9421, appendix B.2.5."""
    key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
    how = HmacSignature(
        secret=key,
        key_encoding="base64",
        key_id="test-shared-secret",
        components=["date", "@authority", "content-type"],
    )
    request = Request(
        "POST",
        web_url("http://example.com/foo?param=Value&Pet=dog"),
        (("Date", "Tue, 20 Apr 2021 02:07:55 GMT"), ("Content-Type", "application/json")),
        body=b'{"hello": "world"}',
    )
    lines = dict(message_signature(how, how.key(), request, 1618884473))
    # The example has no alg parameter; with it left out, the signature is the appendix's own.
    assert lines["Signature-Input"] == (
        'sig1=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret";alg="hmac-sha256"'
    )
    parameters = lines["Signature-Input"].removeprefix("sig1=")
    text = (
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n"@authority": example.com\n"content-type": application/json\n'
        f'"@signature-params": {parameters}'
    )
    raw = base64.b64decode(key)
    assert lines["Signature"] == f"sig1=:{base64.b64encode(hmac.digest(raw, text.encode(), 'sha256')).decode()}:"
    without = text.replace(';alg="hmac-sha256"', "")
    signed = base64.b64encode(hmac.digest(raw, without.encode(), "sha256")).decode()
    assert signed == "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="


async def test_the_components_are_covered_and_the_digest_is_sent():
    how = {"secret": KEY, "components": ["@method", "@target-uri", "@path", "@query", "content-digest", "date"]}
    async with serve(reply(200)) as server:
        await check(f"{server.url}a", body="x", hmac=how)
        (asked,) = server.requests
    parameters = asked.header("Signature-Input").removeprefix("sig1=")
    text = (
        f'"@method": POST\n"@target-uri": {server.url}a\n"@path": /a\n"@query": ?\n'
        f'"content-digest": {asked.header("Content-Digest")}\n"date": {asked.header("Date")}\n'
        f'"@signature-params": {parameters}'
    )
    signed = base64.b64encode(expected(text).digest()).decode()
    assert asked.header("Signature") == f"sig1=:{signed}:"


async def test_a_redirect_is_signed_anew_at_home_and_not_at_all_elsewhere():
    async with serve(reply(200), host="127.0.0.2") as other:
        async with serve(lambda r: redirect("/b") if r.target == "/" else redirect(other.url)) as server:
            await check(server.url, hmac={"secret": KEY, "template": "{{path}}", "headers": {}})
            assert server.requests[1].header("X-Signature") == expected("/b").hexdigest()
        assert other.requests[0].header("X-Signature") is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"template": "{{metod}}"}, "there is no 'metod'"),
        ({"value": "x"}, "has to name"),
        ({"headers": {"X": "{{body}}"}}, "does not fit into a header"),
        ({"headers": {"Host: x": "y"}}, "not a header name"),
        ({"header": "Content-Length"}, "set by the probe itself"),
        ({"key_encoding": "hex"}, "not hex"),
        ({"components": ["@method"], "algorithm": "sha512"}, "SHA-256 alone"),
        ({"key_id": 'a"b'}, "no header may quote"),
    ],
)
def test_what_is_wrong_is_refused_without_the_secret(wrong, says):
    with pytest.raises(ValidationError) as caught:
        HttpParams(url="http://a.vn", hmac={"secret": KEY, **wrong})
    assert says in str(caught.value)
    assert KEY not in str(caught.value)
