"""The stage between the decoders and the database: pictures in, finished work out."""

from __future__ import annotations

import asyncio
import time

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.decode_stage import Picture
from sightline.storage.ingest.embed.batch_encoder import BatchEncoder
from sightline.storage.ingest.ingest_items import AssetDraft, Work
from sightline.storage.ingest.progress import Tally
from sightline.storage.interfaces import Pixels

_BATCH_WAIT_SECONDS = 0.25
_BATCHES_IN_FLIGHT = 2  # one in the model, one ready for it


class Encoding:
    """Gathers pictures of whatever sources into batches of the encoder's size."""

    def __init__(
        self,
        encoder: BatchEncoder[Pixels],
        pictures: asyncio.Queue[Picture | None],
        finished: asyncio.Queue[Work | None],
        tally: Tally,
    ) -> None:
        self._encoder = encoder
        self._pictures = pictures
        self._finished = finished
        self._tally = tally

    async def run(self) -> None:
        """Until the pictures end; then says to ``finished`` that nothing more comes."""
        slots = asyncio.Semaphore(_BATCHES_IN_FLIGHT)
        async with asyncio.TaskGroup() as batches:
            while pictures := await self._next_pictures():
                await slots.acquire()
                batches.create_task(self._encode_batch(pictures, slots))
        await self._finished.put(None)

    async def _next_pictures(self) -> list[Picture]:
        """A full batch, or what there is when no more came for a moment; none at the end."""
        first = await self._pictures.get()
        pictures = [] if first is None else [first]
        while pictures and len(pictures) < self._encoder.batch_size:
            try:
                async with asyncio.timeout(_BATCH_WAIT_SECONDS):
                    more = await self._pictures.get()
            except TimeoutError:
                break
            if more is None:
                await self._pictures.put(None)
                break
            pictures.append(more)
        return pictures

    async def _encode_batch(self, pictures: list[Picture], slots: asyncio.Semaphore) -> None:
        try:
            wanted = [(w, d, d.pixels) for w, d in pictures if d.pixels is not None]
            started = time.perf_counter()
            results = await self._encoder([pixels for _, _, pixels in wanted])
            self._tally.spend("encode", time.perf_counter() - started)
            for (work, draft, _), result in zip(wanted, results, strict=True):
                draft.pixels = None
                work.unfinished -= 1
                told = work.failure is not None and work.ended
                if not isinstance(result, MediaError):
                    draft.vector = result
                elif isinstance(draft, AssetDraft):
                    work.fail(result)
                else:
                    self._tally.problem("tile_not_encoded", work.found.name, str(result))
                if work.ready and not told:
                    await self._finished.put(work)
        finally:
            slots.release()
