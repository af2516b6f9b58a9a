"""Texts on their way to a model: equal ones are encoded once, the last ones remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from sightline.server.models.batcher import Batcher
from sightline.storage.interfaces import Vectors


class Texts:
    """Encodes texts through one kind of a batcher's queues; remembers ``cache_entries`` rows."""

    def __init__(self, batcher: Batcher, kind: str, dimension: int, cache_entries: int) -> None:
        self._batcher = batcher
        self._kind = kind
        self._dimension = dimension
        self._cache_entries = cache_entries
        self._rows: OrderedDict[str, Vectors] = OrderedDict()

    async def encode(self, texts: Sequence[str]) -> Vectors:
        """Float32 of shape (n, dimension); rows are never handed out for writing.

        Raises ModelOverloadedError when the queue is full.
        """
        if not texts:
            return np.empty((0, self._dimension), np.float32)
        known = {text: row for text in texts if (row := self._remembered(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            rows = await self._batcher.submit(self._kind, missing)
            for text, row in zip(missing, rows, strict=True):
                known[text] = row
                self._remember(text, row)
        return np.stack([known[text] for text in texts])

    def _remembered(self, text: str) -> Vectors | None:
        row = self._rows.get(text)
        if row is not None:
            self._rows.move_to_end(text)
        return row

    def _remember(self, text: str, row: Vectors) -> None:
        if self._cache_entries:
            self._rows[text] = row.copy()  # a view would keep its whole batch alive
            if len(self._rows) > self._cache_entries:
                self._rows.popitem(last=False)
