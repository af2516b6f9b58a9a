"""Confidence by null distribution, and the reliability of an encoder."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.storage.retrieval.retrievers.similarity_calibration import (
    NEAR_IDENTICAL,
    caption_agreement,
    expected_maximum,
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
    assert null.reach == pytest.approx(null.deviation * expected_maximum(511))
    measured, unmeasured = null.threshold(), null.threshold(is_measured=False)
    assert null.mean < measured < unmeasured < null.mean + null.reach


def test_no_threshold_exceeds_the_similarity_of_near_identical_images() -> None:
    rng = np.random.default_rng(0)
    centers = np.eye(2, 32, dtype=np.float32)[np.arange(64) % 2]
    vectors = centers + 0.01 * rng.normal(size=(64, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    null = null_distribution(VectorSample(vectors, 64), vectors[0])
    assert null is not None
    assert null.mean + null.reach > 1.2
    assert null.threshold() == NEAR_IDENTICAL
    # All vectors alike: the mean is above.
    alike = null_distribution(VectorSample(vectors[::2], 32), vectors[0])
    assert alike is not None
    assert alike.mean > alike.threshold() == NEAR_IDENTICAL


def test_no_vector_stands_out_if_all_are_equal() -> None:
    vectors = np.tile(np.eye(1, 32, dtype=np.float32), (30, 1))
    query = np.full(32, 32**-0.5, dtype=np.float32)
    null = null_distribution(VectorSample(vectors, 30), query)
    assert null is not None
    assert null.threshold() == pytest.approx(null.mean + 0.01)


def test_a_small_sample_has_no_null_distribution() -> None:
    vectors = np.eye(2, dtype=np.float32)
    assert null_distribution(VectorSample(vectors, 2), vectors[0]) is None


def test_captions_agree_only_if_they_rank_their_own_images_first() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(100, 32)).astype(np.float32)
    captions = images + 0.1 * rng.normal(size=(100, 32)).astype(np.float32)
    assert caption_agreement(captions, images) == 1
    assert caption_agreement(rng.normal(size=(100, 32)).astype(np.float32), images) < 0.1
    assert caption_agreement(np.ones((100, 32), np.float32), images) < 0.1
    assert caption_agreement(captions, np.ones((100, 32), np.float32)) == 0
