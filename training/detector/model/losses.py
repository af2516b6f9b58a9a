"""Losses of the detector, and which patch shows which target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sightline.training.world.core.scene import Box


def assign_patches(boxes: Sequence[Box], side: int) -> npt.NDArray[np.int64]:
    """Return (side * side,): the index of the smallest box around a patch's center, or -1.

    A box around no center is that of the patch which contains its own center.
    """
    owners = np.full((side, side), -1)
    centers = (np.arange(side) + 0.5) / side
    for index in np.argsort([-_area(box) for box in boxes], kind="stable"):
        x0, y0, x1, y1 = boxes[index]
        across = np.flatnonzero((centers >= x0) & (centers <= x1))
        down = np.flatnonzero((centers >= y0) & (centers <= y1))
        if not len(across):
            across = np.array([min(side - 1, int((x0 + x1) / 2 * side))])
        if not len(down):
            down = np.array([min(side - 1, int((y0 + y1) / 2 * side))])
        owners[np.ix_(down, across)] = index
    return owners.reshape(-1)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalized IoU of boxes (..., 4), pair by pair."""
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0)
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    shared, hull = inner.prod(-1), outer.clamp(0).prod(-1)
    union = (
        (a[..., 2:] - a[..., :2]).clamp(0).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    )
    iou = shared / union.clamp(min=1e-7)
    return iou, iou - (hull - union) / hull.clamp(min=1e-7)


def phrase_loss(found: Tensor, quality: Tensor, known: Tensor) -> Tensor:
    """Return the quality focal loss of logits (n, patches, phrases) per right pair.

    ``quality`` is the IoU of a patch's box where the phrase names what the patch shows, else 0.
    ``known`` (n, 1, phrases) is 0 where that is not known.
    """
    miss = (found.sigmoid() - quality).abs().square()
    loss = binary_cross_entropy_with_logits(found, quality, reduction="none") * miss * known
    return loss.sum() / (quality > 0).sum().clamp(min=1)
