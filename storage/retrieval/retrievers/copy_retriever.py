"""Find copies of a picture.

They may be turned, mirrored, edited, or the larger picture that it is cut from.
An encoder places a dark, gray or turned copy elsewhere, so hashes decide. The symmetric hash finds
candidates through an index; perceptual and local hashes confirm them. A part of a picture has other
hashes of whole pictures, so the local hashes of the nearest vectors are compared as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.interfaces import Vectors
from sightline.storage.picture_hashes import (
    PictureHashes,
    count_matches,
    nearby,
    orientations,
    turn_spots,
    unpack_spots,
)
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.records.picture_pairs import (
    MIN_SPOTS,
    NEAR_IDENTICAL,
    SAME_BITS,
    SIMILAR_BITS,
    confirms,
)
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.retrievers.vector_retriever import asset_vectors
from sightline.storage.retrieval.search_types import (
    Hit,
    Key,
    Modality,
    Retriever,
    RetrieverResult,
    best_per_key,
)

SYMMETRIC_BITS = 2
"""Symmetric hashes of near-duplicates differ in at most so many of 16 bits."""
_MAX_CANDIDATES = 100
_SQL = load_sql("copies")


@dataclass(frozen=True, slots=True)
class CopyRetriever:
    """Puts copies of a picture before the hits of another retriever.

    The score of a copy stays the similarity of its vector in ``space`` to the unit ``vector``.
    """

    nearest: Retriever
    picture: PictureHashes
    database: Database
    scope: SearchScope
    space: EmbeddingSpace
    vector: Vectors

    @property
    def name(self) -> str:
        return self.nearest.name

    @property
    def modality(self) -> Modality:
        return self.nearest.modality

    async def retrieve(self) -> RetrieverResult:
        result = await self.nearest.retrieve()
        hits: dict[Key, Hit] = {hit.key: hit for hit in result.hits}
        nearest = {str(hit.key): hit.score for hit in result.hits}
        has_spots = len(unpack_spots(self.picture.local)) >= MIN_SPOTS
        if not has_spots and max(nearest.values(), default=0.0) < NEAR_IDENTICAL:
            return result  # only the vectors could confirm a copy
        async with self.database.connection(autocommit=True) as connection:
            candidates = await _candidates(connection, self.scope, self.picture, nearest)
            copies = _find_copies(self.picture, candidates, nearest)
            distant = [id_ for id_ in copies if id_ not in hits]
            vectors = await asset_vectors(connection, self.space, distant)
        for id_, certainty in copies.items():
            hit = hits.get(id_)
            if hit is None:
                similarity = float(vectors[id_] @ self.vector) if id_ in vectors else 0.0
                hit = Hit(id_, similarity, 1 - similarity)
            hits[id_] = hit._replace(confidence=1.0, is_significant=True, copy=certainty)
        return replace(result, hits=best_per_key(hits.values()))


def nearest_orientation(perceptual: int, turned: Sequence[int]) -> tuple[int, int]:
    """Return the place and the bits of the nearest hash of all orientations."""
    bits = [((perceptual ^ each) & 0xFFFF_FFFF_FFFF_FFFF).bit_count() for each in turned]
    best = min(range(len(bits)), key=bits.__getitem__)
    return best, bits[best]


async def _candidates(
    connection: Connection,
    scope: SearchScope,
    picture: PictureHashes,
    nearest: Mapping[str, float],
) -> list[tuple[str, int | None, bytes | None]]:
    """Return id, perceptual hash and local hashes of what may be a copy of a picture.

    The hash is near its own in some orientation; it is None for the nearest vectors.
    """
    rows, parameters = scope.rows("asset")
    params = {
        **parameters,
        "symmetric": nearby(picture.symmetric, SYMMETRIC_BITS),
        "perceptual": orientations(picture.perceptual),
        "similar_bits": SIMILAR_BITS,
        "rows_of_value": 10 * _MAX_CANDIDATES,
        "rows": _MAX_CANDIDATES,
        "nearest": list(nearest),
    }
    statement = sql.SQL(_SQL["candidates"]).format(rows=rows)
    return await (await connection.execute(statement, params, binary=True)).fetchall()


def _find_copies(
    picture: PictureHashes,
    candidates: Sequence[tuple[str, int | None, bytes | None]],
    nearest: Mapping[str, float],
) -> dict[str, float]:
    """Return the copies of a picture by asset id, with a certainty that orders them.

    ``nearest`` has the cosines of the nearest vectors.
    """
    turned = orientations(picture.perceptual)
    # Vectors do not tell the orientation of a part: it is taken to be upright.
    places = {id_: (0, SIMILAR_BITS) for id_, _, _ in candidates}
    places |= {
        id_: nearest_orientation(hash_, turned) for id_, hash_, _ in candidates if hash_ is not None
    }
    local = {id_: unpack_spots(stored) for id_, _, stored in candidates}
    spots = unpack_spots(picture.local)
    copies: dict[str, float] = {}
    for orientation in {orientation for orientation, _ in places.values()}:
        own = [id_ for id_, (turn, _) in places.items() if turn == orientation]
        others = [local[id_] for id_ in own]
        for id_, other, matches in zip(
            own, others, count_matches(turn_spots(spots, orientation), others).tolist(), strict=True
        ):
            bits = places[id_][1]
            if confirms(bits, matches, min(len(spots), len(other)), nearest.get(id_, 0.0)):
                is_same = bits <= SAME_BITS
                copies[id_] = 2 - bits / 64 if is_same else min(matches, 64) / 64
    return copies


async def stored_hashes(connection: Connection, asset_id: str) -> PictureHashes | None:
    """Return the hashes of an asset, None if its picture is plain."""
    rows: list[dict[str, Any]] = await fetch_all(
        connection, _SQL["hashes"], {"ids": [asset_id]}, row=dict
    )
    for row in rows:
        return PictureHashes(row["perceptual"], row["symmetric"], row["local"] or b"")
    return None
