"""C13. A SOAP fault inside a 200 is down."""

import pytest

from probes.kinds.soap import SoapParams, run
from probes.model import Failure
from tests.probes.http_servers import check, context, reply, serve

SOAP_11 = """<?xml version="1.0" encoding="utf-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Header/><soap:Body>
<soap:Fault><faultcode>soap:Server</faultcode><faultstring>Cơ sở dữ liệu không phản hồi</faultstring>
<detail><x>secret</x></detail></soap:Fault></soap:Body></soap:Envelope>"""
SOAP_12 = """<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault>
<e:Code><e:Value>e:Receiver</e:Value></e:Code><e:Reason><e:Text xml:lang="vi">Quá hạn</e:Text></e:Reason>
</e:Fault></e:Body></e:Envelope>"""
FINE = SOAP_11.replace("soap:Fault", "soap:Result").replace("soap:Server", "Fault")
XML = "Content-Type: text/xml; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "content_type", "fault"),
    [
        (SOAP_11, XML, "soap:Server: Cơ sở dữ liệu không phản hồi"),
        (SOAP_12, "Content-Type: application/soap+xml", "e:Receiver: Quá hạn"),
        (SOAP_12, "Content-Type: Application/XML", "e:Receiver: Quá hạn"),
        (SOAP_12, "Content-Type: text/plain", "e:Receiver: Quá hạn"),
        (SOAP_11, "Content-Type: text/html", "soap:Server: Cơ sở dữ liệu không phản hồi"),
        (f"\r\n{SOAP_11}", "X-No: type", "soap:Server: Cơ sở dữ liệu không phản hồi"),
        (
            f"--b\r\nContent-Type: application/xop+xml\r\n\r\n{SOAP_12}\r\n--b--\r\n",
            'Content-Type: multipart/related; type="application/xop+xml"; boundary=b',
            "e:Receiver: Quá hạn",
        ),
    ],
)
async def test_c13_a_fault_inside_a_200_is_down(body, content_type, fault):
    async with serve(reply(200, body.encode(), content_type)) as server:
        found = await check(server.url)
    assert found.failure is Failure.SOAP_FAULT
    assert found.message == f"SOAP fault {fault}"
    assert found.samples["status"] == 200
    assert found.samples["body_bytes"] == len(body.encode())


async def test_c13_a_fault_in_utf_16_is_a_fault():
    async with serve(reply(200, SOAP_11.replace("utf-8", "utf-16").encode("utf-16"), XML)) as server:
        assert (await check(server.url)).failure is Failure.SOAP_FAULT


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (FINE, XML),
        (f"<html><pre>{SOAP_12}</pre></html>", "Content-Type: text/html"),
        (SOAP_12, "Content-Type: multipart/related"),
        (SOAP_12, 'Content-Type: multipart/related; boundary="b"'),
        (SOAP_11.replace("soap/envelope", "other"), XML),
        (f"<log>{SOAP_12}</log>", XML),
        (SOAP_11[:60], XML),
        ("Fault", XML),
        (SOAP_11.replace("utf-8", "no-such"), XML),
    ],
)
async def test_c13_what_is_no_fault_is_up(body, content_type):
    async with serve(reply(200, body.encode(), content_type)) as server:
        assert (await check(server.url)).failure is None


async def test_c13_a_fault_with_500_is_a_wrong_status_that_names_the_fault():
    async with serve(reply(500, SOAP_11.encode(), XML)) as server:
        found = await check(server.url)
    assert found.failure is Failure.HTTP_STATUS
    assert found.message.startswith("status not in [2xx] (status = 500): soap:Server")


async def test_c13_entities_are_never_expanded():
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + SOAP_11.split("?>")[1].replace("Cơ", "&b;")
    async with serve(reply(200, bomb.encode(), XML)) as server:
        assert (await check(server.url)).failure is None


async def test_c13_the_text_of_a_fault_is_bounded():
    body = SOAP_11.replace("Cơ sở", "x\n" * 100_000)
    async with serve(reply(200, body.encode(), XML)) as server:
        found = await check(server.url)
    assert found.failure is Failure.SOAP_FAULT
    assert len(found.message) < 300
    assert found.message.isprintable()


async def test_c13_the_kind_that_speaks_soap_says_so_too():
    async with serve(reply(200, SOAP_11.encode(), XML)) as server, context() as ctx:
        found = await run(SoapParams(url=server.url, operation="a", namespace="urn:b"), ctx)
    assert found.failure is Failure.SOAP_FAULT
    assert found.message == "SOAP fault Server: Cơ sở dữ liệu không phản hồi (status = 200)"
