"""Thumbnails, vectors and postings made again from what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pgvector import HalfVector

from sightline.storage.blobs import BlobStore
from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Database
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.worker_context import Limits
from sightline.storage.ingest.decode.worker.worker_protocol import Frame, Header, ProtocolError
from sightline.storage.ingest.decode.worker_pool import Job, Pool
from sightline.storage.ingest.embed.batch_encoder import BatchEncoder
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import ImageEncoder, Pixels, TextEncoder
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.text.analyzer import analyse

_SQL = sql_loader.load("repair")
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class _Read:
    """What a worker makes of a picture."""

    pixels: Pixels
    thumbnail: bytes
    size: tuple[int, int]


async def reread_pictures(
    database: Database,
    objects: BlobStore,
    ids: Sequence[str],
    encoder: ImageEncoder,
    spaces: dict[int, EmbeddingSpace],
    options: IngestOptions,
) -> int:
    """Give assets the thumbnails and vectors that they lack; how many got all they lacked.

    Left as they are: pictures whose bytes are gone or changed, and those whose collection uses
    the vectors of another encoder.
    """
    limits = Limits(
        max_file_bytes=options.max_file_bytes,
        max_text_bytes=options.max_text_bytes,
        max_pixels=options.max_pixels,
        memory_mib=options.worker_memory_mib,
    )
    pool = Pool(encoder.preprocess, asdict(limits), options.file_timeout_seconds)
    encode = BatchEncoder(encoder.encode_images, encoder.identity.dimension, options.batch_size)
    done = 0
    for start in range(0, len(ids), _AT_ONCE):
        async with database.connection() as connection:
            values = {"ids": list(ids[start : start + _AT_ONCE])}
            rows = await (await connection.execute(_SQL["pictures_to_read"], values)).fetchall()
        contents = await asyncio.to_thread(
            lambda rows: [_content(objects, row[2], row[3]) for row in rows], rows
        )
        reads = await _read(pool, contents)
        theirs = [_is_of(encoder, spaces.get(row[4])) for row in rows]
        wanted = [at for at, row in enumerate(rows) if reads[at] and row[6] and theirs[at]]
        vectors = dict(
            zip(wanted, await encode([_pixels(reads[at]) for at in wanted]), strict=True)
        )
        async with database.connection() as connection:
            for at, (id_, collection, _, _, space, no_thumbnail, no_vector) in enumerate(rows):
                read, vector = reads[at], vectors.get(at)
                if read is None:
                    continue
                if no_thumbnail:
                    width, height = read.size
                    picture = {"jpeg": read.thumbnail, "width": width, "height": height}
                    await connection.execute(_SQL["insert_thumbnail"], {"asset_id": id_, **picture})
                if vector is not None and not isinstance(vector, MediaError):
                    key = {"embedding_space_id": space, "collection_id": collection}
                    stands = {"asset_id": id_, "passage_id": None, "vector": HalfVector(vector)}
                    await connection.execute(_SQL["insert_vector"], {**key, **stands})
                elif no_vector:
                    continue
                done += 1
    return done


async def reread_passages(
    database: Database, ids: Sequence[int], encoder: TextEncoder, spaces: dict[int, EmbeddingSpace]
) -> int:
    """Give passages the vectors that they lack; how many got one."""
    encode = BatchEncoder(encoder.encode_texts, encoder.identity.dimension, _AT_ONCE)
    done = 0
    for start in range(0, len(ids), _AT_ONCE):
        async with database.connection() as connection:
            values = {"ids": list(ids[start : start + _AT_ONCE])}
            rows = await (await connection.execute(_SQL["passages"], values)).fetchall()
        rows = [row for row in rows if _is_of(encoder, spaces.get(row[4]))]
        vectors = await encode([row[3] for row in rows])
        async with database.connection() as connection:
            for (id_, collection, asset, _, space), vector in zip(rows, vectors, strict=True):
                if isinstance(vector, MediaError):
                    continue
                key = {"embedding_space_id": space, "collection_id": collection}
                stands = {"asset_id": asset, "passage_id": id_, "vector": HalfVector(vector)}
                await connection.execute(_SQL["insert_vector"], {**key, **stands})
                done += 1
    return done


async def repost_passages(database: Database, ids: Sequence[int]) -> int:
    """Give passages the postings that they lack; how many got some."""
    for start in range(0, len(ids), _AT_ONCE):
        async with database.connection() as connection:
            values = {"ids": list(ids[start : start + _AT_ONCE])}
            rows = await (await connection.execute(_SQL["passages"], values)).fetchall()
            postings = [
                {"term": term, "passage_id": row[0], "frequency": frequency}
                for row in rows
                for term, frequency in analyse(row[3]).frequencies.items()
            ]
            async with connection.cursor() as cursor:
                await cursor.executemany(_SQL["insert_posting"], postings)
    return len(ids)


def _content(objects: BlobStore, location: str, sha256: bytes) -> bytes | None:
    try:
        return objects.read(location, sha256, name=location)
    except MediaError:
        return None


def _is_of(encoder: TextEncoder, space: EmbeddingSpace | None) -> bool:
    return space is not None and space.identity == encoder.identity


def _pixels(read: _Read | None) -> Pixels:
    if read is None:
        raise ValueError("a picture that was not read")
    return read.pixels


async def _read(pool: Pool, contents: Sequence[bytes | None]) -> list[_Read | None]:
    """Each picture as a worker reads it; None for those that cannot be read."""
    results: list[_Read | None] = [None] * len(contents)

    def job(at: int, content: bytes) -> Job:
        async def part(frame: Frame) -> None:
            if frame[0].get("part") == "picture":
                results[at] = _picture(frame)

        async def done(_: Header) -> None:
            pass

        async def failed(_: MediaError, __: Header) -> None:
            results[at] = None

        header: Header = {"job": "read", "name": "picture.jpg", "path": None, "sha256": ""}
        return Job({**header, "stamp": None, "look_only": False}, (content,), part, done, failed)

    jobs = [job(at, content) for at, content in enumerate(contents) if content is not None]
    await pool.run(_once(jobs))
    return results


def _once(jobs: list[Job]) -> Callable[[], Awaitable[list[Job]]]:
    async def take() -> list[Job]:
        taken = jobs[:]
        jobs.clear()
        return taken

    return take


def _picture(frame: Frame) -> _Read:
    """Checked: it comes from a process that has read hostile bytes."""
    header, blobs = frame
    try:
        height, width, channels = map(int, header["shape"])
        across, down = map(int, header["thumbnail_size"])
        pixels = np.frombuffer(blobs[0], np.uint8).reshape(height, width, channels)
        return _Read(pixels, blobs[1], (across, down))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ProtocolError(f"not a picture: {error}") from error
