"""Two large collections without pixels, for analytics tests.

They contain known answers to the queries of docs/how-to/analyze.md: near-duplicates across
collections, rare products, a month that differs, boxes on which people and models disagree, assets
without a vector, and searches without results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import load_sql
from sightline.storage.ingest.store.copy_rows import embedding_rows
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from tests.support.vector_dataset import Matrix, make, unit

NAMES = ("album", "archive")
PRODUCTS = ("Garlic", "Onion", "Leek", "Plum", "Kettle", "Lamp", "Door", "Fence", "Crane", "Van")
#: One of so many assets has no vector; one of so many is a near-duplicate.
_MISSING = 1_000
_TWINS = 100
_BATCH = 20_000


@dataclass(frozen=True)
class Catalogue:
    """The written data. ``vectors`` is (n, dimension) float32, by the number in the id.

    ``twins`` are pairs of numbers of near-duplicates.
    """

    space: EmbeddingSpace
    vectors: Matrix
    twins: NDArray[np.int64]

    @property
    def with_vector(self) -> NDArray[np.int64]:
        """Return the numbers of assets with a vector."""
        numbers = np.arange(len(self.vectors))
        return numbers[numbers % _MISSING != _MISSING - 1]


def id_of(number: int) -> str:
    """Return the asset id of a number."""
    return f"{number:012d}"


async def load(
    database: Database, rows: int, dimension: int, *, seed: int = 11, index: bool = True
) -> Catalogue:
    """Write ``rows`` assets, two thirds into "album", and build the index."""
    vectors, twins = _vectors(rows, dimension, seed)
    identity = EncoderIdentity("random-vectors", "0" * 16, "0" * 16, dimension)
    async with database.connection() as connection:
        made = [await collections.ensure(connection, name) for name in NAMES]
        space = await embedding_spaces.get_or_create(connection, identity, "asset")
        for each in made:
            await embedding_spaces.assign(connection, each.id, space)
        await embedding_spaces.drop_index(connection, space)
    catalogue = Catalogue(space, vectors, twins)
    first_of_archive = 2 * rows // 3
    async with database.connection() as connection:
        await connection.execute(_ROWS, [first_of_archive, *(each.id for each in made), rows])
        await connection.execute(_BOXES, [rows])
        await connection.execute(_SEARCHES, [rows // 20])
    numbers = catalogue.with_vector
    for start in range(0, len(numbers), _BATCH):
        batch = numbers[start : start + _BATCH]
        async with database.connection() as connection:
            for collection, chosen in (
                (made[0].id, batch[batch < first_of_archive]),
                (made[1].id, batch[batch >= first_of_archive]),
            ):
                if not chosen.size:
                    continue
                packed = embedding_rows(
                    space.id,
                    collection,
                    [((id_of(n), None, None), vectors[n]) for n in chosen.tolist()],
                )
                copy_in = space.compose(load_sql("ingest")["copy_embeddings"])
                async with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
                    await copy.write(packed)
    if index:
        async with database.connection() as connection:
            await embedding_spaces.ensure_index(connection, space)
    async with database.connection(autocommit=True) as connection:
        await connection.execute("ANALYZE")
    return catalogue


def _vectors(rows: int, dimension: int, seed: int) -> tuple[Matrix, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    vectors = make(rows, dimension, seed).vectors
    # The vectors of the second month are shifted.
    months = np.arange(rows) % len(PRODUCTS) >= len(PRODUCTS) // 2
    vectors[months] = unit(vectors[months] + 0.2 * unit(rng.normal(size=dimension)))
    count = max(rows // _TWINS, 1)
    of_archive = 2 * rows // 3 + rng.choice(rows - 2 * rows // 3, size=count, replace=False)
    of_album = rng.choice(2 * rows // 3, size=count, replace=False)
    noise = unit(rng.normal(size=(count, dimension)))
    vectors[of_archive] = unit(vectors[of_album] + rng.uniform(0, 0.15, (count, 1)) * noise)
    return vectors, np.stack([of_album, of_archive], axis=1)


_ROWS = """
WITH numbered AS (
    SELECT n, lpad(n::text, 12, '0') AS id, CASE WHEN n < %s THEN %s ELSE %s END AS collection_id
    FROM generate_series(0, %s - 1) AS n
), made AS (
    INSERT INTO source (collection_id, content_key, name, location, kind, state)
    SELECT collection_id, sha256(id::bytea), id || '.jpg', 'file:/' || id, 'image', 'done'
    FROM numbered RETURNING id, name
)
INSERT INTO asset (
    id, collection_id, source_id, kind, location, sha256, width, height, captured_at,
    captured_local, caption, metadata
)
SELECT
    numbered.id, collection_id, made.id, 'image', 'file:/' || numbered.id,
    sha256(numbered.id::bytea), 640, 480,
    timestamptz '2026-01-01Z' + (n %% 10 / 5) * interval '31 days' + n %% 28 * interval '1 day',
    timestamp '2026-01-01' + (n %% 10 / 5) * interval '31 days' + n %% 28 * interval '1 day',
    'picture ' || n,
    -- The first product is the most frequent; the tenth is one in a hundred.
    jsonb_build_object('product', (ARRAY[
        'Garlic', 'Onion', 'Leek', 'Plum', 'Kettle', 'Lamp', 'Door', 'Fence', 'Crane', 'Van'
    ])[1 + floor(10 * ((n * 7919) %% 1000 / 1000.0) ^ 2)], 'number', n)
FROM numbered JOIN made ON made.name = numbered.id || '.jpg'
"""

_BOXES = """
INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin, model, author)
SELECT lpad(n::text, 12, '0'), 'van', 0.1 + shift, 0.1, 0.5 + shift, 0.5, origin, model, author
FROM generate_series(0, %s - 1, 5) AS n
CROSS JOIN LATERAL (VALUES
    (0.0, 'person', NULL, 'ann'), (0.1 * (n / 5 %% 5), 'model', 'finder', NULL)
) AS drawn (shift, origin, model, author)
"""

_SEARCHES = """
INSERT INTO retrieval_log (
    created_at, tool, collection, query, timings_ms, total_ms, result_count, results
)
SELECT
    timestamptz '2026-02-01Z' + n * interval '1 minute', 'search_images', 'album',
    CASE WHEN n %% 10 = 0 THEN 'a unicorn ' || n %% 50 ELSE 'a van ' || n %% 500 END,
    jsonb_build_object('encode', 2 + n %% 7, 'nearest', 1 + n %% 5), 5 + n %% 20,
    CASE WHEN n %% 10 = 0 THEN 0 ELSE 10 END, '[]'
FROM generate_series(1, %s) AS n
"""
