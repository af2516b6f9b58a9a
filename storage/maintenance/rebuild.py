"""Rebuilds missing thumbnails, vectors and postings from stored data.

``ids`` are those of the findings of ``integrity_check``; ids of passages begin with ``p``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TypeVar

from pgvector import HalfVector

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.decode_stage import pixels_of
from sightline.storage.ingest.decode.worker.worker_protocol import (
    DecodeRequest,
    ImagePart,
    JobPart,
)
from sightline.storage.ingest.decode.worker_pool import Job, WorkerPool
from sightline.storage.ingest.embed.embed_stage import BatchEncoder
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import Vector
from sightline.storage.interfaces import ImageEncoder, TextEncoder
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.text.analyzer import analyze, vocabulary

_SQL = load_sql("repair")
_BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class _OwnerRow:
    embedding_space_id: int | None
    collection_id: int
    asset_id: str | None
    passage_id: int | None


@dataclass(frozen=True, slots=True)
class _AssetRow(_OwnerRow):
    asset_id: str
    location: str
    sha256: bytes
    lacks_thumbnail: bool
    lacks_vector: bool


@dataclass(frozen=True, slots=True)
class _PassageRow(_OwnerRow):
    passage_id: int
    text: str


_Row = TypeVar("_Row", _AssetRow, _PassageRow)


async def rebuild_assets(
    database: Database,
    blobs: BlobStore,
    ids: Sequence[str],
    encoder: ImageEncoder,
    spaces: Sequence[EmbeddingSpace],
    options: IngestOptions,
) -> int:
    """Create missing thumbnails and vectors; return how many assets are complete.

    Skips assets whose bytes are gone or changed, and vectors of other encoders.
    """
    pool = WorkerPool(encoder.preprocess, options)
    encode = BatchEncoder(encoder.encode_images, encoder.identity.dimension, options.batch_size)
    space_ids = {space.id for space in spaces if space.identity == encoder.identity}
    completed = 0
    async for rows in _fetch_batches(database, "incomplete_assets", ids, _AssetRow):
        images = await _decode(pool, await asyncio.to_thread(_read_blobs, blobs, rows))
        encodable = [
            row
            for row in rows
            if row.asset_id in images and row.lacks_vector and row.embedding_space_id in space_ids
        ]
        encoded = await encode([pixels_of(images[row.asset_id]) for row in encodable])
        async with database.write_connection() as connection:
            created = await _insert_vectors(connection, encodable, encoded)
            for row in rows:
                if row.asset_id not in images:
                    continue
                if row.lacks_thumbnail:
                    image = images[row.asset_id]
                    width, height = image.thumbnail_size
                    thumbnail = {"jpeg": image.thumbnail, "width": width, "height": height}
                    thumbnail["local_hashes"] = image.local_hashes
                    params = {"asset_id": row.asset_id, **thumbnail}
                    await connection.execute(_SQL["insert_thumbnail"], params)
                completed += not row.lacks_vector
        completed += created
    return completed


async def rebuild_passage_vectors(
    database: Database, ids: Sequence[str], encoder: TextEncoder, spaces: Sequence[EmbeddingSpace]
) -> int:
    """Create missing vectors of passages; return how many were created."""
    encode = BatchEncoder(encoder.encode_texts, encoder.identity.dimension, _BATCH_SIZE)
    space_ids = {space.id for space in spaces if space.identity == encoder.identity}
    created = 0
    async for batch in _fetch_batches(database, "passages", ids, _PassageRow):
        rows = [row for row in batch if row.embedding_space_id in space_ids]
        vectors = await encode([row.text for row in rows])
        async with database.write_connection() as connection:
            created += await _insert_vectors(connection, rows, vectors)
    return created


async def rebuild_postings(database: Database, ids: Sequence[str]) -> int:
    """Create missing postings of passages; return the number of passages."""
    async for rows in _fetch_batches(database, "passages", ids, _PassageRow):
        analyses = [(row.passage_id, analyze(row.text)) for row in rows]
        postings = [
            {"term": term, "passage_id": id_, "frequency": frequency}
            for id_, analysis in analyses
            for term, frequency in analysis.frequencies.items()
        ]
        words = [
            {"passage_id": id_, "word": word, "term": term}
            for id_, analysis in analyses
            for word, term in vocabulary(analysis.words, analysis.frequencies).items()
        ]
        async with database.write_connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(_SQL["insert_posting"], postings)
            await cursor.executemany(_SQL["insert_words"], words)
    return len(ids)


async def _fetch_batches(
    database: Database, block: str, ids: Sequence[str], row: type[_Row]
) -> AsyncIterator[list[_Row]]:
    for start in range(0, len(ids), _BATCH_SIZE):
        params = {"ids": list(ids[start : start + _BATCH_SIZE])}
        async with database.connection() as connection:
            rows = await fetch_all(connection, _SQL[block], params, row=row)
        yield rows


async def _insert_vectors(
    connection: Connection, rows: Sequence[_OwnerRow], vectors: Sequence[Vector | MediaError]
) -> int:
    """Insert the vectors that are no errors; return how many."""
    params = [
        {**asdict(row), "vector": HalfVector(vector)}
        for row, vector in zip(rows, vectors, strict=True)
        if not isinstance(vector, MediaError)
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(_SQL["insert_vector"], params)
    return len(params)


def _read_blobs(blobs: BlobStore, rows: Sequence[_AssetRow]) -> dict[str, bytes]:
    contents = {}
    for row in rows:
        with suppress(MediaError):
            contents[row.asset_id] = blobs.read(row.location, row.sha256, name=row.location)
    return contents


async def _decode(pool: WorkerPool, contents: Mapping[str, bytes]) -> dict[str, ImagePart]:
    """Decode images in a worker process; leave out those that fail."""
    images: dict[str, ImagePart] = {}

    def job(asset_id: str, content: bytes) -> Job:
        async def on_part(part: JobPart) -> None:
            if isinstance(part, ImagePart):
                pixels_of(part)  # raises ProtocolError
                images[asset_id] = part

        async def on_done() -> None:
            pass

        async def on_failed(_: MediaError) -> None:
            images.pop(asset_id, None)

        return Job(DecodeRequest("image.jpg", data=content), on_part, on_done, on_failed)

    batches = iter([[job(*each) for each in contents.items()], []])

    async def take() -> list[Job]:
        return next(batches)

    await pool.run(take)
    return images
