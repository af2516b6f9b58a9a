"""Nearest neighbours in a space, filtered and still right.

A vector index alone is wrong under a filter: it walks from near to far and gives up before it has
found enough that match. So a filter is counted first, no further than `exact_rows`. Few matches
are compared one by one, which is exact. Many are reached through the index, which goes on until
it has enough (relaxed order, sorted here); when it still comes back short, the exact scan decides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, LiteralString

from pgvector import HalfVector
from psycopg import sql
from psycopg.rows import TupleRow

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.filters.search_scope import Scope

_SQL = sql_loader.load("retrieval")
_SORT_AGAIN = "SET LOCAL enable_sort TO DEFAULT"

LEAST_EXACT_ROWS = 5_000
MOST_EXACT_ROWS = 30_000
_ROWS_PER_ASSET = 12
"""About how many regions (or passages) stand on one asset."""
_MOST_EF = 1_000  # pgvector's own bound
_LEAST_EF = 200  # text against pictures: the gap between the two costs recall below it
_WIDE_SCOPES = 1_000
_WIDE_SECONDS = 60.0
_SCANNED_TUPLES = 60_000  # then the index gives up and the exact scan takes over

Target = Literal["asset", "passage"]
Plan = Literal["exact", "filtered index", "index", "exhaustive"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row of a space and its cosine distance to the query."""

    key: str | int
    collection_id: int
    region_id: int | None
    passage_id: int | None
    distance: float


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Nearest first, and how they were found."""

    rows: list[Neighbour]
    plan: Plan


def exact_rows(population: int, rows: int) -> int:
    """Matching vectors up to which an exact scan is quicker than the index, and never wrong.

    The scan takes a time for each match; the index takes ten times that for each vector that it
    walks past, and walks past ``rows * population / matches`` of them. Where the two are equal,
    the scan is chosen below.
    """
    equal = math.sqrt(10 * rows * population)
    return int(min(max(equal, LEAST_EXACT_ROWS), MOST_EXACT_ROWS))


class WideScopes:
    """Scopes that were found to keep many rows, for a minute: they need not be counted again."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def is_known(self, scope: Scope) -> bool:
        """Whether the scope was learned lately."""
        return time.monotonic() < self._until.get(scope.fingerprint, 0.0)

    def learn(self, scope: Scope) -> None:
        """Remember the scope."""
        if len(self._until) >= _WIDE_SCOPES:
            self._until.clear()
        self._until[scope.fingerprint] = time.monotonic() + _WIDE_SECONDS


async def nearest(
    connection: Connection,
    space: EmbeddingSpace,
    scope: Scope,
    vector: Vectors,
    *,
    target: Target = "asset",
    rows: int,
    population: int = 0,
    wide: WideScopes | None = None,
) -> Neighbours:
    """The nearest rows of the space in the scope; ``vector`` is float32 of shape (dimension,).

    ``population`` is about how many vectors there are to choose from, for choosing the plan.

    Works in the connection's transaction: search settings last until its end.
    """
    statement = Statement(space, scope, target)
    parameters: dict[str, object] = {
        **scope.condition.parameters,
        "vector": HalfVector(vector),
        "rows": rows,
        "collections": scope.ids,
        "kinds": list(scope.kinds or ()),
    }
    if not statement.narrow:
        return Neighbours(await _through_index(connection, statement, parameters), "index")
    few = exact_rows(population, rows) // (1 if space.level == target else _ROWS_PER_ASSET)
    if not (wide and wide.is_known(scope)):
        _, found = await _exactly(connection, statement, parameters, few)
        if found is not None:
            return Neighbours(found, "exact")
        if wide:
            wide.learn(scope)
    found = await _through_index(connection, statement, parameters)
    if len(found) >= min(rows, few):
        return Neighbours(found, "filtered index")
    _, every = await _exactly(connection, statement, parameters, 2**62)
    return Neighbours(every or [], "exhaustive")


@dataclass(frozen=True, slots=True)
class Statement:
    """Composes the statements for a space, a scope and what results are keyed on."""

    space: EmbeddingSpace
    scope: Scope
    target: Target

    @property
    def _of_passages(self) -> bool:
        return self.space.level == "passage"

    @property
    def narrow(self) -> bool:
        """Whether anything in the space is out of scope."""
        return bool(
            self.scope.condition
            or self.scope.kinds
            or not self.scope.spaces[self.space.level].whole
        )

    def through_index(self) -> sql.Composed:
        joins: sql.Composable = sql.SQL("")
        if self._of_passages and (self.narrow or self.target == "asset"):
            joins = sql.SQL("JOIN ({} ) ON p.id = e.passage_id").format(sql.SQL(_SQL["passages"]))
        elif self.scope.condition:
            joins = sql.SQL("JOIN ({} ) ON a.id = e.asset_id").format(sql.SQL(_SQL["assets"]))
        key = "e.asset_id"
        if self._of_passages:
            key = "p.asset_id" if self.target == "asset" else "e.passage_id"
        return self._fill(_SQL["nearest"], joins=joins, key=key, collection="e.collection_id")

    def exactly(self) -> sql.Composed:
        if self._of_passages:
            key = "matching.asset_id" if self.target == "asset" else "matching.id"
            return self._fill(
                _SQL["nearest_of_few"],
                id=sql.SQL("p.id"),
                tables=sql.SQL(_SQL["passages"]),
                link=sql.Identifier("passage_id"),
                key=key,
                collection="p.collection_id",
            )
        return self._fill(
            _SQL["nearest_of_few"],
            id=sql.SQL("a.id"),
            tables=sql.SQL(_SQL["assets"]),
            link=sql.Identifier("asset_id"),
            key="matching.asset_id",
            collection="a.collection_id",
        )

    def _fill(
        self,
        block: LiteralString,
        *,
        key: LiteralString,
        collection: LiteralString,
        **parts: sql.Composable,
    ) -> sql.Composed:
        conditions: list[sql.Composable] = []
        if not self.scope.spaces[self.space.level].whole:
            conditions.append(sql.SQL(collection + " = ANY (%(collections)s)"))
        if self.scope.condition:
            conditions.append(self.scope.condition.sql)
        if self._of_passages and self.scope.kinds:
            conditions.append(sql.SQL("p.kind = ANY (%(kinds)s)"))
        if self._of_passages and self.target == "asset":
            conditions.append(sql.SQL("p.asset_id IS NOT NULL"))
        return sql.SQL(block).format(
            key=sql.SQL(key),
            condition=sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"),
            partition=sql.Identifier(self.space.partition),
            dimension=sql.Literal(self.space.identity.dimension),
            **parts,
        )


async def _through_index(
    connection: Connection, statement: Statement, parameters: Mapping[str, object]
) -> list[Neighbour]:
    """In one round trip: the settings, which last until the transaction's end, and the search."""
    ef = min(max(int(str(parameters["rows"])), _LEAST_EF), _MOST_EF)
    settings = {
        "hnsw.ef_search": str(ef),
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": str(_SCANNED_TUPLES),
        # Never read the whole space and sort it while there is an index.
        "enable_sort": "off" if statement.narrow else "on",
    }
    set_all = sql.SQL("SELECT {}").format(
        sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
            for name, value in settings.items()
        )
    )
    async with connection.pipeline():
        await connection.execute(set_all)
        cursor = await connection.execute(statement.through_index(), parameters)
        # What else is asked in this transaction is planned as ever.
        await connection.execute(_SORT_AGAIN)
        rows = await cursor.fetchall()
    return sorted((_neighbour(row) for row in rows), key=lambda each: each.distance)


async def _exactly(
    connection: Connection,
    statement: Statement,
    parameters: Mapping[str, object],
    exact_rows: int,
) -> tuple[int, list[Neighbour] | None]:
    """How many match, and the nearest of them unless they are more than ``exact_rows``."""
    cursor = await connection.execute(statement.exactly(), {**parameters, "exact_rows": exact_rows})
    rows = await cursor.fetchall()
    matching = int(rows[0][0])
    if matching > exact_rows:
        return matching, None
    return matching, [_neighbour(row[1:]) for row in rows if row[1] is not None]


def _neighbour(row: TupleRow) -> Neighbour:
    key, collection_id, region_id, passage_id, distance = row
    return Neighbour(key, collection_id, region_id, passage_id, float(distance))
