"""Find the pairs of pictures that may be near-duplicates, among many.

A pair is a candidate if the symmetric hashes differ in at most 2 of 16 bits and the perceptual
hashes of some orientation in at most 12 of 63. `picture_pairs` judges candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.storage.picture_hashes import nearby, turn_hashes
from sightline.storage.records.picture_pairs import SIMILAR_BITS
from sightline.storage.retrieval.retrievers.copy_retriever import SYMMETRIC_BITS

MAX_CANDIDATES = 4
"""Candidates of one picture, the nearest of those before it."""
_MAX_COMPARED = 100_000_000
_MAX_OF_BUCKET = 1_000
_CHUNK = 50_000  # pairs: their hashes stay in the cache of the CPU

Hashes = npt.NDArray[np.uint64]
Indexes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CandidatePairs:
    """Pairs of pictures that may be near-duplicates, each as long as the others.

    ``columns`` come before ``rows`` in the given order. Turned to ``orientations``, the perceptual
    hash of the column differs in ``bits`` from that of the row. ``ranks`` counts the candidates of
    a row from 0, the nearest. ``is_complete`` is False if there were too many to compare.
    """

    rows: Indexes
    columns: Indexes
    bits: Indexes
    orientations: Indexes
    ranks: Indexes
    is_complete: bool


def candidate_pairs(perceptual: Hashes, symmetric: npt.NDArray[np.uint16]) -> CandidatePairs:
    """Return the nearest candidates of each picture among those before it.

    Both arrays have shape (n,). Pictures with equal hashes are compared with the first of them, and
    only that one with others, so that many copies cost little.
    """
    order = np.argsort(perceptual, kind="stable")
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = perceptual[order][1:] != perceptual[order][:-1]
    first = np.sort(order[is_first])
    found, is_complete = _near_pairs(perceptual[first], symmetric[first])
    rows, columns, bits, turns = first[found[0]], first[found[1]], found[2], found[3]
    places = np.flatnonzero(~is_first)
    starts = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    equal = [np.stack([order[places], order[starts[places]]])]
    is_third = places - starts[places] > 1
    equal.append(np.stack([order[places[is_third]], order[places[is_third] - 1]]))
    same = np.concatenate(equal, axis=1)
    none = np.zeros(same.shape[1], dtype=np.int64)
    rows, columns = np.append(same[0], rows), np.append(same[1], columns)
    bits, turns = np.append(none, bits), np.append(none, turns)
    chosen = np.lexsort((columns, bits, rows))
    rows = rows[chosen]
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = ranks < MAX_CANDIDATES
    chosen = chosen[kept]
    return CandidatePairs(
        rows[kept], columns[chosen], bits[chosen], turns[chosen], ranks[kept], is_complete
    )


def _near_pairs(perceptual: Hashes, symmetric: npt.NDArray[np.uint16]) -> tuple[Indexes, bool]:
    """Return row, column, bits and orientation of near pairs; and if complete.

    The array has shape (4, pairs). Buckets by symmetric hash are compared with those nearby, the
    nearest first.
    """
    turned = turn_hashes(perceptual)
    order = np.argsort(symmetric, kind="stable")
    keys = symmetric[order]
    found: list[Indexes] = [np.empty((4, 0), dtype=np.int64)]
    compared, is_complete = 0, True
    for mask in [each & 0xFFFF for each in nearby(0, SYMMETRIC_BITS)]:
        if compared > _MAX_COMPARED:
            return np.concatenate(found, axis=1), False
        # Of two buckets, the one without the lowest bit of the mask is compared with the other.
        own = np.flatnonzero(symmetric & np.uint16(mask & -mask) == 0)
        wanted = symmetric[own] ^ np.uint16(mask)
        starts = np.searchsorted(keys, wanted, "left")
        counts = np.searchsorted(keys, wanted, "right") - starts
        own, starts, counts = own[counts > 0], starts[counts > 0], counts[counts > 0]
        is_complete = is_complete and int(counts.max(initial=0)) <= _MAX_OF_BUCKET
        counts = np.minimum(counts, _MAX_OF_BUCKET)
        compared += int(counts.sum())
        ends = np.cumsum(counts)
        begin = 0
        while begin < len(own):
            before = int(ends[begin] - counts[begin])
            end = max(begin + 1, int(np.searchsorted(ends, before + _CHUNK, "right")))
            lengths = counts[begin:end]
            shifts = starts[begin:end] - (ends[begin:end] - lengths - before)
            ones = np.repeat(own[begin:end], lengths)
            others = order[np.arange(len(ones)) + np.repeat(shifts, lengths)]
            if not mask:  # each pair of a bucket once
                is_later = others < ones
                ones, others = ones[is_later], others[is_later]
            rows, columns = np.maximum(ones, others), np.minimum(ones, others)
            found.append(_compare(perceptual, turned, rows, columns))
            begin = end
    return np.concatenate(found, axis=1), is_complete


def _compare(perceptual: Hashes, turned: Hashes, rows: Indexes, columns: Indexes) -> Indexes:
    """Return row, column, bits and orientation of near pairs, shape (4, pairs)."""
    own = perceptual[rows]
    least = np.full(len(rows), 64, dtype=np.uint8)
    for hashes in turned:
        np.minimum(least, np.bitwise_count(hashes[columns] ^ own), out=least)
    near = np.flatnonzero(least <= SIMILAR_BITS)
    best = np.bitwise_count(turned[:, columns[near]] ^ own[near]).argmin(axis=0)
    return np.stack([rows[near], columns[near], least[near].astype(np.int64), best])
