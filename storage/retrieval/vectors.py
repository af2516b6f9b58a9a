"""Branches of a search that compare vectors: whole pictures, regions, passages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from llama_index.core.schema import QueryBundle

from sightline.storage.database import Database
from sightline.storage.models import Vectors
from sightline.storage.retrieval.branch import Branch, Candidate, Found, Side, best_of_each
from sightline.storage.retrieval.memory import Memory
from sightline.storage.retrieval.nearest import Target, nearest
from sightline.storage.retrieval.scope import Scope
from sightline.storage.spaces import Space

UNMEASURED = 0.5
"""Evidence where there are too few vectors to tell a hit from noise."""


class VectorBranch(Branch):
    """Vectors of one grain; keyed on assets, or on passages when ``target`` says so."""

    def __init__(
        self,
        name: str,
        side: Side,
        database: Database,
        scope: Scope,
        space: Space,
        memory: Memory,
        *,
        target: Target = "asset",
        depth: int = 100,
        trust: Mapping[int, float] | None = None,
    ) -> None:
        """``trust`` 0 to 1 by collection scales the evidence of its hits (see `trust`)."""
        super().__init__(name, side)
        self._database = database
        self._scope = scope
        self._space = space
        self._memory = memory
        self._target: Target = target
        self._depth = depth
        self._trust = trust or {}

    async def find(self, query: QueryBundle) -> Found:
        """Takes ``query.embedding``, of the space's dimension; it need not be a unit vector."""
        vector = unit(np.asarray(query.embedding, dtype=np.float32))
        # Several regions or passages of one asset are one result: look further for enough.
        rows = self._depth * (1 if self._space.grain == "asset" or self._target == "passage" else 4)
        async with self._database.connection() as connection:
            background = await self._memory.backgrounds.of(connection, self._space, self._scope)
            found = await nearest(
                connection,
                self._space,
                self._scope,
                vector,
                target=self._target,
                rows=rows,
                population=background.population,
                wide=self._memory.wide,
            )
        noise = background.noise(vector)
        candidates = [
            Candidate(
                key=row.key,
                score=1 - row.distance,
                distance=row.distance,
                evidence=self._trust.get(row.collection_id, 1.0)
                * (noise.evidence(1 - row.distance) if noise else UNMEASURED),
                region_id=row.region_id,
                passage_id=row.passage_id,
            )
            for row in found.rows
        ]
        return Found(
            best_of_each(candidates, self._depth),
            floor=noise.mean if noise else 0.0,
            threshold=noise.threshold if noise else None,
        )


def unit(vector: Vectors) -> Vectors:
    """The vector at length 1; the zero vector as it is."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
