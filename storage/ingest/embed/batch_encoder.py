"""Encodes items in batches. A rejected item does not fail the others."""

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
from sightline.storage.ingest.stage_types import Vector
from sightline.storage.interfaces import Vectors

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

_OVERLOAD_RETRY_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)
_MIN_ITEMS_TO_BLAME_THE_ENCODER = 8


class BatchEncoder(Generic[Item]):
    """Calls one function of an encoder with batches of ``batch_size`` items."""

    def __init__(
        self,
        encode: Callable[[Sequence[Item]], Awaitable[Vectors]],
        dimension: int,
        batch_size: int,
    ) -> None:
        self._encode = encode
        self._dimension = dimension
        self.batch_size = batch_size

    async def __call__(self, items: Sequence[Item]) -> list[Vector | MediaError]:
        """Return a vector or an error for each item, in order.

        If a batch fails, its items are encoded one by one. Raises ModelError if all items fail and
        there are at least 8: then the encoder is broken, not the items.
        """
        results: list[Vector | MediaError] = []
        for start in range(0, len(items), self.batch_size):
            results += await self._encode_batch(items[start : start + self.batch_size])
        errors = [result for result in results if isinstance(result, MediaError)]
        if len(errors) == len(items) >= _MIN_ITEMS_TO_BLAME_THE_ENCODER:
            raise ModelError(f"the encoder failed on {len(items)} of {len(items)}: {errors[-1]}")
        return results

    async def _encode_batch(self, items: Sequence[Item]) -> list[Vector | MediaError]:
        try:
            rows = await self._encode_with_retry(items)
        except (ModelOverloadedError, ModelUnavailableError):
            raise
        except Exception as error:  # noqa: BLE001 - model libraries raise errors of any type
            if len(items) == 1:
                return [MediaError("encoder", f"the encoder failed: {error}")]
            logger.info("a batch of %d items failed; retrying one by one: %s", len(items), error)
            return [(await self._encode_batch([item]))[0] for item in items]
        return [self._checked(row) for row in rows]

    async def _encode_with_retry(self, items: Sequence[Item]) -> Vectors:
        """Encode the items; wait and retry while the encoder's queue is full."""
        for seconds in _OVERLOAD_RETRY_SECONDS:
            try:
                return self._check_shape(await self._encode(items), len(items))
            except ModelOverloadedError:
                await asyncio.sleep(seconds)
        return self._check_shape(await self._encode(items), len(items))

    def _check_shape(self, rows: Vectors, count: int) -> Vectors:
        expected = (count, self._dimension)
        if rows.shape != expected:
            raise ModelError(f"the encoder returned shape {rows.shape}; expected {expected}")
        return rows

    @staticmethod
    def _checked(row: Vector) -> Vector | MediaError:
        """Return the vector, or an error if cosine distance is undefined for it."""
        length = float(np.linalg.norm(row))
        if not np.isfinite(length) or length < 1e-6:
            return MediaError("encoder", f"the encoder returned a vector of length {length}")
        return np.asarray(row, dtype=np.float32)
