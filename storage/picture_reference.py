"""The pictures that an encoder knows, as statistics of its vectors.

The squared distance of a vector from the nearest class of known pictures, measured in the spread of
the classes, tells known from unknown pictures: Lee et al. 2018, "A Simple Unified Framework for
Detecting Out-of-Distribution Samples" (Mahalanobis distance, one covariance for all classes).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

FILE_NAME = "picture_reference.npz"
"""Name of the file in the folder of an encoder."""
KNOWN_SHARE = 0.75
"""Share of known pictures within ``radius``."""
_RIDGE = 0.01  # of the mean variance, because few pictures leave directions without any


@dataclass(frozen=True, slots=True)
class PictureReference:
    """Classes of known pictures.

    ``means`` is float32 of shape (classes, dimension), ``whitening`` (dimension, dimension): it
    scales differences from a mean to unit variance. ``radius`` is a distance in these units.
    """

    means: Vectors
    whitening: Vectors
    radius: float

    @classmethod
    def of(cls, vectors: Vectors, classes: Sequence[str], held_out: Vectors) -> PictureReference:
        """Return the reference of known pictures, float32 of shape (n, dimension).

        ``held_out`` are other pictures of these classes, which decide the radius.
        """
        names = sorted(set(classes))
        rows = np.array([names.index(each) for each in classes])
        means = np.stack([vectors[rows == row].mean(axis=0) for row in range(len(names))])
        variances, axes = np.linalg.eigh(np.cov((vectors - means[rows]).T))
        variances = np.maximum(variances, 0) + _RIDGE * variances.mean()
        whitening = (axes / np.sqrt(variances)).astype(np.float32)
        unscaled = cls(means.astype(np.float32), whitening, 0.0)
        radius = float(np.quantile(unscaled.distances(held_out), KNOWN_SHARE))
        return cls(unscaled.means, whitening, radius)

    @classmethod
    def from_bytes(cls, data: bytes) -> PictureReference:
        """Read what `to_bytes` returned. NumPy raises several errors for other data."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            means, whitening = (arrays[name].astype(np.float32) for name in ("means", "whitening"))
            return cls(means, whitening, float(arrays["radius"]))

    def to_bytes(self) -> bytes:
        """Return a file in NumPy's npz format, in half precision."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            means=self.means.astype(np.float16),
            whitening=self.whitening.astype(np.float16),
            radius=np.float32(self.radius),
        )
        return buffer.getvalue()

    def distances(self, vectors: Vectors) -> Vectors:
        """Return distances from the nearest class, float32 of shape (n,)."""
        known, asked = self.means @ self.whitening, vectors @ self.whitening
        return np.asarray(np.linalg.norm(asked[:, None] - known, axis=2).min(axis=1), np.float32)

    def familiarity(self, vectors: Vectors) -> float:
        """Return 1 if the pictures are as near as known pictures are, 0 if none is."""
        if not len(vectors):
            return 1.0
        return min(float((self.distances(vectors) <= self.radius).mean()) / KNOWN_SHARE, 1.0)
