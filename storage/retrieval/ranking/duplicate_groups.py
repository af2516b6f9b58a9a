"""Judge candidate pairs with what is stored of them, and group near-duplicates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from psycopg import sql

from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.interfaces import Vectors
from sightline.storage.picture_hashes import (
    count_matches,
    turn_hashes,
    turn_spots,
    unpack_spots,
)
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.ranking.near_duplicates import (
    MAX_CANDIDATES,
    are_near_duplicates,
    candidate_pairs,
)
from sightline.storage.retrieval.retrievers.copy_retriever import (
    SIMILAR_BITS,
    local_hashes,
)
from sightline.storage.retrieval.retrievers.vector_retriever import asset_vectors

MAX_DUPLICATES = 10
"""Near-duplicates that a hit lists."""
_PAIRS_OF_CHUNK = 2_000  # their vectors and local hashes take 12 MB
_SQL = load_sql("copies")

Spaces = Mapping[int, EmbeddingSpace]
"""The embedding space of whole images, by collection id."""
Connect = Callable[[], AbstractAsyncContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Picture:
    """An asset to compare; a plain picture has no hashes."""

    id: str
    collection_id: int
    sha256: bytes
    perceptual_hash: int | None
    symmetric_hash: int | None


@dataclass(frozen=True, slots=True)
class _SameHash:
    own_id: str
    own_collection: int
    own_hash: int
    other_id: str
    other_collection: int
    other_hash: int


class CandidatePair(NamedTuple):
    """Two pictures whose perceptual hashes differ in ``bits`` in an orientation."""

    one: Picture
    other: Picture
    bits: int
    orientation: int


async def group_pictures(
    pictures: Sequence[Picture], spaces: Spaces, connect: Connect
) -> tuple[list[int], bool]:
    """Return the index of each picture's leader, and whether all were compared.

    Without near-duplicates that is its own index. A picture follows the first of its
    near-duplicates, and so do those that follow it. The same bytes are always near-duplicates.
    Connections are held for chunks of pairs only.
    """
    by_bytes: dict[bytes, int] = {}
    leaders = [by_bytes.setdefault(each.sha256, index) for index, each in enumerate(pictures)]
    distinct = [index for index in by_bytes.values() if pictures[index].perceptual_hash is not None]
    perceptual = np.array([pictures[i].perceptual_hash or 0 for i in distinct], dtype=np.int64)
    symmetric = np.array([pictures[i].symmetric_hash or 0 for i in distinct], dtype=np.int16)
    found = await asyncio.to_thread(
        candidate_pairs, perceptual.view(np.uint64), symmetric.view(np.uint16)
    )
    for rank in range(MAX_CANDIDATES):
        places = [
            place
            for place in np.flatnonzero(found.ranks == rank).tolist()
            if leaders[distinct[found.rows[place]]] == distinct[found.rows[place]]
        ]
        for start in range(0, len(places), _PAIRS_OF_CHUNK):
            chunk = places[start : start + _PAIRS_OF_CHUNK]
            rows = [distinct[found.rows[place]] for place in chunk]
            columns = [distinct[found.columns[place]] for place in chunk]
            pairs = [
                CandidatePair(
                    pictures[row],
                    pictures[column],
                    int(found.bits[place]),
                    int(found.orientations[place]),
                )
                for place, row, column in zip(chunk, rows, columns, strict=True)
            ]
            async with connect() as connection:
                judged = await judge_pairs(connection, pairs, spaces)
            for row, column, is_near in zip(rows, columns, judged, strict=True):
                if is_near:
                    leaders[row] = column
    for index, leader in enumerate(leaders):  # a leader comes before its followers
        leaders[index] = leaders[leader]
    return leaders, found.is_complete


async def list_near_duplicates(
    connection: Connection, scope: SearchScope, ids: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the ids of near-duplicates in the scope, at most 10 of each asset.

    Finds those with the same symmetric hash: nearly all that are not cut.
    """
    rows, parameters = scope.rows("asset")
    statement = sql.SQL(_SQL["same_symmetric_hash"]).format(rows=rows)
    params = {**parameters, "ids": list(ids), "rows_of_asset": 2 * MAX_DUPLICATES}
    found = await fetch_all(connection, statement, params, row=_SameHash)
    own, others = (
        np.array(hashes, dtype=np.int64).view(np.uint64)
        for hashes in ([each.own_hash for each in found], [each.other_hash for each in found])
    )
    distances = np.bitwise_count(turn_hashes(others) ^ own)
    orientations = distances.argmin(axis=0)
    pairs = []
    for each, orientation, bits in zip(
        found, orientations.tolist(), distances.min(axis=0).tolist(), strict=True
    ):
        if bits <= SIMILAR_BITS:
            one = Picture(each.own_id, each.own_collection, b"", each.own_hash, None)
            other = Picture(each.other_id, each.other_collection, b"", each.other_hash, None)
            pairs.append(CandidatePair(one, other, bits, orientation))
    duplicates: dict[str, list[str]] = {}
    judged = await judge_pairs(connection, pairs, scope_spaces(scope))
    for pair, is_near in zip(pairs, judged, strict=True):
        if is_near:
            duplicates.setdefault(pair.one.id, []).append(pair.other.id)
    return {id_: tuple(others[:MAX_DUPLICATES]) for id_, others in duplicates.items()}


def scope_spaces(scope: SearchScope) -> Spaces:
    """Return the space that a search compares whole images in, for each collection."""
    scoped = scope.spaces.get("asset")
    return {} if scoped is None else dict.fromkeys(scope.collection_ids, scoped.space)


async def judge_pairs(
    connection: Connection, pairs: Sequence[CandidatePair], spaces: Spaces
) -> list[bool]:
    """Return for each pair whether the two are near-duplicates."""
    if not pairs:
        return []
    judged = await _same_texts(connection, pairs)
    undecided = [index for index, same in enumerate(judged) if same is None]
    shared = await _shared_spots(connection, [pairs[index] for index in undecided])
    unclear: list[tuple[int, int, int]] = []
    for index, (matches, spots) in zip(undecided, shared, strict=True):
        bits = pairs[index].bits
        judged[index] = are_near_duplicates(bits, matches, spots, cosine=0.0)
        if not judged[index] and are_near_duplicates(bits, matches, spots, cosine=1.0):
            unclear.append((index, matches, spots))
    cosines = await _cosines(connection, [pairs[index] for index, *_ in unclear], spaces)
    for (index, matches, spots), cosine in zip(unclear, cosines, strict=True):
        judged[index] = are_near_duplicates(pairs[index].bits, matches, spots, cosine)
    return [bool(each) for each in judged]


async def _same_texts(connection: Connection, pairs: Sequence[CandidatePair]) -> list[bool | None]:
    """Return for each pair whether the texts are the same, None if that is unknown."""
    cursor = await connection.execute(_SQL["same_texts"], _ids_of(pairs))
    return [same for (same,) in await cursor.fetchall()]


async def _shared_spots(
    connection: Connection, pairs: Sequence[CandidatePair]
) -> list[tuple[int, int]]:
    """Return the local hashes of each pair: the shared ones, and the smaller number."""
    if not pairs:
        return []
    ids = [*dict.fromkeys(each.id for pair in pairs for each in pair[:2])]
    local = await local_hashes(connection, ids)

    none = unpack_spots(None)
    places: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(pair.one.id, []).append(place)

    def count() -> list[tuple[int, int]]:
        counts = [(0, 0)] * len(pairs)
        for id_, own_places in places.items():  # one call for all others of a picture
            own = local.get(id_, none)
            others = [
                turn_spots(local.get(pairs[place].other.id, none), pairs[place].orientation)
                for place in own_places
            ]
            for place, other, matches in zip(
                own_places, others, count_matches(own, others).tolist(), strict=True
            ):
                counts[place] = matches, min(len(own), len(other))
        return counts

    return await asyncio.to_thread(count)


async def _cosines(
    connection: Connection, pairs: Sequence[CandidatePair], spaces: Spaces
) -> list[float]:
    """Return the cosine of each pair; 0 if there are no vectors of one encoder."""
    cosines = [0.0] * len(pairs)
    places: dict[EmbeddingSpace, list[int]] = {}
    for place, pair in enumerate(pairs):
        own, other = (spaces.get(each.collection_id) for each in pair[:2])
        if own is not None and own == other:
            places.setdefault(own, []).append(place)
    for space, own_places in places.items():
        compared = [pairs[place] for place in own_places]
        cursor = await connection.execute(space.compose(_SQL["cosines"]), _ids_of(compared))
        for place, cosine in zip(own_places, await cursor.fetchall(), strict=True):
            cosines[place] = cosine[0] or 0.0
    return cosines


def _ids_of(pairs: Sequence[CandidatePair]) -> dict[str, list[str]]:
    return {"ones": [each.one.id for each in pairs], "others": [each.other.id for each in pairs]}


async def load_pictures(connection: Connection, ids: Sequence[str]) -> list[Picture]:
    """Return the pictures of assets, without those deleted meanwhile."""
    return await fetch_all(connection, _SQL["pictures"], {"ids": list(ids)}, row=Picture)


async def load_vectors(
    connection: Connection, pictures: Sequence[Picture], spaces: Spaces
) -> dict[str, Vectors]:
    """Return the vectors of pictures by asset id."""
    ids: dict[EmbeddingSpace, dict[str, None]] = {}
    for picture in pictures:
        if (space := spaces.get(picture.collection_id)) is not None:
            ids.setdefault(space, {})[picture.id] = None
    vectors: dict[str, Vectors] = {}
    for space, asset_ids in ids.items():
        vectors |= await asset_vectors(connection, space, list(asset_ids))
    return vectors


def cosine_of(
    one: Picture, other: Picture, vectors: Mapping[str, Vectors], spaces: Spaces
) -> float | None:
    """Return the cosine of two pictures, None if they have no vectors of one encoder."""
    is_comparable = spaces.get(one.collection_id) == spaces.get(other.collection_id)
    if not is_comparable or one.id not in vectors or other.id not in vectors:
        return None
    return float(vectors[one.id] @ vectors[other.id])
