from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.storage.retrieval.ranking.mmr import diversify, duplicates_of, steer
from sightline.storage.retrieval.retrievers.encoder_reliability import agreement
from sightline.storage.retrieval.retrievers.null_distribution import Background, expected_maximum


def rows(*values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32).reshape(len(values), -1)


NONE = np.zeros((0, 2), dtype=np.float32)
EAST, NORTH = rows((1, 0))[0], rows((0, 1))[0]


def test_liked_examples_pull_the_query_to_their_middle() -> None:
    query = steer(None, rows((1, 0), (0, 1)), NONE, None)
    assert query == pytest.approx([0.7071, 0.7071], abs=1e-3)


def test_unlike_examples_push_it_away() -> None:
    query = steer(EAST, NONE, rows((0, 1)), None)
    assert query is not None
    assert query[1] < 0 < query[0]
    assert np.linalg.norm(query) == pytest.approx(1)


def test_what_all_pictures_share_is_not_pushed_away() -> None:
    common = rows((0.9, 0.1))[0]
    query = steer(EAST, NONE, rows((0.9, 0.4)), common)
    assert query is not None
    assert query[0] > 0.9


def test_without_anything_wanted_there_is_no_query() -> None:
    assert steer(None, NONE, rows((1, 0)), None) is None


def test_without_diversity_the_best_come_first() -> None:
    vectors = rows((1, 0), (1, 0), (0, 1))
    assert diversify([0.9, 0.8, 0.1], vectors, 0.0, 3) == [0, 1, 2]


def test_with_diversity_a_copy_gives_way() -> None:
    vectors = rows((1, 0), (1, 0), (0, 1))
    assert diversify([0.9, 0.8, 0.7], vectors, 0.6, 3)[:2] == [0, 2]


def test_diversity_of_nothing_is_nothing() -> None:
    assert diversify([], NONE, 0.5, 5) == []


def test_pictures_with_nearly_the_same_hash_are_one() -> None:
    vectors = rows((1, 0), (0, 1), (1, 0))
    assert duplicates_of([0b1111, 0b1110, -1], vectors) == [0, 0, 2]


def test_a_looser_likeness_of_hashes_needs_vectors_that_agree() -> None:
    hashes = [0, 0b1111_1111]
    assert duplicates_of(hashes, rows((1, 0), (1, 0))) == [0, 0]
    assert duplicates_of(hashes, rows((1, 0), (0, 1))) == [0, 1]


def test_pictures_without_a_hash_stand_alone() -> None:
    assert duplicates_of([None, None, 5], rows((1, 0), (1, 0), (1, 0))) == [0, 1, 2]
    assert duplicates_of([], NONE) == []


def test_the_sign_of_a_hash_is_one_bit() -> None:
    assert duplicates_of([-1, 2**63 - 1], rows((1, 0), (0, 1))) == [0, 0]


def test_noise_gives_little_evidence_and_a_true_hit_much() -> None:
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(512, 64)).astype(np.float32)
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)
    query = sample[0]
    noise = Background(sample[1:], 511).noise(query)
    assert noise is not None
    assert noise.evidence(float((sample[1:] @ query).max())) < 0.9
    assert noise.evidence(noise.mean) == 0
    assert noise.evidence(1.0) == 1
    assert noise.threshold == pytest.approx(noise.mean + noise.deviation * expected_maximum(511))


def test_too_few_vectors_say_nothing_of_noise() -> None:
    assert Background(rows((1, 0), (0, 1)), 2).noise(EAST) is None


def test_captions_that_find_their_pictures_are_trusted_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(100, 32)).astype(np.float32)
    captions = pictures + 0.1 * rng.normal(size=(100, 32)).astype(np.float32)
    assert agreement(captions, pictures) == 1
    assert agreement(rng.normal(size=(100, 32)).astype(np.float32), pictures) < 0.1
    assert agreement(np.ones((100, 32), np.float32), pictures) < 0.1
    assert agreement(captions, np.ones((100, 32), np.float32)) == 0
