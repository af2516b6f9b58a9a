"""Recall@10 against exact search, and what it costs, unfiltered and under every filter.

    python -m benchmarks.recall --vectors 100000

Prints one line a filter: the plan that was chosen, recall of our search, recall of the same SQL
with pgvector's defaults (what a filter does to a plain index), p50 and p95 in milliseconds, and
p50 as a ratio to the unfiltered search of the same run. Vectors are clustered; queries lie beside
them, as words lie beside pictures. Runs in a Postgres of its own, which it removes.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pgvector import HalfVector
from psycopg import sql

from sightline.server.database import schema_migration
from sightline.storage.db.pool import Database
from sightline.storage.postgres import EmbeddedPostgres
from sightline.storage.retrieval.filters.filter_schema import ASSETS
from sightline.storage.retrieval.filters.search_scope import KeyCatalog, Scope, resolve
from sightline.storage.retrieval.retrievers.knn import Statement, WideScopes, nearest
from sightline.storage.retrieval.search_types import Selection
from tests.support.vectors import SHARES, Matrix, VectorWorld, load, make, name_of

K = 10


@dataclass(frozen=True)
class Line:
    """What was measured under one filter; recalls 0 to 1, times in milliseconds."""

    name: str
    kept: int
    plans: Counter[str]
    recall: float
    plain_recall: float
    p50: float
    p95: float


async def main(arguments: list[str] | None = None) -> list[Line]:
    """Measure and print."""
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
        lines = []
        for name in [None, *_names()]:
            lines.append(await _measure(database, world, name, options.queries, options.rows))
            _show(lines[-1], lines[0])
        await database.close()
    return lines


async def _measure(
    database: Database, world: VectorWorld, name: str | None, queries: int, rows: int
) -> Line:
    async with database.connection(autocommit=True) as connection:
        scope = await resolve(
            connection,
            Selection(filters=None if name is None else {name: True}),
            {"asset": world.identity},
            ASSETS,
            KeyCatalog(),
        )
    space, wide = scope.spaces["asset"].space, WideScopes()
    times, shares, plain, plans = [], [], [], Counter[str]()
    for query in world.queries(queries):
        truth = set(world.nearest(query, name, K))
        async with database.connection() as connection:
            started = time.perf_counter()
            found = await nearest(
                connection,
                space,
                scope,
                query,
                rows=rows,
                population=len(world.vectors),
                wide=wide,
            )
            times.append((time.perf_counter() - started) * 1000)
        plans[found.plan] += 1
        shares.append(len(truth & {row.key for row in found.rows[:K]}) / len(truth))
        plain.append(len(truth & await _plain(database, scope, query)) / len(truth))
    return Line(
        name or "none",
        len(world.vectors) if name is None else int(world.matches[name].sum()),
        plans,
        float(np.mean(shares)),
        float(np.mean(plain)),
        float(np.percentile(times, 50)),
        float(np.percentile(times, 95)),
    )


async def _plain(database: Database, scope: Scope, query: Matrix) -> set[str]:
    """What pgvector finds with its defaults: 40 candidates, no second look."""
    statement = Statement(scope.spaces["asset"].space, scope, "asset").through_index()
    async with database.connection() as connection:
        await connection.execute(
            "SELECT set_config('hnsw.ef_search', '40', true), "
            "set_config('hnsw.iterative_scan', 'off', true), set_config('enable_sort', 'off', true)"
        )
        cursor = await connection.execute(
            sql.Composed([statement]),
            {
                **scope.condition.parameters,
                "vector": HalfVector(query),
                "rows": K,
                "collections": scope.ids,
            },
        )
        return {row[0] for row in await cursor.fetchall()}


def _names() -> list[str]:
    return [name_of(share, clustered=clustered) for share in SHARES for clustered in (False, True)]


def _show(line: Line, unfiltered: Line) -> None:
    plans = "+".join(sorted(line.plans))
    print(
        f"{line.name:<11} keeps {line.kept:>9,}  {plans:<15} recall {line.recall:.3f} "
        f"(plain index {line.plain_recall:.3f})  p50 {line.p50:6.1f} ms  p95 {line.p95:6.1f} ms  "
        f"{line.p50 / unfiltered.p50:4.1f} x unfiltered",
        flush=True,
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.recall", description=__doc__.split("\n")[0])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100, help="rows asked for, as branches ask")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    asyncio.run(main())
