"""The kind `soap`, against a service that reads what it is sent, and against peers that mean harm."""

import asyncio
import base64
import hashlib
import xml.etree.ElementTree as ET

import pytest
from pydantic import ValidationError

from monitor.oneshot import prepare, run_once
from probes.kinds import soap
from probes.kinds.soap import PROBE, SoapParams
from probes.model import Failure, Resources
from probes.soap_message import Template, minimal, username_token
from probes.wsdl import Wsdl
from probes.xml_tree import XmlError, parse, plain
from tests.probes.http_servers import context, reply, serve
from tests.probes.soap_servers import SPACE, WSDL, answer, dan_cu, envelope, fault

pytest_plugins = ["tests.probes.http_fixtures"]

CALL = {"operation": "GetStatus", "namespace": SPACE}
WSSE = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
WSU = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"


async def check(url, resources=None, timeout_s=5.0, **params):
    async with context(timeout_s, resources) as ctx, asyncio.timeout(timeout_s):
        return await soap.run(SoapParams(url=url, **params), ctx)


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_an_operation_that_answers_is_up_and_its_values_can_be_looked_at(version):
    async with serve(dan_cu) as server:
        found = await check(server.url, version=version, soap_action="urn:GetStatus", **CALL)
    assert (found.failure, found.message) == (None, "")
    assert found.facts["xml"]["Body"]["GetStatusResponse"] == {"status": "OK", "n": "3"}
    assert found.samples["fault"] == 0
    request = server.requests[0]
    if version == "1.1":
        assert request.header("SOAPAction") == '"urn:GetStatus"'
    else:
        assert request.header("Content-Type") == 'application/soap+xml; charset=utf-8; action="urn:GetStatus"'
        assert request.header("SOAPAction") is None


async def test_every_documented_sample_of_a_tls_run_is_measured(authority):
    resources = Resources()
    async with serve(dan_cu, authority.server()) as server:
        for _ in range(2):
            found = await check(server.url, resources, ca_file=authority.file, wsdl=True, **CALL)
    await resources.aclose()
    assert found.failure is None, found.message
    assert set(found.samples) == set(PROBE.samples) - {"proxy_s", "token_s"}
    assert {name for name in PROBE.facts if not name.startswith("fault.")} >= {"xml", "wsdl.hash"}
    assert found.facts["cert.subject"]


@pytest.mark.parametrize(("version", "code"), [("1.1", "Client"), ("1.2", "Sender")])
async def test_a_fault_is_down_with_its_code_and_reason_whatever_the_status(version, code):
    async with serve(dan_cu) as server:
        found = await check(server.url, version=version, operation="Nothing", namespace=SPACE)
    assert found.failure is Failure.SOAP_FAULT
    assert found.message == f"SOAP fault {code}: không có Nothing (status = 500)"
    assert found.facts["fault.code"] == code
    assert found.samples["fault"] == 1


async def test_a_fault_that_is_expected_is_up_and_an_ordinary_answer_is_not():
    async with serve(dan_cu) as server:
        refused = await check(server.url, fault_expected=True, operation="Nothing", namespace=SPACE)
        taken = await check(server.url, fault_expected=True, **CALL)
    assert refused.failure is None
    assert refused.facts["fault.reason"] == "không có Nothing"
    assert taken.failure is Failure.CONDITION


async def test_conditions_look_into_the_envelope():
    async with serve(dan_cu) as server:
        conditions = ["xml.Body.GetStatusResponse.status != 'OK'", "int(xml.Body.GetStatusResponse.n) < 4"]
        job = prepare("soap", server.url, {**CALL, "down_when": conditions})
        result = await run_once(job, "test")
    assert result.failure is Failure.CONDITION
    assert 'xml.Body.GetStatusResponse.n = "3"' in result.message


@pytest.mark.parametrize(
    ("body", "failure", "words"),
    [
        (reply(200, b"<html>", "Content-Type: text/html"), Failure.PROTOCOL, "not SOAP (content type text/html)"),
        (reply(503, b"busy"), Failure.HTTP_STATUS, "status = 503"),
        (reply(200, b"<a/>", "Content-Type: text/xml"), Failure.PROTOCOL, "not a SOAP envelope but <a>"),
        (reply(200, b"<!DOCTYPE a [<!ENTITY b 'x'>]><a>&b;</a>"), Failure.PROTOCOL, "document type declaration"),
        (reply(200, b"<a>" * 200 + b"</a>" * 200), Failure.PROTOCOL, "deeper than 100"),
        (reply(200, b""), Failure.PROTOCOL, "not SOAP"),
        (fault("wsse:FailedAuthentication", "no"), Failure.AUTH_REJECTED, "FailedAuthentication: no"),
        (fault("s:Server", "x\n" * 5000, status=200), Failure.SOAP_FAULT, "SOAP fault Server: x"),
    ],
)
async def test_what_is_not_an_answer_is_down(body, failure, words):
    async with serve(body) as server:
        found = await check(server.url, **CALL)
    assert found.failure is failure
    assert words in found.message
    assert len(found.message) <= 400
    assert found.message.isprintable()


async def test_a_large_answer_is_read_beside_the_loop():
    rows = "".join(f"<r><n>{n}</n></r>" for n in range(20_000))
    async with serve(answer(f"<rows>{rows}</rows>")) as server:
        found = await check(server.url, **CALL)
    assert found.failure is None, found.message
    assert len(found.facts["xml"]["Body"]["rows"]["r"]) == 20_000


async def test_an_empty_202_is_what_a_one_way_operation_gives():
    async with serve(reply(202)) as server:
        assert (await check(server.url, **CALL)).failure is None


async def test_an_answer_with_attachments_is_read():
    inside = envelope("<ok>1</ok>")
    parts = (
        b"--b\r\nContent-Type: text/xml\r\n\r\n" + inside + b"\r\n--b\r\nContent-Type: image/png\r\n\r\nxx\r\n--b--\r\n"
    )
    body = reply(200, parts, 'Content-Type: multipart/related; type="text/xml"; boundary="b"')
    async with serve(body) as server:
        found = await check(server.url, **CALL)
    assert found.failure is None, found.message
    assert found.facts["xml"]["Body"] == {"ok": "1"}


async def test_the_password_is_sent_as_a_digest_that_is_another_each_time_and_stands_nowhere():
    resources = Resources()
    who = {"username": "giam-sat", "password": "bí-mật"}
    async with serve(dan_cu) as server:
        for _ in range(2):
            found = await check(server.url, resources, security=who, **CALL)
    await resources.aclose()
    assert found.failure is None
    nonces = set()
    for request in server.requests:
        token = ET.fromstring(request.body).find(f".//{WSSE}UsernameToken")
        nonce = base64.b64decode(token.find(f"{WSSE}Nonce").text)
        created = token.find(f"{WSU}Created").text
        expected = base64.b64encode(hashlib.sha1(nonce + created.encode() + "bí-mật".encode()).digest()).decode()
        assert token.find(f"{WSSE}Password").text == expected
        assert token.find(f"{WSSE}Username").text == "giam-sat"
        assert "bí-mật" not in request.body.decode()
        nonces.add(nonce)
    assert len(nonces) == 2
    assert "bí-mật" not in repr(SoapParams(url=server.url, security=who, **CALL))


def test_a_token_goes_into_the_header_of_an_envelope_that_has_one_and_of_one_that_has_none():
    token = username_token("1.1", "a<b", "p", digest=False)
    for inside in ("<s:Header><x/></s:Header>", ""):
        text = f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">{inside}<s:Body/></s:Envelope>'
        root = ET.fromstring(Template(text).encoded(token))
        header, body = root
        assert header.tag.endswith("}Header")
        assert body.tag.endswith("}Body")
        assert header[-1].find(f".//{WSSE}Username").text == "a<b"


async def test_a_given_envelope_is_sent_as_it_is_and_decides_the_version(tmp_path):
    text = minimal("1.2", "GetStatus", SPACE, {"a": "<&"})
    file = tmp_path / "hoi.xml"
    file.write_text('<?xml version="1.0" encoding="utf-8"?>\n' + text)
    async with serve(dan_cu) as server:
        for given in ({"envelope": text}, {"envelope_file": file}):
            assert (await check(server.url, **given)).failure is None
    for request in server.requests:
        assert request.body.decode() == text
        assert request.header("Content-Type").startswith("application/soap+xml")


# --- the description


async def test_without_a_call_it_is_the_wsdl_that_is_looked_at():
    async with serve(dan_cu) as server:
        found = await check(server.url)
        gone = await check(server.url, operation="Xoa")
    assert (found.failure, found.message) == (None, "")
    assert {request.target for request in server.requests} == {"/?wsdl"}
    assert found.samples["wsdl_operations"] == 2
    assert gone.failure is Failure.PROTOCOL


async def test_what_the_wsdl_no_longer_declares_is_down_by_name():
    async with serve(dan_cu) as server:
        fine = await check(server.url, wsdl=True, operation="Find", service="DanCuService", port="DanCuPort")
        gone = [
            await check(server.url, wsdl=True, **what)
            for what in ({"operation": "Xoa"}, {"service": "Khac"}, {"port": "Khac"})
        ]
    assert (fine.failure, fine.message) == (None, "")
    assert fine.samples["wsdl_operations"] == 2
    assert [found.failure for found in gone] == [Failure.PROTOCOL] * 3
    assert [found.message for found in gone] == [
        "the WSDL no longer declares the operation 'Xoa'",
        "the WSDL no longer declares the service 'Khac'",
        "the WSDL no longer declares the port 'Khac'",
    ]


async def test_an_address_that_is_not_the_one_asked_is_degraded():
    elsewhere = WSDL.replace("{address}", "http://noi-bo:8080/dan-cu").encode()
    async with serve(reply(200, elsewhere, "Content-Type: text/xml")) as server:
        other = await check(server.url, wsdl=True, operation="Find")
        told = await check(server.url, wsdl=True, operation="Find", wsdl_address="http://noi-bo:8080/dan-cu/")
        unseen = await check(server.url, wsdl=True, operation="Find", wsdl_address="any")
    assert (other.failure, other.is_degraded) == (Failure.CONDITION, True)
    assert "http://noi-bo:8080/dan-cu" in other.message
    assert told.failure is None
    assert unseen.failure is None


async def test_a_change_of_the_wsdl_is_told_once():
    resources = Resources()
    texts = iter(
        [WSDL, WSDL, WSDL.replace("GetStatusIn", "GetStatusInput"), WSDL.replace("GetStatusIn", "GetStatusInput")]
    )

    def serving(request):
        return reply(200, next(texts).replace("{address}", request.server.url).encode())

    async with serve(serving) as server:
        runs = [await check(server.url, resources, wsdl=True, operation="Find") for _ in range(4)]
    await resources.aclose()
    assert [run.samples.get("wsdl_changed") for run in runs] == [None, 0, 1, 0]
    assert runs[2].failure is None
    assert runs[2].message.startswith("the WSDL has changed (")
    assert runs[3].message == ""


async def test_imports_are_followed_on_the_same_host_and_no_further():
    main = WSDL[: WSDL.index("<w:portType")] + (
        '<w:import namespace="urn:a" location="b.wsdl"/><w:import namespace="urn:b" location="http://10.9.9.9/c.wsdl"/>'
    )
    main += WSDL[WSDL.index(" <w:service") :]
    rest = WSDL[: WSDL.index(" <w:types")] + WSDL[WSDL.index(" <w:portType") : WSDL.index(" <w:service")]
    rest += '<w:import namespace="urn:b" location="/b.wsdl"/></w:definitions>'

    def serving(request):
        text = rest if "b.wsdl" in request.target else main
        return reply(200, text.replace("{address}", request.server.url).encode())

    async with serve(serving) as server:
        found = await check(server.url, wsdl=f"{server.url}a.wsdl", operation="Find")
        gone = await check(server.url, wsdl=f"{server.url}a.wsdl", operation="Xoa")
    assert found.failure is None, found.message
    assert found.samples["wsdl_documents"] == 2
    assert gone.message == "the WSDL no longer declares the operation 'Xoa' (1 imports were not followed)"


async def test_credentials_do_not_go_to_a_wsdl_elsewhere():
    async with serve(dan_cu) as server, serve(dan_cu) as other:
        params = {"basic_auth": {"username": "u", "password": "p"}, "wsdl_address": "any"}
        await check(server.url, wsdl=f"{other.url}?wsdl", **params, **CALL)
    assert server.requests[0].header("Authorization")
    assert other.requests[0].header("Authorization") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"<a/>", "no WSDL"),
        (b'<description xmlns="http://www.w3.org/ns/wsdl"/>', "WSDL 2.0"),
        (b'<!DOCTYPE a SYSTEM "http://x/"><a/>', "document type declaration"),
        (b"<a><b></a>", "not XML"),
        (b"<a>" + b"<b/>" * 60_000 + b"</a>", "too many elements"),
    ],
)
async def test_what_is_no_wsdl_is_down(text, words):
    async with serve(reply(200, text)) as server:
        found = await check(server.url, wsdl=True, operation="Find")
    assert found.failure is Failure.PROTOCOL
    assert words in found.message


async def test_a_wsdl_that_is_not_there_is_down():
    async with serve(reply(404)) as server:
        found = await check(server.url, wsdl=True, operation="Find")
    assert found.failure is Failure.HTTP_STATUS
    assert found.message.startswith("the WSDL is not there (status = 404)")


# --- parts


@pytest.mark.parametrize(
    "params",
    [
        {"wsdl": False},
        {"operation": "x", "wsdl": False},
        {"namespace": "urn:x"},
        {"namespace": "urn:x", "operation": "a b"},
        {"envelope": "<a/>"},
        {"envelope": "no"},
        {"envelope": minimal("1.1", "a", "b", {}), "namespace": "x", "operation": "a"},
        {"operation": "a", "wsdl": True, "fault_expected": True},
        {"operation": "a", "namespace": "b", "port": "x"},
        {"operation": "a", "namespace": "b", "soap_action": 'a"b'},
        {"operation": "a", "namespace": "b", "soap_action": "a\r\nb"},
        {"url": "http://u:p@host/", "operation": "a", "namespace": "b"},
        {"operation": "a", "namespace": "b", "headers": {"Content-Length": "1"}},
        {"operation": "a", "namespace": "b", "bearer_token": "a b"},
    ],
)
def test_what_makes_no_sense_is_refused(params):
    with pytest.raises(ValidationError) as refused:
        SoapParams(**{"url": "http://127.0.0.1/", **params})
    assert "u:p" not in str(refused.value)


def test_a_tree_is_plain_by_local_names():
    text = b'<a:x xmlns:a="u" n="1"><a:y>1</a:y><y>2</y><y>3</y><z><w/></z>t</a:x>'
    assert plain(parse(text)) == {"@n": "1", "y": ["1", "2", "3"], "z": {"w": ""}, "#text": "t"}
    nil = b'<x xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><y i:nil="true"/></x>'
    assert plain(parse(nil)) == {"y": None}


def test_an_operation_without_parameters_is_told_apart():
    wsdl = Wsdl()
    assert wsdl.add(WSDL.encode()) == []
    port = wsdl.ports()[0]
    assert (port.service, port.name, port.version) == ("DanCuService", "DanCuPort", "1.1")
    status, find = port.operations
    assert (status.element, status.namespace, status.action, status.is_plain) == (
        "GetStatus",
        SPACE,
        "urn:GetStatus",
        True,
    )
    assert not find.is_plain


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b'<?xml version="1.0" encoding="no-such"?><a/>', b"<a/><b/>"])
def test_what_is_no_xml_is_refused(text):
    with pytest.raises(XmlError):
        parse(text)


async def test_a_server_that_hangs_up_is_told():
    async with serve(b"") as server:
        found = await check(server.url, **CALL)
    assert found.failure is Failure.CONNECTION_CLOSED
