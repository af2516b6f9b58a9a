"""What similarity means in a space: how alike things are that have nothing to do with each other.

A cosine of 0.25 is a hit for one encoder and noise for another. So each search compares the query
with a random few vectors of the collections as well; how far the best hits stand above those is
the branch's evidence. An encoder that knows nothing of these pictures gives best hits that are
just the tail of the noise, and its branch then counts for little in the fusion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from psycopg import sql

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.filters.search_scope import Scope
from sightline.storage.retrieval.ttl_cache import Kept

_SQL = sql_loader.load("retrieval")
SAMPLE_ROWS = 512
_KEPT_SECONDS = 300.0
_KEPT_WHILE_SMALL_SECONDS = 30.0
_MOST_KEPT = 64  # samples, of a megabyte or two each
_READ_ROWS = 8_192
# In units of what the best of pure noise reaches: evidence begins at the one and is whole at the
# other. Measured with the built-in encoder, the best hit of its own drawings stood at 1.05 (median
# of 720 captions), of photographs that it knows nothing of at 0.68, of random vectors at 0.75. So
# noise has some evidence, as much as half of the words of a query have; what is known of the
# encoder (`trust`) takes it away. Chosen on one drawn album and confirmed on another, see
# docs/retrieval.md.
_NOISE_REACH = 0.5
_CERTAIN_REACH = 1.1
_ENOUGH = 128  # of a sample of blocks, to speak for the collections
_FEW = 24
"""Vectors below which a spread says nothing."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Similarities of a query to random vectors."""

    mean: float
    deviation: float
    reach: float
    """How far above the mean the best of all vectors would be, if all were normal noise."""

    @property
    def threshold(self) -> float:
        """What the best would reach if all were noise."""
        return self.mean + self.reach

    def evidence(self, similarity: float) -> float:
        """0 to 1: how far a similarity stands above what noise reaches."""
        if self.reach <= 0:
            return 1.0
        height = (similarity - self.mean) / self.reach
        return min(max((height - _NOISE_REACH) / (_CERTAIN_REACH - _NOISE_REACH), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Background:
    """A random sample of a space: float32 of shape (n, dimension), unit vectors."""

    sample: Vectors
    population: int

    @property
    def mean(self) -> Vectors:
        """The mean vector, float32 of shape (dimension,)."""
        mean: Vectors = self.sample.mean(axis=0)
        return mean

    def noise(self, query: Vectors) -> Noise | None:
        """How alike ``query`` (unit, shape (dimension,)) is to anything; None for too small."""
        if len(self.sample) < _FEW:
            return None
        similarities = self.sample @ query
        deviation = float(similarities.std(ddof=1))
        reach = deviation * expected_maximum(self.population)
        return Noise(float(similarities.mean()), deviation, reach)


class Backgrounds:
    """Samples by space and collections, taken again every few minutes."""

    def __init__(self, most_kept: int = _MOST_KEPT) -> None:
        self._known = Kept[tuple[int, tuple[int, ...]], Background](most_kept)

    def __len__(self) -> int:
        """How many samples are kept."""
        return len(self._known)

    async def of(self, connection: Connection, space: EmbeddingSpace, scope: Scope) -> Background:
        """The sample of the space within the scope's collections (its filter set aside)."""

        async def learn() -> tuple[Background, float]:
            background = await _sample(connection, space, scope.ids)
            # A sample of few may be one of a collection that is being filled.
            whole = background.population <= _READ_ROWS
            return background, _KEPT_WHILE_SMALL_SECONDS if whole else _KEPT_SECONDS

        return await self._known.get((space.id, tuple(scope.ids)), learn)


def expected_maximum(draws: int) -> float:
    """About the largest of so many draws of a normal distribution, in deviations."""
    return math.sqrt(2 * math.log(max(draws, 2)))


async def _sample(connection: Connection, space: EmbeddingSpace, ids: list[int]) -> Background:
    row = await (
        await connection.execute(_SQL["space_rows"], {"partition": f"sightline.{space.partition}"})
    ).fetchone()
    estimate = int(row[0]) if row is not None and row[0] is not None else -1
    if estimate > _READ_ROWS:
        percent = 100.0 * _READ_ROWS / estimate
        block = sql.SQL(_SQL["sample_vectors"])
        sample, read = await _read(connection, space, ids, block, percent)
        if len(sample) >= _ENOUGH:
            return Background(sample, int(read * 100 / percent))
    sample, read = await _read(connection, space, ids, sql.SQL(_SQL["sample_few_vectors"]), 100.0)
    return Background(sample, read)


async def _read(
    connection: Connection, space: EmbeddingSpace, ids: list[int], block: sql.SQL, percent: float
) -> tuple[Vectors, int]:
    """Vectors of shape (n, dimension), and of how many they were chosen."""
    query = block.format(
        dimension=sql.Literal(space.identity.dimension),
        partition=sql.Identifier(space.partition),
        percent=sql.Literal(percent),
    )
    bounds = {"collections": ids, "rows": SAMPLE_ROWS, "read_rows": _READ_ROWS}
    rows = await (await connection.execute(query, bounds, binary=True)).fetchall()
    stacked = np.array([row[0].to_numpy() for row in rows], dtype=np.float32)
    sample = stacked.reshape(len(rows), space.identity.dimension)
    return sample, int(rows[0][1]) if rows else 0
