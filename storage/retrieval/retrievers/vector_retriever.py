"""Branches of a search that compare vectors: whole pictures, regions, passages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from llama_index.core.schema import QueryBundle

from sightline.storage.db.pool import Database
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.filters.search_scope import Scope
from sightline.storage.retrieval.retrievers.base_retriever import (
    Branch,
    Candidate,
    Found,
    Side,
    best_of_each,
)
from sightline.storage.retrieval.retrievers.knn import Target, nearest
from sightline.storage.retrieval.search_caches import Memory

UNMEASURED = 0.25
"""Most evidence where there are too few vectors to tell a hit from noise: three such branches that
agree are less than words that stand there."""


class VectorBranch(Branch):
    """Vectors of one level; keyed on assets, or on passages when ``target`` says so."""

    def __init__(
        self,
        name: str,
        side: Side,
        database: Database,
        scope: Scope,
        space: EmbeddingSpace,
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
        rows = self._depth * (1 if self._space.level == "asset" or self._target == "passage" else 4)
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
        evidence = noise.evidence if noise else _among([1 - row.distance for row in found.rows])
        candidates = [
            Candidate(
                key=row.key,
                score=1 - row.distance,
                distance=row.distance,
                evidence=self._trust.get(row.collection_id, 1.0) * evidence(1 - row.distance),
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


def _among(similarities: Sequence[float]) -> Callable[[float], float]:
    """Evidence by the place between the least alike, which has none, and the most alike.

    Few vectors are all found: if each had the same evidence, a thing that two branches find, as
    they find everything, would come before what one of them ranks first.
    """
    least, most = min(similarities, default=0.0), max(similarities, default=0.0)
    if least == most:
        return lambda _: UNMEASURED
    return lambda similarity: UNMEASURED * (similarity - least) / (most - least)


def unit(vector: Vectors) -> Vectors:
    """The vector at length 1; the zero vector as it is."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
