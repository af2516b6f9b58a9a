from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from pgvector import HalfVector
from psycopg import sql

from sightline.storage.db.pool import Database
from sightline.storage.retrieval.filters.filter_schema import ASSETS
from sightline.storage.retrieval.filters.search_scope import KeyCatalog, Scope, resolve
from sightline.storage.retrieval.retrievers.knn import (
    LEAST_EXACT_ROWS,
    Neighbours,
    Statement,
    WideScopes,
    exact_rows,
    nearest,
)
from sightline.storage.retrieval.retrievers.null_distribution import SAMPLE_ROWS, Backgrounds
from sightline.storage.retrieval.search_types import Selection
from tests.support.vectors import SHARES, Matrix, VectorWorld, load, make, name_of

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


async def scope_of(database: Database, world: VectorWorld, name: str | None) -> Scope:
    async with database.connection(autocommit=True) as connection:
        return await resolve(
            connection,
            Selection(filters=None if name is None else {name: True}),
            {"asset": world.identity},
            ASSETS,
            KeyCatalog(),
        )


async def search(
    database: Database, scope: Scope, query: Matrix, rows: int = 10, wide: WideScopes | None = None
) -> Neighbours:
    async with database.connection() as connection:
        space = scope.spaces["asset"].space
        return await nearest(connection, space, scope, query, rows=rows, population=ROWS, wide=wide)


async def recall(
    database: Database, world: VectorWorld, name: str | None
) -> tuple[float, set[str]]:
    scope = await scope_of(database, world, name)
    shares, plans = [], set()
    for query in world.queries(QUERIES):
        found = await search(database, scope, query)
        truth = world.nearest(query, name, 10)
        shares.append(len({row.key for row in found.rows} & set(truth)) / len(truth))
        plans.add(found.plan)
    return float(np.mean(shares)), plans


async def explain(database: Database, scope: Scope, statement: sql.Composed, query: Matrix) -> str:
    async with database.connection() as connection:
        await connection.execute("SELECT set_config('enable_sort', 'off', true)")
        cursor = await connection.execute(
            sql.SQL("EXPLAIN ") + statement,
            {
                **scope.condition.parameters,
                "vector": HalfVector(query),
                "rows": 10,
                "collections": scope.ids,
                "exact_rows": LEAST_EXACT_ROWS,
            },
        )
        return "\n".join(row[0] for row in await cursor.fetchall())


async def test_an_unfiltered_search_finds_what_an_exact_one_would(
    loaded: Database, world: VectorWorld
) -> None:
    share, plans = await recall(loaded, world, None)
    assert share >= 0.98
    assert plans == {"index"}


@pytest.mark.parametrize("name", NAMES)
async def test_a_filtered_search_finds_what_an_exact_one_would(
    loaded: Database, world: VectorWorld, name: str
) -> None:
    share, plans = await recall(loaded, world, name)
    assert share >= 0.95
    few = int(world.matches[name].sum()) <= exact_rows(ROWS, 10)
    assert plans == ({"exact"} if few else {"filtered index"})


async def test_a_search_through_the_index_leaves_the_transaction_to_sort_as_before(
    loaded: Database, world: VectorWorld
) -> None:
    scope = await scope_of(loaded, world, name_of(0.5, clustered=False))
    async with loaded.connection() as connection:
        space = scope.spaces["asset"].space
        query = world.queries(1)[0]
        found = await nearest(connection, space, scope, query, rows=10, population=ROWS)
        cursor = await connection.execute("SHOW enable_sort")
        assert (found.plan, await cursor.fetchone()) == ("filtered index", ("on",))


async def test_few_matches_are_all_found_however_many_are_asked_for(
    loaded: Database, world: VectorWorld
) -> None:
    name = name_of(0.001, clustered=True)
    scope = await scope_of(loaded, world, name)
    found = await search(loaded, scope, world.queries(1)[0], rows=100)
    assert len(found.rows) == int(world.matches[name].sum()) == 20
    distances = [row.distance for row in found.rows]
    assert distances == sorted(distances)


async def test_a_filter_of_half_that_lies_far_from_the_query_is_searched_to_the_end(
    loaded: Database, world: VectorWorld
) -> None:
    name = name_of(0.5, clustered=True)
    scope = await scope_of(loaded, world, name)
    outside = world.vectors[~world.matches[name]]
    far = -world.vectors[world.matches[name]].mean(axis=0)
    query = outside[int((outside @ far).argmax())]
    found = await search(loaded, scope, query)
    truth = world.nearest(query, name, 10)
    assert len({row.key for row in found.rows} & set(truth)) >= 9


@pytest.mark.parametrize(
    ("population", "rows", "exact"),
    [(0, 10, 5_000), (200_000, 10, 5_000), (100_000, 100, 10_000), (10**7, 100, 30_000)],
)
async def test_the_more_there_is_to_walk_past_the_more_is_scanned(
    population: int, rows: int, exact: int
) -> None:
    assert exact_rows(population, rows) == exact


async def test_a_wide_filter_is_counted_once(loaded: Database, world: VectorWorld) -> None:
    scope = await scope_of(loaded, world, name_of(0.5, clustered=False))
    narrow = await scope_of(loaded, world, name_of(0.01, clustered=False))
    wide = WideScopes()
    for each in (scope, narrow):
        assert not wide.is_known(each)
        await search(loaded, each, world.queries(1)[0], wide=wide)
    assert wide.is_known(scope)
    assert not wide.is_known(narrow)


async def test_the_plans_use_the_indexes_that_were_made_for_them(
    loaded: Database, world: VectorWorld
) -> None:
    query = world.queries(1)[0]
    every = await scope_of(loaded, world, None)
    half = await scope_of(loaded, world, name_of(0.5, clustered=False))
    few = await scope_of(loaded, world, name_of(0.001, clustered=False))
    space = every.spaces["asset"].space
    plain = await explain(loaded, every, Statement(space, every, "asset").through_index(), query)
    assert f"Index Scan using {space.index}" in plain
    assert "Sort" not in plain
    assert "asset_pkey" not in plain  # nothing is joined that nothing asks for
    filtered = await explain(loaded, half, Statement(space, half, "asset").through_index(), query)
    assert f"Index Scan using {space.index}" in filtered
    assert "Sort" not in filtered
    assert "source" not in filtered
    exact = await explain(loaded, few, Statement(space, few, "asset").exactly(), query)
    assert space.index not in exact
    assert "asset_metadata_idx" in exact
    assert f"{space.partition}_asset_id_idx" in exact


async def test_a_space_without_its_index_still_answers(
    loaded: Database, world: VectorWorld
) -> None:
    scope = await scope_of(loaded, world, None)
    query = world.queries(1)[0]
    space = scope.spaces["asset"].space
    async with loaded.connection() as connection:
        await connection.execute(space.compose("DROP INDEX {index}"))
        found = await nearest(connection, space, scope, query, rows=10)
        await connection.rollback()
    assert [row.key for row in found.rows] == world.nearest(query, None, 10)


async def test_noise_is_measured_on_a_sample_of_the_space(
    loaded: Database, world: VectorWorld
) -> None:
    scope = await scope_of(loaded, world, None)
    async with loaded.connection() as connection:
        background = await Backgrounds().of(connection, scope.spaces["asset"].space, scope)
    assert background.sample.shape == (SAMPLE_ROWS, world.vectors.shape[1])
    assert 0.7 * ROWS < background.population < 1.3 * ROWS
    query = world.queries(1)[0]
    noise = background.noise(query)
    assert noise is not None
    everything = world.vectors @ query
    assert noise.mean == pytest.approx(float(everything.mean()), abs=0.05)
    assert noise.deviation == pytest.approx(float(everything.std()), rel=0.25)
