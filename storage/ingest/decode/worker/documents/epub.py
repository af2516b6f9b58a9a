"""Read EPUB books: the chapters in the order of the book, with their pictures."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from functools import partial

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.documents.blocks import Block, Document
from sightline.storage.ingest.decode.worker.documents.office_parts import properties_of
from sightline.storage.ingest.decode.worker.documents.package import (
    Package,
    attribute,
    descendants,
    resolve,
)
from sightline.storage.ingest.decode.worker.documents.web_page import load_data_url, page_blocks
from sightline.storage.ingest.plain_text.text_encoding import decode_text

_MAX_CHAPTERS = 5_000
_CHAPTER_TYPES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")


def read_epub(package: Package, max_text_bytes: int) -> Document:
    """Return a book. Raises MediaError, such as ``encrypted`` for one with DRM."""
    container = package.xml("META-INF/container.xml")
    root_file = next(descendants(container, "rootfile"), None)
    path = attribute(root_file, "full-path") or ""
    opf = package.xml(path)
    folder = posixpath.dirname(path)
    items = {
        attribute(each, "id") or "": (
            resolve(folder, attribute(each, "href") or ""),
            attribute(each, "media-type") or "",
        )
        for each in descendants(opf, "item")
    }
    references = [attribute(each, "idref") or "" for each in descendants(opf, "itemref")]
    # A chapter is read once, however often the spine names it.
    chapters = list(
        dict.fromkeys(
            items[each][0]
            for each in references
            if each in items and items[each][1] in _CHAPTER_TYPES and package.has(items[each][0])
        )
    )[:_MAX_CHAPTERS]
    if not chapters:
        raise MediaError("empty", "has no chapters")
    locked = _locked(package)
    if any(chapter in locked for chapter in chapters):
        raise MediaError("encrypted", "is protected against copying, so it cannot be read")
    metadata = next(descendants(opf, "metadata"), None)
    blocks = _chapters(package, chapters, max_text_bytes)
    return Document(blocks, properties_of(metadata)) if metadata is not None else Document(blocks)


def _chapters(package: Package, chapters: list[str], max_text_bytes: int) -> Iterator[Block]:
    for chapter in chapters:
        folder = posixpath.dirname(chapter)

        def load(address: str, folder: str = folder) -> Callable[[], bytes] | None:
            name = resolve(folder, address)
            if package.has(name):
                return partial(package.read, name)
            return load_data_url(address)

        text = decode_text(package.read(chapter), max_text_bytes).text
        for block in page_blocks(text, load, has_title=False):
            is_picture = block.kind == "picture" and not block.name.startswith("data:")
            # The same picture can have different addresses in different folders.
            yield block._replace(name=resolve(folder, block.name)) if is_picture else block


def _locked(package: Package) -> set[str]:
    """Return the encrypted members; only fonts are in books that can be read."""
    if not package.has("META-INF/encryption.xml"):
        return set()
    root = package.xml("META-INF/encryption.xml")
    return {
        resolve("", attribute(each, "URI") or "") for each in descendants(root, "CipherReference")
    }
