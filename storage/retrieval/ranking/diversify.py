"""From an order to the one that is shown: without repeats, diverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.storage.db.pool import Connection
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.hydrate import hydration
from sightline.storage.retrieval.ranking.fusion import Fused
from sightline.storage.retrieval.ranking.mmr import diversify, duplicates_of
from sightline.storage.retrieval.request_validation import DEPTH


@dataclass(frozen=True, slots=True)
class Arranged:
    """The order that is shown. ``duplicates`` are ids by the id that stands for them."""

    hits: list[Fused]
    duplicates: dict[str, tuple[str, ...]]


async def arrange(
    connection: Connection,
    hits: Sequence[Fused],
    *,
    space: EmbeddingSpace | None,
    reranked: bool,
    group_duplicates: bool,
    diversity: float,
) -> Arranged:
    """Arrange the first `DEPTH` hits; ``reranked`` says that their scores are not of this order."""
    order = list(hits[:DEPTH])
    duplicates: dict[str, tuple[str, ...]] = {}
    if space is not None and (group_duplicates or diversity > 0):
        ids = [str(hit.key) for hit in order]
        vectors = await hydration.matrix(connection, space, ids)
        kept = list(range(len(order)))
        if group_duplicates:
            group = duplicates_of(await hydration.hashes(connection, ids), vectors)
            kept = [place for place, leader in enumerate(group) if place == leader]
            for place, leader in enumerate(group):
                if place != leader:
                    duplicates[ids[leader]] = (*duplicates.get(ids[leader], ()), ids[place])
        if diversity > 0:
            # Places stand for the scores that a reranked order has not.
            worth = [float(-n) if reranked else order[place].score for n, place in enumerate(kept)]
            chosen = diversify(worth, vectors[kept], diversity, len(kept))
            kept = [kept[place] for place in chosen]
        order = [order[place] for place in kept]
    return Arranged(order, duplicates)
