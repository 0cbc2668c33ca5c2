"""A SOAP service on loopback that reads its requests, and its description: for tests of `soap`, `xroad`, `discover`."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tests.probes.http_servers import Received, reply

ENVELOPES = {
    "http://schemas.xmlsoap.org/soap/envelope/": "text/xml; charset=utf-8",
    "http://www.w3.org/2003/05/soap-envelope": "application/soap+xml; charset=utf-8",
}
SPACE = "urn:vn:gov:dan-cu"

WSDL = """<?xml version="1.0" encoding="UTF-8"?>
<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"
  xmlns:t="urn:vn:gov:dan-cu" xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:vn:gov:dan-cu">
 <w:types><x:schema targetNamespace="urn:vn:gov:dan-cu">
  <x:element name="GetStatus"><x:complexType/></x:element>
  <x:element name="Find"><x:complexType><x:sequence><x:element name="id" type="x:string"/></x:sequence>
  </x:complexType></x:element>
 </x:schema></w:types>
 <w:message name="GetStatusIn"><w:part name="p" element="t:GetStatus"/></w:message>
 <w:message name="FindIn"><w:part name="p" element="t:Find"/></w:message>
 <w:portType name="DanCu">
  <w:operation name="GetStatus"><w:input message="t:GetStatusIn"/></w:operation>
  <w:operation name="Find"><w:input message="t:FindIn"/></w:operation>
 </w:portType>
 <w:binding name="DanCuSoap" type="t:DanCu"><s:binding transport="http://schemas.xmlsoap.org/soap/http"/>
  <w:operation name="GetStatus"><s:operation soapAction="urn:GetStatus"/></w:operation>
  <w:operation name="Find"><s:operation soapAction="urn:Find"/></w:operation>
 </w:binding>
 <w:service name="DanCuService"><w:port name="DanCuPort" binding="t:DanCuSoap">
  <s:address location="{address}"/></w:port></w:service>
</w:definitions>"""


def envelope(inside: str, version: str = "1.1", header: str = "") -> bytes:
    """Return an envelope with a body."""
    space = list(ENVELOPES)[version == "1.2"]
    head = f"<s:Header>{header}</s:Header>" if header else ""
    return f'<?xml version="1.0"?><s:Envelope xmlns:s="{space}">{head}<s:Body>{inside}</s:Body></s:Envelope>'.encode()


def answer(inside: str, version: str = "1.1", status: int = 200) -> bytes:
    """Return an answer with an envelope."""
    return reply(status, envelope(inside, version), f"Content-Type: {list(ENVELOPES.values())[version == '1.2']}")


def fault(code: str, reason: str, version: str = "1.1", status: int = 500) -> bytes:
    """Return an answer with a fault."""
    if version == "1.1":
        inside = f"<s:Fault><faultcode>{code}</faultcode><faultstring>{reason}</faultstring></s:Fault>"
    else:
        inside = (
            f"<s:Fault><s:Code><s:Value>{code}</s:Value></s:Code>"
            f'<s:Reason><s:Text xml:lang="vi">{reason}</s:Text></s:Reason></s:Fault>'
        )
    return answer(inside, version, status)


def dan_cu(request: Received) -> bytes:
    """Answer as the service whose description is WSDL."""
    if request.method == "GET":
        text = WSDL.replace("{address}", request.server.url)
        return reply(200, text.encode(), "Content-Type: text/xml")
    root = ET.fromstring(request.body)
    space = root.tag[1:].partition("}")[0]
    version = "1.2" if space == list(ENVELOPES)[1] else "1.1"
    if not (request.header("content-type") or "").startswith(ENVELOPES[space].partition(";")[0]):
        return reply(415)
    called = next(iter(root.find(f"{{{space}}}Body")))
    if called.tag == f"{{{SPACE}}}GetStatus":
        inside = f'<r:GetStatusResponse xmlns:r="{SPACE}"><r:status>OK</r:status><r:n>3</r:n></r:GetStatusResponse>'
        return answer(inside, version)
    return fault("s:Client" if version == "1.1" else "s:Sender", f"không có {called.tag.rpartition('}')[2]}", version)
