"""Rocchio moves the query vector toward and away from examples."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.storage.retrieval.query_planner import rocchio


def rows(*values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32).reshape(len(values), -1)


NONE = np.zeros((0, 2), dtype=np.float32)
EAST = rows((1, 0))[0]


def test_liked_examples_move_the_query_to_their_mean() -> None:
    query = rocchio(None, rows((1, 0), (0, 1)), NONE, None)
    assert query == pytest.approx([0.7071, 0.7071], abs=1e-3)


def test_unlike_examples_move_the_query_away() -> None:
    query = rocchio(EAST, NONE, rows((0, 1)), None)
    assert query is not None
    assert query[1] < 0 < query[0]
    assert np.linalg.norm(query) == pytest.approx(1)


def test_what_all_images_share_is_not_pushed_away() -> None:
    mean = rows((0.9, 0.1))[0]
    query = rocchio(EAST, NONE, rows((0.9, 0.4)), mean)
    assert query is not None
    assert query[0] > 0.9


def test_without_an_image_or_liked_examples_there_is_no_query() -> None:
    assert rocchio(None, NONE, rows((1, 0)), None) is None
