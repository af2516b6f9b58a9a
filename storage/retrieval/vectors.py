"""Nearest neighbours in a space, filtered and still right.

A vector index alone is wrong under a filter: it walks from near to far and gives up before it has
found enough that match. So a filter is counted first, no further than `EXACT_ROWS`. Few matches
are compared one by one, which is exact. Many are reached through the index, which goes on until
it has enough (relaxed order, sorted here); when it still comes back short, the exact scan decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, LiteralString

import numpy as np
from llama_index.core.schema import QueryBundle
from pgvector import HalfVector
from psycopg import sql
from psycopg.rows import TupleRow

from sightline.storage import queries
from sightline.storage.database import Connection, Database
from sightline.storage.models import Vectors
from sightline.storage.retrieval.background import Backgrounds
from sightline.storage.retrieval.branch import (
    Branch,
    Candidate,
    Found,
    Side,
    best_of_each,
)
from sightline.storage.retrieval.scope import Scope
from sightline.storage.spaces import Space

_SQL = queries.load("retrieval")

EXACT_ROWS = 5_000
"""Matching vectors up to which an exact scan is quicker than the index, and never wrong."""
_ROWS_PER_ASSET = 12
"""About how many regions (or passages) stand on one asset."""
_MOST_EF = 1_000  # pgvector's own bound
_LEAST_EF = 200  # text against pictures: the gap between the two costs recall below it
_SCANNED_TUPLES = 60_000  # then the index gives up and the exact scan takes over

Target = Literal["asset", "passage"]
Plan = Literal["exact", "filtered index", "index", "exhaustive"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row of a space and its cosine distance to the query."""

    key: str | int
    region_id: int | None
    passage_id: int | None
    distance: float


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Nearest first, and how they were found."""

    rows: list[Neighbour]
    plan: Plan


class VectorBranch(Branch):
    """Vectors of one grain; keyed on assets, or on passages when ``target`` says so."""

    def __init__(
        self,
        name: str,
        side: Side,
        database: Database,
        scope: Scope,
        space: Space,
        backgrounds: Backgrounds,
        *,
        target: Target = "asset",
        depth: int = 200,
        trust: float = 1.0,
    ) -> None:
        """``trust`` 0 to 1 scales the branch's evidence (see `trust`)."""
        super().__init__(name, side)
        self._database = database
        self._scope = scope
        self._space = space
        self._backgrounds = backgrounds
        self._target: Target = target
        self._depth = depth
        self._trust = trust

    async def find(self, query: QueryBundle) -> Found:
        """Takes ``query.embedding``, of the space's dimension; it need not be a unit vector."""
        vector = unit(np.asarray(query.embedding, dtype=np.float32))
        # Several regions or passages of one asset are one result: look further for enough.
        rows = self._depth * (1 if self._space.grain == "asset" or self._target == "passage" else 4)
        async with self._database.connection() as connection:
            found = await nearest(
                connection, self._space, self._scope, vector, target=self._target, rows=rows
            )
            background = await self._backgrounds.of(connection, self._space, self._scope)
        candidates = best_of_each(
            [
                Candidate(n.key, 1 - n.distance, n.distance, n.region_id, n.passage_id)
                for n in found.rows
            ],
            self._depth,
        )
        noise = background.noise(vector)
        if noise is None or not candidates:
            return Found(candidates, evidence=self._trust)
        return Found(
            candidates,
            evidence=noise.evidence(candidates[0].score) * self._trust,
            floor=noise.mean,
            threshold=noise.threshold,
        )


def unit(vector: Vectors) -> Vectors:
    """The vector at length 1; the zero vector as it is."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


async def nearest(
    connection: Connection,
    space: Space,
    scope: Scope,
    vector: Vectors,
    *,
    target: Target = "asset",
    rows: int,
) -> Neighbours:
    """The nearest rows of the space in the scope; ``vector`` is float32 of shape (dimension,).

    Works in the connection's transaction: search settings last until its end.
    """
    statement = _Statement(space, scope, target)
    parameters: dict[str, object] = {
        **scope.condition.parameters,
        "vector": HalfVector(vector),
        "rows": rows,
        "collections": scope.ids,
        "kinds": list(scope.kinds or ()),
    }
    if not statement.narrow:
        return Neighbours(await _through_index(connection, statement, parameters), "index")
    per_match = 1 if space.grain == target else _ROWS_PER_ASSET
    kept, found = await _exactly(connection, statement, parameters, EXACT_ROWS // per_match)
    if found is not None:
        return Neighbours(found, "exact")
    found = await _through_index(connection, statement, parameters)
    if len(found) >= min(rows, kept):
        return Neighbours(found, "filtered index")
    _, every = await _exactly(connection, statement, parameters, 2**62)
    return Neighbours(every or [], "exhaustive")


@dataclass(frozen=True, slots=True)
class _Statement:
    """Composes the statements for a space, a scope and what results are keyed on."""

    space: Space
    scope: Scope
    target: Target

    @property
    def _of_passages(self) -> bool:
        return self.space.grain == "passage"

    @property
    def narrow(self) -> bool:
        """Whether anything in the space is out of scope."""
        return bool(
            self.scope.condition
            or self.scope.kinds
            or not self.scope.spaces[self.space.grain].whole
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
        if not self.scope.spaces[self.space.grain].whole:
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
    connection: Connection, statement: _Statement, parameters: Mapping[str, object]
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
        rows = await cursor.fetchall()
    return sorted((_neighbour(row) for row in rows), key=lambda each: each.distance)


async def _exactly(
    connection: Connection,
    statement: _Statement,
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
    key, region_id, passage_id, distance = row
    return Neighbour(key, region_id, passage_id, float(distance))
