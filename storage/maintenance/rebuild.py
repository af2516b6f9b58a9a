"""Rebuilds missing thumbnails, vectors and postings from stored data."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pgvector import HalfVector

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.decode_stage import pixels_of
from sightline.storage.ingest.decode.worker.worker_context import WorkerLimits
from sightline.storage.ingest.decode.worker.worker_protocol import (
    DecodeRequest,
    ImagePart,
    JobPart,
)
from sightline.storage.ingest.decode.worker_pool import Job, WorkerPool
from sightline.storage.ingest.embed.batch_encoder import BatchEncoder
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import ImageEncoder, Pixels, TextEncoder
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.text.analyzer import analyze

_SQL = load_sql("repair")
_BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class _AssetRow:
    id: str
    collection_id: int
    location: str
    sha256: bytes
    embedding_space_id: int | None
    lacks_thumbnail: bool
    lacks_vector: bool


@dataclass(frozen=True, slots=True)
class _PassageRow:
    id: int
    collection_id: int
    asset_id: str | None
    text: str
    embedding_space_id: int | None


@dataclass(frozen=True, slots=True)
class _DecodedImage:
    pixels: Pixels
    thumbnail: bytes
    thumbnail_size: tuple[int, int]


async def rebuild_assets(
    database: Database,
    blobs: BlobStore,
    ids: Sequence[str],
    encoder: ImageEncoder,
    spaces: dict[int, EmbeddingSpace],
    options: IngestOptions,
) -> int:
    """Create missing thumbnails and vectors; return how many assets are complete.

    Skips assets whose bytes are gone or changed, and vectors of other encoders.
    """
    limits = WorkerLimits(
        max_file_bytes=options.max_file_bytes,
        max_text_bytes=options.max_text_bytes,
        max_pixels=options.max_pixels,
        memory_mib=options.worker_memory_mib,
    )
    pool = WorkerPool(encoder.preprocess, limits, options.file_timeout_seconds)
    encode = BatchEncoder(encoder.encode_images, encoder.identity.dimension, options.batch_size)
    completed = 0
    for start in range(0, len(ids), _BATCH_SIZE):
        async with database.connection() as connection:
            params = {"ids": list(ids[start : start + _BATCH_SIZE])}
            rows = await fetch_all(connection, _SQL["incomplete_assets"], params, row=_AssetRow)
        contents = await asyncio.to_thread(
            lambda rows: [_read_blob(blobs, row) for row in rows], rows
        )
        images = await _decode(pool, contents)
        pixels = {
            row.id: image.pixels
            for row, image in zip(rows, images, strict=True)
            if image is not None and row.lacks_vector and _matches(encoder, spaces, row)
        }
        vectors = dict(zip(pixels, await encode(list(pixels.values())), strict=True))
        async with database.connection() as connection:
            for row, image in zip(rows, images, strict=True):
                if image is None:
                    continue
                if row.lacks_thumbnail:
                    width, height = image.thumbnail_size
                    thumbnail = {"jpeg": image.thumbnail, "width": width, "height": height}
                    await connection.execute(
                        _SQL["insert_thumbnail"], {"asset_id": row.id, **thumbnail}
                    )
                vector = vectors.get(row.id)
                if vector is not None and not isinstance(vector, MediaError):
                    await _insert_vector(connection, row, HalfVector(vector), row.id, None)
                elif row.lacks_vector:
                    continue
                completed += 1
    return completed


async def rebuild_passage_vectors(
    database: Database, ids: Sequence[int], encoder: TextEncoder, spaces: dict[int, EmbeddingSpace]
) -> int:
    """Create missing vectors of passages; return how many were created."""
    encode = BatchEncoder(encoder.encode_texts, encoder.identity.dimension, _BATCH_SIZE)
    created = 0
    for start in range(0, len(ids), _BATCH_SIZE):
        rows = await _fetch_passages(database, ids[start : start + _BATCH_SIZE])
        rows = [row for row in rows if _matches(encoder, spaces, row)]
        vectors = await encode([row.text for row in rows])
        async with database.connection() as connection:
            for row, vector in zip(rows, vectors, strict=True):
                if isinstance(vector, MediaError):
                    continue
                await _insert_vector(connection, row, HalfVector(vector), row.asset_id, row.id)
                created += 1
    return created


async def rebuild_postings(database: Database, ids: Sequence[int]) -> int:
    """Create missing postings of passages; return the number of passages."""
    for start in range(0, len(ids), _BATCH_SIZE):
        rows = await _fetch_passages(database, ids[start : start + _BATCH_SIZE])
        postings = [
            {"term": term, "passage_id": row.id, "frequency": frequency}
            for row in rows
            for term, frequency in analyze(row.text).frequencies.items()
        ]
        async with database.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(_SQL["insert_posting"], postings)
    return len(ids)


async def _fetch_passages(database: Database, ids: Sequence[int]) -> list[_PassageRow]:
    async with database.connection() as connection:
        return await fetch_all(connection, _SQL["passages"], {"ids": list(ids)}, row=_PassageRow)


async def _insert_vector(
    connection: Connection,
    row: _AssetRow | _PassageRow,
    vector: HalfVector,
    asset_id: str | None,
    passage_id: int | None,
) -> None:
    params = {
        "embedding_space_id": row.embedding_space_id,
        "collection_id": row.collection_id,
        "asset_id": asset_id,
        "passage_id": passage_id,
        "vector": vector,
    }
    await connection.execute(_SQL["insert_vector"], params)


def _matches(
    encoder: TextEncoder, spaces: dict[int, EmbeddingSpace], row: _AssetRow | _PassageRow
) -> bool:
    space = None if row.embedding_space_id is None else spaces.get(row.embedding_space_id)
    return space is not None and space.identity == encoder.identity


def _read_blob(blobs: BlobStore, row: _AssetRow) -> bytes | None:
    try:
        return blobs.read(row.location, row.sha256, name=row.location)
    except MediaError:
        return None


async def _decode(pool: WorkerPool, contents: Sequence[bytes | None]) -> list[_DecodedImage | None]:
    """Decode images in worker processes; None for those that fail."""
    results: list[_DecodedImage | None] = [None] * len(contents)

    def job(index: int, content: bytes) -> Job:
        async def on_part(part: JobPart) -> None:
            if isinstance(part, ImagePart):
                pixels = pixels_of(part)
                results[index] = _DecodedImage(pixels, part.thumbnail, part.thumbnail_size)

        async def on_done() -> None:
            pass

        async def on_failed(_: MediaError) -> None:
            results[index] = None

        return Job(DecodeRequest("image.jpg", data=content), on_part, on_done, on_failed)

    jobs = [job(index, content) for index, content in enumerate(contents) if content is not None]
    await pool.run(_take_once(jobs))
    return results


def _take_once(jobs: list[Job]) -> Callable[[], Awaitable[list[Job]]]:
    async def take() -> list[Job]:
        taken = jobs[:]
        jobs.clear()
        return taken

    return take
