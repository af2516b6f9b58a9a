"""Write rows as ingest does."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pgvector import HalfVector
from psycopg.types.json import Jsonb

from sightline.storage.db.queries import Connection
from sightline.storage.records.collections import Collection
from sightline.storage.records.embedding_spaces import EmbeddingSpace

JPEG = b"\xff\xd8 not a real picture \xff\xd9"


async def add_source(connection: Connection, collection: Collection, name: str, **over: Any) -> int:
    """Insert an ingested source and return its id."""
    values = {
        "collection_id": collection.id,
        "content_key": hashlib.sha256(name.encode()).digest(),
        "name": name,
        "location": f"file:/pictures/{name}",
        "kind": "image",
        **over,
    }
    cursor = await connection.execute(
        "INSERT INTO source (collection_id, content_key, name, location, kind, state) VALUES "
        "(%(collection_id)s, %(content_key)s, %(name)s, %(location)s, %(kind)s, 'done') "
        "RETURNING id",
        values,
    )
    (row,) = await cursor.fetchall()
    return int(row[0])


async def add_asset(
    connection: Connection,
    collection: Collection,
    id_: str,
    *,
    source_id: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    **over: Any,
) -> None:
    """Insert an asset with a thumbnail; create its source if none is given."""
    if source_id is None:
        source_id = await add_source(connection, collection, f"{id_}.jpg")
    values = {
        "id": id_,
        "collection_id": collection.id,
        "source_id": source_id,
        "kind": "image",
        "ordinal": 0,
        "location": f"file:/pictures/{id_}.jpg",
        "sha256": hashlib.sha256(id_.encode()).digest(),
        "metadata": Jsonb(dict(metadata or {})),
        "caption": None,
        "page": None,
        **over,
    }
    await connection.execute(
        "INSERT INTO asset (id, collection_id, source_id, kind, ordinal, location, sha256, width, "
        "height, metadata, caption, page) VALUES (%(id)s, %(collection_id)s, %(source_id)s, "
        "%(kind)s, %(ordinal)s, %(location)s, %(sha256)s, 640, 480, %(metadata)s, %(caption)s, "
        "%(page)s)",
        values,
    )
    await connection.execute(
        "INSERT INTO thumbnail (asset_id, jpeg, width, height) VALUES (%s, %s, 64, 48)", [id_, JPEG]
    )


async def add_passage(
    connection: Connection,
    collection: Collection,
    source_id: int,
    text: str,
    asset_id: str | None = None,
) -> int:
    """A passage with its postings; returns its id."""
    cursor = await connection.execute(
        "INSERT INTO passage (collection_id, source_id, asset_id, kind, text, tokens, token_count) "
        "VALUES (%s, %s, %s, 'caption', %s, to_tsvector('simple', %s), %s) RETURNING id",
        [collection.id, source_id, asset_id, text, text, len(text.split())],
    )
    (row,) = await cursor.fetchall()
    for term in set(text.split()):
        await connection.execute(
            "INSERT INTO posting (term, passage_id, frequency) VALUES (%s, %s, %s)",
            [term, row[0], text.split().count(term)],
        )
    return int(row[0])


async def add_vector(
    connection: Connection,
    collection: Collection,
    space: EmbeddingSpace,
    values: list[float],
    asset_id: str | None = None,
    passage_id: int | None = None,
) -> None:
    """A vector of an asset or a passage."""
    await connection.execute(
        "INSERT INTO embedding (embedding_space_id, collection_id, asset_id, passage_id, "
        "embedding) VALUES (%s, %s, %s, %s, %b)",
        [space.id, collection.id, asset_id, passage_id, HalfVector(values)],
    )
