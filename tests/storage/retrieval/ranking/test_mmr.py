"""MMR and groups of near-duplicates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.storage.retrieval.ranking.mmr import group_near_duplicates, mmr


def rows(*values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32).reshape(len(values), -1)


NONE = np.zeros((0, 2), dtype=np.float32)


def test_without_diversity_the_order_is_by_score() -> None:
    vectors = rows((1, 0), (1, 0), (0, 1))
    assert mmr([0.9, 0.8, 0.1], vectors, 0.0) == [0, 1, 2]


def test_with_diversity_a_copy_ranks_lower() -> None:
    vectors = rows((1, 0), (1, 0), (0, 1))
    assert mmr([0.9, 0.8, 0.7], vectors, 0.6)[:2] == [0, 2]


def test_mmr_of_no_hits_is_empty() -> None:
    assert mmr([], NONE, 0.5) == []


def test_images_with_nearly_equal_hashes_are_one_group() -> None:
    vectors = rows((1, 0), (0, 1), (1, 0))
    assert group_near_duplicates([0b1111, 0b1110, -1], vectors) == [0, 0, 2]


def test_less_similar_hashes_also_need_similar_vectors() -> None:
    hashes = [0, 0b1111_1111]
    assert group_near_duplicates(hashes, rows((1, 0), (1, 0))) == [0, 0]
    assert group_near_duplicates(hashes, rows((1, 0), (0, 1))) == [0, 1]


def test_images_without_a_hash_are_not_grouped() -> None:
    assert group_near_duplicates([None, None, 5], rows((1, 0), (1, 0), (1, 0))) == [0, 1, 2]
    assert group_near_duplicates([], NONE) == []


def test_the_sign_of_a_hash_counts_as_one_bit() -> None:
    assert group_near_duplicates([-1, 2**63 - 1], rows((1, 0), (0, 1))) == [0, 0]
