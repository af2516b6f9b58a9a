"""Vectors as points of a plane: UMAP where it is installed, else the two main axes."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.storage.analytics.kmeans import Matrix, unit
from sightline.storage.errors import ConfigurationError

Method = Literal["umap", "pca"]

_NEIGHBOURS = 15
_SEED = 7


def choose(asked: Method | None, count: int) -> Method:
    """The method for ``count`` vectors: the one asked for, or the best that there is.

    Raises ConfigurationError where UMAP is asked for and not installed.
    """
    installed = find_spec("umap") is not None
    if asked == "umap" and not installed:
        raise ConfigurationError("UMAP is not installed: pip install 'sightline[atlas]'")
    if asked is not None:
        return asked
    return "umap" if installed and count > 2 * _NEIGHBOURS else "pca"


def project(vectors: NDArray[np.floating], method: Method) -> Matrix:
    """Points, float32 of (n, 2) from 0 to 1, for vectors of (n, dimension) compared by cosine.

    Both axes have one scale. The same vectors give the same points.
    """
    directions = unit(vectors)
    return _fitted(_umap(directions) if method == "umap" else _main_axes(directions))


def _umap(directions: Matrix) -> Matrix:
    with warnings.catch_warnings():
        # Of its own choices, such as one thread for the sake of a fixed seed.
        warnings.simplefilter("ignore")
        from umap import UMAP

        neighbours = min(_NEIGHBOURS, len(directions) - 1)
        found = UMAP(
            n_neighbors=neighbours, min_dist=0.1, metric="cosine", random_state=_SEED, n_jobs=1
        ).fit_transform(directions)
    return np.asarray(found, dtype=np.float32)


def _main_axes(directions: Matrix) -> Matrix:
    """Of the covariance, which is small, rather than of the vectors, which are many."""
    mean = directions.mean(axis=0)
    covariance = directions.T @ directions / max(len(directions), 1) - np.outer(mean, mean)
    _, axes = np.linalg.eigh(covariance.astype(np.float64))
    two = axes[:, ::-1][:, :2]
    # An axis may point either way: its largest number is positive.
    two = two * np.sign(two[np.abs(two).argmax(axis=0), range(two.shape[1])])
    points = np.zeros((len(directions), 2), dtype=np.float32)
    points[:, : two.shape[1]] = (directions - mean) @ two
    return points


def _fitted(points: Matrix) -> Matrix:
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    return np.asarray((points - (low + high) / 2) / size + 0.5, dtype=np.float32)
