"""Measure how reliably an encoder finds images of a collection by text.

Captioned images are queries with known answers: does the caption's vector rank its own image high
among a few hundred others? If one encoder made both vectors, both are stored, so the measurement
costs one query and a small matrix product. An encoder trained on drawings scores near chance on
photographs, and its text queries then count less.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from psycopg import sql

from sightline.storage.db.queries import Connection, fetch_value, load_sql
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.search_caches import SearchCaches

_SQL = load_sql("retrieval")
_MAX_PAIRS = 256
_MIN_PAIRS = 16
_MAX_COLLECTIONS = 16
_TTL_SECONDS = 300.0
_FEW_PAIRS_TTL_SECONDS = 30.0


async def encoder_reliability(
    connection: Connection, scope: SearchScope, caches: SearchCaches
) -> dict[int, float]:
    """Return the reliability 0 (chance) to 1 of the passage encoder, by collection id.

    Skips collections whose images another encoder embedded or that have too few captions. Measures
    at most 16 collections.
    """
    scoped = scope.spaces.get("passage")
    if scoped is None:
        return {}
    text_space = scoped.space
    reliability: dict[int, float] = {}
    for collection_id in scope.collection_ids[:_MAX_COLLECTIONS]:

        async def load(collection_id: int = collection_id) -> tuple[float | None, float]:
            value, pairs = await _measure(connection, text_space, collection_id)
            return value, _TTL_SECONDS if pairs == _MAX_PAIRS else _FEW_PAIRS_TTL_SECONDS

        value = await caches.encoder_reliability.get((text_space.id, collection_id), load)
        if value is not None:
            reliability[collection_id] = value
    return reliability


async def _measure(
    connection: Connection, text_space: EmbeddingSpace, collection_id: int
) -> tuple[float | None, int]:
    """Return the reliability (None if unknown) and the number of measured pairs."""
    identity = text_space.identity
    image_space_id = await fetch_value(
        connection,
        _SQL["image_space_of_encoder"],
        {**asdict(identity), "collections": [collection_id]},
    )
    if image_space_id is None:
        return None, 0
    image_space = EmbeddingSpace(image_space_id, identity, "asset")
    statement = sql.SQL(_SQL["caption_image_pairs"]).format(
        dimension=sql.Literal(identity.dimension),
        partition=sql.Identifier(image_space.partition),
        text_partition=sql.Identifier(text_space.partition),
    )
    params = {"collections": [collection_id], "rows": _MAX_PAIRS}
    rows = await (await connection.execute(statement, params, binary=True)).fetchall()
    if len(rows) < _MIN_PAIRS:
        return None, len(rows)
    captions = np.array([caption.to_numpy() for caption, _ in rows], dtype=np.float32)
    images = np.array([image.to_numpy() for _, image in rows], dtype=np.float32)
    return caption_agreement(captions, images), len(rows)


def caption_agreement(captions: Vectors, images: Vectors) -> float:
    """Return the share of captions that rank their own image near the top.

    0 is chance, 1 is all. Both are float32 of shape (n, dimension); row i of ``captions`` belongs
    to row i of ``images``.
    """
    similarities = captions @ images.T
    own = np.diagonal(similarities)[:, None]
    # Ties count half, so that identical captions do not look correct.
    above = (similarities > own).sum(axis=1) + ((similarities == own).sum(axis=1) - 1) / 2
    percentile = above / max(len(captions) - 1, 1)
    near_top = float((percentile <= 0.1).mean())
    return float(np.clip((near_top - 0.1) / 0.9, 0.0, 1.0))
