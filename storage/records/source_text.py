"""The files of sources and the text that was read from them."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.storage.db.queries import Connection, fetch_one, load_sql

_SQL = load_sql("source_text")


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """Where the bytes of a document are, for ``BlobStore.read``."""

    location: str
    sha256: bytes


async def fetch_document(connection: Connection, source_id: int) -> StoredDocument | None:
    """Return the document of a source, None if it is none."""
    params = {"source_id": source_id}
    return await fetch_one(connection, _SQL["document"], params, row=StoredDocument)
