"""Measure how much the hits of an encoder mean: null distribution and reliability.

A cosine of 0.25 is a hit for one encoder and noise for another. So each search also compares the
query with a random sample of vectors. The distance of the best hits from that null distribution is
the confidence of the retriever. Captioned images measure the reliability of an encoder: does the
stored vector of a caption rank its own image high? An encoder trained on drawings scores near
chance on photographs, and its text queries then count less.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from psycopg import sql

from sightline.storage.db.queries import Connection, fetch_value, load_sql
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.filters.search_scope import SearchScope
from sightline.storage.retrieval.search_caches import SearchCaches, VectorSample, counting_ttl

_SQL = load_sql("retrieval")
SAMPLE_ROWS = 512
NEAR_IDENTICAL = 0.97
"""Cosine from which two images are near-identical (a crop or another exposure)."""
_TTL_SECONDS = 300.0
_SMALL_SAMPLE_TTL_SECONDS = 30.0  # the collection may still be growing
_MAX_READ_ROWS = 8_192
# In units of the expected maximum of pure noise: confidence is 0 below the first and 1 above the
# second. Measured with the built-in encoder: best hits reach 1.05 on its own drawings (median of
# 720 captions), 0.68 on photographs, 0.75 for random vectors. Chosen on one synthetic album and
# confirmed on another.
_NOISE_REACH = 0.5
_CERTAIN_REACH = 1.1
_SIGNIFICANT_REACH = 0.8
"""Less than 1, because true matches in the sample increase the reach."""
_SIGNIFICANT_REACH_UNMEASURED = 0.9
"""Of 20 texts about things that are on none of 40 receipts, 7 reach 0.8 and 2 reach 0.9."""
_MIN_MARGIN = 0.01  # of equal vectors, rounding decides which is nearer
_MIN_BLOCK_SAMPLE_ROWS = 128
_MIN_SAMPLE_ROWS = 24
"""Below this number of vectors, the spread says nothing."""
_MAX_PAIRS = 256
_MIN_PAIRS = 16
_MAX_COLLECTIONS = 16


@dataclass(frozen=True, slots=True)
class NullDistribution:
    """Similarities of a query to random vectors.

    ``reach`` is the expected distance from the mean to the maximum of all vectors, if all were
    normally distributed noise.
    """

    mean: float
    deviation: float
    reach: float

    def threshold(self, *, is_measured: bool = True) -> float:
        """Return the similarity from which a hit is significant.

        It is higher if the reliability of the encoder for the query was not measured. It is at most
        that of near-identical images: in a small or clustered collection, the expected maximum
        exceeds what a vector can reach.
        """
        share = _SIGNIFICANT_REACH if is_measured else _SIGNIFICANT_REACH_UNMEASURED
        return min(self.mean + max(share * self.reach, _MIN_MARGIN), NEAR_IDENTICAL)

    def confidence(self, similarity: float) -> float:
        """Return 0 to 1: how far the similarity stands out from noise."""
        reach = min(self.reach, NEAR_IDENTICAL - self.mean)
        if reach <= 0:
            return 1.0
        height = (similarity - self.mean) / reach
        return min(max((height - _NOISE_REACH) / (_CERTAIN_REACH - _NOISE_REACH), 0.0), 1.0)


def null_distribution(sample: VectorSample, query: Vectors) -> NullDistribution | None:
    """Return the null distribution of a unit query vector; None for too small samples."""
    if len(sample.vectors) < _MIN_SAMPLE_ROWS:
        return None
    similarities = sample.vectors @ query
    deviation = float(similarities.std(ddof=1))
    reach = deviation * expected_maximum(sample.population)
    return NullDistribution(float(similarities.mean()), deviation, reach)


def expected_maximum(draws: int) -> float:
    """Return the approximate maximum of normal draws, in standard deviations."""
    return math.sqrt(2 * math.log(max(draws, 2)))


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


async def encoder_reliability(
    connection: Connection, scope: SearchScope, caches: SearchCaches
) -> dict[int, float]:
    """Return the reliability 0 (chance) to 1 of the passage encoder, by collection id.

    Skips collections whose images another encoder embedded or that have too few captions. Measures
    at most 16 collections.
    """
    scoped = scope.spaces.get("passage")
    if scoped is None:
        return {}
    reliability: dict[int, float] = {}
    for collection_id in scope.collection_ids[:_MAX_COLLECTIONS]:
        load = partial(_measure, connection, scoped.space, collection_id)
        value = await caches.encoder_reliability.get((scoped.space.id, collection_id), load)
        if value is not None:
            reliability[collection_id] = value
    return reliability


async def _measure(
    connection: Connection, text_space: EmbeddingSpace, collection_id: int
) -> tuple[float | None, float]:
    """Return the reliability (None if unknown) and its TTL in seconds."""
    identity = text_space.identity
    params = {"collections": [collection_id], "rows": _MAX_PAIRS, **asdict(identity)}
    image_space_id = await fetch_value(connection, _SQL["image_space_of_encoder"], params)
    if image_space_id is None:
        return None, _SMALL_SAMPLE_TTL_SECONDS
    statement = EmbeddingSpace(image_space_id, identity, "asset").compose(
        _SQL["caption_image_pairs"], text_partition=sql.Identifier(text_space.partition)
    )
    rows = await (await connection.execute(statement, params, binary=True)).fetchall()
    ttl_seconds = _TTL_SECONDS if len(rows) == _MAX_PAIRS else _SMALL_SAMPLE_TTL_SECONDS
    if len(rows) < _MIN_PAIRS:
        return None, ttl_seconds
    pairs = np.array([[vector.to_numpy() for vector in row] for row in rows], dtype=np.float32)
    return caption_agreement(pairs[:, 0], pairs[:, 1]), ttl_seconds


def caption_agreement(captions: Vectors, images: Vectors) -> float:
    """Return the share of captions that rank their own image near the top.

    0 is chance, 1 is all. Both are float32 of shape (n, dimension); row i of ``captions`` belongs
    to row i of ``images``.
    """
    similarities = captions @ images.T
    own = np.diagonal(similarities)[:, None]
    # Ties count half, so that identical captions do not look correct.
    above = (similarities > own).sum(axis=1) + ((similarities == own).sum(axis=1) - 1) / 2
    percentile = above / max(len(captions) - 1, 1)
    near_top = float((percentile <= 0.1).mean())
    return float(np.clip((near_top - 0.1) / 0.9, 0.0, 1.0))
