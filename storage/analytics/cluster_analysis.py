"""``sightline analyze``: k-means clusters of assets, and near-duplicates.

Memory is bounded: centroids come from a sample of limited size, then every vector is read once and
assigned.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pgvector import HalfVector

from sightline.storage.analytics.vector_math import (
    Matrix,
    assign_clusters,
    kmeans,
    normalize_rows,
)
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, fetch_value, load_sql
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace

_SQL = load_sql("cluster_analysis")

MAX_SAMPLE_BYTES = 128 * 1024**2
MAX_CLUSTERS = 1_000
_MAX_DEFAULT_CLUSTERS = 100
_BATCH_ROWS = 10_000

ProgressCallback = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ClusteringResult:
    """Clusters of a collection. ``mean_distance``: cosine, from the centroid."""

    collection: str
    embedding_space_id: int
    k: int
    assets: int
    mean_distance: float


@dataclass(slots=True)
class _Cluster:
    assets: int = 0
    total_distance: float = 0.0
    min_distance: float = math.inf
    representative: str | None = None

    def add(self, distance: float, asset_id: str) -> None:
        self.assets += 1
        self.total_distance += distance
        if distance < self.min_distance:
            self.min_distance, self.representative = distance, asset_id


@dataclass(frozen=True, slots=True)
class _CollectionRow:
    id: int
    name: str
    embedding_space_id: int


async def cluster_collections(
    database: Database,
    *,
    names: Sequence[str] | None = None,
    k: int | None = None,
    max_sample_bytes: int = MAX_SAMPLE_BYTES,
) -> list[ClusteringResult]:
    """Cluster the assets of each collection (all without ``names``) separately.

    Default ``k``: the square root of half the number of assets, at most 100. Raises
    UnknownNameError and InvalidArgumentError.
    """
    if k is not None and not 1 <= k <= MAX_CLUSTERS:
        raise InvalidArgumentError(f"{k} clusters is out of range. Use 1 to {MAX_CLUSTERS:,}.")
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
            source = await _VectorSource.open(connection, spaces[row.embedding_space_id], row.id)
            sample = await source.sample(max_sample_bytes)
            if len(sample):
                results.append(await _cluster(source, sample, row.name, k))
    return results


async def find_near_duplicates(
    database: Database, *, progress: ProgressCallback = lambda _: None
) -> int:
    """Search the neighbors of all assets not compared yet; return how many there were."""
    compared = 0
    async with database.connection() as connection:
        spaces = await embedding_spaces.list_spaces(connection)
    for space in spaces:
        if space.level != "asset":
            continue
        while True:
            async with database.connection() as connection:
                await connection.execute(_SQL["settings"])
                query = space.compose(_SQL["compare"])
                rows: int = await fetch_value(connection, query, {"rows": _BATCH_ROWS})
            compared += rows
            if rows:
                progress(f"{compared:,} assets compared")
            if rows < _BATCH_ROWS:
                break
    async with database.connection(autocommit=True) as connection:
        await connection.execute(_SQL["analyze"])
    return compared


async def _cluster(
    source: _VectorSource, sample: Matrix, name: str, k: int | None
) -> ClusteringResult:
    default_k = min(max(round(math.sqrt(source.rows / 2)), 1), _MAX_DEFAULT_CLUSTERS)
    k = min(k or default_k, len(sample))
    centroids = kmeans(sample, k)
    clusters = [_Cluster() for _ in range(k)]
    key = {"collection_id": source.collection_id, "embedding_space_id": source.space.id, "k": k}
    connection = source.connection
    await connection.execute(_SQL["delete_clusters"], key)
    await connection.execute(_SQL["insert_clusters"], key)
    async for ids, vectors in source.batches():
        nearest, distances = assign_clusters(vectors, centroids)
        members = list(zip(nearest.tolist(), ids, distances.tolist(), strict=True))
        async with connection.cursor().copy(_SQL["copy_members"]) as copy:
            for number, asset_id, distance in members:
                clusters[number].add(distance, asset_id)
                await copy.write_row((*key.values(), number, asset_id, distance))
    await connection.execute(
        _SQL["update_clusters"],
        {
            **key,
            "numbers": list(range(k)),
            "asset_counts": [cluster.assets for cluster in clusters],
            "representatives": [cluster.representative for cluster in clusters],
            "distances": [cluster.total_distance / max(cluster.assets, 1) for cluster in clusters],
        },
    )
    await connection.execute(_SQL["delete_empty_clusters"], key)
    assets = sum(cluster.assets for cluster in clusters)
    total = sum(cluster.total_distance for cluster in clusters)
    return ClusteringResult(name, source.space.id, k, assets, total / assets)


@dataclass(frozen=True, slots=True)
class _VectorSource:
    """The asset vectors of a collection, read with length 1."""

    connection: Connection
    space: EmbeddingSpace
    collection_id: int
    rows: int

    @classmethod
    async def open(cls, connection: Connection, space: EmbeddingSpace, collection_id: int) -> Self:
        query = space.compose(_SQL["count"])
        rows = await fetch_value(connection, query, {"collection_id": collection_id})
        return cls(connection, space, collection_id, int(rows))

    async def sample(self, max_bytes: int) -> Matrix:
        """Return all vectors if they fit into ``max_bytes``, else a deterministic sample."""
        max_rows = max(max_bytes // (4 * self.space.identity.dimension), 1)
        millionths = round(1_000_000 * min(max_rows / max(self.rows, 1), 1.0))
        cursor = await self.connection.execute(
            self.space.compose(_SQL["sample"]),
            {"collection_id": self.collection_id, "millionths": millionths},
            binary=True,
        )
        blocks: list[Matrix] = []
        while rows := await cursor.fetchmany(_BATCH_ROWS):
            blocks.append(_to_matrix([vector for (vector,) in rows]))
        return np.concatenate(blocks) if blocks else np.empty((0, 0), dtype=np.float32)

    async def batches(self) -> AsyncIterator[tuple[list[str], Matrix]]:
        """Yield all vectors with their asset ids, ordered by id."""
        after = ""
        while True:
            cursor = await self.connection.execute(
                self.space.compose(_SQL["batch"]),
                {"collection_id": self.collection_id, "after": after, "rows": _BATCH_ROWS},
                binary=True,
            )
            if not (rows := await cursor.fetchall()):
                return
            ids, vectors = zip(*rows, strict=True)
            yield list(ids), _to_matrix(vectors)
            after = ids[-1]


def _to_matrix(vectors: Sequence[HalfVector]) -> Matrix:
    return normalize_rows(np.stack([vector.to_numpy() for vector in vectors]))
