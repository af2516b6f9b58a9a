"""Measure how much a similarity means: the null distribution of a query.

A cosine of 0.25 is a hit for one encoder and noise for another. So each search also compares the
query with a random sample of vectors. How far a hit is above the noise of that null distribution is
its confidence.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from psycopg import sql

from sightline.storage.db.queries import Connection, fetch_value, load_sql
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.records.picture_pairs import NEAR_IDENTICAL
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.search_caches import SearchCaches, VectorSample, counting_ttl

_SQL = load_sql("retrieval")
SAMPLE_ROWS = 512
MIN_SAMPLE_ROWS = 24
"""Below this number of vectors, the spread says nothing."""
_SIGNIFICANT_SHARE = 0.8
"""Of the limit that the maximum of noise approaches. It is near the expected maximum."""
_SIGNIFICANT_SHARE_IF_MIXED = 0.9
"""In collections in which the encoder is near chance, and others: the query may be about either."""
_KEPT_SHARE = 0.9
"""Part of a sample that estimates noise: the most similar tenth may match the query."""
_TTL_SECONDS = 300.0
_SMALL_SAMPLE_TTL_SECONDS = 30.0  # the collection may still be growing
_MAX_READ_ROWS = 8_192
_MIN_MARGIN = 0.01  # of equal vectors, rounding decides which is nearer
_MIN_BLOCK_SAMPLE_ROWS = 128


@dataclass(frozen=True, slots=True)
class NullDistribution:
    """Similarities of a query to vectors that do not match it, as normal noise.

    ``threshold`` is the similarity from which a hit stands out.
    """

    mean: float
    deviation: float
    threshold: float

    def confidence(self, similarity: float) -> float:
        """Return 0 to 1: how far the similarity stands out from noise.

        It is 0.5 at the threshold, and grows from two to four thirds of the distance to it. That of
        near-identical images is 1.
        """
        distance = self.threshold - self.mean
        if similarity >= NEAR_IDENTICAL or distance <= 0:
            return 1.0
        return min(max(1.5 * (similarity - self.mean) / distance - 1, 0.0), 1.0)


def null_distribution(
    sample: VectorSample,
    query: Vectors,
    usual_deviation: float | None = None,
    *,
    is_mixed: bool = False,
) -> NullDistribution | None:
    """Return the null distribution of a unit vector; None for too small samples.

    ``usual_deviation`` is that of other texts, if it was measured: the mean of both variances is
    more certain than that of one query. A hit is significant near the expected maximum of noise,
    but at most at the similarity of near-identical images: in a small or clustered collection, the
    maximum of noise exceeds what a vector can reach. ``is_mixed`` says that the encoder knows only
    a part of the searched collections; then a hit must stand out more.
    """
    if len(sample.vectors) < MIN_SAMPLE_ROWS:
        return None
    mean, deviation = _noise(sample.vectors @ query)
    if usual_deviation is not None:
        deviation = math.sqrt((deviation**2 + usual_deviation**2) / 2)
    share = _SIGNIFICANT_SHARE_IF_MIXED if is_mixed else _SIGNIFICANT_SHARE
    reach = share * deviation * noise_limit(sample.population)
    threshold = min(mean + max(reach, _MIN_MARGIN), NEAR_IDENTICAL)
    return NullDistribution(mean, deviation, threshold)


def noise_limit(draws: int) -> float:
    """Return the limit of the maximum of normal draws, in standard deviations."""
    return math.sqrt(2 * math.log(max(draws, 2)))


def _noise(similarities: Vectors) -> tuple[float, float]:
    """Return mean and deviation of the normal with the same lower nine tenths."""
    kept = np.sort(similarities)[: round(_KEPT_SHARE * len(similarities))]
    normal = NormalDist()
    cut = normal.inv_cdf(_KEPT_SHARE)
    # Mean and variance of a standard normal distribution below the cut.
    cut_mean = -normal.pdf(cut) / _KEPT_SHARE
    cut_variance = 1 + cut * cut_mean - cut_mean**2
    deviation = float(kept.std(ddof=1)) / math.sqrt(cut_variance)
    return float(kept.mean()) - cut_mean * deviation, deviation


async def vector_sample(
    connection: Connection, space: EmbeddingSpace, scope: SearchScope, caches: SearchCaches
) -> VectorSample:
    """Return a cached random sample of the space in the scope's collections.

    Its size and population depend on the vectors of these collections only. The size of the whole
    space, which others fill too, decides only which of them are drawn.
    """

    async def load() -> tuple[VectorSample, float]:
        started = time.monotonic()
        sample = await _draw_sample(connection, space, scope.collection_ids)
        is_small = sample.population <= _MAX_READ_ROWS
        ttl_seconds = _SMALL_SAMPLE_TTL_SECONDS if is_small else _TTL_SECONDS
        return sample, counting_ttl(started, ttl_seconds)

    return await caches.vector_samples.get((space.id, tuple(scope.collection_ids)), load)


async def _draw_sample(
    connection: Connection, space: EmbeddingSpace, collection_ids: list[int]
) -> VectorSample:
    params = {"collections": collection_ids, "rows": SAMPLE_ROWS, "max_read_rows": _MAX_READ_ROWS}
    population = await fetch_value(connection, space.compose(_SQL["population"]), params) or 0

    async def read(block: str, percent: float = 100.0) -> VectorSample:
        query = space.compose(_SQL[block], percent=sql.Literal(percent))
        rows = await (await connection.execute(query, params, binary=True)).fetchall()
        vectors = np.array([vector.to_numpy() for (vector,) in rows], dtype=np.float32)
        return VectorSample(vectors.reshape(len(rows), space.identity.dimension), population)

    if population > _MAX_READ_ROWS:
        estimate = await fetch_value(connection, space.compose(_SQL["estimated_rows"])) or 0
        percent = 100.0 * _MAX_READ_ROWS / max(estimate, population)
        sample = await read("sample_blocks", percent)
        if len(sample.vectors) >= _MIN_BLOCK_SAMPLE_ROWS:
            return sample
    return await read("sample_rows")
