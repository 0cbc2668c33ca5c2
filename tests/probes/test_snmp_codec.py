"""SNMP's octets: against pysnmp and pyasn1, against the RFCs' own examples, and against noise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pydantic import SecretStr
from pysnmp.proto.api import v2c
from pysnmp.proto.secmod.rfc3414 import localkey
from pysnmp.proto.secmod.rfc3414.auth.hmacsha import HmacSha
from pysnmp.proto.secmod.rfc7860.auth import hmacsha2

from pysnmp.proto.secmod.eso.priv import aes192, aes256  # isort: skip - their modules import one another

from probes.failures import TroubleError
from probes.snmp_ber import COUNTER64, BerError, header, integer, number, octets, oid, oid_text, subidentifiers, suffix
from probes.snmp_params import Login
from probes.snmp_pdu import GET_BULK, decode_community_message, encode_community_message, encode_pdu, error_name
from probes.snmp_security import LearnedError, NotOursError, UserSecurity
from probes.snmp_usm import (
    DIGESTS,
    Header,
    decode_message,
    encode_message,
    is_authentic,
    key_of_password,
    keys_at,
    localized,
    open_payload,
)

ENGINE = bytes.fromhex("000000000000000000000002")
PASSWORD = b"maplesyrup"
OIDS = st.tuples(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**32 - 1), max_size=20))


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_as_pyasn1_writes_them(value):
    assert integer(value) == encoder.encode(univ.Integer(value))
    assert number(2, integer(value)[2:]) == value


@given(OIDS)
def test_object_identifiers_are_as_pyasn1_writes_them(parts):
    text = ".".join(map(str, (parts[0], parts[1], *parts[2])))
    raw = oid(text)
    assert encoder.encode(univ.ObjectIdentifier(text)).endswith(raw)
    assert oid_text(raw) == text
    assert subidentifiers(suffix(parts[2])) == tuple(parts[2])


@given(st.binary(max_size=70_000))
def test_strings_of_every_length(value):
    tag, start, stop = header(octets(value), 0, len(octets(value)))
    assert (tag, octets(value)[start:stop]) == (4, value)


def test_a_counter_without_its_sign_octet_is_unsigned():
    assert number(COUNTER64, b"\xff" * 8) == 2**64 - 1


@given(st.lists(OIDS, max_size=10), st.integers(1, 2**31 - 1), st.binary(max_size=40))
def test_a_request_is_what_pysnmp_reads(names, id_, community):
    texts = [".".join(map(str, (a, b, *rest))) for a, b, rest in names]
    data = encode_community_message(community, encode_pdu(GET_BULK, id_, [oid(text) for text in texts], 1, 20))
    message, rest = decoder.decode(data, asn1Spec=v2c.Message())
    pdu = v2c.apiMessage.get_pdu(message)
    assert rest == b""
    assert bytes(v2c.apiMessage.get_community(message)) == community
    assert (int(pdu[0]), int(pdu[1]), int(pdu[2])) == (id_, 1, 20)
    assert [str(name) for name, _ in v2c.apiBulkPDU.get_varbinds(pdu)] == texts
    back = decode_community_message(data)
    assert (back.request_id, [oid_text(name) for name, _, _ in back.bindings]) == (id_, texts)


@given(st.binary(max_size=300))
def test_noise_is_refused(data):
    for decode in (decode_community_message, decode_message):
        with pytest.raises(BerError):
            decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x88" + b"\xff" * 8,
        b"\x30\x80\x02\x01\x01",
        b"\x30" * 5000,
        b"\x30\x82\x00\x05\x02\x01\x01\x04\x7f",
    ],
)
def test_lengths_that_lie(data):
    with pytest.raises(BerError):
        decode_community_message(data)


@given(st.data())
def test_a_message_with_changed_octets_is_read_or_refused_and_nothing_else(data):
    names = [oid(f"1.3.6.1.2.1.2.2.1.8.{n}") for n in range(5)]
    message = bytearray(encode_community_message(b"public", encode_pdu(0xA2, 77, names)))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        pdu = decode_community_message(bytes(message))
        error_name(pdu.error_status)
        for name, _, _ in pdu.bindings:
            subidentifiers(name)
    except BerError:
        pass


@pytest.mark.parametrize(
    ("hash_", "key", "local"),
    [  # RFC 3414, appendix A.3
        ("md5", "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"),
        ("sha1", "9fb5cc0381497b3793528939ff788d5d79145211", "6695febc9288e36282235fc7151f128497b38f3f"),
    ],
)
def test_keys_of_the_rfc(hash_, key, local):
    assert key_of_password(hash_, PASSWORD).hex() == key
    assert localized(hash_, bytes.fromhex(key), ENGINE).hex() == local


@pytest.mark.parametrize("name", ["sha224", "sha256", "sha384", "sha512"])
def test_keys_of_sha_2_are_pysnmps(name):
    service = {
        "sha224": hmacsha2.HmacSha2.SHA224_SERVICE_ID,
        "sha256": hmacsha2.HmacSha2.SHA256_SERVICE_ID,
        "sha384": hmacsha2.HmacSha2.SAH384_SERVICE_ID,
        "sha512": hmacsha2.HmacSha2.SHA512_SERVICE_ID,
    }[name]
    theirs = hmacsha2.HmacSha2(service)
    key = theirs.hash_passphrase(PASSWORD)
    assert keys_at(ENGINE, name, PASSWORD, None, b"").auth == bytes(theirs.localize_key(key, univ.OctetString(ENGINE)))
    assert DIGESTS[name].octets == theirs.digest_length


@pytest.mark.parametrize(
    ("privacy", "theirs"),
    [
        ("aes192", aes192.AesBlumenthal192),
        ("aes256", aes256.AesBlumenthal256),
        ("aes192-reeder", aes192.Aes192),
        ("aes256-reeder", aes256.Aes256),
    ],
)
def test_long_privacy_keys_are_pysnmps(privacy, theirs):
    ours = keys_at(ENGINE, "sha1", PASSWORD, privacy, PASSWORD).private
    key = localkey.hash_passphrase_sha(PASSWORD)
    assert ours == bytes(theirs().localize_key(HmacSha.SERVICE_ID, key, univ.OctetString(ENGINE)))


@pytest.mark.parametrize("privacy", [None, "aes128", "aes192", "aes256", "aes256-reeder"])
@pytest.mark.parametrize("auth", list(DIGESTS))
def test_what_is_wrapped_opens_with_the_right_keys_alone(auth, privacy):
    keys = keys_at(ENGINE, auth, PASSWORD, privacy, PASSWORD)
    head = Header(5, keys.flags, ENGINE, 3, 400, b"bert")
    data = encode_message(head, keys, ENGINE, b"", encode_pdu(GET_BULK, 9, [oid("1.3.6.1")]), b"saltsalt")
    envelope = decode_message(data)
    assert envelope.header == head
    assert is_authentic(envelope, data, keys)
    assert open_payload(envelope, keys).request_id == 9
    other = keys_at(ENGINE, auth, b"mapletree", privacy, PASSWORD)
    assert not is_authentic(envelope, data, other)
    for at in (len(data) - 1, envelope.digest_at, data.index(b"bert")):
        changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        assert not is_authentic(decode_message(changed)._replace(header=head), changed, keys)


def asking(privacy="aes128"):
    """Return a user who has heard of the engine."""
    secret = SecretStr(PASSWORD.decode())
    security = UserSecurity(Login(None, "bert", "sha256", secret, privacy, secret if privacy else None, ""))
    report = encode_message(
        Header(1, 0, ENGINE, 3, 400, b""),
        keys_at(ENGINE, None, b"", None, b""),
        ENGINE,
        b"",
        encode_pdu(0xA8, 1, [oid("1.3.6.1.6.3.15.1.1.4.0")]),
        b"",
    )
    with pytest.raises(LearnedError):
        security.unwrap(report, {1}, 0.0)
    return security


def response(boots=3, time=400, user=b"bert", level="aes128", id_=7, kind=0xA2, name="1.3.6.1"):
    """Return a message of the engine's."""
    keys = keys_at(
        ENGINE, "sha256" if level != "none" else None, PASSWORD, level if level == "aes128" else None, PASSWORD
    )
    head = Header(id_, keys.flags, ENGINE, boots, time, user)
    return encode_message(head, keys, ENGINE, b"", encode_pdu(kind, id_, [oid(name)]), b"saltsalt")


def test_an_answer_is_taken_once_it_is_authentic_private_and_of_now():
    assert asking().unwrap(response(), {7}, 1.0).request_id == 7


@pytest.mark.parametrize(
    "data",
    [
        response(level="none"),
        response(level="auth"),
        response(boots=2),
        response(time=200),
        response(user=b"ernie"),
        response(id_=8),
        response(kind=0xA5),
        response()[:-1] + b"\0",
        response(kind=0xA8, name="1.3.6.1.6.3.15.1.1.2.0", level="none"),  # out of our time, says anybody
    ],
)
def test_an_answer_that_is_less_is_ignored(data):
    with pytest.raises(NotOursError):
        asking().unwrap(data, {7}, 1.0)


def test_the_engines_clock_is_moved_by_what_is_authentic():
    security = asking()
    with pytest.raises(LearnedError):
        security.unwrap(response(kind=0xA8, name="1.3.6.1.6.3.15.1.1.2.0", boots=9, time=50, level="auth"), {7}, 1.0)
    assert (security.engine.boots, security.engine.time_at(11.0)) == (9, 60)


@given(st.data())
def test_a_changed_message_of_version_3_never_passes(data):
    message = bytearray(response())
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((NotOursError, TroubleError)):
        asking().unwrap(bytes(message), {7}, 1.0)
