"""How far an encoder's words can be trusted to find pictures of a collection, measured there.

Captioned pictures are questions with known answers: does the vector of a caption find its own
picture among a few hundred others? Where one encoder made both the vectors of captions and of
pictures, both are stored already, so the measurement costs one query and a small matrix product.
An encoder that was trained on drawings scores near chance on photographs, and says so here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from psycopg import sql

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.filters.search_scope import Scope
from sightline.storage.retrieval.ttl_cache import Kept

_SQL = sql_loader.load("retrieval")
_PAIRS = 256
_FEWEST_PAIRS = 16
_MEASURED_COLLECTIONS = 16
_KEPT = 1024  # a few numbers each
_KEPT_SECONDS = 300.0
_KEPT_WHILE_SMALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Trust:
    """``value`` 0 (chance) to 1 (captions find their pictures); ``pairs`` that say so."""

    value: float
    pairs: int


class TrustLedger:
    """What was measured, by space and collection, for a few minutes."""

    def __init__(self) -> None:
        self._known = Kept[tuple[int, int], Trust | None](_KEPT)

    async def of(self, connection: Connection, scope: Scope) -> dict[int, float]:
        """Trust in the encoder of the scope's passage vectors, 0 to 1, by collection.

        Collections where it cannot be measured are left out: their pictures are another encoder's,
        or their captions too few. Of many collections only the first are measured.
        """
        scoped = scope.spaces.get("passage")
        if scoped is None:
            return {}
        found: dict[int, float] = {}
        for collection in scope.ids[:_MEASURED_COLLECTIONS]:
            trust = await self._of_collection(connection, scoped.space, collection)
            if trust is not None:
                found[collection] = trust.value
        return found

    async def _of_collection(
        self, connection: Connection, texts: EmbeddingSpace, collection: int
    ) -> Trust | None:
        async def learn() -> tuple[Trust | None, float]:
            trust = await _measure(connection, texts, [collection])
            full = trust is not None and trust.pairs == _PAIRS
            return trust, _KEPT_SECONDS if full else _KEPT_WHILE_SMALL_SECONDS

        return await self._known.get((texts.id, collection), learn)


async def _measure(connection: Connection, texts: EmbeddingSpace, ids: list[int]) -> Trust | None:
    identity = texts.identity
    asked = {
        "encoder": identity.name,
        "weights": identity.weights,
        "preprocessing": identity.preprocessing,
        "dimension": identity.dimension,
        "collections": ids,
    }
    row = await (await connection.execute(_SQL["space_of_pictures"], asked)).fetchone()
    if row is None:
        return None
    pictures = EmbeddingSpace(row[0], identity, "asset")
    statement = sql.SQL(_SQL["captioned_pairs"]).format(
        dimension=sql.Literal(pictures.identity.dimension),
        partition=sql.Identifier(pictures.partition),
        text_partition=sql.Identifier(texts.partition),
    )
    cursor = await connection.execute(statement, {"collections": ids, "rows": _PAIRS}, binary=True)
    rows = await cursor.fetchall()
    if len(rows) < _FEWEST_PAIRS:
        return None
    captions = np.array([row[0].to_numpy() for row in rows], dtype=np.float32)
    images = np.array([row[1].to_numpy() for row in rows], dtype=np.float32)
    return Trust(agreement(captions, images), len(rows))


def agreement(captions: Vectors, images: Vectors) -> float:
    """0 to 1: the share of captions that rank their own picture above nearly all others.

    Both float32 of shape (n, dimension); row i of one belongs to row i of the other. Chance is 0.
    """
    similarities = captions @ images.T
    own = np.diagonal(similarities)[:, None]
    # Ties count half: captions that are all alike must not look right.
    above = (similarities > own).sum(axis=1) + ((similarities == own).sum(axis=1) - 1) / 2
    percentile = above / max(len(captions) - 1, 1)
    near_top = float((percentile <= 0.1).mean())
    return float(np.clip((near_top - 0.1) / 0.9, 0.0, 1.0))
