"""Update sources whose bytes are known: write again what is read anew."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from sightline.storage.db.queries import Connection, fetch_value, load_sql
from sightline.storage.ingest import stage_types as stages
from sightline.storage.records.collections import Collection
from sightline.storage.records.deleted_words import DeletedWords

_SQL = load_sql("ingest")
#: Kinds of passages that OCR of a PDF decides: it may replace an unusable text layer.
PDF_TEXT_KINDS = frozenset({"page_text", "note", "field"})


def existing_of(source: stages.FinishedSource) -> stages.ExistingSource | None:
    """Return the row that a source updates; a failure never updates one."""
    if isinstance(source, stages.EmbeddedSource) and isinstance(
        source.decoded.source, stages.ChangedSource
    ):
        return source.decoded.source.existing
    return None


async def update_sources(
    connection: Connection,
    collection: Collection,
    sources: Sequence[stages.FinishedSource],
    words: DeletedWords,
) -> dict[stages.EmbeddedSource, int]:
    """Update changed sources; return the ids of those that still exist."""
    updated: dict[stages.EmbeddedSource, int] = {}
    for source in sources:
        existing = existing_of(source)
        if existing is None or not isinstance(source, stages.EmbeddedSource):
            continue
        decoded, file = source.decoded, source.hashed.file
        description, captured = decoded.description, decoded.description.captured
        values = {
            "id": existing.id,
            "collection_id": collection.id,
            "name": file.name,
            "location": source.hashed.location,
            "content_key": existing.content_key,
            "caption": description.caption,
            "metadata": Jsonb(dict(description.metadata)),
            "sidecar_sha256": file.sidecar_sha256,
            "ocr_engine": decoded.ocr_engine,
            "transcriber": decoded.transcriber,
            "tile_scheme": decoded.tile_scheme,
            "captured_at": captured.at if captured else None,
            "captured_local": captured.local if captured else None,
            "latitude": description.position[0] if description.position else None,
            "longitude": description.position[1] if description.position else None,
        }
        if await fetch_value(connection, _SQL["update_source"], values) is not None:
            await connection.execute(_SQL["update_asset"], values)
            if readings := decoded.readings:
                values |= {"ordinals": list(readings), "readings": list(readings.values())}
                await connection.execute(_SQL["update_readings"], values)
            await _delete_outdated(connection, source, existing, words)
            updated[source] = existing.id
    return updated


async def _delete_outdated(
    connection: Connection,
    source: stages.EmbeddedSource,
    existing: stages.ExistingSource,
    words: DeletedWords,
) -> None:
    """Delete the passages and regions that an update writes again."""
    kinds: set[str] = {
        "caption",
        "metadata",
        "name",
        *(passage.draft.kind for passage in source.passages),
    }
    sidecar_sha256 = source.hashed.file.sidecar_sha256
    if existing.kind in ("video", "audio") and existing.sidecar_sha256 != sidecar_sha256:
        kinds.add("subtitle")  # the subtitle file may have been removed
    if source.decoded.transcriber is not None:
        kinds.add("speech")
    regions: list[str] = []
    if source.decoded.ocr_engine is not None:
        kinds.add("ocr")
        if existing.kind == "pdf":
            kinds |= PDF_TEXT_KINDS
        regions.append("ocr_line")
    if source.decoded.tile_scheme is not None:
        regions.append("tile")
    if regions:
        values = {"ids": [existing.id], "kinds": regions}
        await connection.execute(_SQL["delete_regions"], values)
    await connection.execute(_SQL["delete_file_annotations"], {"ids": [existing.id]})
    await words.collect(connection, sources=[existing.id], kinds=sorted(kinds))
    values = {"ids": [existing.id], "kinds": sorted(kinds)}
    await connection.execute(_SQL["delete_passages"], values)
