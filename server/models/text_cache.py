"""LRU cache of text vectors in front of a batched text encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache

from sightline.server.models.batcher import Batcher
from sightline.storage.interfaces import Vectors


class TextVectorCache:
    """Encodes texts through a batcher and caches ``max_entries`` vectors."""

    def __init__(self, batcher: Batcher, kind: str, dimension: int, max_entries: int) -> None:
        self._batcher = batcher
        self._kind = kind
        self._dimension = dimension
        self._rows: LRUCache[str, Vectors] = LRUCache(max_entries)

    async def encode(self, texts: Sequence[str]) -> Vectors:
        """Return a new float32 array of shape (n, dimension).

        Equal texts are encoded once. Raises ModelOverloadedError if the queue is full.
        """
        if not texts:
            return np.empty((0, self._dimension), np.float32)
        rows = {text: row for text in texts if (row := self._rows.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in rows]
        if missing:
            encoded = await self._batcher.submit(self._kind, missing)
            for text, row in zip(missing, encoded, strict=True):
                rows[text] = row
                if self._rows.maxsize:
                    self._rows[text] = row.copy()  # a view would keep the whole batch alive
        return np.stack([rows[text] for text in texts])
