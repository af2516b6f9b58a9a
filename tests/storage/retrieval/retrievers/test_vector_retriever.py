"""k-NN search is exact enough under every filter and uses its indexes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from pgvector import HalfVector
from psycopg import sql

from sightline.storage.db.pool import Database
from sightline.storage.retrieval.filters.filter_columns import ASSETS
from sightline.storage.retrieval.filters.search_scope import SearchScope, resolve_scope
from sightline.storage.retrieval.retrievers.similarity_calibration import (
    SAMPLE_ROWS,
    null_distribution,
    vector_sample,
)
from sightline.storage.retrieval.retrievers.vector_retriever import (
    MIN_EXACT_ROWS,
    KnnStatement,
    Neighbors,
    find_nearest,
    max_exact_rows,
)
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import Selection
from tests.support.vector_dataset import SHARES, Matrix, VectorWorld, load, make, name_of

ROWS = 20_000
QUERIES = 25
NAMES = [name_of(share, clustered=clustered) for share in SHARES for clustered in (False, True)]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def world() -> VectorWorld:
    return make(ROWS, dimension=64)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(module_dsn: str, world: VectorWorld) -> AsyncIterator[Database]:
    database = await Database.open(module_dsn)
    await load(database, world)
    yield database
    await database.close()


async def scope_of(database: Database, world: VectorWorld, name: str | None) -> SearchScope:
    async with database.connection(autocommit=True) as connection:
        return await resolve_scope(
            connection,
            Selection(filters=None if name is None else {name: True}),
            {"asset": world.identity},
            ASSETS,
            SearchCaches(),
        )


async def search(
    database: Database,
    scope: SearchScope,
    query: Matrix,
    rows: int = 10,
    caches: SearchCaches | None = None,
) -> Neighbors:
    async with database.connection() as connection:
        space = scope.spaces["asset"].space
        return await find_nearest(
            connection, space, scope, query, rows=rows, population=ROWS, caches=caches
        )


async def recall(
    database: Database, world: VectorWorld, name: str | None
) -> tuple[float, set[str]]:
    scope = await scope_of(database, world, name)
    shares, plans = [], set()
    for query in world.queries(QUERIES):
        neighbors = await search(database, scope, query)
        truth = world.nearest(query, name, 10)
        shares.append(len({row.key for row in neighbors.rows} & set(truth)) / len(truth))
        plans.add(neighbors.plan)
    return float(np.mean(shares)), plans


async def explain(
    database: Database, scope: SearchScope, statement: sql.Composed, query: Matrix
) -> str:
    async with database.connection() as connection:
        await connection.execute("SELECT set_config('enable_sort', 'off', true)")
        cursor = await connection.execute(
            sql.SQL("EXPLAIN ") + statement,
            {
                **scope.condition.parameters,
                "vector": HalfVector(query),
                "rows": 10,
                "collections": scope.collection_ids,
                "exact_rows": MIN_EXACT_ROWS,
            },
        )
        return "\n".join(row[0] for row in await cursor.fetchall())


async def test_an_unfiltered_search_finds_the_true_neighbors(
    loaded: Database, world: VectorWorld
) -> None:
    share, plans = await recall(loaded, world, None)
    assert share >= 0.98
    assert plans == {"index"}


@pytest.mark.parametrize("name", NAMES)
async def test_a_filtered_search_finds_the_true_neighbors(
    loaded: Database, world: VectorWorld, name: str
) -> None:
    share, plans = await recall(loaded, world, name)
    assert share >= 0.95
    few = int(world.matches[name].sum()) <= max_exact_rows(ROWS, 10)
    assert plans == ({"exact"} if few else {"filtered index"})


async def test_an_index_scan_restores_the_sort_setting_of_its_transaction(
    loaded: Database, world: VectorWorld
) -> None:
    scope = await scope_of(loaded, world, name_of(0.5, clustered=False))
    async with loaded.connection() as connection:
        space = scope.spaces["asset"].space
        query = world.queries(1)[0]
        neighbors = await find_nearest(connection, space, scope, query, rows=10, population=ROWS)
        cursor = await connection.execute("SHOW enable_sort")
        assert (neighbors.plan, await cursor.fetchone()) == ("filtered index", ("on",))


async def test_few_matches_are_all_found(loaded: Database, world: VectorWorld) -> None:
    name = name_of(0.001, clustered=True)
    scope = await scope_of(loaded, world, name)
    neighbors = await search(loaded, scope, world.queries(1)[0], rows=100)
    assert len(neighbors.rows) == int(world.matches[name].sum()) == 20
    distances = [row.distance for row in neighbors.rows]
    assert distances == sorted(distances)


async def test_a_wide_filter_far_from_the_query_is_searched_exhaustively(
    loaded: Database, world: VectorWorld
) -> None:
    name = name_of(0.5, clustered=True)
    scope = await scope_of(loaded, world, name)
    outside = world.vectors[~world.matches[name]]
    far = -world.vectors[world.matches[name]].mean(axis=0)
    query = outside[int((outside @ far).argmax())]
    neighbors = await search(loaded, scope, query)
    truth = world.nearest(query, name, 10)
    assert len({row.key for row in neighbors.rows} & set(truth)) >= 9


@pytest.mark.parametrize(
    ("population", "rows", "exact"),
    [(0, 10, 5_000), (200_000, 10, 5_000), (100_000, 100, 10_000), (10**7, 100, 30_000)],
)
async def test_a_larger_population_is_scanned_exactly_up_to_more_rows(
    population: int, rows: int, exact: int
) -> None:
    assert max_exact_rows(population, rows) == exact


async def test_a_wide_filter_is_counted_once(loaded: Database, world: VectorWorld) -> None:
    scope = await scope_of(loaded, world, name_of(0.5, clustered=False))
    narrow = await scope_of(loaded, world, name_of(0.01, clustered=False))
    caches = SearchCaches()
    for each in (scope, narrow):
        await search(loaded, each, world.queries(1)[0], caches=caches)
    assert caches.wide_scopes.get(scope.fingerprint)
    assert not caches.wide_scopes.get(narrow.fingerprint)


async def test_the_statements_use_their_indexes(loaded: Database, world: VectorWorld) -> None:
    query = world.queries(1)[0]
    every = await scope_of(loaded, world, None)
    half = await scope_of(loaded, world, name_of(0.5, clustered=False))
    few = await scope_of(loaded, world, name_of(0.001, clustered=False))
    space = every.spaces["asset"].space
    plain = await explain(loaded, every, KnnStatement(space, every, "asset").index_scan(), query)
    assert f"Index Scan using {space.index}" in plain
    assert "Sort" not in plain
    assert "asset_pkey" not in plain  # no unused join
    filtered = await explain(loaded, half, KnnStatement(space, half, "asset").index_scan(), query)
    assert f"Index Scan using {space.index}" in filtered
    assert "Sort" not in filtered
    assert "source" not in filtered
    exact = await explain(loaded, few, KnnStatement(space, few, "asset").exact_scan(), query)
    assert space.index not in exact
    assert "asset_metadata_idx" in exact
    assert f"{space.partition}_asset_id_idx" in exact


async def test_a_space_without_an_index_is_searched(loaded: Database, world: VectorWorld) -> None:
    scope = await scope_of(loaded, world, None)
    query = world.queries(1)[0]
    space = scope.spaces["asset"].space
    async with loaded.connection() as connection:
        await connection.execute(space.compose("DROP INDEX {index}"))
        neighbors = await find_nearest(connection, space, scope, query, rows=10)
        await connection.rollback()
    assert [row.key for row in neighbors.rows] == world.nearest(query, None, 10)


async def test_the_null_distribution_is_estimated_from_a_sample(
    loaded: Database, world: VectorWorld
) -> None:
    scope = await scope_of(loaded, world, None)
    async with loaded.connection() as connection:
        space = scope.spaces["asset"].space
        sample = await vector_sample(connection, space, scope, SearchCaches())
    assert sample.vectors.shape == (SAMPLE_ROWS, world.vectors.shape[1])
    assert 0.7 * ROWS < sample.population < 1.3 * ROWS
    query = world.queries(1)[0]
    null = null_distribution(sample, query)
    assert null is not None
    similarities = world.vectors @ query
    assert null.mean == pytest.approx(float(similarities.mean()), abs=0.05)
    assert null.deviation == pytest.approx(float(similarities.std()), rel=0.25)
