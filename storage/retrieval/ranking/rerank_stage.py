"""What a judge is shown of the first results, and the order that comes of it.

No connection is held while the judge judges: it may take seconds, and there are few of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.storage.db.pool import Connection, Database
from sightline.storage.records import assets
from sightline.storage.retrieval.hydrate import hydration
from sightline.storage.retrieval.ranking.fusion import Fused
from sightline.storage.retrieval.ranking.reranker import Exhibit, Reranker
from sightline.storage.retrieval.retrievers.knn import Target
from sightline.storage.text.quoted_phrases import unquoted


@dataclass(frozen=True, slots=True)
class SecondLook:
    """The order after it; ``notes`` say why where it is the one before (``reranked`` is false)."""

    hits: list[Fused]
    reranked: bool = False
    notes: tuple[str, ...] = ()


async def second_look(
    database: Database,
    hits: Sequence[Fused],
    *,
    query: str,
    reranker: Reranker | None,
    target: Target,
) -> SecondLook:
    """Have the first of ``hits`` judged; without a reranker or a query they stay as they are."""
    if reranker is None or not query or not hits:
        return SecondLook(list(hits))
    head = hits[: reranker.top]
    async with database.connection(autocommit=True) as connection:
        exhibits = (
            await _pictures(connection, head, looks=reranker.judge.looks)
            if target == "asset"
            else await _passages(connection, head)
        )
    places, problem = await reranker.order(unquoted(query), exhibits)
    order = [head[place] for place in places] + list(hits[len(head) :])
    return SecondLook(order, problem is None, () if problem is None else (problem,))


async def _pictures(connection: Connection, head: Sequence[Fused], *, looks: bool) -> list[Exhibit]:
    """Each asset with its caption and the passage that was found on it."""
    keys = [str(hit.key) for hit in head]
    pictures = await assets.find(connection, keys)
    passages = await hydration.passages(
        connection, [hit.passage_id for hit in head if hit.passage_id is not None], ()
    )
    thumbnails = await assets.thumbnails(connection, keys) if looks else {}
    exhibits: list[Exhibit] = []
    for hit, key in zip(head, keys, strict=True):
        caption = pictures[key].caption if key in pictures else None
        passage = passages.get(hit.passage_id) if hit.passage_id is not None else None
        texts = dict.fromkeys([caption or "", passage.text if passage else ""])
        text = "\n".join(each for each in texts if each)
        exhibits.append(Exhibit(hit.key, text, thumbnails.get(key)))
    return exhibits


async def _passages(connection: Connection, head: Sequence[Fused]) -> list[Exhibit]:
    texts = await hydration.passages(connection, [int(hit.key) for hit in head], ())
    return [
        Exhibit(hit.key, texts[int(hit.key)].text if int(hit.key) in texts else "") for hit in head
    ]
