"""Read the title, author and keywords of Office documents."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.documents.package import Package, local_name
from sightline.storage.ingest.metadata.embedded_metadata import NO_METADATA, EmbeddedMetadata

_SEPARATORS = re.compile(r"[,;]")


def read_properties(package: Package) -> EmbeddedMetadata:
    """Return the properties of a document; broken ones are left out."""
    name = next(iter(package.related("", "core-properties")), "docProps/core.xml")
    for part in (name, "meta.xml"):
        if package.has(part):
            try:
                return properties_of(package.xml(part))
            except MediaError:
                return NO_METADATA
    return NO_METADATA


def properties_of(root: Element) -> EmbeddedMetadata:
    """Return the properties in Dublin Core elements.

    The time at which a document was made is not when its pictures were taken, and left out.
    """
    values: dict[str, str] = {}
    for each in root.iter():
        if each.text and (text := each.text.strip()):
            values.setdefault(local_name(each), text)
    keywords = _SEPARATORS.split(values.get("keywords") or values.get("keyword") or "")
    return EmbeddedMetadata(
        title=values.get("title"),
        description=values.get("description") or values.get("subject"),
        keywords=tuple(each.strip() for each in keywords if each.strip()),
        author=values.get("creator"),
    ).bounded()
