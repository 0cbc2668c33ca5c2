"""C9. A cookie set on a redirect goes along; a credential never goes to another origin."""

import pytest

from tests.probes.http_servers import check, redirect, reply, serve

pytest_plugins = ["tests.probes.http_fixtures"]

SECRETS = {
    "basic": {"basic_auth": {"username": "an", "password": "s3cret"}},
    "bearer": {"bearer_token": "s3cret"},
    "authorization": {"headers": {"Authorization": "s3cret"}},
    "api key": {"headers": {"X-Api-Key": "s3cret"}},
    "cookie": {"headers": {"Cookie": "session=s3cret"}},
}
CARRIES = {"basic": "Authorization", "bearer": "Authorization", "authorization": "Authorization"}


def credential(request, which):
    return request.header(CARRIES.get(which) or {"api key": "X-Api-Key", "cookie": "Cookie"}[which])


async def test_c9_a_cookie_set_on_a_redirect_is_sent_on_the_next_hop():
    def login(request):
        if request.target == "/":
            return redirect("/in", 302, "Set-Cookie: session=abc; Path=/; HttpOnly", "Set-Cookie: lang=vi")
        return reply(200)

    async with serve(login) as server:
        found = await check(server.url)
        assert server.requests[0].header("Cookie") is None
        assert server.requests[1].header("Cookie") == "session=abc; lang=vi"
    assert found.failure is None


async def test_c9_a_cookie_is_not_sent_to_another_host():
    async with serve(reply(200), host="127.0.0.2") as other:
        async with serve(redirect(other.url, 302, "Set-Cookie: session=abc; Path=/")) as server:
            found = await check(server.url)
        assert other.requests[0].header("Cookie") is None
    assert found.failure is None


async def test_c9_a_cookie_is_forgotten_between_checks():
    async with serve(reply(200, b"", "Set-Cookie: session=abc")) as server:
        await check(server.url)
        await check(server.url)
        assert server.requests[1].header("Cookie") is None


@pytest.mark.parametrize("which", SECRETS)
async def test_c9_a_credential_is_sent_to_its_own_origin(which):
    def step(request):
        return redirect("/in") if request.target == "/" else reply(200)

    async with serve(step) as server:
        await check(server.url, **SECRETS[which])
        assert all(credential(request, which) for request in server.requests)
        assert len(server.requests) == 2


@pytest.mark.parametrize("which", SECRETS)
async def test_c9_a_credential_is_not_sent_to_another_host(which):
    async with serve(reply(200), host="127.0.0.2") as other, serve(redirect(other.url)) as server:
        await check(server.url, **SECRETS[which])
        assert credential(server.requests[0], which)
        assert credential(other.requests[0], which) is None
        assert "s3cret" not in str(other.requests[0].lines)


@pytest.mark.parametrize("which", SECRETS)
async def test_c9_another_port_of_the_host_is_another_origin(which):
    async with serve(reply(200)) as other, serve(redirect(other.url)) as server:
        await check(server.url, **SECRETS[which])
        assert "s3cret" not in str(other.requests[0].lines)


async def test_c9_another_scheme_is_another_origin(authority):
    async with serve(reply(200)) as plain, serve(redirect(plain.url), authority.server()) as safe:
        await check(safe.url, ca_file=authority.file, bearer_token="s3cret")
        assert plain.requests[0].header("Authorization") is None
        assert safe.requests[0].header("Authorization") == "Bearer s3cret"


async def test_c9_a_detour_does_not_bring_a_credential_back():
    async with (
        serve(lambda _: redirect(home.url + "back"), host="127.0.0.2") as other,
        serve(lambda request: redirect(other.url) if request.target == "/" else reply(200)) as home,
    ):
        found = await check(home.url, bearer_token="s3cret")
        assert [request.header("Authorization") for request in home.requests] == ["Bearer s3cret", None]
    assert found.failure is None


async def test_c9_harmless_headers_go_along():
    async with serve(reply(200), host="127.0.0.2") as other, serve(redirect(other.url)) as server:
        await check(server.url, headers={"User-Agent": "ts", "Accept": "text/xml", "X-Api-Key": "s3cret"})
        assert other.requests[0].header("User-Agent") == "ts"
        assert other.requests[0].header("Accept") == "text/xml"
