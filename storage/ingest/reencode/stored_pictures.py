"""Decode stored pictures: encoder input of whole images and of their tiles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.decode_stage import pixels_of
from sightline.storage.ingest.decode.worker.image import MAX_TILES
from sightline.storage.ingest.decode.worker.worker_protocol import (
    DecodeRequest,
    ImagePart,
    JobPart,
    ProtocolError,
    TilePart,
)
from sightline.storage.ingest.decode.worker_pool import Job, WorkerPool
from sightline.storage.interfaces import Pixels
from sightline.storage.types import Box


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """Where the bytes of an asset are; ``ordinal`` is its place in that file."""

    asset_id: str
    location: str
    sha256: bytes
    ordinal: int
    name: str


@dataclass(slots=True)
class DecodedPicture:
    """The encoder input of an asset, or why there is none; ``tiles`` are by ordinal."""

    picture: StoredPicture
    pixels: Pixels | None = None
    tiles: dict[int, tuple[Box, Pixels]] = field(default_factory=dict)
    failure: MediaError | None = None


@dataclass(slots=True)
class PictureDecoder:
    """Decodes pictures in workers, at most ``max_waiting`` ahead of the reader."""

    pool: WorkerPool
    blobs: BlobStore
    workers: int
    max_waiting: int

    async def decode(
        self, batches: AsyncIterator[Sequence[StoredPicture]], *, tiles: bool
    ) -> AsyncIterator[DecodedPicture]:
        """Yield each picture, decoded or failed; a batch is one turn of a worker."""
        decoded: asyncio.Queue[DecodedPicture | None] = asyncio.Queue(self.max_waiting)
        turn = asyncio.Lock()

        async def take() -> list[Job]:
            jobs: list[Job] = []
            while not jobs:
                async with turn:  # a generator runs once at a time
                    pictures = await anext(batches, None)
                if pictures is None:
                    break
                for picture in pictures:
                    jobs += await self._jobs(picture, decoded, tiles=tiles)
            return jobs

        async def run() -> None:
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(self.workers):
                        workers.create_task(self.pool.run(take))
            finally:
                ended.set()

        ended = asyncio.Event()
        running = asyncio.create_task(run())
        try:
            while (picture := await _next(decoded, ended)) is not None:
                yield picture
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _jobs(
        self,
        picture: StoredPicture,
        decoded: asyncio.Queue[DecodedPicture | None],
        *,
        tiles: bool,
    ) -> list[Job]:
        """Return the job of a picture, none if its bytes are gone."""
        try:
            content = await asyncio.to_thread(
                self.blobs.read, picture.location, picture.sha256, name=picture.name
            )
        except MediaError as error:
            await decoded.put(DecodedPicture(picture, failure=error))
            return []
        return [_job(picture, content, decoded, tiles=tiles)]


async def _next(
    decoded: asyncio.Queue[DecodedPicture | None], ended: asyncio.Event
) -> DecodedPicture | None:
    """Return the next picture, or None if all workers have ended."""
    if not decoded.empty():
        return decoded.get_nowait()
    getting = asyncio.create_task(decoded.get())
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({getting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
    finally:
        getting.cancel()
        ending.cancel()
    return None if decoded.empty() else decoded.get_nowait()


def _job(
    picture: StoredPicture,
    content: bytes,
    decoded: asyncio.Queue[DecodedPicture | None],
    *,
    tiles: bool,
) -> Job:
    result = DecodedPicture(picture)

    async def on_part(part: JobPart) -> None:
        if isinstance(part, ImagePart) and part.ordinal == picture.ordinal:
            result.pixels = pixels_of(part)
        elif isinstance(part, TilePart) and part.asset == picture.ordinal:
            if len(result.tiles) >= MAX_TILES:
                raise ProtocolError("too many tiles")
            result.tiles[part.ordinal] = (part.box, pixels_of(part))

    async def on_done() -> None:
        if result.pixels is None:
            result.failure = MediaError("changed", f"{picture.name} has no such picture any more")
        await decoded.put(result)

    async def on_failed(error: MediaError) -> None:
        await decoded.put(DecodedPicture(picture, failure=error))

    request = DecodeRequest(picture.name, data=content, tiles=tiles)
    return Job(request, on_part, on_done, on_failed)
