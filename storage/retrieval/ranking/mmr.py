"""Group near-duplicates and diversify hits by maximal marginal relevance (MMR)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.ranking.fusion import FusedHit
from sightline.storage.retrieval.retrievers.knn import asset_vectors

_SQL = load_sql("retrieval")


@dataclass(frozen=True, slots=True)
class DiversifiedHits:
    """Hits in their final order; ``duplicates`` maps a shown asset id to hidden ones."""

    hits: Sequence[FusedHit]
    duplicates: dict[str, tuple[str, ...]] = field(default_factory=dict)


async def diversify_assets(
    connection: Connection,
    hits: Sequence[FusedHit],
    *,
    space: EmbeddingSpace | None,
    reranked: bool,
    group_duplicates: bool,
    diversity: float,
) -> DiversifiedHits:
    """Hide near-duplicates and apply MMR; load the vectors and hashes that this needs.

    ``reranked`` says that the scores do not match the order.
    """
    if space is None or not (group_duplicates or diversity > 0):
        return DiversifiedHits(hits)
    ids = [str(hit.key) for hit in hits]
    stored = await asset_vectors(connection, space, ids)
    missing = np.zeros(space.identity.dimension, dtype=np.float32)
    vectors = np.array([stored.get(id_, missing) for id_ in ids], dtype=np.float32).reshape(
        len(ids), len(missing)
    )
    shown = list(range(len(hits)))
    duplicates: dict[str, tuple[str, ...]] = {}
    if group_duplicates:
        cursor = await connection.execute(_SQL["perceptual_hashes"], {"ids": ids})
        hashes: dict[str, int] = dict(await cursor.fetchall())
        leaders = group_near_duplicates([hashes.get(id_) for id_ in ids], vectors)
        shown = [index for index, leader in enumerate(leaders) if index == leader]
        for index, leader in enumerate(leaders):
            if index != leader:
                duplicates[ids[leader]] = (*duplicates.get(ids[leader], ()), ids[index])
    if diversity > 0:
        # Scores of reranked hits are not comparable, so use the negative rank.
        scores = [float(-rank) if reranked else hits[i].score for rank, i in enumerate(shown)]
        shown = [shown[i] for i in mmr(scores, vectors[shown], diversity, len(shown))]
    return DiversifiedHits([hits[index] for index in shown], duplicates)


def mmr(scores: Sequence[float], vectors: Vectors, diversity: float, limit: int) -> list[int]:
    """Select by maximal marginal relevance; return indexes in order of selection.

    ``vectors`` are unit vectors, float32 of shape (len(scores), dimension); a zero row is similar
    to nothing. Relevance is the score scaled to 0..1. Each selection costs ``diversity`` (0 to 1)
    times the similarity to the nearest item selected before.
    """
    if not len(scores):
        return []
    relevance = np.asarray(scores, dtype=np.float32)
    spread = float(relevance.max() - relevance.min())
    relevance = (relevance - relevance.min()) / spread if spread > 0 else np.ones_like(relevance)
    similarity = np.zeros(len(scores), dtype=np.float32)
    remaining = np.ones(len(scores), dtype=bool)
    selected: list[int] = []
    while len(selected) < min(limit, len(scores)):
        value = (1 - diversity) * relevance - diversity * similarity
        value[~remaining] = -np.inf
        best = int(value.argmax())
        selected.append(best)
        remaining[best] = False
        similarity = np.maximum(similarity, vectors @ vectors[best])
    return selected


def group_near_duplicates(
    hashes: Sequence[int | None],
    vectors: Vectors,
    *,
    same_bits: int = 4,
    similar_bits: int = 12,
    min_cosine: float = 0.97,
) -> list[int]:
    """Return for each image the index of its first near-duplicate, or its own index.

    ``hashes`` are 64-bit perceptual hashes; ``vectors`` are unit vectors, float32 of shape
    (n, dimension).
    Two images are near-duplicates if their hashes differ in at most ``same_bits``, or in at most
    ``similar_bits`` with a cosine of at least ``min_cosine`` (a crop or another exposure).
    """
    leaders: list[int] = []
    groups = list(range(len(hashes)))
    for index, value in enumerate(hashes):
        for leader in leaders:
            other = hashes[leader]
            if value is None or other is None:
                continue
            bits = ((value ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()
            if bits <= same_bits or (
                bits <= similar_bits and float(vectors[index] @ vectors[leader]) >= min_cosine
            ):
                groups[index] = leader
                break
        else:
            leaders.append(index)
    return groups
