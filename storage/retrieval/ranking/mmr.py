"""Hide near-duplicates and diversify hits by maximal marginal relevance (MMR)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from sightline.storage.db.queries import Connection
from sightline.storage.interfaces import Vectors
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.ranking.duplicate_groups import (
    group_pictures,
    load_pictures,
    scope_spaces,
)
from sightline.storage.retrieval.ranking.fusion import FusedHit
from sightline.storage.retrieval.retrievers.vector_retriever import asset_vectors
from sightline.storage.retrieval.search_types import ImageRequest


async def diversify(
    connection: Connection,
    request: ImageRequest,
    scope: SearchScope,
    hits: Sequence[FusedHit],
    reranked: bool,
) -> Sequence[FusedHit]:
    """Hide near-duplicates and apply MMR, if the request says so.

    ``reranked`` says that the scores do not match the order.
    """
    is_wanted = request.group_duplicates or request.diversity > 0
    if not hits or not is_wanted or "asset" not in scope.spaces:
        return hits
    space = scope.spaces["asset"].space
    ids = [str(hit.key) for hit in hits]
    stored = await asset_vectors(connection, space, ids)
    missing = np.zeros(space.identity.dimension, dtype=np.float32)
    vectors = np.stack([stored.get(id_, missing) for id_ in ids])
    shown = list(range(len(hits)))
    duplicates: dict[int, list[str]] = {}
    if request.group_duplicates:
        pictures = {each.id: each for each in await load_pictures(connection, ids)}
        known = [index for index, id_ in enumerate(ids) if id_ in pictures]
        compared = [pictures[ids[index]] for index in known]
        leaders = [*shown]
        found, _ = await group_pictures(
            compared, scope_spaces(scope), lambda: nullcontext(connection)
        )
        for index, leader in zip(known, found, strict=True):
            leaders[index] = known[leader]
        for index, leader in enumerate(leaders):
            duplicates.setdefault(leader, []).extend([ids[index]] if index != leader else [])
        shown = list(duplicates)
    if request.diversity > 0:
        # Scores of reranked hits are not comparable, so use the negative rank.
        scores = [float(-rank) if reranked else hits[i].score for rank, i in enumerate(shown)]
        shown = [shown[i] for i in mmr(scores, vectors[shown], request.diversity)]
    return [hits[index]._replace(duplicates=tuple(duplicates.get(index, ()))) for index in shown]


def mmr(scores: Sequence[float], vectors: Vectors, diversity: float) -> list[int]:
    """Order by maximal marginal relevance; return indexes in order of selection.

    ``vectors`` are unit vectors, float32 of shape (len(scores), dimension); a zero row is similar
    to nothing. Relevance is the score scaled to 0..1. Each selection costs ``diversity`` (0 to 1)
    times the similarity to the nearest item selected before.
    """
    if not len(scores):
        return []
    relevance = np.asarray(scores, dtype=np.float32)
    spread = float(np.ptp(relevance))
    relevance = (relevance - relevance.min()) / spread if spread > 0 else np.ones_like(relevance)
    similarity = np.zeros(len(scores), dtype=np.float32)
    selected: list[int] = []
    for _ in scores:
        value = (1 - diversity) * relevance - diversity * similarity
        value[selected] = -np.inf
        selected.append(int(value.argmax()))
        similarity = np.maximum(similarity, vectors @ vectors[selected[-1]])
    return selected
