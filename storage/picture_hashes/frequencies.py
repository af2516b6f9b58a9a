"""Compute low frequencies, and what turning a picture does to their signs."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

FREQUENCIES = 8
"""Of rows and of columns."""

Floats = NDArray[np.float32]


@cache
def cosines(size: int, count: int) -> Floats:
    """Return the first rows of the DCT-II of ``size`` points, shape (count, size)."""
    k, n = np.arange(count)[:, None], np.arange(size)[None, :]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * size)).astype(np.float32)


@cache
def turns() -> list[tuple[bool, bool, bool]]:
    """Return of each orientation if it is transposed, and rows, columns mirrored."""
    return [
        (is_turned, rows, columns)
        for is_turned in (False, True)
        for rows in (False, True)
        for columns in (False, True)
    ]


def inverted(rows: bool, columns: bool) -> NDArray[np.uint8]:
    """Return the frequencies of 8 x 8 whose signs mirrored rows or columns invert."""
    odd = np.arange(FREQUENCIES, dtype=np.uint8) % 2
    return (odd[:, None] * rows) ^ (odd[None, :] * columns)
