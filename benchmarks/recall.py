"""Measure recall@10 and latency of filtered search against exact search.

    python -m benchmarks recall -- --vectors 100000

Each line is one filter: the chosen plan, the recall of our search, the recall of the same SQL with
the defaults of pgvector (a plain index with a filter), p50 and p95 in milliseconds, and the ratio
of p50 to the unfiltered search of the same run. The vectors are clustered; the queries are near the
vectors, as texts are near images. Uses a temporary Postgres.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pgvector import HalfVector

from sightline.server.database import schema_migration
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all
from sightline.storage.postgres import EmbeddedPostgres
from sightline.storage.retrieval.filters.filter_columns import ASSETS
from sightline.storage.retrieval.filters.search_scope import SearchScope, resolve_scope
from sightline.storage.retrieval.retrievers.vector_retriever import (
    KnnStatement,
    Neighbor,
    find_nearest,
)
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import Selection
from tests.support.vector_dataset import SHARES, Matrix, VectorWorld, load, make, name_of

K = 10


@dataclass(frozen=True)
class FilterResult:
    """Results for one filter: recall 0 to 1, latency in milliseconds."""

    name: str
    matching: int
    plans: Counter[str]
    recall: float
    plain_recall: float
    p50: float
    p95: float


async def main(arguments: list[str] | None = None) -> list[FilterResult]:
    """Run the benchmark."""
    options = _options(arguments)
    world = make(options.vectors, options.dimension)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder), durable=False) as server,
    ):
        dsn = server.dsn("postgres")
        schema_migration.upgrade(dsn)
        database = await Database.open(dsn, statement_timeout_seconds=3600)
        started = time.perf_counter()
        await load(database, world)
        print(
            f"{options.vectors:,} vectors of {options.dimension} loaded and indexed in "
            f"{time.perf_counter() - started:.0f} s; {options.queries} queries, "
            f"{options.rows} rows each"
        )
        results = []
        for name in [None, *_filter_names()]:
            results.append(await _measure(database, world, name, options.queries, options.rows))
            _print(results[-1], results[0])
        await database.close()
    return results


async def _measure(
    database: Database, world: VectorWorld, name: str | None, queries: int, rows: int
) -> FilterResult:
    caches = SearchCaches()
    async with database.connection(autocommit=True) as connection:
        scope = await resolve_scope(
            connection,
            Selection(filters=None if name is None else {name: True}),
            {"asset": world.identity},
            ASSETS,
            caches,
        )
    space = scope.spaces["asset"].space
    times, recalls, plain, plans = [], [], [], Counter[str]()
    for query in world.queries(queries):
        truth = set(world.nearest(query, name, K))
        async with database.connection() as connection:
            started = time.perf_counter()
            neighbors = await find_nearest(
                connection,
                space,
                scope,
                query,
                rows=rows,
                population=len(world.vectors),
                caches=caches,
            )
            times.append((time.perf_counter() - started) * 1000)
        plans[neighbors.plan] += 1
        recalls.append(len(truth & {row.key for row in neighbors.rows[:K]}) / len(truth))
        plain.append(len(truth & await _plain(database, scope, query)) / len(truth))
    return FilterResult(
        name or "none",
        len(world.vectors) if name is None else int(world.matches[name].sum()),
        plans,
        float(np.mean(recalls)),
        float(np.mean(plain)),
        float(np.percentile(times, 50)),
        float(np.percentile(times, 95)),
    )


async def _plain(database: Database, scope: SearchScope, query: Matrix) -> set[str]:
    """Search with the defaults of pgvector: 40 candidates, no iterative scan."""
    statement = KnnStatement(scope.spaces["asset"].space, scope, "asset").index_scan()
    async with database.connection() as connection:
        await connection.execute(
            "SELECT set_config('hnsw.ef_search', '40', true), "
            "set_config('hnsw.iterative_scan', 'off', true), set_config('enable_sort', 'off', true)"
        )
        found = await fetch_all(
            connection,
            statement,
            {
                **scope.condition.parameters,
                "vector": HalfVector(query),
                "rows": K,
                "collections": scope.collection_ids,
            },
            row=Neighbor,
        )
        return {str(each.key) for each in found}


def _filter_names() -> list[str]:
    return [name_of(share, clustered=clustered) for share in SHARES for clustered in (False, True)]


def _print(result: FilterResult, unfiltered: FilterResult) -> None:
    plans = "+".join(sorted(result.plans))
    print(
        f"{result.name:<11} matches {result.matching:>9,}  {plans:<15} recall {result.recall:.3f} "
        f"(plain index {result.plain_recall:.3f})  p50 {result.p50:6.1f} ms  "
        f"p95 {result.p95:6.1f} ms  "
        f"{result.p50 / unfiltered.p50:4.1f} x unfiltered",
        flush=True,
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks recall", description=__doc__.split("\n")[0])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100, help="requested rows, as retrievers do")
    return parser.parse_args(arguments)
