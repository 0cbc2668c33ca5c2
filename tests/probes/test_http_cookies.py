"""The cookie jar of one check (RFC 6265)."""

import pytest
from yarl import URL

from probes.http_cookies import Jar

HERE = URL("https://cong.example.vn/app/login")


@pytest.mark.parametrize(
    ("cookie", "url", "sent"),
    [
        ("a=1", "https://cong.example.vn/app/x", "a=1"),
        ("a=1", "https://cong.example.vn:8443/app", "a=1"),
        ("a=1", "http://cong.example.vn/app/x", "a=1"),
        ("a=1", "https://CONG.example.vn/app/x", "a=1"),
        ("a=1", "https://cong.example.vn/", ""),
        ("a=1", "https://cong.example.vn/application", ""),
        ("a=1; Path=/", "https://cong.example.vn/", "a=1"),
        ("a=1; path=/app/", "https://cong.example.vn/app/x", "a=1"),
        ("a=1; Path=app", "https://cong.example.vn/app/x", "a=1"),
        ("a=1; Path=/other", "https://cong.example.vn/app", ""),
        ("a=1; Path=/", "https://example.vn/", ""),
        ("a=1; Path=/", "https://x.cong.example.vn/", ""),
        ("a=1; Path=/; Domain=example.vn", "https://cong.example.vn/", "a=1"),
        ("a=1; Path=/; Domain=.example.vn", "https://khac.example.vn/", ""),
        ("a=1; Path=/; Domain=khac.vn", "https://cong.example.vn/", ""),
        ("a=1; Path=/; Domain=xample.vn", "https://cong.example.vn/", ""),
        ("a=1; Path=/; Secure", "https://cong.example.vn/", "a=1"),
        ("a=1; Path=/; Secure", "http://cong.example.vn/", ""),
        ("a=1; Path=/; Max-Age=0", "https://cong.example.vn/", ""),
        ("a=1; Path=/; Max-Age=-5", "https://cong.example.vn/", ""),
        ("a=1; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://cong.example.vn/", "a=1"),
        ("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://cong.example.vn/", ""),
        ("a=1; Path=/; Expires=never", "https://cong.example.vn/", "a=1"),
        ("a=; Path=/", "https://cong.example.vn/", "a="),
        ('a="q=1"; Path=/', "https://cong.example.vn/", 'a="q=1"'),
        ("a = 1 ; Path=/", "https://cong.example.vn/", "a=1"),
        ("nothing", "https://cong.example.vn/app", ""),
        ("=1; Path=/", "https://cong.example.vn/", ""),
        ("a=1\x00; Path=/", "https://cong.example.vn/", ""),
        ("", "https://cong.example.vn/", ""),
    ],
)
def test_where_a_cookie_goes(cookie, url, sent):
    jar = Jar()
    jar.take(cookie, HERE)
    assert jar.header_for(URL(url)) == sent


def test_a_secure_cookie_cannot_be_set_without_tls():
    jar = Jar()
    jar.take("a=1; Path=/; Secure", URL("http://cong.example.vn/"))
    assert jar.header_for(HERE) == ""


def test_a_later_cookie_replaces_and_an_expired_one_removes():
    jar = Jar()
    jar.take("a=1; Path=/", HERE)
    jar.take("a=2; Path=/", HERE)
    assert jar.header_for(HERE) == "a=2"
    jar.take("a=; Path=/; Max-Age=0", HERE)
    assert jar.header_for(HERE) == ""


def test_longer_paths_come_first():
    jar = Jar()
    jar.take("wide=1; Path=/", HERE)
    jar.take("narrow=1; Path=/app", HERE)
    assert jar.header_for(HERE) == "narrow=1; wide=1"
