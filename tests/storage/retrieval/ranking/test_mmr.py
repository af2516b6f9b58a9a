"""Maximal marginal relevance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.storage.retrieval.ranking.mmr import mmr


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
