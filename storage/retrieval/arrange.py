"""From the fused order to the order that is shown: reranked, without repeats, diverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.storage import assets
from sightline.storage.database import Connection
from sightline.storage.retrieval import evidence
from sightline.storage.retrieval.examples import diversify, duplicates_of
from sightline.storage.retrieval.fusion import Fused
from sightline.storage.retrieval.limits import DEPTH
from sightline.storage.retrieval.rerank import Exhibit, Reranker
from sightline.storage.spaces import Space


@dataclass(frozen=True, slots=True)
class Arranged:
    """The order that is shown. ``duplicates`` are ids by the id that stands for them."""

    hits: list[Fused]
    duplicates: dict[str, tuple[str, ...]]
    reranked: bool = False
    notes: tuple[str, ...] = ()


async def arrange(
    connection: Connection,
    hits: Sequence[Fused],
    *,
    query: str,
    space: Space | None,
    reranker: Reranker | None,
    group_duplicates: bool,
    diversity: float,
) -> Arranged:
    """Arrange the best `DEPTH` of the fused order."""
    order = list(hits[:DEPTH])
    notes: tuple[str, ...] = ()
    reranked = False
    if reranker is not None and query and order:
        places, problem = await reranker.order(query, await _exhibits(connection, order, reranker))
        order = [order[place] for place in places] + order[len(places) :]
        reranked = problem is None
        notes = () if problem is None else (problem,)
    duplicates: dict[str, tuple[str, ...]] = {}
    if space is not None and (group_duplicates or diversity > 0):
        ids = [str(hit.key) for hit in order]
        vectors = await evidence.matrix(connection, space, ids)
        kept = list(range(len(order)))
        if group_duplicates:
            group = duplicates_of(await evidence.hashes(connection, ids), vectors)
            kept = [place for place, leader in enumerate(group) if place == leader]
            for place, leader in enumerate(group):
                if place != leader:
                    duplicates[ids[leader]] = (*duplicates.get(ids[leader], ()), ids[place])
        if diversity > 0:
            # A reranked order has no scores of its own: its places stand for them.
            worth = [float(-n) if reranked else order[place].score for n, place in enumerate(kept)]
            chosen = diversify(worth, vectors[kept], diversity, len(kept))
            kept = [kept[place] for place in chosen]
        order = [order[place] for place in kept]
    return Arranged(order, duplicates, reranked, notes)


async def _exhibits(
    connection: Connection, order: Sequence[Fused], reranker: Reranker
) -> list[Exhibit]:
    """What the judge sees: each asset with its best passage, else its caption."""
    head = order[: reranker.top]
    pictures = await assets.find(connection, [str(hit.key) for hit in head])
    texts = await evidence.passages(
        connection, [hit.passage_id for hit in head if hit.passage_id is not None], ()
    )
    exhibits: list[Exhibit] = []
    for hit in head:
        picture = pictures.get(str(hit.key))
        passage = texts.get(hit.passage_id) if hit.passage_id is not None else None
        caption = picture.caption if picture is not None else None
        exhibits.append(Exhibit(hit.key, passage.text if passage else caption or ""))
    return exhibits
