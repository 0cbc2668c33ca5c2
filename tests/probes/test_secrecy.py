"""What a peer repeats of a check's secrets comes into no message."""

import base64

import pytest

from monitor.oneshot import prepare, run_once
from probes.kinds.http import HttpParams
from probes.kinds.soap import SoapParams
from probes.secrecy import secrets_in, without_secrets
from tests.probes.http_servers import reply, serve

SECRET = "hunter2-hunter2"
PAIR = base64.b64encode(f"giam-sat:{SECRET}".encode()).decode()


def echo(request):
    """Answer with the header and the body of the request, as a debugging page does."""
    lines = "\n".join(f"{name}: {value}" for name, value in request.lines if name not in ("Host", "Accept"))
    return reply(200, f"{lines}\n{request.body.decode()}".encode(), f"X-Echo: {lines.replace(chr(10), ' ')}")


@pytest.mark.parametrize(
    "parameters",
    [
        {"bearer_token": SECRET},
        {"basic_auth": {"username": "giam-sat", "password": SECRET}},
        {"headers": {"X-Api-Key": SECRET}},
        {"headers": {"Authorization": f"Token {SECRET}"}},
        {"headers": {"Cookie": f"{SECRET}"}},
    ],
)
async def test_an_echo_brings_no_secret_into_a_message(parameters):
    conditions = ["headers['x-echo'] != ''", "body != ''"]
    async with serve(echo) as server:
        for condition in conditions:
            job = prepare("http", server.url, {**parameters, "down_when": [condition]})
            result = await run_once(job, "test")
            assert result.message.startswith(condition)
            assert SECRET[:6] not in result.message
            assert PAIR[:8] not in result.message
    assert any(SECRET in value or PAIR in value for _, value in server.requests[0].lines), "it was sent"


async def test_nor_does_it_bring_a_token_that_was_got_for_the_request():
    token = "abcdefgh-ijklmnop"

    def answer(request):
        if request.method == "POST":
            return reply(200, f'{{"access_token": "{token}", "token_type": "Bearer"}}'.encode())
        return echo(request)

    async with serve(answer) as server:
        oauth2 = {"token_url": f"{server.url}token", "client_id": "giam-sat", "client_secret": SECRET}
        for condition in ("body != ''", "headers['x-echo'] != ''"):
            job = prepare("http", server.url, {"oauth2": oauth2, "down_when": [condition]})
            result = await run_once(job, "test")
            assert "Bearer …" in result.message
            assert token[:6] not in result.message


async def test_nor_does_a_fault_that_names_the_password():
    fault = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault><faultcode>e:Client</faultcode>'
        f"<faultstring>{SECRET} is not the password</faultstring></e:Fault></e:Body></e:Envelope>"
    )
    asked = {"operation": "a", "namespace": "urn:x", "basic_auth": {"username": "giam-sat", "password": SECRET}}
    async with serve(reply(500, fault.encode(), "Content-Type: text/xml")) as server:
        result = await run_once(prepare("soap", server.url, asked), "test")
    assert result.message == "SOAP fault Client: … is not the password (status = 500)"


def test_the_secrets_of_parameters_are_found_however_deep():
    http = HttpParams(url="http://a/", oauth2={"token_url": "http://b/", "client_id": "c", "client_secret": SECRET})
    soap = SoapParams(url="http://a/", operation="b", namespace="c", security={"username": "d", "password": 'e"f g'})
    assert secrets_in(http) == (SECRET,)
    assert {'e"f g', 'e\\"f g', "e%22f%20g"} < set(secrets_in(soap))


def test_what_only_speaks_of_secrets_stays():
    steps = [{"url": "/a", "extract": {"token": "json.access_token"}}, {"url": "/b?{{token}}"}]
    assert secrets_in(HttpParams(url="http://a/", steps=steps, json_schema={"properties": {"token": True}})) == ()


def test_the_beginning_of_a_secret_that_was_cut_off_is_taken_out_too():
    assert without_secrets("token = hunter2…", (SECRET,)) == "token = …"
    assert without_secrets("nothing here", (SECRET,)) == "nothing here"
