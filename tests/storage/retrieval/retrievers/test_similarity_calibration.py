"""Confidence and significance by the null distribution."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.storage.interfaces import Vectors
from sightline.storage.retrieval.retrievers.similarity_calibration import (
    NEAR_IDENTICAL,
    noise_limit,
    null_distribution,
)
from sightline.storage.retrieval.search_caches import VectorSample


def test_noise_has_little_confidence_and_a_true_hit_full_confidence() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(512, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = vectors[0]
    null = null_distribution(VectorSample(vectors[1:], 511), query)
    assert null is not None
    assert null.confidence(float((vectors[1:] @ query).max())) < 0.9
    assert null.confidence(null.mean) == 0
    assert null.confidence(1.0) == 1
    assert null.threshold == pytest.approx(null.mean + 0.8 * null.deviation * noise_limit(511))
    assert null.confidence(null.threshold) == pytest.approx(0.5)


def test_no_threshold_exceeds_the_similarity_of_near_identical_images() -> None:
    rng = np.random.default_rng(0)
    centers = np.eye(2, 32, dtype=np.float32)[np.arange(64) % 2]
    vectors = centers + 0.01 * rng.normal(size=(64, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    null = null_distribution(VectorSample(vectors, 64), vectors[0])
    assert null is not None
    assert null.deviation > 0.4
    assert null.threshold == NEAR_IDENTICAL
    # All vectors alike: the mean is above.
    alike = null_distribution(VectorSample(vectors[::2], 32), vectors[0])
    assert alike is not None
    assert alike.mean > alike.threshold == NEAR_IDENTICAL


def test_no_vector_stands_out_if_all_are_equal() -> None:
    vectors = np.tile(np.eye(1, 32, dtype=np.float32), (30, 1))
    query = np.full(32, 32**-0.5, dtype=np.float32)
    null = null_distribution(VectorSample(vectors, 30), query)
    assert null is not None
    assert null.threshold == pytest.approx(null.mean + 0.01)


def test_a_small_sample_has_no_null_distribution() -> None:
    vectors = np.eye(2, dtype=np.float32)
    assert null_distribution(VectorSample(vectors, 2), vectors[0]) is None


def noise(rows: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(rows, 64)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("matches", [0, 2, 10, 20])
def test_many_matches_in_the_sample_do_not_hide_themselves(matches: int) -> None:
    """One in ten images may match: they widen the spread, but are not taken for noise."""
    query = noise(1, seed=1)[0]
    vectors = noise(200)
    vectors[:matches] += query
    null = null_distribution(VectorSample(vectors, 200), query)
    alone = null_distribution(VectorSample(vectors[matches:], 200), query)
    assert null is not None
    assert alone is not None
    assert alone.threshold - 0.02 < null.threshold < alone.threshold + 0.3
    assert (vectors[:matches] @ query >= null.threshold).mean() > 0.9 if matches else True


def test_normal_noise_has_its_mean_and_deviation() -> None:
    null = null_distribution(VectorSample(noise(512), 512), noise(1, seed=1)[0])
    assert null is not None
    assert null.mean == pytest.approx(0, abs=0.02)
    assert null.deviation == pytest.approx(1 / 8, rel=0.1)


def test_the_usual_deviation_of_texts_counts_as_much_as_that_of_the_query() -> None:
    sample, query = VectorSample(noise(100), 100), noise(1, seed=1)[0]
    alone, averaged = (null_distribution(sample, query, each) for each in (None, 0.3))
    assert alone is not None
    assert averaged is not None
    assert averaged.deviation**2 == pytest.approx((alone.deviation**2 + 0.3**2) / 2)
    assert averaged.mean == alone.mean


def test_a_hit_must_stand_out_more_beside_collections_that_the_encoder_does_not_know() -> None:
    sample, query = VectorSample(noise(100), 100), noise(1, seed=1)[0]
    known, mixed = (null_distribution(sample, query, is_mixed=each) for each in (False, True))
    assert known is not None
    assert mixed is not None
    distance = known.threshold - known.mean
    assert mixed.threshold - mixed.mean == pytest.approx(distance * 0.9 / 0.8)
