"""Encode the pixels of all sources in batches, and join the vectors to their sources."""

from __future__ import annotations

import asyncio
import time

from sightline.storage.errors import MediaError
from sightline.storage.ingest.embed.batch_encoder import BatchEncoder
from sightline.storage.ingest.progress import IngestStats
from sightline.storage.ingest.stage_types import (
    AssetDraft,
    DecodedSource,
    Embedded,
    EmbeddedSource,
    EncodeRequest,
    FailedSource,
    RegionDraft,
    fail_source,
    file_of,
)
from sightline.storage.interfaces import Pixels

_BATCH_WAIT_SECONDS = 0.25
_MAX_BATCHES_IN_FLIGHT = 2  # one in the model, one ready for it


class EmbedStage:
    """Encodes ``requests`` in batches and turns ``decoded`` sources into ``embedded`` ones."""

    def __init__(
        self,
        encoder: BatchEncoder[Pixels],
        requests: asyncio.Queue[EncodeRequest | None],
        decoded: asyncio.Queue[DecodedSource | FailedSource | None],
        embedded: asyncio.Queue[EmbeddedSource | FailedSource | None],
        stats: IngestStats,
    ) -> None:
        self._encoder = encoder
        self._requests = requests
        self._decoded = decoded
        self._embedded = embedded
        self._stats = stats

    async def encode_requests(self) -> None:
        """Encode until the requests end."""
        slots = asyncio.Semaphore(_MAX_BATCHES_IN_FLIGHT)
        async with asyncio.TaskGroup() as batches:
            while requests := await self._next_batch():
                await slots.acquire()
                batches.create_task(self._encode_batch(requests, slots))

    async def join_sources(self) -> None:
        """Wait for the vectors of each decoded source, in order, until the sources end."""
        while (source := await self._decoded.get()) is not None:
            await self._embedded.put(
                source if isinstance(source, FailedSource) else await self._join(source)
            )
        await self._embedded.put(None)

    async def _next_batch(self) -> list[EncodeRequest]:
        """Return a full batch, or fewer if no more arrive for a moment; none at the end."""
        first = await self._requests.get()
        requests = [] if first is None else [first]
        while requests and len(requests) < self._encoder.batch_size:
            try:
                async with asyncio.timeout(_BATCH_WAIT_SECONDS):
                    request = await self._requests.get()
            except TimeoutError:
                break
            if request is None:
                await self._requests.put(None)
                break
            requests.append(request)
        return requests

    async def _encode_batch(self, requests: list[EncodeRequest], slots: asyncio.Semaphore) -> None:
        try:
            started = time.perf_counter()
            results = await self._encoder([request.pixels for request in requests])
            self._stats.add_time("encode", time.perf_counter() - started)
            for request, result in zip(requests, results, strict=True):
                if not request.vector.done():  # cancelled with its source
                    request.vector.set_result(result)
        finally:
            slots.release()

    async def _join(self, decoded: DecodedSource) -> EmbeddedSource | FailedSource:
        assets: list[Embedded[AssetDraft]] = []
        for asset in decoded.assets:
            vector = await asset.vector
            if isinstance(vector, MediaError):
                return fail_source(decoded.source, vector, decoded)
            assets.append(Embedded(asset.draft, vector))
        regions: list[Embedded[RegionDraft]] = [Embedded(line, None) for line in decoded.ocr_lines]
        for tile in decoded.tiles:
            vector = await tile.vector
            if isinstance(vector, MediaError):
                self._stats.warn("tile_not_encoded", file_of(decoded).name, str(vector))
            else:
                regions.append(Embedded(tile.draft, vector))
        return EmbeddedSource(decoded, tuple(assets), tuple(regions))
