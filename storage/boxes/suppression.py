"""Non-maximum suppression of boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def suppress(boxes: Floats, scores: Floats, max_overlap: float = 0.5) -> list[int]:
    """Return the rows that remain, best first.

    ``boxes`` is (n, 4) with corners, ``scores`` is (n,). A box is dropped if its IoU with a better
    one that remains is more than ``max_overlap``.
    """
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        low = np.maximum(boxes[waiting, :2], boxes[best, :2])
        high = np.minimum(boxes[waiting, 2:], boxes[best, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        union = areas[waiting] + areas[best] - shared
        waiting = waiting[shared <= max_overlap * union]
    return kept
