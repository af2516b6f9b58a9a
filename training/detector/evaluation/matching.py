"""Compare detections with the ground truth: which are right, and average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sightline.storage.boxes.suppression import suppress
from sightline.training.world.core.scene import Box

RIGHT_OVERLAP: Final = 0.5
"""IoU from which a box is right."""
MIN_LOGIT: Final = -4.0
"""Of the patches that count as detections."""

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The detections of one phrase in one picture: logits, whether right, and boxes to find."""

    logits: Floats
    right: npt.NDArray[np.bool_]
    wanted: int
    overlap: float = 0.0
    """Mean IoU of the right ones."""


@dataclass(slots=True)
class Precision:
    """Collects outcomes of many phrases, and computes average precision over all of them."""

    outcomes: list[Outcome] = field(default_factory=list)

    def average(self) -> float:
        """Return AP at IoU 0.5, interpolated at all recalls, as COCO does; NaN without boxes."""
        wanted = sum(each.wanted for each in self.outcomes)
        if not wanted:
            return float("nan")
        logits = np.concatenate([each.logits for each in self.outcomes])
        right = np.concatenate([each.right for each in self.outcomes])
        right = right[np.argsort(-logits, kind="stable")]
        hits = np.cumsum(right)
        precision = hits / np.arange(1, len(right) + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        return float(best[right].sum() / wanted)


def judge(boxes: Floats, logits: Floats, truth: Sequence[Box]) -> Outcome:
    """Judge one phrase: ``boxes`` (patches, 4) and ``logits`` (patches,) against true boxes."""
    rows = np.flatnonzero(logits >= MIN_LOGIT)
    rows = rows[suppress(boxes[rows], logits[rows])]
    right = np.zeros(len(rows), np.bool_)
    if not truth or not len(rows):
        return Outcome(logits[rows], right, len(truth))
    overlap = _overlaps(boxes[rows], np.asarray(truth))
    free = np.ones(len(truth), np.bool_)
    total = []
    for row in range(len(rows)):
        each = np.where(free, overlap[row], -1.0)
        best = int(each.argmax())
        if each[best] >= RIGHT_OVERLAP:
            right[row], free[best] = True, False
            total.append(float(each[best]))
    return Outcome(logits[rows], right, len(truth), float(np.mean(total)) if total else 0.0)


def _overlaps(a: Floats, b: Floats) -> Floats:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    area_a, area_b = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (a, b))
    result: Floats = shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)
    return result
