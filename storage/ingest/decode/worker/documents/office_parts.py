"""Read properties and pictures, which all Office documents have alike."""

from __future__ import annotations

import re
from functools import partial
from xml.etree.ElementTree import Element

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.documents.blocks import Block
from sightline.storage.ingest.decode.worker.documents.package import (
    Package,
    attribute,
    local_name,
)
from sightline.storage.ingest.metadata.embedded_metadata import (
    NO_METADATA,
    EmbeddedMetadata,
    split_keywords,
)

# What programs write into every document.
_TEMPLATE_TEXT = re.compile(
    r"(?:generated (?:by|using) )?python-(?:docx|pptx)|powerpoint[- ]pr[eä]sentation|"
    r"présentation powerpoint|presentación de powerpoint|apresentação do powerpoint",
    re.IGNORECASE,
)


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
        text = (each.text or "").strip()
        if text and not _TEMPLATE_TEXT.fullmatch(text):
            values.setdefault(local_name(each), text)
    return EmbeddedMetadata(
        title=values.get("title"),
        description=values.get("description") or values.get("subject"),
        keywords=split_keywords(values.get("keywords") or values.get("keyword")),
        author=values.get("creator"),
    ).bounded()


def picture_block(
    package: Package, relations: dict[str, tuple[str, str]], target: str | None, text: str
) -> Block:
    """Return the block of a picture; one outside of the document has no bytes."""
    name = relations.get(target or "", ("", ""))[1]
    load = partial(package.read, name) if package.has(name) else None
    return Block("picture", text, name=name or f"missing {target}", picture=load)


def alternative_text(properties: Element | None) -> str:
    """Return the alternative text that an author gave a picture."""
    text = attribute(properties, "descr") or attribute(properties, "title") or ""
    return " ".join(text.split())
