"""Vector math: spherical k-means and projection to two dimensions."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.storage.errors import ConfigurationError

Matrix = NDArray[np.float32]
ProjectionMethod = Literal["umap", "pca"]

_MAX_ITERATIONS = 30
_TOLERANCE = 1e-4
_BLOCK_ROWS = 16_384
_UMAP_NEIGHBORS = 15
_UMAP_SEED = 7


def normalize_rows(vectors: NDArray[np.floating]) -> Matrix:
    """Scale the rows of an (n, dimension) matrix to length 1. Zero rows stay zero."""
    rows = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), dtype=np.float32)


def assign_clusters(vectors: Matrix, centroids: Matrix) -> tuple[NDArray[np.int64], Matrix]:
    """Return nearest centroid and cosine distance of each unit vector, both (n,)."""
    similarity = vectors @ centroids.T
    nearest = similarity.argmax(axis=1)
    distance = 1 - similarity[np.arange(len(vectors)), nearest]
    return nearest, np.clip(distance, 0, 2)


def kmeans(vectors: Matrix, k: int, *, seed: int = 0) -> Matrix:
    """Return unit centroids (k, dimension) of unit vectors (n, dimension).

    Needs 1 <= k <= n. Deterministic for the same vectors in the same order. Initialized by
    k-means++; ends when the mean distance stops falling. An empty cluster moves to the vector
    with the largest distance.
    """
    if not 1 <= k <= len(vectors):
        raise ValueError(f"{k} clusters of {len(vectors)} vectors")
    centroids = _kmeans_plus_plus(vectors, k, np.random.default_rng(seed))
    previous_total = np.inf
    for _ in range(_MAX_ITERATIONS):
        sums = np.zeros_like(centroids)
        counts = np.zeros(k, dtype=np.int64)
        total, max_distance, farthest = 0.0, -1.0, 0
        for start in range(0, len(vectors), _BLOCK_ROWS):
            block = vectors[start : start + _BLOCK_ROWS]
            nearest, distance = assign_clusters(block, centroids)
            np.add.at(sums, nearest, block)
            counts += np.bincount(nearest, minlength=k)
            total += float(distance.sum())
            if distance.max() > max_distance:
                max_distance = float(distance.max())
                farthest = start + int(distance.argmax())
        if (empty := np.flatnonzero(counts == 0)).size:
            sums[empty[0]] = vectors[farthest]
        moved = normalize_rows(sums)
        # If the vectors of a cluster cancel out, keep its centroid.
        centroids = np.where(np.linalg.norm(moved, axis=1, keepdims=True) > 0, moved, centroids)
        if not empty.size and previous_total - total <= _TOLERANCE * total:
            break
        previous_total = total
    return centroids


def _kmeans_plus_plus(vectors: Matrix, k: int, rng: np.random.Generator) -> Matrix:
    """Choose initial centroids with probability proportional to their distance."""
    chosen = [int(rng.integers(len(vectors)))]
    distance = np.clip(1 - vectors @ vectors[chosen[0]], 0, 2).astype(np.float64)
    while len(chosen) < k:
        total = distance.sum()
        # All vectors are equal if the total is 0: then any choice is good.
        index = int(rng.choice(len(vectors), p=distance / total)) if total > 0 else len(chosen)
        chosen.append(index)
        np.minimum(distance, np.clip(1 - vectors @ vectors[index], 0, 2), out=distance)
    return vectors[chosen].copy()


def choose_projection(requested: ProjectionMethod | None, count: int) -> ProjectionMethod:
    """Return the requested method, or the best installed one for ``count`` vectors.

    Raises ConfigurationError if UMAP is requested and not installed.
    """
    installed = find_spec("umap") is not None
    if requested == "umap" and not installed:
        raise ConfigurationError("UMAP is not installed. Run: pip install 'sightline[atlas]'")
    if requested is not None:
        return requested
    return "umap" if installed and count > 2 * _UMAP_NEIGHBORS else "pca"


def project(vectors: NDArray[np.floating], method: ProjectionMethod) -> Matrix:
    """Project (n, dimension) vectors by cosine to points (n, 2) in 0..1.

    Both axes have the same scale. Deterministic.
    """
    directions = normalize_rows(vectors)
    points = _umap(directions) if method == "umap" else _pca(directions)
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    return np.asarray((points - (low + high) / 2) / size + 0.5, dtype=np.float32)


def _umap(directions: Matrix) -> Matrix:
    with warnings.catch_warnings():
        # UMAP warns about its own defaults, such as one thread because of the fixed seed.
        warnings.simplefilter("ignore")
        from umap import UMAP

        neighbors = min(_UMAP_NEIGHBORS, len(directions) - 1)
        points = UMAP(
            n_neighbors=neighbors, min_dist=0.1, metric="cosine", random_state=_UMAP_SEED, n_jobs=1
        ).fit_transform(directions)
    return np.asarray(points, dtype=np.float32)


def _pca(directions: Matrix) -> Matrix:
    # The covariance matrix is small; the matrix of vectors is not.
    mean = directions.mean(axis=0)
    covariance = directions.T @ directions / max(len(directions), 1) - np.outer(mean, mean)
    _, axes = np.linalg.eigh(covariance.astype(np.float64))
    two = axes[:, ::-1][:, :2]
    # The sign of an axis is arbitrary: make its largest component positive.
    two = two * np.sign(two[np.abs(two).argmax(axis=0), range(two.shape[1])])
    points = np.zeros((len(directions), 2), dtype=np.float32)
    points[:, : two.shape[1]] = (directions - mean) @ two
    return points
