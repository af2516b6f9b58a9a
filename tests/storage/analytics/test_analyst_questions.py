"""The questions of an analyst on 1,041 assets, each compared with numpy or with plain counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg.conninfo import make_conninfo

from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.analyst_roles import QUERY_ROLE, ensure_query_role
from sightline.storage.db.pool import Database
from tests.support import analytics_catalog
from tests.support.analytics_catalog import id_of

ROWS, DIMENSION, ALBUM = 1_041, 32, 694  # two thirds are in "album"
TOLERANCE = 2e-4  # of distances between halfvecs, in single precision


def months(numbers: Any) -> Any:
    """Return the month, 0 or 1, in which the catalog has captured an asset."""
    return numbers % 10 // 5


async def test_every_question_has_the_answer_of_numpy(database: Database) -> None:
    catalog = await analytics_catalog.load(database, ROWS, DIMENSION)
    await cluster_analysis.cluster_collections(database, k=5)
    async with database.connection() as connection:
        await ensure_query_role(connection)
    halves = catalog.vectors.astype(np.float16).astype(np.float64)
    unit = halves / np.linalg.norm(halves, axis=1, keepdims=True)
    present = catalog.with_vector
    distances = 1 - unit @ unit.T
    # The assets without a vector are no neighbors.
    missing = np.setdiff1d(np.arange(ROWS), present)
    distances[missing] = distances[:, missing] = np.inf
    dsn = make_conninfo(
        database.dsn, user=QUERY_ROLE, options="-c search_path=analytics,sightline_vector"
    )
    with psycopg.connect(dsn, autocommit=True) as session:
        register_vector(session)

        def ask(query: str, *values: object) -> list[tuple[Any, ...]]:
            return session.execute(query.encode(), values).fetchall()

        def rows(found: list[tuple[Any, ...]], column: int) -> list[int]:
            return [int(row[column]) for row in found]

        # Neighbors of one asset, of a vector in each form, and of many assets.
        others = distances.copy()
        np.fill_diagonal(others, np.inf)
        for k in (10, 100):
            found = ask("SELECT asset_id, distance FROM nearest(%s, %s)", id_of(7), k)
            expected = np.sort(others[7])[:k]
            assert [row[1] for row in found] == pytest.approx(expected, abs=TOLERANCE)
            recall = len(set(rows(found, 0)) & set(np.argsort(others[7])[:k])) / k
            assert recall >= 0.99
        own = catalog.vectors[7].astype(np.float32)
        forms = (own.tolist(), own, HalfVector(own), "[" + ",".join(map(str, own)) + "]")
        for form in forms:
            found = ask("SELECT asset_id, distance FROM search(%s::halfvec, 10)", form)
            expected = np.sort(distances[7])[:10]
            assert [row[1] for row in found] == pytest.approx(expected, abs=TOLERANCE)
        found = ask("SELECT asset_id, rank, distance FROM knn(collection_name => 'album', k => 3)")
        expected = np.sort(others[:ALBUM], axis=1)[:, :3]
        assert len(found) == 3 * (present < ALBUM).sum()
        assert [row[2] for row in found] == pytest.approx(
            expected[np.isfinite(expected[:, 0])].ravel(), abs=TOLERANCE
        )
        filters = '{"product": "Onion", "collection": "album", "number": {"lt": 500}}'
        found = ask(
            "SELECT asset_id, distance FROM search(%s::halfvec, 5, filters => %s)", own, filters
        )
        onions = {
            int(row[0])
            for row in ask(
                "SELECT asset_id FROM assets WHERE collection = 'album' "
                "AND metadata ->> 'product' = 'Onion' AND asset_id < %s",
                id_of(500),
            )
        }
        chosen = np.array(sorted(onions & set(present.tolist())))
        assert len(chosen) > 20
        assert [row[1] for row in found] == pytest.approx(
            np.sort(distances[7][chosen])[:5], abs=TOLERANCE
        )

        # Pairs, with and without the stored comparisons.
        for limit in (0.02, 0.05):
            near = {
                (int(one), int(two))
                for one, two in np.argwhere(np.triu(others <= limit - TOLERANCE, 1))
            }
            found = ask("SELECT asset_id, other_asset_id FROM duplicates(%s)", limit)
            pairs = {(int(one), int(two)) for one, two in found}
            assert len(near) >= 3
            assert near <= pairs
            assert all(others[pair] <= limit + TOLERANCE for pair in pairs)

        # Means of selections.
        album = present[present < ALBUM]
        mean = halves[album].mean(axis=0)
        far = 1 - unit[album] @ (mean / np.linalg.norm(mean))
        found = ask("SELECT asset_id, distance FROM outliers(10, collection_name => 'album')")
        assert [row[1] for row in found] == pytest.approx(np.sort(far)[::-1][:10], abs=1e-3)
        found = ask(
            "SELECT collection, distance FROM drift('[2026-01-01, 2026-02-01)', "
            "'[2026-02-01, 2026-03-01)') ORDER BY 1"
        )
        for (name, distance), numbers in zip(
            found, (album, present[present >= ALBUM]), strict=True
        ):
            means = [halves[numbers[months(numbers) == month]].mean(axis=0) for month in (0, 1)]
            one, two = (each / np.linalg.norm(each) for each in means)
            assert distance == pytest.approx(1 - one @ two, abs=1e-3), name
        ((similarity,),) = ask("SELECT similarity(%s, %s)", id_of(1), id_of(2))
        assert similarity == pytest.approx(unit[1] @ unit[2], abs=TOLERANCE)
        ((count, centroid),) = ask(
            "SELECT asset_count, centroid FROM centroid('album', '{\"product\": \"Onion\"}')"
        )
        all_onions = ask(
            "SELECT asset_id FROM assets WHERE collection = 'album' "
            "AND metadata ->> 'product' = 'Onion'"
        )
        numbers = np.intersect1d(np.array(rows(all_onions, 0)), present)
        assert count == len(numbers)
        np.testing.assert_allclose(
            centroid.to_numpy().astype(np.float64), halves[numbers].mean(axis=0), atol=1e-3
        )

        # Counts.
        found = ask("SELECT * FROM coverage()")
        counted = {row[0]: row[1:] for row in found}
        assert counted == {
            "album": (ALBUM, len(album), ALBUM - len(album)),
            "archive": (ROWS - ALBUM, len(present) - len(album), 1),
        }
        found = ask("SELECT collection, asset_count, failed_count FROM collections ORDER BY 1")
        assert found == [("album", ALBUM, 0), ("archive", ROWS - ALBUM, 0)]
        assert ask("SELECT sum(asset_count), count(*) FROM clusters(5)") == [(len(present), 10)]
        found = ask(
            "SELECT level, kind, collection, count(*) FROM embeddings GROUP BY 1, 2, 3 ORDER BY 3"
        )
        assert found == [
            ("asset", "image", "album", len(album)),
            ("asset", "image", "archive", len(present) - len(album)),
        ]
        found = ask("SELECT asset_id, path, content_sha256 FROM assets ORDER BY 1 LIMIT 1")
        assert found[0][1] == f"/{id_of(0)}"
        assert len(found[0][2]) == 64
        ((overlaps,),) = ask("SELECT count(*) FROM overlapping_annotations(0.99)")
        boxed = np.arange(0, ROWS, 5)
        assert overlaps == (boxed // 5 % 5 == 0).sum()
        ((empty,),) = ask("SELECT count(*) FROM searches WHERE result_count = 0")
        assert empty == ROWS // 20 // 10
        ((joined,),) = ask(
            "SELECT sum(own.n) FROM assets JOIN unnest(%s::text[], %s::int[]) "
            "AS own (asset_id, n) USING (asset_id)",
            [id_of(n) for n in range(ROWS)],
            list(range(ROWS)),
        )
        assert joined == sum(range(ROWS))
