"""Groups of near-duplicates by perceptual hash and vector."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.storage.retrieval.ranking import near_duplicates
from sightline.storage.retrieval.ranking.near_duplicates import (
    group_by_hash,
    group_near_duplicates,
    hash_array,
)


def rows(*values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32).reshape(len(values), -1)


NONE = np.zeros((0, 2), dtype=np.float32)


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


def test_the_first_image_leads_and_its_followers_lead_nobody() -> None:
    hashes = [0, 0b1111, 0b1111_1111, 0b1111_1111_1111]
    alike = rows(*[(1, 0)] * 4)
    # The third is too far from the first by its bits alone; its vector is alike.
    assert group_near_duplicates(hashes, alike) == [0, 0, 0, 0]
    different = rows((1, 0), (1, 0), (0, 1), (0, 1))
    assert group_near_duplicates(hashes, different) == [0, 0, 2, 2]


def test_all_pairs_of_a_large_set_are_found() -> None:
    """As a comparison of each hash with each other."""
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**63, 3_000, dtype=np.int64).astype(np.uint64)
    for target, (source, bits) in enumerate(
        [(2_900, 3), (2_950, 4), (2_990, 5), (20, 12), (30, 13)]
    ):
        flips = rng.choice(64, bits, replace=False)
        hashes[100 + target] = hashes[source] ^ np.uint64(sum(1 << int(each) for each in flips))
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = {(int(i), int(j)) for i, j in np.argwhere(distances <= 12) if i < j}
    groups = group_by_hash(hashes)
    followers = [index for index in range(3_000) if groups.leaders[index] != index]
    found = {(int(groups.leaders[index]), index) for index in followers}
    assert found == {(100, 2_900), (101, 2_950)}
    found |= set(zip(groups.rows.tolist(), groups.columns.tolist(), strict=True))
    assert found == expected == {(100, 2_900), (101, 2_950), (102, 2_990), (20, 103)}
    assert groups.is_complete


def test_the_number_of_compared_pairs_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MAX_PAIRS", 50)
    monkeypatch.setattr(near_duplicates, "_TILE_ROWS", 4)
    hashes = hash_array([0b111 << (3 * place) for place in range(21)])  # all differ in 6 bits
    groups = group_by_hash(hashes)
    assert (len(groups.rows), groups.is_complete) == (20 + 19 + 18 + 17, False)
    monkeypatch.setattr(near_duplicates, "MAX_PAIRS", 1_000)
    groups = group_by_hash(hashes)
    assert (len(groups.rows), groups.is_complete) == (21 * 20 // 2, True)
    monkeypatch.setattr(near_duplicates, "_MAX_PAIRS_OF_ONE", 5)
    assert not group_by_hash(hashes).is_complete
