"""Perceptual hash: pictures that look alike differ in few bits."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EDGE = 32
_KEPT = 8


def perceptual_hash(image: Image.Image) -> int:
    """The 64 lowest frequencies of the 32 x 32 grey picture against their median.

    A signed 64-bit number, as Postgres keeps it. Resizing and recompression flip few bits;
    count them with ``(a ^ b).bit_count()``.
    """
    grey = image.convert("L").resize((_EDGE, _EDGE), Image.Resampling.BOX)
    cosines = _cosines()
    flat = (cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T).ravel()
    # The first coefficient is the mean brightness; it would move the median and says nothing.
    bits = flat > np.partition(flat[1:], 31)[31]
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


@cache
def _cosines() -> NDArray[np.float64]:
    """The first 8 rows of the 32-point DCT-II, shape (8, 32)."""
    k = np.arange(_KEPT)[:, None]
    n = np.arange(_EDGE)[None, :]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * _EDGE))
