"""The rule for near-duplicates, and groups of them.

Two images are near-duplicates if their perceptual hashes differ in at most 4 bits, or in at most 12
bits with a cosine of at least 0.97 (a crop or another exposure). A group has a leader, the first
image in the given order. First, the images with nearly the same hash follow their leader; then
leaders with similar vectors are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.storage.interfaces import Vectors
from sightline.storage.retrieval.retrievers.similarity_calibration import NEAR_IDENTICAL

SAME_BITS = 4
SIMILAR_BITS = 12
MAX_PAIRS = 300_000
_MAX_PAIRS_OF_ONE = 200
_TILE_ROWS, _TILE_COLUMNS = 32, 4_096  # 1 MiB of differences, which stay in the CPU's cache

Hashes = npt.NDArray[np.uint64]
Indexes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HashGroups:
    """Images by the similarity of their hashes.

    ``leaders`` has for each image the index of its leader within 4 bits, or its own index. ``rows``
    and ``columns`` are pairs of leaders that differ in 5 to 12 bits, ordered, rows[i] < columns[i].
    ``is_complete`` is False if there were too many pairs to keep.
    """

    leaders: Indexes
    rows: Indexes
    columns: Indexes
    is_complete: bool


def group_near_duplicates(hashes: Sequence[int | None], vectors: Vectors) -> list[int]:
    """Return for each image the index of its leader, or its own index.

    ``hashes`` are 64-bit perceptual hashes; ``vectors`` are unit vectors, float32 of shape
    (n, dimension).
    """
    known = [index for index, value in enumerate(hashes) if value is not None]
    groups = group_by_hash(hash_array([value for value in hashes if value is not None]))
    shown = vectors[known]
    cosines = np.einsum("ij,ij->i", shown[groups.rows], shown[groups.columns])
    leaders = list(range(len(hashes)))
    for index, leader in zip(known, merge_similar(groups, cosines), strict=True):
        leaders[index] = known[leader]
    return leaders


def hash_array(hashes: Sequence[int]) -> Hashes:
    """Return signed or unsigned 64-bit hashes as uint64, shape (n,)."""
    return np.array([value & 0xFFFF_FFFF_FFFF_FFFF for value in hashes], dtype=np.uint64)


def group_by_hash(hashes: Hashes) -> HashGroups:
    """Compare all hashes, of shape (n,), without those that already follow a leader.

    Takes some seconds for 100,000 hashes. No index is exact for 12 of 64 bits and faster.
    """
    leaders = np.arange(len(hashes))
    rows: list[int] = []
    columns: list[int] = []
    is_complete = True
    start = 0
    while start < len(hashes):
        free = start + np.flatnonzero(leaders[start:] == np.arange(start, len(hashes)))
        block = free[:_TILE_ROWS]
        if not len(block):
            break
        max_bits = SIMILAR_BITS if len(rows) < MAX_PAIRS else SAME_BITS
        is_complete = is_complete and max_bits == SIMILAR_BITS
        near, bits = _compare(hashes, block, free, max_bits)
        for row, others, differing in zip(block.tolist(), near, bits, strict=True):
            if leaders[row] != row:
                continue
            waiting = (others > row) & (leaders[others] == others)
            leaders[others[waiting & (differing <= SAME_BITS)]] = row
            similar = others[waiting & (differing > SAME_BITS)]
            is_complete = is_complete and len(similar) <= _MAX_PAIRS_OF_ONE
            similar = similar[:_MAX_PAIRS_OF_ONE]
            rows += [row] * len(similar)
            columns += similar.tolist()
        start = int(block[-1]) + 1
    # A leader of a pair may have followed another one later.
    pairs = np.array([rows, columns], dtype=np.int64)
    pairs = pairs[:, leaders[pairs[1]] == pairs[1]]
    return HashGroups(leaders, pairs[0], pairs[1], is_complete)


def merge_similar(groups: HashGroups, cosines: npt.NDArray[np.floating]) -> list[int]:
    """Return the leader of each image after merging the pairs with similar vectors.

    ``cosines`` are those of the pairs, shape (pairs,).
    """
    followed: dict[int, int] = {}
    is_similar = cosines >= NEAR_IDENTICAL
    rows, columns = groups.rows[is_similar].tolist(), groups.columns[is_similar].tolist()
    for row, column in zip(rows, columns, strict=True):
        if row not in followed:
            followed.setdefault(column, row)
    return [followed.get(leader, leader) for leader in groups.leaders.tolist()]


def _compare(
    hashes: Hashes, block: Indexes, free: Indexes, max_bits: int
) -> tuple[list[Indexes], list[npt.NDArray[np.uint8]]]:
    """Return for each row of the block the near columns of ``free`` and their bits."""
    own, others = hashes[block][:, None], hashes[free]
    tile = (len(block), min(_TILE_COLUMNS, len(free)))
    differences, counts = np.empty(tile, dtype=np.uint64), np.empty(tile, dtype=np.uint8)
    found_rows: list[Indexes] = []
    found_columns: list[Indexes] = []
    found_bits: list[npt.NDArray[np.uint8]] = []
    for start in range(0, len(free), _TILE_COLUMNS):
        columns = free[start : start + _TILE_COLUMNS]
        difference = differences[:, : len(columns)]
        np.bitwise_xor(own, others[start : start + _TILE_COLUMNS], out=difference)
        bits = np.bitwise_count(difference, out=counts[:, : len(columns)])
        if bits.min() > max_bits:
            continue
        near = bits <= max_bits
        tile_rows, tile_columns = np.nonzero(near)
        found_rows.append(tile_rows)
        found_columns.append(columns[tile_columns])
        found_bits.append(bits[near])
    if not found_rows:
        nothing = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
        return [nothing[0]] * len(block), [nothing[1]] * len(block)
    row_of = np.concatenate(found_rows)
    order = np.argsort(row_of, kind="stable")
    places = np.searchsorted(row_of[order], np.arange(1, len(block)))
    return (
        np.split(np.concatenate(found_columns)[order], places),
        np.split(np.concatenate(found_bits)[order], places),
    )
