"""``sightline analyze``: k-means clusters of assets, and near-duplicates.

Memory is bounded: centroids come from a sample of limited size, then every vector is read once and
assigned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import (
    Connection,
    fetch_all,
    fetch_batches,
    fetch_one,
    fetch_value,
    load_sql,
)
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace

Matrix = NDArray[np.float32]

_SQL = load_sql("cluster_analysis")
_MAX_SAMPLE_BYTES = 128 * 1024**2
_MAX_CLUSTERS = 1_000
_MAX_DEFAULT_CLUSTERS = 100
_BATCH_ROWS = 10_000
_MAX_ITERATIONS = 30
_TOLERANCE = 1e-4
_BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class ClusteringResult:
    """Clusters of a collection. ``mean_distance``: cosine, from the centroid."""

    collection: str
    embedding_space_id: int
    k: int
    assets: int
    mean_distance: float


@dataclass(frozen=True, slots=True)
class _CollectionRow:
    id: int
    name: str
    embedding_space_id: int


async def cluster_collections(
    database: Database, *, names: Sequence[str] | None = None, k: int | None = None
) -> list[ClusteringResult]:
    """Cluster the assets of each collection (all without ``names``) separately.

    Default ``k``: the square root of half the number of assets, at most 100. Raises
    UnknownNameError and InvalidArgumentError.
    """
    if k is not None and not 1 <= k <= _MAX_CLUSTERS:
        raise InvalidArgumentError(f"{k} clusters is out of range. Use 1 to {_MAX_CLUSTERS:,}.")
    async with database.connection() as connection:
        spaces = {space.id: space for space in await embedding_spaces.list_spaces(connection)}
        params = {"names": None if names is None else list(names)}
        rows = await fetch_all(connection, _SQL["collections"], params, row=_CollectionRow)
        if missing := set(names or ()) - {row.name for row in rows}:
            raise UnknownNameError("collection", min(missing), await collections.names(connection))
    results = []
    for row in rows:
        # One transaction each: readers see a complete analysis or the previous one.
        async with database.connection() as connection:
            await connection.execute(_SQL["settings"])
            space = spaces[row.embedding_space_id]
            results.append(await _cluster(connection, row, space, k))
    return [result for result in results if result is not None]


async def find_near_duplicates(
    database: Database, *, progress: Callable[[str], None] = lambda _: None
) -> int:
    """Search the neighbors of all assets not compared yet; return how many there were."""
    compared = 0
    async with database.connection() as connection:
        spaces = await embedding_spaces.list_spaces(connection)
    for space in spaces:
        rows = _BATCH_ROWS if space.level == "asset" else 0
        while rows == _BATCH_ROWS:
            async with database.connection() as connection:
                await connection.execute(_SQL["settings"])
                query = space.compose(_SQL["compare"])
                rows = await fetch_value(connection, query, {"rows": _BATCH_ROWS})
            if rows:
                compared += rows
                progress(f"{compared:,} assets compared")
    async with database.connection(autocommit=True) as connection:
        await connection.execute(_SQL["analyze"])
    return compared


async def _cluster(
    connection: Connection, row: _CollectionRow, space: EmbeddingSpace, k: int | None
) -> ClusteringResult | None:
    """Cluster a collection; None if it has no vectors."""
    params: dict[str, object] = {"collection_id": row.id}
    rows = await fetch_value(connection, space.compose(_SQL["count"]), params)
    max_rows = max(_MAX_SAMPLE_BYTES // (4 * space.identity.dimension), 1)
    params["millionths"] = round(1_000_000 * min(max_rows / max(rows, 1), 1.0))
    query = space.compose(_SQL["sample"])
    blocks = [
        _to_matrix(vector for (vector,) in batch)
        async for batch in fetch_batches(connection, query, params, rows=_BATCH_ROWS)
    ]
    if not blocks:
        return None
    sample = np.concatenate(blocks)
    default_k = min(max(round(math.sqrt(rows / 2)), 1), _MAX_DEFAULT_CLUSTERS)
    k = min(k or default_k, len(sample))
    centroids = kmeans(sample, k)
    key = {"collection_id": row.id, "embedding_space_id": space.id, "k": k}
    await connection.execute(_SQL["delete_clusters"], key)
    await connection.execute(_SQL["insert_clusters"], key)
    query = space.compose(_SQL["vectors"])
    async for batch in fetch_batches(connection, query, key, rows=_BATCH_ROWS):
        ids, vectors = zip(*batch, strict=True)
        nearest, distances = assign_clusters(_to_matrix(vectors), centroids)
        async with connection.cursor().copy(_SQL["copy_members"]) as copy:
            for member in zip(nearest.tolist(), ids, distances.tolist(), strict=True):
                await copy.write_row((*key.values(), *member))
    await connection.execute(_SQL["delete_empty_clusters"], key)
    return await fetch_one(
        connection, _SQL["update_clusters"], {**key, "collection": row.name}, row=ClusteringResult
    )


def _to_matrix(vectors: Iterable[HalfVector]) -> Matrix:
    return normalize_rows(np.stack([vector.to_numpy() for vector in vectors]))


def normalize_rows(vectors: NDArray[np.floating]) -> Matrix:
    """Scale the rows of an (n, dimension) matrix to length 1. Zero rows stay zero."""
    rows = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), dtype=np.float32)


def assign_clusters(vectors: Matrix, centroids: Matrix) -> tuple[NDArray[np.int64], Matrix]:
    """Return nearest centroid and cosine distance of each unit vector, both (n,)."""
    similarity = vectors @ centroids.T
    return similarity.argmax(axis=1), np.clip(1 - similarity.max(axis=1), 0, 2)


def kmeans(vectors: Matrix, k: int) -> Matrix:
    """Return unit centroids (k, dimension) of unit vectors (n, dimension).

    Needs 1 <= k <= n. Deterministic for the same vectors in the same order. Initialized by
    k-means++; ends when the mean distance stops falling. An empty cluster moves to the vector
    with the largest distance.
    """
    centroids = _kmeans_plus_plus(vectors, k, np.random.default_rng(0))
    previous_total = np.inf
    for _ in range(_MAX_ITERATIONS):
        sums = np.zeros_like(centroids)
        counts = np.zeros(k, dtype=np.int64)
        total, max_distance, farthest = 0.0, -1.0, 0
        for start in range(0, len(vectors), _BLOCK_ROWS):
            block = vectors[start : start + _BLOCK_ROWS]
            nearest, distance = assign_clusters(block, centroids)
            np.add.at(sums, nearest, block)
            counts += np.bincount(nearest, minlength=k)
            total += float(distance.sum())
            if distance.max() > max_distance:
                max_distance = float(distance.max())
                farthest = start + int(distance.argmax())
        if (empty := np.flatnonzero(counts == 0)).size:
            sums[empty[0]] = vectors[farthest]
        moved = normalize_rows(sums)
        # If the vectors of a cluster cancel out, keep its centroid.
        centroids = np.where(np.linalg.norm(moved, axis=1, keepdims=True) > 0, moved, centroids)
        if not empty.size and previous_total - total <= _TOLERANCE * total:
            break
        previous_total = total
    return centroids


def _kmeans_plus_plus(vectors: Matrix, k: int, rng: np.random.Generator) -> Matrix:
    """Choose initial centroids with probability proportional to their distance."""
    chosen = [int(rng.integers(len(vectors)))]
    distance = np.clip(1 - vectors @ vectors[chosen[0]], 0, 2).astype(np.float64)
    while len(chosen) < k:
        total = distance.sum()
        # All vectors are equal if the total is 0: then any choice is good.
        index = int(rng.choice(len(vectors), p=distance / total)) if total > 0 else len(chosen)
        chosen.append(index)
        np.minimum(distance, np.clip(1 - vectors @ vectors[index], 0, 2), out=distance)
    return vectors[chosen].copy()
