"""Open the ZIP of a document within limits, and parse its XML."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from sightline.storage.errors import MediaError

_MAX_MEMBERS = 20_000
_MAX_UNPACKED_BYTES = 1 << 30
_FREE_BYTES = 64 << 20
_MAX_RATIO = 200  # of unpacked to packed bytes, after the first 64 MiB
_MAX_XML_BYTES = 128 << 20
_MAX_DEPTH = 200
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Package:
    """A document that is a ZIP. Its members are never written to disk."""

    def __init__(self, data: bytes) -> None:
        """Open it. Raises MediaError ``broken``, ``encrypted`` or ``archive_bomb``."""
        if data.startswith(_OLE):
            raise MediaError("encrypted", "needs a password; save it without one")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            is_cut = data.startswith(b"PK")
            reason = "is cut off or damaged" if is_cut else "is not a document, despite its name"
            raise MediaError("broken", reason) from error
        members = self._zip.infolist()
        # A member is never unpacked beyond its declared size.
        total = sum(each.file_size for each in members)
        if len(members) > _MAX_MEMBERS:
            raise MediaError("archive_bomb", f"has more than {_MAX_MEMBERS:,} parts")
        if total > min(_MAX_UNPACKED_BYTES, _FREE_BYTES + _MAX_RATIO * len(data)):
            raise MediaError("archive_bomb", f"unpacks to {total:,} bytes")
        if any(each.flag_bits & 1 for each in members):
            raise MediaError("encrypted", "needs a password; save it without one")
        self._members = {each.filename: each for each in members}

    def has(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str, max_bytes: int = _MAX_XML_BYTES) -> bytes:
        """Return a member. Raises MediaError if it is missing, broken or too large."""
        member = self._members.get(name)
        if member is None:
            raise MediaError("broken", f"has no part {name[:200]!r}")
        if member.file_size > max_bytes:
            raise MediaError("too_large", f"has a part of {member.file_size:,} bytes")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise MediaError("broken", "is packed in an unknown way")
        try:
            with self._zip.open(member) as file:
                return file.read(max_bytes)
        except MemoryError:
            raise
        except Exception as error:  # zipfile raises anything on hostile members
            raise MediaError("broken", f"has a part that cannot be unpacked: {error}") from error

    def xml(self, name: str) -> Element:
        """Return the root of an XML member. Raises MediaError."""
        return parse_xml(self.read(name))

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Return type and target of the relationships of an Office part, by id.

        Targets outside of the document are left out: nothing is ever fetched.
        """
        folder, name = posixpath.split(part)
        path = posixpath.join(folder, "_rels", f"{name}.rels")
        if not self.has(path):
            return {}
        found: dict[str, tuple[str, str]] = {}
        for each in self.xml(path):
            target = each.get("Target", "")
            if each.get("TargetMode") != "External" and target:
                kind = each.get("Type", "").rpartition("/")[2]
                found[each.get("Id", "")] = (kind, resolve(folder, target))
        return found

    def related(self, part: str, kind: str) -> list[str]:
        """Return the existing parts that a part refers to by a type of relationship."""
        return [
            target
            for found, target in self.relations(part).values()
            if found == kind and self.has(target)
        ]


def resolve(folder: str, target: str) -> str:
    """Return the name of a member for a target that is relative to a folder."""
    path = unquote(target.partition("#")[0])
    joined = path if path.startswith("/") else posixpath.join(folder, path)
    return posixpath.normpath(joined).lstrip("/")


def parse_xml(data: bytes) -> Element:
    """Return the root of XML without entities. Raises MediaError for other XML."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(data)
    except DefusedXmlException as error:
        raise MediaError("broken", "has XML with entities, which are not read") from error
    except (ParseError, ValueError, LookupError) as error:
        raise MediaError("broken", f"has broken XML: {error}") from error
    check_depth(root)
    return root


def check_depth(root: Element) -> None:
    """Raise MediaError for elements nested so deeply that a walk would fail."""
    level: list[Element] = [root]
    for _ in range(_MAX_DEPTH):
        level = [child for each in level for child in each]
        if not level:
            return
    raise MediaError("broken", "is nested too deeply")


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace: there are two sets of them."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Element | None, name: str) -> str | None:
    """Return an attribute by its name without namespace; None if it is missing."""
    for key, value in () if element is None else element.attrib.items():
        if key.rpartition("}")[2] == name:
            return value
    return None


def descendants(element: Element, *names: str) -> Iterator[Element]:
    """Yield the elements below, of these names without namespace, in document order."""
    return (each for each in element.iter() if local_name(each) in names)


def child(element: Element | None, *path: str) -> Element | None:
    """Return the first child along a path of names without namespaces."""
    for name in path:
        if element is None:
            return None
        element = next((each for each in element if local_name(each) == name), None)
    return element


def whole_number(text: str | None, default: int) -> int:
    """Return the number in an attribute, of at most eight digits; else the default."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else default
