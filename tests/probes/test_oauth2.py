"""Tokens by client credentials: fetched, kept, shared, renewed, and never shown."""

import asyncio
import base64
import json

import pytest
from pydantic import ValidationError

from probes.kinds.http import HttpParams, run
from probes.model import Failure, Resources
from tests.probes.http_servers import check, context, redirect, reply, serve, then_wait

pytest_plugins = ["tests.probes.http_fixtures"]

SECRET = "bi-mat/+:1"


def credentials(server, **more):
    return {"token_url": f"{server.url}token", "client_id": "giam sat", "client_secret": SECRET, **more}


def granted(token="tk-1", **more):
    return reply(200, json.dumps({"access_token": token, "token_type": "bearer", "expires_in": 3600, **more}).encode())


def numbered():
    """Give a new token every time."""
    given = 0

    def answer(_request):
        nonlocal given
        given += 1
        return granted(f"tk-{given}")

    return answer


def guarded(*tokens):
    """Take only these tokens."""
    wanted = {f"Bearer {token}" for token in tokens}
    return lambda request: reply(200 if request.header("Authorization") in wanted else 401)


async def test_a_token_is_fetched_and_sent():
    async with serve(numbered()) as iam, serve(guarded("tk-1")) as service:
        found = await check(service.url, oauth2=credentials(iam, scope="read write", audience="kho"))
        asked = iam.requests[0]
    assert (found.failure, found.message) == (None, "")
    assert found.samples["token_s"] > 0
    assert asked.method == "POST"
    assert asked.body == b"grant_type=client_credentials&scope=read+write&audience=kho"
    pair = base64.b64decode(asked.header("Authorization").removeprefix("Basic ")).decode()
    assert pair == "giam+sat:bi-mat%2F%2B%3A1"


async def test_id_and_secret_may_go_in_the_body():
    async with serve(numbered()) as iam, serve(guarded("tk-1")) as service:
        found = await check(service.url, oauth2=credentials(iam, client_auth="client_secret_post"))
        assert iam.requests[0].header("Authorization") is None
        assert iam.requests[0].body.endswith(b"&client_id=giam+sat&client_secret=bi-mat%2F%2B%3A1")
    assert found.failure is None


async def several(count, params, resources):
    async def once():
        async with context(5, resources) as ctx:
            return await run(params, ctx)

    return await asyncio.gather(*(once() for _ in range(count)))


async def test_checks_share_one_fetch_and_the_token_that_came_of_it():
    resources = Resources()
    async with serve(numbered()) as iam, serve(guarded("tk-1")) as service:
        params = HttpParams(url=service.url, oauth2=credentials(iam))
        found = await several(10, params, resources)
        found += await several(3, HttpParams(url=service.url, oauth2=credentials(iam)), resources)
        assert len(iam.requests) == 1
    await resources.aclose()
    assert {each.failure for each in found} == {None}


async def test_a_token_near_its_end_is_replaced():
    resources = Resources()
    async with serve(lambda _: granted(expires_in=0.001)) as iam, serve(guarded("tk-1")) as service:
        params = HttpParams(url=service.url, oauth2=credentials(iam))
        await several(1, params, resources)
        await asyncio.sleep(0.002)
        await several(1, params, resources)
        assert len(iam.requests) == 2
    await resources.aclose()


async def test_a_token_that_was_withdrawn_is_fetched_again_once():
    resources = Resources()
    async with serve(numbered()) as iam, serve(guarded("tk-1")) as first, serve(guarded("tk-2")) as second:
        for service in (first, second):
            (found,) = await several(1, HttpParams(url=service.url, oauth2=credentials(iam)), resources)
            assert found.failure is None
        assert len(iam.requests) == 2
        assert len(second.requests) == 2
    await resources.aclose()


async def test_a_service_that_takes_no_token_is_auth_rejected():
    async with serve(numbered()) as iam, serve(reply(401)) as service:
        found = await check(service.url, oauth2=credentials(iam))
        assert len(service.requests) == 2
    assert found.failure is Failure.AUTH_REJECTED
    assert found.message == "the service does not take the token (status = 401)"
    assert found.samples["status"] == 401


BAD = {
    "refused": (reply(401, b'{"error":"invalid_client","error_description":"bi-mat/+:1"}'), "error = invalid_client"),
    "an error code that is text": (reply(400, b'{"error":"bi-mat/+:1 is wrong"}'), "status = 400)"),
    "broken": (reply(500, b"oops"), "status = 500"),
    "no JSON": (reply(200, b"<html>"), "no access_token"),
    "no token": (reply(200, b"{}"), "no access_token"),
    "a list": (reply(200, b"[1]"), "no access_token"),
    "a token that would break the header": (granted("a\r\nX: 1"), "no access_token"),
    "a token without end": (granted("a" * 20_000), "no access_token"),
    "another kind": (granted(token_type="mac"), "not of the type Bearer"),
    "a redirect": (redirect("http://127.0.0.1:1/"), "status = 302"),
    "endless": (reply(200, b"x" * 70_000), "larger than"),
    "closed": (b"", "closed the connection"),
}


@pytest.mark.parametrize(("answer", "says"), BAD.values(), ids=BAD.keys())
async def test_trouble_with_the_token_is_its_own_cause(answer, says):
    async with serve(answer) as iam, serve(reply(200)) as service:
        found = await check(service.url, oauth2=credentials(iam))
        assert service.requests == []
    assert found.failure is Failure.AUTH_TOKEN
    assert says in found.message
    assert found.message.endswith(f": {iam.url}token")
    assert "bi-mat" not in found.message


async def test_a_token_server_that_is_away_is_its_own_cause(unused_tcp_port):
    oauth2 = {"token_url": f"http://127.0.0.1:{unused_tcp_port}/t", "client_id": "a", "client_secret": "b"}
    found = await check("http://127.0.0.1:1/", oauth2=oauth2)
    assert found.failure is Failure.AUTH_TOKEN
    assert "refused" in found.message


async def test_c10_a_silent_token_server_is_auth_token_within_the_time_out():
    async with serve(then_wait(b"")) as iam, serve(reply(200)) as service, context(0.4) as ctx:
        found = await run(HttpParams(url=service.url, oauth2=credentials(iam)), ctx)
        assert asyncio.get_running_loop().time() < ctx.deadline + 0.1
    assert found.failure is Failure.AUTH_TOKEN
    assert "no token in time" in found.message or "no answer in time" in found.message


async def test_a_check_that_is_stopped_does_not_take_the_fetch_of_others_with_it():
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(_request, _reader, writer):
        asked.set()
        await go.wait()
        writer.write(granted())

    resources = Resources()
    async with serve(slow) as iam, serve(guarded("tk-1")) as service:
        params = HttpParams(url=service.url, oauth2=credentials(iam))
        first = asyncio.ensure_future(several(1, params, resources))
        await asked.wait()
        second = asyncio.ensure_future(several(1, params, resources))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        go.set()
        (found,) = await second
        assert len(iam.requests) == 1
    await resources.aclose()
    assert found.failure is None


async def test_a_token_does_not_follow_a_redirect_to_another_host():
    async with serve(numbered()) as iam, serve(reply(401), host="127.0.0.2") as other:
        async with serve(redirect(other.url)) as service:
            await check(service.url, oauth2=credentials(iam))
        assert [request.header("Authorization") for request in other.requests] == [None]


def test_the_secret_is_never_shown_and_the_rest_is_checked():
    oauth2 = {"token_url": "https://iam.vn/t", "client_id": "a", "client_secret": SECRET}
    params = HttpParams(url="http://a.vn", oauth2=oauth2)
    assert SECRET not in repr(params) + repr(params._plan) + params.model_dump_json()
    for wrong in ({"token_url": f"https://a:{SECRET}@b/"}, {"token_url": "iam"}, {"client_auth": "x"}):
        with pytest.raises(ValidationError) as caught:
            HttpParams(url="http://a.vn", oauth2={**oauth2, **wrong})
        assert SECRET not in str(caught.value)
    with pytest.raises(ValidationError, match="more than one"):
        HttpParams(url="http://a.vn", oauth2=oauth2, bearer_token="x")
