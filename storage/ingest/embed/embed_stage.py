"""Encode items in batches and join the vectors to their sources.

A rejected item does not fail the others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from sightline.storage.errors import (
    MediaError,
    ModelError,
    ModelOverloadedError,
    ModelUnavailableError,
)
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.progress import IngestStats
from sightline.storage.interfaces import Pixels, TextEncoder, Vectors

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

_OVERLOAD_RETRY_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)
_MIN_ITEMS_TO_BLAME_THE_ENCODER = 8
_BATCH_WAIT_SECONDS = 0.25
_MAX_BATCHES_IN_FLIGHT = 2  # one in the model, one ready for it


class BatchEncoder(Generic[Item]):
    """Calls one function of an encoder with batches of ``batch_size`` items.

    ``has_vocabulary``: a zero vector is no error, but says that the item is outside of it.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Item]], Awaitable[Vectors]],
        dimension: int,
        batch_size: int,
        *,
        has_vocabulary: bool = False,
    ) -> None:
        self._encode = encode
        self._dimension = dimension
        self.batch_size = batch_size
        self._has_vocabulary = has_vocabulary

    @staticmethod
    def of_passages(encoder: TextEncoder | None, batch_size: int) -> BatchEncoder[str] | None:
        """Return a batch encoder of passages, None without an encoder."""
        if encoder is None:
            return None
        dimension = encoder.identity.dimension
        return BatchEncoder(encoder.encode_texts, dimension, batch_size, has_vocabulary=True)

    async def __call__(self, items: Sequence[Item]) -> list[stages.Vector | MediaError]:
        """Return a vector or an error for each item, in order.

        If a batch fails, its items are encoded one by one. Raises ModelError if all items fail and
        there are at least 8: then the encoder is broken, not the items.
        """
        results: list[stages.Vector | MediaError] = []
        for start in range(0, len(items), self.batch_size):
            results += await self._encode_batch(items[start : start + self.batch_size])
        errors = [result for result in results if isinstance(result, MediaError)]
        if len(errors) == len(items) >= _MIN_ITEMS_TO_BLAME_THE_ENCODER:
            raise ModelError(f"the encoder failed on {len(items)} of {len(items)}: {errors[-1]}")
        return results

    async def _encode_batch(self, items: Sequence[Item]) -> list[stages.Vector | MediaError]:
        try:
            rows = await self._encode_with_retry(items)
        except (ModelOverloadedError, ModelUnavailableError):
            raise
        except Exception as error:  # noqa: BLE001 - model libraries raise errors of any type
            if len(items) == 1:
                return [MediaError("encoder", f"the encoder failed: {error}")]
            logger.info("a batch of %d items failed; retrying one by one: %s", len(items), error)
            return [(await self._encode_batch([item]))[0] for item in items]
        return [row if self._has_vocabulary and not row.any() else _checked(row) for row in rows]

    async def _encode_with_retry(self, items: Sequence[Item]) -> Vectors:
        """Encode the items; wait and retry while the encoder's queue is full."""
        for seconds in (*_OVERLOAD_RETRY_SECONDS, None):
            try:
                rows = await self._encode(items)
                break
            except ModelOverloadedError:
                if seconds is None:
                    raise
                await asyncio.sleep(seconds)
        expected = (len(items), self._dimension)
        if rows.shape != expected:
            raise ModelError(f"the encoder returned shape {rows.shape}; expected {expected}")
        return rows


def _checked(row: stages.Vector) -> stages.Vector | MediaError:
    """Return the vector, or an error if cosine distance is undefined for it."""
    length = float(np.linalg.norm(row))
    if not np.isfinite(length) or length < 1e-6:
        return MediaError("encoder", f"the encoder returned a vector of length {length}")
    return np.asarray(row, dtype=np.float32)


@dataclass(slots=True)
class EmbedStage:
    """Encodes ``requests`` and turns ``decoded`` sources into ``embedded`` ones."""

    encoder: BatchEncoder[Pixels]
    requests: asyncio.Queue[stages.EncodeRequest | None]
    decoded: asyncio.Queue[stages.DecodedSource | stages.FailedSource | None]
    embedded: asyncio.Queue[stages.FinishedSource | None]
    stats: IngestStats

    async def encode_requests(self) -> None:
        slots = asyncio.Semaphore(_MAX_BATCHES_IN_FLIGHT)
        async with asyncio.TaskGroup() as batches:
            while requests := await self._next_batch():
                await slots.acquire()
                batches.create_task(self._encode_batch(requests, slots))

    async def join_sources(self) -> None:
        """Wait for the vectors of each decoded source, in order, until the sources end."""
        while (source := await self.decoded.get()) is not None:
            self.stats.add_passed("decode")
            await self.embedded.put(
                source if isinstance(source, stages.FailedSource) else await self._join(source)
            )
            self.stats.add_passed("encode")
        await self.embedded.put(None)

    async def _next_batch(self) -> list[stages.EncodeRequest]:
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

    async def _encode_batch(
        self, requests: list[stages.EncodeRequest], slots: asyncio.Semaphore
    ) -> None:
        try:
            started = time.perf_counter()
            results = await self.encoder([request.pixels for request in requests])
            self.stats.add_time("encode", time.perf_counter() - started)
            for request, result in zip(requests, results, strict=True):
                if not request.vector.done():  # cancelled with its source
                    request.vector.set_result(result)
        finally:
            slots.release()

    async def _join(self, decoded: stages.DecodedSource) -> stages.FinishedSource:
        assets: list[stages.Embedded[stages.AssetDraft]] = []
        for asset in decoded.assets:
            vector = await asset.vector
            if isinstance(vector, MediaError):
                return stages.fail_source(decoded, vector)
            assets.append(stages.Embedded(asset.draft, vector))
        regions: list[stages.Embedded[stages.RegionDraft]] = [
            stages.Embedded(line, None) for line in decoded.ocr_lines
        ]
        for tile in decoded.tiles:
            vector = await tile.vector
            if isinstance(vector, MediaError | None):
                self.stats.warn("tile_not_encoded", decoded.hashed.file.name, str(vector))
            else:
                regions.append(stages.Embedded(tile.draft, vector))
        return stages.EmbeddedSource(decoded, tuple(assets), tuple(regions))
