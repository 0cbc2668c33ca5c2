"""What a WSDL 1.1 declares (W3C Note, 15 March 2001): services, ports, operations, addresses.

Reading is without I/O: the documents that one imports are named, fetched by whoever asked, and added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from probes.xml_tree import Element, XmlError, local, parse

WSDL = "http://schemas.xmlsoap.org/wsdl/"
_WSDL_2 = "http://www.w3.org/ns/wsdl"
_SOAP_11 = "http://schemas.xmlsoap.org/wsdl/soap/"
_SOAP_12 = "http://schemas.xmlsoap.org/wsdl/soap12/"
_VERSIONS = {_SOAP_11: "1.1", _SOAP_12: "1.2"}
ITEMS_LIMIT = 2000
"""Ports, and operations of one port, that are read."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a port.

    Attributes:
        name: its name.
        action: its SOAPAction.
        element: local name of the element that a request's body holds, "" where it is not told (RPC style).
        namespace: that element's namespace.
        is_plain: the request takes no parameter, as far as the schema in the document says.

    """

    name: str
    action: str = ""
    element: str = ""
    namespace: str = ""
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a service; `version` is that of SOAP, `address` where it is."""

    service: str
    name: str
    version: str
    address: str
    operations: tuple[Operation, ...] = ()


@dataclass(slots=True)
class Wsdl:
    """One or more documents of a description.

    Attributes:
        documents: their roots; the first is the one that was asked for.

    """

    documents: list[Element] = field(default_factory=list)

    def add(self, data: bytes) -> list[str]:
        """Take a document, and return the locations of the WSDL documents that it imports.

        Raises XmlError.
        """
        root = parse(data)
        if root.namespace == _WSDL_2:
            raise XmlError("it is WSDL 2.0, which is not read")
        if root.name != "definitions" or root.namespace != WSDL:
            raise XmlError("it is XML, but no WSDL")
        self.documents.append(root)
        return [found for found in (one.attributes.get("location", "") for one in root.all("import", WSDL)) if found]

    def services(self) -> list[str]:
        """Return the names of all services."""
        return [service.attributes.get("name", "") for service in self._every("service")]

    def ports(self) -> list[Port]:
        """Return all SOAP ports, in order."""
        found = []
        for service in self._every("service"):
            for port in list(service.all("port", WSDL))[:ITEMS_LIMIT]:
                address = next((one for one in port.all("address") if one.namespace in _VERSIONS), None)
                if address is not None:
                    found.append(
                        Port(
                            service.attributes.get("name", ""),
                            port.attributes.get("name", ""),
                            _VERSIONS[address.namespace],
                            address.attributes.get("location", ""),
                            tuple(self._operations(local(port.attributes.get("binding", "")))),
                        )
                    )
        return found

    def _every(self, name: str) -> Iterator[Element]:
        return (child for root in self.documents for child in root.all(name, WSDL))

    def _named(self, name: str, called: str) -> Element | None:
        return next((one for one in self._every(name) if one.attributes.get("name") == called), None)

    def _operations(self, binding: str) -> Iterator[Operation]:
        bound = self._named("binding", binding)
        if bound is None:
            return
        port_type = self._named("portType", local(bound.attributes.get("type", "")))
        for operation in list(bound.all("operation", WSDL))[:ITEMS_LIMIT]:
            name = operation.attributes.get("name", "")
            soap = next((one for one in operation.all("operation") if one.namespace in _VERSIONS), None)
            action = soap.attributes.get("soapAction", "") if soap is not None else ""
            element, namespace = self._request_element(port_type, name)
            yield Operation(name, action, element, namespace, bool(element) and self._is_plain(element, namespace))

    def _request_element(self, port_type: Element | None, operation: str) -> tuple[str, str]:
        """Return name and namespace of the element that a request's body is to hold (document style)."""
        declared = next(
            (
                one
                for one in (port_type.all("operation", WSDL) if port_type is not None else ())
                if one.attributes.get("name") == operation
            ),
            None,
        )
        asked = declared.first("input", WSDL) if declared is not None else None
        message = self._named("message", local(asked.attributes.get("message", ""))) if asked is not None else None
        part = message.first("part", WSDL) if message is not None else None
        qname = part.attributes.get("element", "") if part is not None else ""
        if part is None or not qname:
            return "", ""
        return local(qname), self._namespace(qname.rpartition(":")[0], (part, message))

    def _namespace(self, prefix: str, near: Sequence[Element | None]) -> str:
        """Return what a prefix stands for: where it is used, else at the document's root."""
        for element in (*near, *self.documents):
            if element is not None and prefix in element.prefixes:
                return element.prefixes[prefix]
        return ""

    def _is_plain(self, element: str, namespace: str) -> bool:
        """Say whether the schema in the description shows that an element needs nothing inside."""
        for types in self._every("types"):
            for schema in types.all("schema"):
                if schema.attributes.get("targetNamespace", "") == namespace:
                    for declared in schema.all("element"):
                        if declared.attributes.get("name") == element:
                            return _needs_nothing(declared, schema)
        return False


def _needs_nothing(declared: Element, schema: Element) -> bool:
    kind = declared.first("complexType")
    if kind is None:
        name = local(declared.attributes.get("type", ""))
        kind = next((one for one in schema.all("complexType") if one.attributes.get("name") == name), None)
    if kind is None or kind.first("complexContent") is not None or kind.first("simpleContent") is not None:
        return False
    required = any(one.attributes.get("use") == "required" for one in kind.every("attribute"))
    return not required and all(one.attributes.get("minOccurs") == "0" for one in kind.every("element"))


def missing(wsdl: Wsdl, service: str, port: str, operation: str) -> str:
    """Say what is not declared of what should be, "" where all is; an empty name asks for nothing."""
    if service and service not in wsdl.services():
        return f"the WSDL no longer declares the service {service!r}"
    ports = [one for one in wsdl.ports() if service in ("", one.service)]
    if not ports:
        return "the WSDL declares no SOAP port" + (f" of the service {service!r}" if service else "")
    if port:
        ports = [one for one in ports if one.name == port]
        if not ports:
            return f"the WSDL no longer declares the port {port!r}"
    if operation and not any(one.name == operation for found in ports for one in found.operations):
        return f"the WSDL no longer declares the operation {operation!r}" + (f" of the port {port!r}" if port else "")
    return ""


def addresses(wsdl: Wsdl, service: str, port: str) -> list[str]:
    """Return the addresses of the ports that are meant."""
    return [one.address for one in wsdl.ports() if service in ("", one.service) and port in ("", one.name)]
