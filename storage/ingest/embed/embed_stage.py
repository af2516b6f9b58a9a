"""Encode pixels in batches and join the vectors to their sources."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

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


@dataclass(slots=True)
class EmbedStage:
    """Encodes ``requests`` and turns ``decoded`` sources into ``embedded`` ones."""

    encoder: BatchEncoder[Pixels]
    requests: asyncio.Queue[EncodeRequest | None]
    decoded: asyncio.Queue[DecodedSource | FailedSource | None]
    embedded: asyncio.Queue[EmbeddedSource | FailedSource | None]
    stats: IngestStats

    async def encode_requests(self) -> None:
        """Encode until the requests end."""
        slots = asyncio.Semaphore(_MAX_BATCHES_IN_FLIGHT)
        async with asyncio.TaskGroup() as batches:
            while requests := await self._next_batch():
                await slots.acquire()
                batches.create_task(self._encode_batch(requests, slots))

    async def join_sources(self) -> None:
        """Wait for the vectors of each decoded source, in order, until the sources end."""
        while (source := await self.decoded.get()) is not None:
            await self.embedded.put(
                source if isinstance(source, FailedSource) else await self._join(source)
            )
        await self.embedded.put(None)

    async def _next_batch(self) -> list[EncodeRequest]:
        """Return a full batch, or fewer if no more arrive for a moment; none at the end."""
        first = await self.requests.get()
        requests = [] if first is None else [first]
        while requests and len(requests) < self.encoder.batch_size:
            try:
                async with asyncio.timeout(_BATCH_WAIT_SECONDS):
                    request = await self.requests.get()
            except TimeoutError:
                break
            if request is None:
                await self.requests.put(None)
                break
            requests.append(request)
        return requests

    async def _encode_batch(self, requests: list[EncodeRequest], slots: asyncio.Semaphore) -> None:
        try:
            started = time.perf_counter()
            results = await self.encoder([request.pixels for request in requests])
            self.stats.add_time("encode", time.perf_counter() - started)
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
                self.stats.warn("tile_not_encoded", file_of(decoded).name, str(vector))
            else:
                regions.append(Embedded(tile.draft, vector))
        return EmbeddedSource(decoded, tuple(assets), tuple(regions))
