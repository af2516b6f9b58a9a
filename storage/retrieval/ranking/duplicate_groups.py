"""Group near-duplicates, and list those of hits."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import numpy as np
from psycopg import sql

from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.records.picture_pairs import (
    MAX_DUPLICATES,
    CandidatePair,
    Picture,
    Spaces,
    judge_pairs,
)
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.ranking.near_duplicates import MAX_CANDIDATES, candidate_pairs
from sightline.storage.retrieval.retrievers.vector_retriever import asset_vectors

_PAIRS_OF_CHUNK = 2_000  # a connection is held for so many
_SQL = load_sql("copies")
_PAIRS = load_sql("picture_pairs")

Connect = Callable[[], AbstractAsyncContextManager[Connection]]


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
                    pictures[row].id,
                    pictures[column].id,
                    int(found.bits[place]),
                    int(found.orientations[place]),
                    pictures[row].collection_id,
                    pictures[column].collection_id,
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
    """Return the stored near-duplicates in the scope, at most 10 of each asset."""
    rows, parameters = scope.rows("asset")
    statement = sql.SQL(_PAIRS["duplicates"]).format(rows=rows)
    params = {**parameters, "ids": list(ids), "max_duplicates": MAX_DUPLICATES}
    duplicates: defaultdict[str, list[str]] = defaultdict(list)
    for own, other in await (await connection.execute(statement, params)).fetchall():
        duplicates[own].append(other)
    return {id_: tuple(others) for id_, others in duplicates.items()}


def scope_spaces(scope: SearchScope) -> Spaces:
    """Return the space that a search compares whole images in, for each collection."""
    scoped = scope.spaces.get("asset")
    return {} if scoped is None else dict.fromkeys(scope.collection_ids, scoped.space)


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
