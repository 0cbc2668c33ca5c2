"""Listeners that speak X-Road as its documents say: a security server and a configuration source, for tests.

An X-Road installation needs a central server, certification and time-stamping services and several hosts; what stands
here checks the headers of each request as PR-MESS and PR-REST demand them, and answers as in the documents' annexes.
"""

from __future__ import annotations

import gzip
import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.probes.http_servers import Received, reply
from tests.probes.soap_servers import envelope

X, ID = "{http://x-road.eu/xsd/xroad.xsd}", "{http://x-road.eu/xsd/identifiers}"
SPACES = 'xmlns:x="http://x-road.eu/xsd/xroad.xsd" xmlns:i="http://x-road.eu/xsd/identifiers"'
PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode", "serviceCode", "serviceVersion")
TEXT = "Content-Type: text/xml;charset=utf-8"
JSON = "Content-Type: application/json"


@dataclass
class SecurityServer:
    """A security server.

    Attributes:
        open, all: services that the provider opens to the client, and all that it has.
        clients: members and subsystems that are registered.
        fault: code and text that it answers instead.
        records: of operational monitoring, by server code.
        diagnostics: what its management API says, by name.
        health: status and body of its health port.

    """

    open: list[str] = field(default_factory=lambda: ["tra-cuu/v1"])
    all: list[str] = field(default_factory=lambda: ["tra-cuu/v1", "cap-nhat"])
    clients: list[str] = field(default_factory=lambda: ["VN/GOV/BCA", "VN/GOV/BCA/DANCU", "VN/GOV/BTC/THUE"])
    fault: tuple[str, str] | None = None
    records: Mapping[str, list[dict[str, object]]] = field(default_factory=dict)
    diagnostics: dict[str, object] = field(default_factory=dict)
    health: tuple[int, bytes] = (200, b"")
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: Received) -> bytes:
        path = request.target.partition("?")[0]
        if path == "/listClients":
            return reply(200, self._client_list(), TEXT)
        if path.startswith("/r1/"):
            return self._rest(request, [unquote(part) for part in path[4:].split("/")])
        if path.startswith("/api/v1/"):
            return self._managed(request, path.rsplit("/", 1)[1])
        if request.method == "GET":
            return reply(self.health[0], self.health[1], "Content-Type: text/plain")
        return self._soap(request)

    def _managed(self, request: Received, name: str) -> bytes:
        if request.header("Authorization") != "X-Road-ApiKey token=khoa-bi-mat":
            return reply(401, b'{"status":401}', JSON)
        if name not in self.diagnostics:
            return reply(403, b'{"status":403}', JSON)
        return reply(200, json.dumps(self.diagnostics[name]).encode(), JSON)

    def _client_list(self) -> bytes:
        members = "".join(
            f'<x:member><x:id i:objectType="SUBSYSTEM">{parts(one)}</x:id><x:name>Tên</x:name></x:member>'
            for one in self.clients
        )
        return f'<?xml version="1.0"?><x:clientList {SPACES}>{members}</x:clientList>'.encode()

    def _soap(self, request: Received) -> bytes:
        root = ET.fromstring(request.body)
        header, body = root
        assert request.header("Content-Type") == "text/xml; charset=utf-8"
        assert header.find(f"{X}protocolVersion").text == "4.0"
        assert header.find(f"{X}id").text
        client, service = header.find(f"{X}client"), header.find(f"{X}service")
        assert client.get(f"{ID}objectType") == "SUBSYSTEM"
        assert service.get(f"{ID}objectType") == "SERVICE"
        code = service.find(f"{ID}serviceCode").text
        assert body[0].tag.rpartition("}")[2] == code
        self.asked.append(code)
        if self.fault is not None:
            told = f"<faultcode>{self.fault[0]}</faultcode><faultstring>{self.fault[1]}</faultstring>"
            inside = f"<s:Fault>{told}<faultactor></faultactor><detail><x:faultDetail {SPACES}/></detail></s:Fault>"
            return reply(500, envelope(inside), TEXT)
        if code == "getSecurityServerOperationalData":
            assert [one.text for one in service][:3] == ["VN", "GOV", "BTC"]
            return self._operational(header.find(f"{X}securityServer/{ID}serverCode").text, body[0])
        provider = "/".join(one.text for one in service)[: -len(code) - 1]
        listed = "".join(
            f'<x:service i:objectType="SERVICE">{parts(f"{provider}/{one}")}</x:service>' for one in self._listed(code)
        )
        return reply(200, envelope(f"<x:{code}Response {SPACES}>{listed}</x:{code}Response>"), TEXT)

    def _listed(self, method: str) -> list[str]:
        return {"listMethods": self.all, "allowedMethods": self.open}[method]

    def _rest(self, request: Received, path: list[str]) -> bytes:
        assert request.header("X-Road-Client") == "VN/GOV/BTC/THUE"
        assert request.header("X-Road-Id")
        self.asked.append(path[-1])
        if self.fault is not None:
            told = {"type": self.fault[0], "message": self.fault[1], "detail": "7a1b"}
            return reply(500, json.dumps(told).encode(), JSON, f"X-Road-Error: {self.fault[0]}")
        names = ("xroad_instance", "member_class", "member_code", "subsystem_code")
        listed = [
            {**dict(zip(names, path, strict=False)), "service_code": one.partition("/")[0], "endpoint_list": []}
            for one in self._listed(path[-1])
        ]
        return reply(200, json.dumps({"service": listed}).encode(), JSON)

    def _operational(self, server: str, asked: ET.Element) -> bytes:
        begin, end = (int(asked.find(f".//{{*}}{name}").text) for name in ("recordsFrom", "recordsTo"))
        assert 0 < end - begin <= 86400
        records = self.records[server]
        inside = (
            f'<m:getSecurityServerOperationalDataResponse xmlns:m="http://x-road.eu/xsd/op-monitoring.xsd">'
            f"<m:recordsCount>{len(records)}</m:recordsCount><m:records>cid:records.json.gz</m:records>"
            f"</m:getSecurityServerOperationalDataResponse>"
        )
        packed = gzip.compress(json.dumps({"records": records}).encode())
        mime = (
            b"--xroadB\r\ncontent-type:text/xml\r\n\r\n" + envelope(inside) + b"\r\n--xroadB\r\n"
            b"content-type:application/gzip\r\ncontent-transfer-encoding: binary\r\n"
            b"content-id: <records.json.gz>\r\n\r\n" + packed + b"\r\n--xroadB--\r\n"
        )
        return reply(200, mime, 'Content-Type: multipart/related; type="text/xml"; charset=UTF-8; boundary=xroadB')


def parts(identity: str) -> str:
    """Return an identity's elements."""
    return "".join(f"<i:{name}>{part}</i:{name}>" for name, part in zip(PARTS, identity.split("/"), strict=False))


def directory(expires: str, end_of_line: str = "\r\n") -> bytes:
    """Return the answer of a configuration source, as in PR-GCONF, annex A.2."""
    text = f"""--envelopeboundary
Content-Type: multipart/mixed; charset=UTF-8; boundary=innerboundary

--innerboundary
Expire-date: {expires}
Version: 3

--innerboundary
Content-type: application/octet-stream
Content-transfer-encoding: base64
Content-identifier: PRIVATE-PARAMETERS; instance='VN'
Content-location: /private-parameters.xml
Hash-algorithm-id: http://www.w3.org/2001/04/xmlenc#sha512

qgD1gNt3i/eDMCy0s6lTig6TD5h4=
--innerboundary
Content-type: application/octet-stream
Content-transfer-encoding: base64
Content-identifier: SHARED-PARAMETERS; instance='VN'
Content-location: /shared-parameters.xml
Hash-algorithm-id: http://www.w3.org/2001/04/xmlenc#sha512

qgD1gNt3i/eDMCy0s6lTig6TD5h4=
--innerboundary--
--envelopeboundary
Content-type: application/octet-stream
Content-transfer-encoding: base64
Signature-algorithm-id: http://www.w3.org/2001/04/xmldsig-more#rsa-sha512
Verification-certificate-hash: trng71M3bScT0fkc1TBWUaG+D28zTo;
    hash-algorithm-id="http://www.w3.org/2001/04/xmlenc#sha512"

D1XfU3UXTFxS8s8iVW9=
--envelopeboundary--
"""
    return reply(
        200,
        text.replace("\n", end_of_line).encode(),
        "Content-Type: multipart/related; charset=UTF-8; boundary=envelopeboundary",
    )
