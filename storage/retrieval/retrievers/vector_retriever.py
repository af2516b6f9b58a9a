"""Retrieve by vector similarity: k-nearest neighbors, exact under any filter.

A vector index returns too few rows under a selective filter, because it stops after a fixed number
of candidates. So the filter is counted first, up to `max_exact_rows`. Few matches are compared one
by one, which is exact. Many matches go through the index (iterative scan, relaxed order, sorted
here). If the index still returns too few rows, an exact scan of all matches follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, LiteralString, NamedTuple

import numpy as np
from pgvector import HalfVector
from psycopg import sql
from psycopg.rows import args_row

from sightline.storage.db import EF_SEARCH
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.records.encoder_reliability import (
    RELIABLE,
    EncoderReliability,
    kinds_of,
)
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.retrievers.similarity_calibration import (
    null_distribution,
    vector_sample,
)
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import (
    MAX_RESULTS,
    Hit,
    Key,
    Modality,
    ResultLevel,
    RetrieverResult,
    best_per_key,
)

_SQL = load_sql("retrieval")
MIN_EXACT_ROWS = 5_000
MAX_EXACT_ROWS = 30_000
_ROWS_PER_ASSET = 12
"""Approximate number of regions (or passages) of one asset."""
_MAX_EF_SEARCH = 1_000  # the limit of pgvector
_MAX_CONFIDENCE_WITHOUT_NULL_DISTRIBUTION = 0.25
"""Three such retrievers that agree count less than a lexical match."""
_ROWS_PER_RESULT = 4
"""Extra rows, because several regions or passages of one asset become one result."""


class Neighbor(NamedTuple):
    """A row of a space with its cosine distance to the query."""

    key: Key
    collection_id: int
    region_id: int | None
    passage_id: int | None
    distance: float


@dataclass(frozen=True, slots=True)
class Neighbors:
    """Neighbors, nearest first, and the plan that found them."""

    rows: list[Neighbor]
    plan: Literal["exact", "filtered index", "index", "exhaustive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRetriever:
    """Finds the nearest vectors of one embedding space.

    ``vector`` is float32 of shape (dimension,), not necessarily a unit vector. ``reliability`` of
    the encoder for this kind of query scales the confidence of hits.
    """

    name: str
    database: Database
    scope: SearchScope
    space: EmbeddingSpace
    caches: SearchCaches
    vector: Vectors
    level: ResultLevel
    reliability: EncoderReliability = RELIABLE

    @property
    def modality(self) -> Modality:
        return "text" if self.space.level == "passage" else "visual"

    async def retrieve(self) -> RetrieverResult:
        query = unit_vector(self.vector)
        is_direct = self.space.level == "asset" or self.level == "passage"
        async with self.database.connection(autocommit=True) as connection:
            sample = await vector_sample(connection, self.space, self.scope, self.caches)
            neighbors = await find_nearest(
                connection,
                self.space,
                self.scope,
                query,
                level=self.level,
                rows=MAX_RESULTS * (1 if is_direct else _ROWS_PER_RESULT),
                population=sample.population,
                caches=self.caches,
            )
            kinds = await self._kinds(connection, neighbors.rows)
        is_of_images = self.modality == "visual"
        usual_deviation = self.reliability.text_deviation if is_of_images else None
        reliabilities = map(self.reliability.of, self.scope.collection_ids)
        null = null_distribution(sample, query, usual_deviation, is_mixed=not all(reliabilities))
        similarities = [1 - row.distance for row in neighbors.rows]
        confidence = null.confidence if null else _relative_confidence(similarities)
        threshold = None if null is None else null.threshold
        places = {(row.collection_id, kinds.get(row.key)) for row in neighbors.rows}
        reliability_of = {place: self.reliability.of(*place) for place in places}
        hits: list[Hit] = []
        for row, similarity in zip(neighbors.rows, similarities, strict=True):
            reliability = reliability_of[row.collection_id, kinds.get(row.key)]
            hits.append(
                Hit(
                    key=row.key,
                    score=similarity,
                    distance=row.distance,
                    confidence=reliability * confidence(similarity),
                    region_id=row.region_id,
                    passage_id=row.passage_id,
                    is_significant=self._is_significant(threshold, similarity, reliability),
                )
            )
        return RetrieverResult(
            best_per_key(hits),
            floor=null.mean if null else 0.0,
            threshold=threshold,
        )

    async def _kinds(self, connection: Connection, rows: Sequence[Neighbor]) -> dict[Key, str]:
        """Return the kinds of asset by key, if the reliability depends on them."""
        if not self.reliability.depends_on_kind:
            return {}
        return await kinds_of(connection, self.level, [row.key for row in rows])

    def _is_significant(
        self, threshold: float | None, similarity: float, reliability: float
    ) -> bool | None:
        """Return whether a hit stands out.

        In too few vectors to tell, an image query finds what it asks for, the nearest; a text query
        may find nothing (None).
        """
        if reliability == 0:
            return False
        if threshold is None:
            return None if self.name.startswith("text_") else True
        return similarity >= threshold


def max_exact_rows(population: int, rows: int) -> int:
    """Return the number of matches up to which an exact scan is faster than the index.

    The scan costs one unit for each match. The index costs ten units for each visited vector and
    visits ``rows * population / matches`` vectors. Both are equal at the square root below.
    """
    break_even = math.sqrt(10 * rows * population)
    return int(min(max(break_even, MIN_EXACT_ROWS), MAX_EXACT_ROWS))


async def find_nearest(
    connection: Connection,
    space: EmbeddingSpace,
    scope: SearchScope,
    vector: Vectors,
    *,
    level: ResultLevel = "asset",
    rows: int,
    population: int = 0,
    caches: SearchCaches | None = None,
) -> Neighbors:
    """Return the nearest rows of the space in the scope.

    ``vector`` is float32 of shape (dimension,). ``level`` decides the key of the rows.
    ``population`` is the approximate number of vectors, used to choose the plan. In a transaction
    of the caller, the search settings last until its end.
    """
    caches = caches or SearchCaches()
    statement = KnnStatement(space, scope, level)
    parameters: dict[str, object] = {
        **scope.condition.parameters,
        "vector": HalfVector(vector),
        "rows": rows,
        "collections": scope.collection_ids,
        "kinds": list(scope.kinds or ()),
    }
    if not statement.is_filtered:
        return Neighbors(await _index_scan(connection, statement, parameters), "index")
    limit = max_exact_rows(population, rows) // (1 if space.level == level else _ROWS_PER_ASSET)
    if not caches.wide_scopes.get(scope.fingerprint):
        exact = await _exact_scan(connection, statement, parameters, limit)
        if exact is not None:
            return Neighbors(exact, "exact")
        caches.wide_scopes.set(scope.fingerprint, True)
    found = await _index_scan(connection, statement, parameters)
    if len(found) >= min(rows, limit):
        return Neighbors(found, "filtered index")
    every = await _exact_scan(connection, statement, parameters, 2**62)
    return Neighbors(every or [], "exhaustive")


async def asset_vectors(
    connection: Connection, space: EmbeddingSpace, asset_ids: Sequence[str]
) -> dict[str, Vectors]:
    """Return the vectors of whole assets by id, float32 of shape (dimension,)."""
    if not asset_ids:
        return {}
    statement = space.compose(_SQL["asset_vectors"])
    cursor = await connection.execute(statement, {"asset_ids": list(asset_ids)}, binary=True)
    return {
        asset_id: np.asarray(vector.to_numpy(), dtype=np.float32)
        for asset_id, vector in await cursor.fetchall()
    }


def unit_vector(vector: Vectors) -> Vectors:
    """Return the vector scaled to length 1; the zero vector stays as it is."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


@dataclass(frozen=True, slots=True)
class KnnStatement:
    """Builds the k-NN statements for a space, a scope and a result level."""

    space: EmbeddingSpace
    scope: SearchScope
    level: ResultLevel

    @property
    def is_filtered(self) -> bool:
        """Return whether the scope excludes any vector of the space."""
        return bool(self.scope.condition or self.scope.kinds or not self._is_exclusive)

    @property
    def _is_exclusive(self) -> bool:
        return self.scope.spaces[self.space.level].exclusive

    def index_scan(self) -> sql.Composed:
        of_passages = self.space.level == "passage"
        by_asset = of_passages and self.level == "asset"
        joins: LiteralString = ""
        if by_asset or self.scope.condition or (of_passages and self.is_filtered):
            joins = "JOIN ({tables} ) ON {id} = e.{link}"
        key: LiteralString = "p.asset_id" if by_asset else "e.{link}"
        return self._compose("knn_index_scan", key, "e.collection_id", joins=joins)

    def exact_scan(self) -> sql.Composed:
        key: LiteralString = "matching.id" if self.level == "passage" else "matching.asset_id"
        return self._compose("knn_exact_scan", key, "{alias}.collection_id")

    def _compose(
        self, block: str, key: LiteralString, collection: LiteralString, joins: LiteralString = ""
    ) -> sql.Composed:
        of_passages = self.space.level == "passage"
        alias: LiteralString = "p" if of_passages else "a"
        names: dict[str, sql.Composable] = {
            "alias": sql.SQL(alias),
            "id": sql.SQL(alias + ".id"),
            "tables": sql.SQL(_SQL["passages" if of_passages else "assets"]),
            "link": sql.Identifier("passage_id" if of_passages else "asset_id"),
        }
        conditions: list[sql.Composable] = []
        if not self._is_exclusive:
            conditions.append(sql.SQL(collection + " = ANY (%(collections)s)").format(**names))
        if self.scope.condition:
            conditions.append(self.scope.condition.sql)
        if of_passages and self.scope.kinds:
            conditions.append(sql.SQL("p.kind = ANY (%(kinds)s)"))
        if of_passages and self.level == "asset":
            conditions.append(sql.SQL("p.asset_id IS NOT NULL"))
        return self.space.compose(
            _SQL[block],
            key=sql.SQL(key).format(**names),
            joins=sql.SQL(joins).format(**names),
            condition=sql.SQL(" AND ").join(conditions or [sql.SQL("true")]),
            **names,
        )


async def _index_scan(
    connection: Connection, statement: KnnStatement, parameters: Mapping[str, object]
) -> list[Neighbor]:
    """Search the index, in one round trip."""
    ef_search = min(int(str(parameters["rows"])), _MAX_EF_SEARCH)
    async with connection.cursor(row_factory=args_row(Neighbor)) as cursor:
        if ef_search <= EF_SEARCH and not statement.is_filtered:
            await cursor.execute(statement.index_scan(), parameters)
        else:
            settings = {
                "ef_search": str(max(ef_search, EF_SEARCH)),
                # Do not read and sort the whole space while it has an index.
                "enable_sort": "off" if statement.is_filtered else "on",
            }
            async with connection.transaction(), connection.pipeline():
                await connection.execute(_SQL["knn_settings"], settings)
                await cursor.execute(statement.index_scan(), parameters)
                # Plan other statements of this transaction as usual.
                await connection.execute("SET LOCAL enable_sort TO DEFAULT")
        rows = await cursor.fetchall()
    return sorted(rows, key=lambda row: row.distance)


async def _exact_scan(
    connection: Connection,
    statement: KnnStatement,
    parameters: Mapping[str, object],
    exact_rows: int,
) -> list[Neighbor] | None:
    """Return the nearest rows, or None if more than ``exact_rows`` rows match."""
    params = {**parameters, "exact_rows": exact_rows}
    rows = await (await connection.execute(statement.exact_scan(), params)).fetchall()
    if rows[0][0] > exact_rows:
        return None
    return [Neighbor(*row) for _, *row in rows if row[0] is not None]


def _relative_confidence(similarities: Sequence[float]) -> Callable[[float], float]:
    """Return a confidence by position between the least and the most similar row.

    A small collection returns all its vectors. With equal confidence, an item that two retrievers
    return would rank above the best item of one.
    """
    lowest, highest = min(similarities, default=0.0), max(similarities, default=0.0)
    scale = _MAX_CONFIDENCE_WITHOUT_NULL_DISTRIBUTION
    if lowest == highest:
        return lambda _: scale
    return lambda similarity: scale * (similarity - lowest) / (highest - lowest)
