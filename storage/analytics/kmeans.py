"""k-means by cosine (spherical): groups of vectors that point the same way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

_ROUNDS = 30
_TOLERANCE = 1e-4
_BLOCK_ROWS = 16_384


def unit(vectors: NDArray[np.floating]) -> Matrix:
    """Rows of (n, dimension) at length 1; a row of zeros stays one."""
    given = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(given, axis=1, keepdims=True)
    return np.asarray(given / np.where(length > 0, length, 1), dtype=np.float32)


def assign(vectors: Matrix, centres: Matrix) -> tuple[NDArray[np.int64], Matrix]:
    """The nearest centre of each unit vector, and the cosine distance from it: both (n,)."""
    similarity = vectors @ centres.T
    nearest = similarity.argmax(axis=1)
    distance = 1 - similarity[np.arange(len(vectors)), nearest]
    return nearest, np.clip(distance, 0, 2)


def centres(vectors: Matrix, k: int, *, seed: int = 0) -> Matrix:
    """``k`` unit centres, float32 of (k, dimension), for unit vectors of (n, dimension), n >= k.

    The same vectors in the same order give the same centres. Starts as k-means++ does, then goes
    on until the mean distance stops falling. A centre that loses all its vectors moves to the
    vector that is worst served.
    """
    if not 1 <= k <= len(vectors):
        raise ValueError(f"{k} clusters of {len(vectors)} vectors")
    found = _plus_plus(vectors, k, np.random.default_rng(seed))
    before = np.inf
    for _ in range(_ROUNDS):
        sums = np.zeros_like(found)
        counts = np.zeros(k, dtype=np.int64)
        total, worst, worst_served = 0.0, -1.0, 0
        for start in range(0, len(vectors), _BLOCK_ROWS):
            block = vectors[start : start + _BLOCK_ROWS]
            nearest, distance = assign(block, found)
            np.add.at(sums, nearest, block)
            counts += np.bincount(nearest, minlength=k)
            total += float(distance.sum())
            if distance.max() > worst:
                worst, worst_served = float(distance.max()), start + int(distance.argmax())
        if (empty := np.flatnonzero(counts == 0)).size:
            sums[empty[0]] = vectors[worst_served]
        moved = unit(sums)
        # Vectors that cancel out have no direction: their centre stays.
        found = np.where(np.linalg.norm(moved, axis=1, keepdims=True) > 0, moved, found)
        if not empty.size and before - total <= _TOLERANCE * total:
            break
        before = total
    return found


def _plus_plus(vectors: Matrix, k: int, rng: np.random.Generator) -> Matrix:
    """Vectors far from each other: each is chosen by how far it is from those before it."""
    chosen = [int(rng.integers(len(vectors)))]
    distance = np.clip(1 - vectors @ vectors[chosen[0]], 0, 2).astype(np.float64)
    while len(chosen) < k:
        total = distance.sum()
        place = (
            int(rng.choice(len(vectors), p=distance / total))
            if total > 0
            else len(chosen)  # all are the same: any will do
        )
        chosen.append(place)
        np.minimum(distance, np.clip(1 - vectors @ vectors[place], 0, 2), out=distance)
    return vectors[chosen].copy()
