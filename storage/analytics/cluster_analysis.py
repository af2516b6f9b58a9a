"""``sightline analyze``: clusters of pictures, and which of them are nearly the same.

Memory stays flat: centres are found on a sample of bounded size, and then every vector is read once
and assigned. Both are as of the time of the run; the functions of the schema say so.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pgvector import HalfVector

from sightline.storage.analytics import kmeans
from sightline.storage.analytics.kmeans import Matrix
from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection, Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace

_SQL = sql_loader.load("analysis")

SAMPLE_BYTES = 128 * 1024**2
MOST_CLUSTERS = 1_000
_USUAL_MOST = 100
_BATCH_ROWS = 10_000

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Clustering:
    """Of one collection: how many groups its pictures were put in, and how close they are.

    ``mean_distance`` is the cosine distance of a picture from the centre of its group.
    """

    collection: str
    embedding_space_id: int
    k: int
    assets: int
    mean_distance: float


@dataclass(slots=True)
class _Group:
    assets: int = 0
    total: float = 0.0
    central: tuple[float, str | None] = (math.inf, None)

    def add(self, distance: float, asset_id: str) -> None:
        self.assets += 1
        self.total += distance
        if distance < self.central[0]:
            self.central = (distance, asset_id)


async def cluster(
    database: Database,
    *,
    names: Sequence[str] | None = None,
    k: int | None = None,
    sample_bytes: int = SAMPLE_BYTES,
) -> list[Clustering]:
    """Group the pictures of collections (all of them without ``names``), each by itself.

    Without ``k``, as many groups as the square root of half the pictures, 100 at most. Raises
    UnknownNameError and InvalidArgumentError.
    """
    if k is not None and not 1 <= k <= MOST_CLUSTERS:
        raise InvalidArgumentError(f"{k} clusters; use 1 to {MOST_CLUSTERS:,}")
    done = []
    async with database.connection() as connection:
        known = {space.id: space for space in await embedding_spaces.list_spaces(connection)}
        cursor = await connection.execute(
            _SQL["collections"], {"names": None if names is None else list(names)}
        )
        rows = await cursor.fetchall()
        if missing := set(names or ()) - {row[1] for row in rows}:
            raise UnknownNameError("collection", min(missing), await collections.names(connection))
    for collection_id, name, embedding_space_id in rows:
        # A transaction each: what is seen of one analysis is all of it.
        async with database.connection() as connection:
            await connection.execute(_SQL["settings"])
            source = await _Source.open(connection, known[embedding_space_id], collection_id)
            sample = await source.sample(sample_bytes)
            if len(sample):
                done.append(await _cluster(source, sample, name, k))
    return done


async def compare(database: Database, *, report: Report = lambda _: None) -> int:
    """Look up the nearest of every picture that was not compared yet; how many that were."""
    compared = 0
    async with database.connection() as connection:
        every = [
            each for each in await embedding_spaces.list_spaces(connection) if each.level == "asset"
        ]
    for space in every:
        while True:
            async with database.connection() as connection:
                await connection.execute(_SQL["settings"])
                cursor = await connection.execute(
                    space.compose(_SQL["compare"]), {"rows": _BATCH_ROWS}
                )
                ((rows,),) = await cursor.fetchall()
            compared += rows
            if rows:
                report(f"{compared:,} pictures compared")
            if rows < _BATCH_ROWS:
                break
    async with database.connection(autocommit=True) as connection:
        await connection.execute(_SQL["analyze"])
    return compared


async def _cluster(source: _Source, sample: Matrix, name: str, k: int | None) -> Clustering:
    usual = min(max(round(math.sqrt(source.rows / 2)), 1), _USUAL_MOST)
    wanted = min(k or usual, len(sample))
    centres = kmeans.centres(sample, wanted)
    groups = [_Group() for _ in range(wanted)]
    key = {
        "collection_id": source.collection_id,
        "embedding_space_id": source.space.id,
        "k": wanted,
    }
    connection = source.connection
    await connection.execute(_SQL["forget_clusters"], key)
    await connection.execute(_SQL["begin_clusters"], key)
    async for ids, vectors in source.batches():
        nearest, distances = kmeans.assign(vectors, centres)
        numbers, apart = nearest.tolist(), distances.tolist()
        for number, distance, id_ in zip(numbers, apart, ids, strict=True):
            groups[number].add(distance, id_)
        async with connection.cursor().copy(_SQL["copy_members"]) as copy:
            for number, distance, id_ in zip(numbers, apart, ids, strict=True):
                await copy.write_row((*key.values(), number, id_, distance))
    await connection.execute(
        _SQL["finish_clusters"],
        {
            **key,
            "numbers": list(range(wanted)),
            "asset_counts": [group.assets for group in groups],
            "representatives": [group.central[1] for group in groups],
            "distances": [group.total / max(group.assets, 1) for group in groups],
        },
    )
    await connection.execute(_SQL["forget_empty_clusters"], key)
    assets = sum(group.assets for group in groups)
    total = sum(group.total for group in groups)
    return Clustering(name, source.space.id, wanted, assets, total / assets)


@dataclass(frozen=True, slots=True)
class _Source:
    """The vectors of a collection's pictures, at length 1."""

    connection: Connection
    space: EmbeddingSpace
    collection_id: int
    rows: int

    @classmethod
    async def open(cls, connection: Connection, space: EmbeddingSpace, collection_id: int) -> Self:
        cursor = await connection.execute(
            space.compose(_SQL["count"]), {"collection_id": collection_id}
        )
        ((rows,),) = await cursor.fetchall()
        return cls(connection, space, collection_id, int(rows))

    async def sample(self, most_bytes: int) -> Matrix:
        """All of them where they fit in ``most_bytes``, else a share, the same every time."""
        most = max(most_bytes // (4 * self.space.identity.dimension), 1)
        millionths = round(1_000_000 * min(most / max(self.rows, 1), 1.0))
        cursor = await self.connection.execute(
            self.space.compose(_SQL["sample"]),
            {"collection_id": self.collection_id, "millionths": millionths},
            binary=True,
        )
        found: list[Matrix] = []
        while rows := await cursor.fetchmany(_BATCH_ROWS):
            found.append(_matrix([row[0] for row in rows]))
        return np.concatenate(found) if found else np.empty((0, 0), dtype=np.float32)

    async def batches(self) -> AsyncIterator[tuple[list[str], Matrix]]:
        """All of them with their ids, in the order of these."""
        last = ""
        while True:
            cursor = await self.connection.execute(
                self.space.compose(_SQL["batch"]),
                {"collection_id": self.collection_id, "last": last, "rows": _BATCH_ROWS},
                binary=True,
            )
            if not (rows := await cursor.fetchall()):
                return
            yield [row[0] for row in rows], _matrix([row[1] for row in rows])
            last = rows[-1][0]


def _matrix(vectors: list[HalfVector]) -> Matrix:
    return kmeans.unit(np.stack([vector.to_numpy() for vector in vectors]))
