"""Retrieve by vector similarity: whole images, regions or passages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sightline.storage.db.pool import Database
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.request_validation import MAX_RESULTS
from sightline.storage.retrieval.retrievers.base_retriever import (
    Hit,
    Modality,
    ResultLevel,
    RetrieverResult,
    best_per_key,
)
from sightline.storage.retrieval.retrievers.knn import find_nearest, unit_vector
from sightline.storage.retrieval.retrievers.vector_confidence import (
    null_distribution,
    vector_sample,
)
from sightline.storage.retrieval.search_caches import SearchCaches

_MAX_CONFIDENCE_WITHOUT_NULL_DISTRIBUTION = 0.25
"""Three such retrievers that agree count less than a lexical match."""
_ROWS_PER_RESULT = 4
"""Extra rows, because several regions or passages of one asset become one result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRetriever:
    """Finds the nearest vectors of one embedding space.

    ``vector`` is float32 of shape (dimension,), not necessarily a unit vector. ``reliability``
    (0 to 1 by collection id) scales the confidence of hits.
    """

    name: str
    database: Database
    scope: SearchScope
    space: EmbeddingSpace
    caches: SearchCaches
    vector: Vectors
    level: ResultLevel
    reliability: Mapping[int, float] = field(default_factory=dict)

    @property
    def modality(self) -> Modality:
        return "text" if self.space.level == "passage" else "visual"

    async def retrieve(self) -> RetrieverResult:
        """Return the nearest assets or passages."""
        query = unit_vector(self.vector)
        is_direct = self.space.level == "asset" or self.level == "passage"
        async with self.database.connection() as connection:
            sample = await vector_sample(connection, self.space, self.scope, self.caches)
            neighbors = await find_nearest(
                connection,
                self.space,
                self.scope,
                query,
                level=self.level,
                rows=MAX_RESULTS * (1 if is_direct else _ROWS_PER_RESULT),
                population=sample.population,
                caches=self.caches,
            )
        null = null_distribution(sample, query)
        similarities = [1 - row.distance for row in neighbors.rows]
        confidence = null.confidence if null else _relative_confidence(similarities)
        hits = [
            Hit(
                key=row.key,
                score=similarity,
                distance=row.distance,
                confidence=self.reliability.get(row.collection_id, 1.0) * confidence(similarity),
                region_id=row.region_id,
                passage_id=row.passage_id,
            )
            for row, similarity in zip(neighbors.rows, similarities, strict=True)
        ]
        return RetrieverResult(
            best_per_key(hits),
            floor=null.mean if null else 0.0,
            threshold=null.threshold if null else None,
        )


def _relative_confidence(similarities: Sequence[float]) -> Callable[[float], float]:
    """Return a confidence by position between the least and the most similar row.

    A small collection returns all its vectors. With equal confidence, an item that two retrievers
    return would rank above the best item of one.
    """
    lowest, highest = min(similarities, default=0.0), max(similarities, default=0.0)
    scale = _MAX_CONFIDENCE_WITHOUT_NULL_DISTRIBUTION
    if lowest == highest:
        return lambda _: scale
    return lambda similarity: scale * (similarity - lowest) / (highest - lowest)
