"""Select the reader of a document by its content."""

from __future__ import annotations

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.documents.blocks import Document
from sightline.storage.ingest.decode.worker.documents.package import Package
from sightline.storage.ingest.ingest_options import IngestOptions


def read_document(data: bytes, limits: IngestOptions) -> Document:
    """Return a document of Office, OpenDocument or EPUB. Raises MediaError.

    Blocks are read lazily, so errors of a part can come with them.
    """
    package = Package(data)
    if package.has("META-INF/container.xml"):
        from sightline.storage.ingest.decode.worker.documents.epub import read_epub

        return read_epub(package, limits.max_text_bytes)
    if package.has("content.xml"):
        from sightline.storage.ingest.decode.worker.documents.open_document import (
            read_open_document,
        )

        return read_open_document(package)
    main = next(iter(package.related("", "officeDocument")), "")
    if main.startswith("xl/") or package.has("xl/workbook.xml"):
        from sightline.storage.ingest.decode.worker.documents.sheets import read_sheets

        return read_sheets(package)
    if main.startswith("ppt/") or package.has("ppt/presentation.xml"):
        from sightline.storage.ingest.decode.worker.documents.slides import read_slides

        return read_slides(package)
    if main.startswith("word/") or package.has("word/document.xml"):
        from sightline.storage.ingest.decode.worker.documents.word import WordReader

        return WordReader(package).read()
    raise MediaError("unsupported", "is a ZIP, but no document of a supported format")
