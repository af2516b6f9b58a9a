"""Candidates for near-duplicates among many pictures."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.storage.picture_hashes import turn_hashes
from sightline.storage.retrieval.ranking import near_duplicates
from sightline.storage.retrieval.ranking.near_duplicates import Hashes, candidate_pairs


def array(*hashes: int) -> Hashes:
    return np.array(hashes, dtype=np.uint64)


def keys(*values: int) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    return np.array(values, dtype=np.uint16)


def test_all_candidates_of_a_large_set_are_found() -> None:
    """As a comparison of each hash with each other in all orientations."""
    rng = np.random.default_rng(3)
    perceptual = rng.integers(0, 2**63, 1_500, dtype=np.int64).astype(np.uint64)
    symmetric = rng.integers(0, 300, 1_500, dtype=np.uint16)
    for place in range(100):
        flips = rng.choice(63, place % 16, replace=False)
        mask = np.uint64(sum(1 << int(each) for each in flips))
        source = 1_000 + place
        perceptual[place] = turn_hashes(perceptual[source : source + 1])[place % 8, 0] ^ mask
        symmetric[place] = symmetric[source] ^ (1 << place % 5) ^ (1 << place % 3)
    bits = np.bitwise_count(turn_hashes(perceptual)[:, None] ^ perceptual[None, :, None]).min(
        axis=0
    )
    is_near = np.bitwise_count(symmetric[:, None] ^ symmetric[None]) <= 2
    expected = {
        (int(row), int(column)): int(bits[row, column])
        for row, column in np.argwhere(is_near & (bits <= 12))
        if column < row
    }
    found = candidate_pairs(perceptual, symmetric)
    pairs = zip(found.rows.tolist(), found.columns.tolist(), strict=True)
    assert dict(zip(pairs, found.bits.tolist(), strict=True)) == expected
    assert len(expected) > 60
    assert found.is_complete


def test_the_orientation_turns_the_column_to_the_row() -> None:
    own = array(0x1234_5678_9ABC_DEF0)
    for orientation in range(8):
        found = candidate_pairs(
            np.append(own, turn_hashes(own)[orientation] ^ np.uint64(1)), keys(5, 5)
        )
        turned = turn_hashes(own)[found.orientations[0], 0]
        assert found.bits.tolist() == [1]
        assert int(turned ^ turn_hashes(own)[orientation, 0] ^ np.uint64(1)).bit_count() == 1


def test_equal_hashes_are_compared_with_the_first_and_the_last() -> None:
    found = candidate_pairs(array(7, 9 << 40, 7, 7, 7), keys(1, 1, 1, 1, 1))
    pairs = set(zip(found.rows.tolist(), found.columns.tolist(), strict=True))
    assert {(2, 0), (3, 0), (3, 2), (4, 0), (4, 3)} <= pairs
    assert candidate_pairs(array(), keys()).rows.tolist() == []


def test_the_number_of_compared_pairs_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = array(*(0b111 << (3 * place) for place in range(20)))
    assert candidate_pairs(hashes, keys(*[1] * 20)).is_complete
    monkeypatch.setattr(near_duplicates, "_MAX_OF_BUCKET", 5)
    assert not candidate_pairs(hashes, keys(*[1] * 20)).is_complete
    monkeypatch.setattr(near_duplicates, "_MAX_OF_BUCKET", 100)
    monkeypatch.setattr(near_duplicates, "_MAX_COMPARED", 5)
    assert not candidate_pairs(hashes, keys(*[1] * 20)).is_complete
