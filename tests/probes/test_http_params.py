"""What the kind `http` accepts, refuses, and never shows."""

import pytest
from pydantic import ValidationError

from probes.http_request import OUR_HEADERS
from probes.kinds.http import HttpParams

URL = "https://cong.example.vn/health"
SECRET = "s3cret-value"


def test_the_defaults_are_those_of_the_design():
    params = HttpParams(url=URL)
    assert params.status == ("2xx",)
    assert params.follow_redirects
    assert params.max_redirects == 10
    assert params.body_limit == 1024 * 1024
    assert params.verify
    assert not params.require_tls


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        ([200, "404", "3XX"], {200, 404, *range(300, 400)}),
        (404, {404}),
        ("5xx", set(range(500, 600))),
        ("1xx", set(range(100, 200))),
    ],
)
def test_statuses_are_codes_and_classes(status, codes):
    params = HttpParams(url=URL, status=status)
    assert {code for code in range(100, 600) if params.allows(code)} == codes


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "ftp://a.vn/"}, "neither http nor https"),
        ({"url": "cong.example.vn"}, "neither http nor https"),
        ({"url": "http://"}, "no host"),
        ({"url": "http://a b/"}, "characters that no URL may hold"),
        ({"url": "http://a:99999/"}, "not a URL"),
        ({"url": f"http://an:{SECRET}@a.vn/"}, "use basic_auth"),
        ({"url": f"http://an:{SECRET}/x@a.vn/"}, "not a URL"),
        ({"url": "http://a/" + "x" * 9000}, "too long"),
        ({"method": "GET /x HTTP/1.1"}, "one word"),
        ({"method": "CONNECT"}, "tunnel"),
        ({"headers": {"X-A": f"{SECRET}\r\nX-Evil: 1"}}, "line break"),
        ({"headers": {"X-A": f"{SECRET}\n"[:-1] + "\nX: 1"}}, "line break"),
        ({"headers": {"X-A": f"{SECRET}\x00"}}, "control character"),
        ({"headers": {"X A": "1"}}, "not a header name"),
        ({"headers": {"X-A: 1\r\nX-B": "1"}}, "not a header name"),
        ({"headers": {"": "1"}}, "not a header name"),
        ({"status": []}, "at least 1 item"),
        ({"status": ["6xx"]}, "pattern"),
        ({"status": ["99"]}, "pattern"),
        ({"max_redirects": -1}, "greater than or equal to 0"),
        ({"max_redirects": 51}, "less than or equal to 50"),
        ({"body_limit": 0}, "greater than or equal to 1"),
        ({"body_limit": "65MiB"}, "less than or equal to"),
        ({"ip_version": 5}, "4 or 6"),
        ({"bearer_token": f"{SECRET}\r\nX: 1"}, "RFC 6750"),
        ({"bearer_token": ""}, "RFC 6750"),
        ({"basic_auth": {"username": "a:b", "password": SECRET}}, "pattern"),
        ({"basic_auth": {"username": "a", "password": SECRET}, "bearer_token": SECRET}, "more than one"),
        ({"bearer_token": SECRET, "headers": {"authorization": "x"}}, "more than one"),
        ({"server_name": "a b"}, "not a name"),
        ({"follow_redirect": True}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_refused_with_a_reason_and_without_the_secret(wrong, says):
    with pytest.raises(ValidationError) as caught:
        HttpParams(**{"url": URL, **wrong})
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_at_sign_beyond_the_host_is_no_credential():
    for url in ("http://a.vn/@an", "http://a.vn?x=@", "http://a.vn/?x=http://an:b@c"):
        assert HttpParams(url=url).url.startswith("http://a.vn")


@pytest.mark.parametrize("name", sorted(OUR_HEADERS))
def test_headers_that_frame_the_message_are_refused(name):
    with pytest.raises(ValidationError, match="set by the probe itself"):
        HttpParams(url=URL, headers={name.title(): "1"})


def test_secrets_are_never_shown():
    params = HttpParams(
        url=URL, headers={"X-Api-Key": SECRET}, body=SECRET, basic_auth={"username": "an", "password": SECRET}
    )
    token = HttpParams(url=URL, bearer_token=SECRET)
    for shown in (repr(params), str(params), repr(params._plan), repr(token), repr(token._plan)):
        assert SECRET not in shown
        assert "czNjcmV0" not in shown  # the same in Base64


def test_numbers_that_yaml_reads_as_numbers_are_text_where_text_is_meant():
    params = HttpParams(url=URL, headers={"X-Version": 2}, body=5)
    assert params.headers["X-Version"] == "2"
    assert params.body == "5"


def test_every_parameter_explains_itself_in_the_schema():
    for name, schema in HttpParams.model_json_schema()["properties"].items():
        assert schema.get("description"), name
