"""Encode in batches, with an encoder that may run out of memory or choke on one item."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from sightline.storage.errors import (
    MediaError,
    ModelError,
    ModelOverloadedError,
    ModelUnavailableError,
)
from sightline.storage.ingest.ingest_items import Vector
from sightline.storage.interfaces import Vectors

log = logging.getLogger(__name__)

Item = TypeVar("Item")

_OVERLOAD_WAITS_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)
_HOPELESS = 8


class BatchEncoder(Generic[Item]):
    """Wraps one of an encoder's functions; ``size`` is the batch that it takes at present."""

    def __init__(
        self, encode: Callable[[Sequence[Item]], Awaitable[Vectors]], dimension: int, size: int
    ) -> None:
        self._encode = encode
        self._dimension = dimension
        self.size = size

    async def __call__(self, items: Sequence[Item]) -> list[Vector | MediaError]:
        """A vector for each item, or why there is none.

        A batch that fails is halved until the item that is to blame stands alone. Raises
        ModelError where all of at least eight items fail, for then it is not they.
        """
        results: list[Vector | MediaError] = []
        at = 0
        while at < len(items):
            batch = items[at : at + self.size]
            results += await self._halving(batch)
            at += len(batch)
        errors = [result for result in results if isinstance(result, MediaError)]
        if len(errors) == len(items) >= _HOPELESS:
            raise ModelError(f"the encoder failed on {len(items)} of {len(items)}: {errors[-1]}")
        return results

    async def _halving(self, items: Sequence[Item]) -> list[Vector | MediaError]:
        try:
            rows = await self._patiently(items)
        except (ModelOverloadedError, ModelUnavailableError):
            raise
        except Exception as error:  # noqa: BLE001 - what the model's library raises is its own
            if len(items) == 1:
                return [MediaError("encoder", f"made the encoder fail: {error}")]
            log.info("the encoder failed on a batch of %d, halving it: %s", len(items), error)
            half = len(items) // 2
            results = [*await self._halving(items[:half]), *await self._halving(items[half:])]
            if not any(isinstance(result, MediaError) for result in results):
                self.size = min(self.size, half)  # it was the size
            return results
        return [self._checked(row) for row in rows]

    async def _patiently(self, items: Sequence[Item]) -> Vectors:
        """Others may be using the encoder: wait for a place in its queue."""
        for wait in _OVERLOAD_WAITS_SECONDS:
            try:
                return self._shaped(await self._encode(items), len(items))
            except ModelOverloadedError:
                await asyncio.sleep(wait)
        return self._shaped(await self._encode(items), len(items))

    def _shaped(self, rows: Vectors, count: int) -> Vectors:
        if rows.shape != (count, self._dimension):
            raise ModelError(
                f"the encoder gave an array of shape {rows.shape}; expected "
                f"{(count, self._dimension)}"
            )
        return rows

    @staticmethod
    def _checked(row: Vector) -> Vector | MediaError:
        """Cosine distance knows neither a vector without a length nor one that is not finite."""
        length = float(np.linalg.norm(row))
        if not np.isfinite(length) or length < 1e-6:
            return MediaError("encoder", f"got a vector of length {length} from the encoder")
        return np.asarray(row, dtype=np.float32)
