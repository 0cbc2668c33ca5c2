"""XML from a peer, read into a small tree: bounded in size, depth and number of elements, and never expanded.

A document type declaration ends the reading: entities and external subsets live there, and none of what is read here
(SOAP 1.1, section 3; SOAP 1.2 part 1, section 5; WSDL 1.1) may have one. Expat itself follows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from probes.failures import plain_line

DEPTH_LIMIT = 100
ELEMENTS_LIMIT = 50_000
ATTRIBUTES_LIMIT = 64
"""Attributes of one element that are kept."""

_XSI = "http://www.w3.org/2001/XMLSchema-instance"


class XmlError(ValueError):
    """It is not XML, or not XML that is read; the message says why, and holds nothing of the document."""


@dataclass(slots=True)
class Element:
    """An element.

    Attributes:
        namespace, name: its namespace ("" for none) and its local name.
        attributes: values by name; one that has a namespace is `namespace name`.
        children: the elements below it, in order.
        text: its own text, without that of its children, stripped.
        prefixes: namespaces by prefix, as far as declared on this element itself.

    """

    namespace: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""
    prefixes: dict[str, str] = field(default_factory=dict)

    def all(self, name: str, namespace: str | None = None) -> Iterator[Element]:
        """Yield the children of that local name, of one namespace or of any."""
        return (child for child in self.children if child.name == name and namespace in (None, child.namespace))

    def first(self, name: str, namespace: str | None = None) -> Element | None:
        """Return the first of them, None where there is none."""
        return next(self.all(name, namespace), None)

    def at(self, *names: str) -> Element | None:
        """Return the element at a path of local names below this one."""
        found: Element | None = self
        for name in names:
            found = found.first(name) if found is not None else None
        return found

    def text_at(self, *names: str) -> str:
        """Return the text at a path, "" where there is none."""
        found = self.at(*names)
        return found.text if found is not None else ""

    def every(self, name: str) -> Iterator[Element]:
        """Yield all elements of that local name below this one, however deep, in the document's order."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.every(name)


def parse(data: bytes, elements_limit: int = ELEMENTS_LIMIT) -> Element:
    """Return the root of a document.

    Raises XmlError.
    """
    reader = _Reader(elements_limit)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.StartNamespaceDeclHandler = reader.declare
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.take
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        message = f"it is not XML: {expat.ErrorString(error.code)} in line {error.lineno}"
        raise XmlError(message) from None
    except XmlError:
        raise
    except (ValueError, LookupError):  # an encoding that does not exist
        raise XmlError("it is not XML: its encoding is unknown") from None
    if reader.root is None:
        raise XmlError("it is not XML: there is no element")
    return reader.root


class _Reader:
    def __init__(self, elements_limit: int) -> None:
        self.root: Element | None = None
        self._path: list[Element] = []
        self._texts: list[list[str]] = []
        self._left = elements_limit
        self._prefixes: dict[str, str] = {}

    def refuse(self, *_declaration: Any) -> None:
        raise XmlError("it has a document type declaration, which is not read")

    def declare(self, prefix: str | None, namespace: str | None) -> None:
        self._prefixes[prefix or ""] = namespace or ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._left -= 1
        if self._left < 0:
            raise XmlError("it has too many elements")
        if len(self._path) >= DEPTH_LIMIT:
            message = f"it is deeper than {DEPTH_LIMIT} elements"
            raise XmlError(message)
        namespace, _, local = name.rpartition(" ")
        kept = dict(list(attributes.items())[:ATTRIBUTES_LIMIT])
        element = Element(namespace, local, kept, prefixes=self._prefixes)
        self._prefixes = {}
        if self._path:
            self._path[-1].children.append(element)
        else:
            self.root = element
        self._path.append(element)
        self._texts.append([])

    def end(self, _name: str) -> None:
        self._path.pop().text = "".join(self._texts.pop()).strip()

    def take(self, text: str) -> None:
        self._texts[-1].append(text)


def plain(element: Element) -> Any:
    """Return what conditions see of an element, by local names.

    An element with only text is that text, one with `xsi:nil="true"` is null; any other is a map: children by their
    names (several of a name are a list), attributes as `@name`, text beside them as `#text`.
    """
    if element.attributes.get(f"{_XSI} nil") in ("true", "1"):
        return None
    attributes = {
        f"@{name.rpartition(' ')[2]}": value for name, value in element.attributes.items() if not name.startswith(_XSI)
    }
    if not element.children and not attributes:
        return element.text
    found: dict[str, Any] = dict(attributes)
    many: set[str] = set()
    for child in element.children:
        value = plain(child)
        if child.name in many:
            found[child.name].append(value)
        elif child.name in found:
            many.add(child.name)
            found[child.name] = [found[child.name], value]
        else:
            found[child.name] = value
    if element.text:
        found["#text"] = element.text
    return found


def shown(text: str, limit: int = 80) -> str:
    """Return text of a document for a message."""
    return plain_line(text, limit)


def local(qname: str) -> str:
    """Return a QName without its prefix."""
    return qname.rpartition(":")[2]


def escaped(text: str) -> str:
    """Return text as it stands in an element or in an attribute's quotes."""
    for character, entity in _ENTITIES.items():
        text = text.replace(character, entity)
    return text


_ENTITIES: Mapping[str, str] = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
