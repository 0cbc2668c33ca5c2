"""Connection URIs and SCRAM, without a socket."""

import asyncio
import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from monitor.oneshot import WrongUseError, prepare
from probes.failures import TroubleError
from probes.kinds.postgresql import PostgresqlParams
from probes.postgresql_dsn import POSTGRESQL
from probes.postgresql_session import version_number
from probes.postgresql_wire import Reader, read_columns, read_error, read_row, read_strings
from probes.scram import Exchange, Keys, KeyStore, end_point_binding
from probes.tls import Trust


@pytest.mark.parametrize(
    ("text", "shown", "secret"),
    [
        ("postgresql://u:p@h:5433/d", "postgresql://u:***@h:5433/d?sslmode=prefer", "p"),
        ("postgres://u@h", "postgresql://u@h:5432/u?sslmode=prefer", ""),
        ("postgresql://u:a%40b@[::1]/d?sslmode=require", "postgresql://u:***@[::1]:5432/d?sslmode=require", "a@b"),
        ("postgresql://u:a@b:/?#c@h:1/d", "postgresql://u:***@h:1/d?sslmode=prefer", "a@b:/?#c"),
        ("postgresql://u:100%@h/d", "postgresql://u:***@h:5432/d?sslmode=prefer", "100%"),
        ("postgresql://u%20x:mật@h/d%20b", "postgresql://u x:***@h:5432/d b?sslmode=prefer", "mật"),
    ],
)
def test_a_dsn_is_read_and_shown_without_its_password(text, shown, secret):
    dsn = POSTGRESQL.read(text)
    assert dsn.password.get_secret_value() == secret
    assert str(dsn) == shown
    params = PostgresqlParams(dsn=text)
    dumps = f"{dsn!r} {params!r} {params} {params.model_dump()!r} {params.model_dump_json()} {params.dsn.password}"
    assert not secret or len(secret) < 3 or secret not in dumps


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mysql://u:hunter2@h/d", "begins with postgresql://"),
        ("host=h user=u password=hunter2", "begins with postgresql://"),
        ("postgresql://h/d?password=hunter2", "names its user"),
        ("postgresql://:hunter2@h/d", "names its user"),
        ("postgresql://u:hunter2@/d", "names its host"),
        ("postgresql://u:hunter2@h:port/d", "host is not host or host:port"),
        ("postgresql://u:hunter2@h,i/d", "host is not host or host:port"),
        ("postgresql://u:hunter2@h/d?sslmod=require", "did you mean 'sslmode'"),
        ("postgresql://u:hunter2@h/d?sslmode=always", "sslmode is one of disable"),
        ("postgresql://u:hun\0ter2@h/d", "no NUL"),
    ],
)
def test_a_wrong_dsn_says_what_is_wrong_and_not_what_was_written(text, reason):
    with pytest.raises(ValidationError) as caught:
        PostgresqlParams(dsn=text)
    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(WrongUseError, match="dsn: "):
        prepare("postgresql", text, {})


def test_whom_each_sslmode_trusts():
    def trust(options):
        return POSTGRESQL.read(f"postgresql://u@h/d?{options}").trust

    assert not trust("sslmode=prefer&sslrootcert=/ca.pem").verify
    assert not trust("sslmode=require").verify
    assert trust("sslmode=require&sslrootcert=/ca.pem") == Trust(ca_file="/ca.pem", check_name=False)
    assert trust("sslmode=verify-ca") == Trust(check_name=False)
    assert trust("sslmode=verify-full") == Trust()


async def test_the_exchange_of_rfc_7677():
    """RFC 7677, section 3, with the RFC's own nonce in place of ours."""
    exchange = Exchange(None, tls=False)
    exchange._nonce = b"rOprNGfwEbeRWgbNEkqO"
    exchange._bare = b"n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert exchange.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    final = await exchange.final(challenge, SecretStr("pencil"), KeyStore())
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    exchange.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(TroubleError, match="impostor"):
        exchange.verify(b"v=" + base64.b64encode(bytes(32)))
    with pytest.raises(TroubleError, match="impostor"):
        Exchange(None, tls=False).verify(b"v=")


async def test_derived_keys_are_kept_and_never_shown():
    store = KeyStore()
    one, again, other = await asyncio.gather(
        store.get(SecretStr("a"), b"salt", 20_000),
        store.get(SecretStr("a"), b"salt", 4096),
        store.get(SecretStr("b"), b"salt", 4096),
    )
    assert len({one, again, other}) == 3
    assert await store.get(SecretStr("a"), b"salt", 20_000) is one
    assert repr(one) == "Keys(***)" == repr(Keys(b"x", b"y"))


def test_what_has_no_channel_binding():
    assert end_point_binding(b"not a certificate") is None
    assert Exchange(b"hash", tls=True).first().startswith(b"p=tls-server-end-point,,")
    assert Exchange(None, tls=True).first().startswith(b"y,,")


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_messages_or_trouble(pieces):
    reader = Reader(left=500)
    taken = 0
    try:
        for piece in pieces:
            reader.feed(piece)
            while (message := reader.next()) is not None:
                taken += 5 + len(message.body)
                for read in (read_error, read_columns, read_row, read_strings):
                    with contextlib.suppress(TroubleError):
                        read(message.body)
    except TroubleError:
        return
    assert taken <= sum(map(len, pieces))


@pytest.mark.parametrize(
    ("text", "number"),
    [("15.18 (Debian 15.18-0)", 150018), ("9.6.24", 90624), ("17beta1", 170000), ("", None), ("x", None)],
)
def test_a_version_as_a_number(text, number):
    assert version_number(text) == number
