"""Clusters and comparisons that `sightline analyze` keeps, and what the functions make of them."""

from __future__ import annotations

import numpy as np
import pytest
from psycopg.conninfo import make_conninfo

from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.analyst_roles import ensure_query_role
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import collections, embedding_spaces
from tests.storage.analytics.conftest import asset_id
from tests.support.database_rows import add_asset, add_vector
from tests.support.vector_dataset import Matrix


def around(directions: Matrix, each: int, noise: float, seed: int = 5) -> Matrix:
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(len(directions) * each, directions.shape[1]))
    return cluster_analysis.normalize_rows(np.repeat(directions, each, axis=0) + noise * spread)


def test_separate_clusters_are_found() -> None:
    directions = np.eye(6, dtype=np.float32)[:4]
    vectors = around(directions, 50, 0.05)
    found = cluster_analysis.kmeans(vectors, 4)
    assert sorted(np.abs(found @ directions.T).argmax(axis=1)) == [0, 1, 2, 3]
    nearest, distance = cluster_analysis.assign_clusters(vectors, found)
    assert [len(set(nearest[start : start + 50])) for start in range(0, 200, 50)] == [1] * 4
    assert distance.max() < 0.1
    assert np.array_equal(found, cluster_analysis.kmeans(vectors, 4))


@pytest.mark.parametrize(
    ("vectors", "k"),
    [
        (np.ones((5, 3), dtype=np.float32), 3),  # all the same
        (np.array([[1, 0], [-1, 0]], dtype=np.float32), 1),  # they cancel out
        (np.zeros((3, 2), dtype=np.float32), 2),  # no direction at all
        (np.eye(4, dtype=np.float32), 4),  # one each
    ],
)
def test_degenerate_vectors_have_centroids(vectors: Matrix, k: int) -> None:
    found = cluster_analysis.kmeans(cluster_analysis.normalize_rows(vectors), k)
    assert found.shape == (k, vectors.shape[1])
    assert np.isfinite(found).all()


def test_more_clusters_reduce_the_mean_distance() -> None:
    vectors = cluster_analysis.normalize_rows(np.random.default_rng(1).normal(size=(600, 16)))
    means = [
        float(
            cluster_analysis.assign_clusters(vectors, cluster_analysis.kmeans(vectors, k))[1].mean()
        )
        for k in (1, 4, 16, 64)
    ]
    assert means == sorted(means, reverse=True)


async def rows(runner: SqlRunner, text: str) -> list[list[object]]:
    return [list(row) for row in (await runner.run(text, rows=1000)).rows]


async def test_every_asset_is_in_one_cluster_of_its_collection(
    filled: Database, runner: SqlRunner
) -> None:
    done = await cluster_analysis.cluster_collections(filled, k=3)
    assert [(each.collection, each.k, each.assets) for each in done] == [
        ("album", 3, 29),
        ("other", 3, 19),
    ]
    found = await rows(
        runner, "SELECT collection, asset_count, representative_asset_id FROM clusters(3)"
    )
    assert sum(int(str(row[1])) for row in found if row[0] == "album") == 29
    assert {str(row[2])[:5] for row in found if row[0] == "other"} == {"other"}
    assert await rows(
        runner,
        "SELECT collection, count(*), count(DISTINCT asset_id), min(k) FROM cluster_members "
        "GROUP BY 1 ORDER BY 1",
    ) == [["album", 29, 29, 3], ["other", 19, 19, 3]]
    # The central picture is the nearest of its cluster to the centre.
    assert await rows(
        runner,
        "SELECT count(*) FROM clusters(3) AS c JOIN cluster_members AS m "
        "ON m.asset_id = c.representative_asset_id AND m.k = 3 "
        "WHERE m.distance > (SELECT min(distance) "
        "FROM cluster_members AS o WHERE o.collection = c.collection AND o.cluster = c.cluster)",
    ) == [[0]]


async def test_a_small_collection_is_sampled_whole(filled: Database) -> None:
    (done,) = await cluster_analysis.cluster_collections(filled, names=["album"], k=29)
    assert (done.assets, done.k) == (29, 29)


async def test_all_assets_are_assigned_to_centroids_of_a_sample(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_analysis, "_MAX_SAMPLE_BYTES", 10 * 4 * 8)
    (done, _) = await cluster_analysis.cluster_collections(filled, k=2)
    assert done.assets == 29


async def test_an_analysis_replaces_the_previous_one(filled: Database, runner: SqlRunner) -> None:
    for _ in range(2):
        await cluster_analysis.cluster_collections(filled, names=["album"], k=2)
    assert await rows(runner, "SELECT count(*) FROM cluster_members") == [[29]]
    await cluster_analysis.cluster_collections(filled, names=["album"], k=5)
    assert await rows(runner, "SELECT count(*) FROM clusters()") == [[5]]  # the latest
    assert await rows(runner, "SELECT count(*) FROM clusters(2)") == [[2]]
    (default,) = await cluster_analysis.cluster_collections(filled, names=["album"])
    assert default.k == round((29 / 2) ** 0.5)


async def test_missing_clusters_are_refused_with_the_available_ones(
    filled: Database, runner: SqlRunner
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"none yet\. To create others run: sightline"):
        await runner.run("SELECT * FROM clusters()", rows=1)
    await cluster_analysis.cluster_collections(filled, k=3)
    with pytest.raises(InvalidArgumentError, match="Available: k=3 of album, k=3 of other"):
        await runner.run("SELECT * FROM clusters(7)", rows=1)


async def test_invalid_numbers_and_names_are_refused(filled: Database) -> None:
    with pytest.raises(InvalidArgumentError, match=r"0 clusters is out of range\. Use 1 to 1,000"):
        await cluster_analysis.cluster_collections(filled, k=0)
    with pytest.raises(
        UnknownNameError, match=r"Unknown collection 'x'\. Available: 'album', 'other'"
    ):
        await cluster_analysis.cluster_collections(filled, names=["album", "x"])


async def test_a_deleted_asset_is_removed_from_the_analysis(
    filled: Database, runner: SqlRunner
) -> None:
    await cluster_analysis.cluster_collections(filled, k=3)
    await cluster_analysis.find_near_duplicates(filled)
    async with filled.connection() as connection:
        await connection.execute("DELETE FROM asset WHERE collection_id = 1")
    assert await rows(runner, "SELECT count(*) FROM cluster_members") == [[19]]
    assert await rows(runner, "SELECT * FROM duplicates(0.001)") == []


DUPLICATES = [[asset_id("album", n), "album", asset_id("other", n), "other", 0.0] for n in range(5)]


@pytest.mark.parametrize("analysed", [False, True])
async def test_duplicates_are_the_same_before_and_after_an_analysis(
    filled: Database, runner: SqlRunner, analysed: bool
) -> None:
    if analysed:
        assert await cluster_analysis.find_near_duplicates(filled) == 48
        assert await cluster_analysis.find_near_duplicates(filled) == 0
    assert await rows(runner, "SELECT * FROM duplicates(0.001)") == DUPLICATES
    for arguments in (
        "0.001, collection_name => 'other'",
        "0.001, max_neighbors => 3",
        "0.001, max_neighbors => 30",
    ):
        assert await rows(runner, f"SELECT * FROM duplicates({arguments})") == DUPLICATES
    wide = await rows(runner, "SELECT count(*) FROM duplicates(0.5)")
    assert int(str(wide[0][0])) > 100


@pytest.mark.parametrize(
    "collection", ["", ", collection_name => 'album'", ", collection_name => 'other'"]
)
async def test_an_asset_added_after_an_analysis_is_compared_with_all(
    filled: Database, runner: SqlRunner, collection: str
) -> None:
    await cluster_analysis.find_near_duplicates(filled)
    async with filled.connection() as connection:
        other = await collections.get(connection, "other")
        space = await embedding_spaces.find_for_collection(connection, other.id, "asset")
        assert space is not None
        cursor = await connection.execute(
            "SELECT embedding FROM embedding WHERE asset_id = %s", [asset_id("album", 20)]
        )
        ((vector,),) = await cursor.fetchall()
        await add_asset(connection, other, "late00000000")
        await add_vector(connection, other, space, vector.to_list(), "late00000000")
    found = await rows(runner, f"SELECT * FROM duplicates(0.001{collection})")
    assert [asset_id("album", 20), "album", "late00000000", "other", 0.0] in found
    assert len(found) == 6
    assert await cluster_analysis.find_near_duplicates(filled) == 1


async def test_duplicates_elsewhere_do_not_hide_one_in_the_same_collection(
    filled: Database, runner: SqlRunner
) -> None:
    async with filled.connection() as connection:
        album, other = [await collections.get(connection, name) for name in ("album", "other")]
        space = await embedding_spaces.find_for_collection(connection, album.id, "asset")
        assert space is not None
        cursor = await connection.execute(
            "SELECT embedding FROM embedding WHERE asset_id = %s", [asset_id("album", 20)]
        )
        ((vector,),) = await cursor.fetchall()
        aside = np.eye(1, space.identity.dimension)[0]
        await add_asset(connection, album, "twin00000000")
        twin = vector.to_numpy() + 0.2 * aside
        await add_vector(connection, album, space, twin.tolist(), "twin00000000")
        for n in range(12):  # between the two, so nearer to each than they are
            await add_asset(connection, other, f"copy{n:08}")
            between = vector.to_numpy() + 0.1 * aside
            await add_vector(connection, other, space, between.tolist(), f"copy{n:08}")
    await cluster_analysis.find_near_duplicates(filled)
    found = await rows(
        runner,
        "SELECT asset_id, other_asset_id FROM duplicates(0.2) "
        "WHERE collection = 'album' AND other_collection = 'album'",
    )
    assert [asset_id("album", 20), "twin00000000"] in found


async def test_copies_that_a_principal_does_not_see_hide_no_pair_of_its_collections(
    filled: Database,
) -> None:
    async with filled.connection() as connection:
        album, other = [await collections.get(connection, name) for name in ("album", "other")]
        space = await embedding_spaces.find_for_collection(connection, album.id, "asset")
        assert space is not None
        third = await collections.ensure(connection, "third")
        await embedding_spaces.assign(connection, third.id, space)
        aside = np.eye(1, space.identity.dimension)[0]
        vector = -5 * np.eye(2, space.identity.dimension)[1]
        for owner, id_, shift in ((album, "pair00000001", 0.0), (other, "pair00000002", 0.2)):
            await add_asset(connection, owner, id_)
            await add_vector(connection, owner, space, (vector + shift * aside).tolist(), id_)
        for n in range(12):  # between the two, so nearer to each than they are
            await add_asset(connection, third, f"copy{n:08}")
            between = (vector + 0.1 * aside).tolist()
            await add_vector(connection, third, space, between, f"copy{n:08}")
        await row_security.bind(connection, "wanda", ["album", "other"])
        role = await ensure_query_role(connection, "wanda")
    await cluster_analysis.find_near_duplicates(filled)
    dsn = make_conninfo(filled.dsn, user=role)
    wanda = SqlRunner(dsn, timeout_seconds=60, max_rows=1000, max_bytes=100_000)
    found = await rows(wanda, "SELECT asset_id, other_asset_id FROM duplicates(0.2)")
    assert ["pair00000001", "pair00000002"] in found
    assert not [each for pair in found for each in pair if str(each).startswith("copy")]
    async with filled.connection() as connection:  # the analysis alone does not know the pair
        await connection.execute("UPDATE compared_asset SET crowded = false")
    known = await rows(wanda, "SELECT asset_id, other_asset_id FROM duplicates(0.2)")
    assert ["pair00000001", "pair00000002"] not in known


async def test_compared_assets_are_not_compared_again(filled: Database) -> None:
    scans = (
        "SELECT pg_stat_get_xact_numscans(oid) FROM pg_class WHERE relname LIKE 'embedding%hnsw'"
    )
    await cluster_analysis.find_near_duplicates(filled)
    async with filled.connection() as connection:
        before = await (await connection.execute(scans)).fetchone()
        await connection.execute("SELECT * FROM analytics.duplicates(0.01)")
        assert await (await connection.execute(scans)).fetchone() == before
