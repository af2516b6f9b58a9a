"""Clustered vectors without images, and filters of known selectivity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.storage.db.pool import Database
from sightline.storage.ingest.store.copy_rows import embedding_rows
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace

SHARES = (0.001, 0.01, 0.1, 0.5)
_BATCH = 20_000

Matrix = NDArray[np.float32]


def name_of(share: float, *, clustered: bool) -> str:
    """Return the metadata key that is true for a share of the assets."""
    return f"{'near' if clustered else 'any'}_{share:g}"


@dataclass(frozen=True)
class VectorWorld:
    """Assets with (n, dimension) float32 vectors, and the matches of each filter."""

    vectors: Matrix
    matches: dict[str, NDArray[np.bool_]]
    clusters: NDArray[np.int64]
    seed: int

    @property
    def identity(self) -> EncoderIdentity:
        """Return the encoder identity of the vectors."""
        return EncoderIdentity("random-vectors", "0" * 16, "0" * 16, self.vectors.shape[1])

    def queries(self, count: int) -> Matrix:
        """Return unit vectors near some assets, moved by one offset.

        The offset simulates the modality gap of a dual encoder.
        """
        rng = np.random.default_rng(self.seed + 1)
        chosen = self.vectors[rng.integers(len(self.vectors), size=count)]
        offset = unit(rng.normal(size=self.vectors.shape[1]))
        noise = unit(rng.normal(size=chosen.shape))
        return unit(chosen + 0.6 * noise + 0.8 * offset)

    def nearest(self, query: Matrix, share_name: str | None, k: int) -> list[str]:
        """Return ids of the exact nearest vectors in half precision, best first."""
        similarity = self.vectors.astype(np.float16).astype(np.float32) @ query
        if share_name is not None:
            similarity = np.where(self.matches[share_name], similarity, -np.inf)
        best = np.argsort(-similarity, kind="stable")[:k]
        return [id_of(int(place)) for place in best if similarity[place] > -np.inf]


def id_of(place: int) -> str:
    """The asset id of a row."""
    return f"{place:012d}"


def unit(values: NDArray[np.floating]) -> Matrix:
    """Rows at length 1."""
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / length, dtype=np.float32)


def make(rows: int, dimension: int = 128, seed: int = 7) -> VectorWorld:
    """Clusters as dense as those of photographs: some large, most small."""
    rng = np.random.default_rng(seed)
    count = max(rows // 100, 10)
    centres = unit(rng.normal(size=(count, dimension)))
    weights = 1 / np.arange(1, count + 1) ** 0.7
    clusters = rng.choice(count, size=rows, p=weights / weights.sum())
    vectors = unit(centres[clusters] + 0.9 * unit(rng.normal(size=(rows, dimension))))
    matches: dict[str, NDArray[np.bool_]] = {}
    order = np.argsort(vectors @ centres[0])  # one end of the space: a clustered filter
    for share in SHARES:
        kept = max(round(rows * share), 1)
        scattered = np.zeros(rows, dtype=bool)
        scattered[rng.choice(rows, size=kept, replace=False)] = True
        near = np.zeros(rows, dtype=bool)
        near[order[-kept:]] = True
        matches[name_of(share, clustered=False)] = scattered
        matches[name_of(share, clustered=True)] = near
    return VectorWorld(vectors, matches, clusters, seed)


async def load(
    database: Database, world: VectorWorld, collection: str = "vectors"
) -> EmbeddingSpace:
    """Write the world as one collection, with its index built after the load."""
    rows = len(world.vectors)
    async with database.connection() as connection:
        made = await collections.ensure(connection, collection)
        space = await embedding_spaces.get_or_create(connection, world.identity, "asset")
        await embedding_spaces.assign(connection, made.id, space)
        await embedding_spaces.drop_index(connection, space)
    for start in range(0, rows, _BATCH):
        places = range(start, min(start + _BATCH, rows))
        flags = [
            [name for name, match in world.matches.items() if match[place]] for place in places
        ]
        async with database.connection() as connection:
            await connection.execute(
                "WITH given AS (SELECT * FROM unnest(%s::text[], %s::text[]) AS t (id, flags)), "
                "made AS (INSERT INTO source (collection_id, content_key, name, location, kind, "
                "state) SELECT %s, sha256(id::bytea), id || '.jpg', 'file:/' || id, 'image', "
                "'done' FROM given RETURNING id, name) "
                "INSERT INTO asset (id, collection_id, source_id, kind, location, sha256, width, "
                "height, metadata) SELECT given.id, %s, made.id, 'image', 'file:/' || given.id, "
                "sha256(given.id::bytea), 640, 480, given.flags::jsonb "
                "FROM given JOIN made ON made.name = given.id || '.jpg'",
                [
                    [id_of(place) for place in places],
                    ["{" + ",".join(f'"{name}": true' for name in each) + "}" for each in flags],
                    made.id,
                    made.id,
                ],
            )
            packed = embedding_rows(
                space.id, made.id, [((id_of(p), None, None), world.vectors[p]) for p in places]
            )
            copy_in = (
                f"COPY embedding_{space.id} (embedding_space_id, collection_id, asset_id, "
                "region_id, passage_id, embedding) FROM STDIN (FORMAT binary)"
            )
            async with connection.cursor() as cursor, cursor.copy(copy_in) as copy:  # type: ignore[arg-type]
                await copy.write(packed)
    async with database.connection() as connection:
        await embedding_spaces.ensure_index(connection, space)
    async with database.connection(autocommit=True) as connection:
        await connection.execute("ANALYZE")
    return space
