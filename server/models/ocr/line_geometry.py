"""Quads of lines in pixels: their sizes, crops, turns and boxes.

A quad is (4, 2), clockwise. Its first corner is where the line starts and its text has its upper
left corner, so the order of the corners is the direction of reading. A turn is a number of quarter
turns counter-clockwise that makes text upright.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.server.models.ocr.text_models import BgrImage, Quads
from sightline.storage.types import Box

#: Margin that the detector adds on each side of a line, as a fraction of the line height.
#: This value gives the best match with annotated receipts and with rendered images.
MARGIN = 0.14
#: A line is long if it is this many times longer than high, and tall if it is longer down.
LONG = 1.5


def sizes(quads: Quads) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return lengths along and across the direction of reading, each of shape (n,)."""
    top, right = quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 1]
    bottom, left = quads[:, 3] - quads[:, 2], quads[:, 0] - quads[:, 3]
    along = np.maximum(np.linalg.norm(top, axis=1), np.linalg.norm(bottom, axis=1))
    across = np.maximum(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1))
    return along, across


def turned_to_read(quads: Quads, turn: int) -> Quads:
    """Return the quads with the corners in the order of a line read after a turn."""
    return np.roll(quads, -turn, axis=-2)


def boxes_of(quads: Quads) -> NDArray[np.float32]:
    """Return (n, 4): left, top, right, bottom."""
    return np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)


def to_reading_frame(quads: Quads, size: tuple[int, int], turn: int) -> Quads:
    """Return the quads in the picture of ``size`` (width, height) turned by ``turn``."""
    x, y = quads[..., 0], quads[..., 1]
    width, height = size
    turned = {
        0: (x, y),
        1: (y, width - x),
        2: (width - x, height - y),
        3: (height - y, x),
    }[turn]
    return np.stack(turned, axis=-1).astype(np.float32)


def cut_line(image: BgrImage, quad: NDArray[np.float32]) -> BgrImage:
    """Return the line upright, as its corners say."""
    along, across = (max(1, int(size[0])) for size in sizes(quad[None]))
    target = np.array([[0, 0], [along, 0], [along, across], [0, across]], np.float32)
    matrix = cv2.getPerspectiveTransform(np.ascontiguousarray(quad, np.float32), target)
    line = cv2.warpPerspective(
        image, matrix, (along, across), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(line, np.uint8)


def normalized_box(quad: NDArray[np.float32], width: int, height: int) -> Box:
    """Return the normalized box of a quad, without the margin of the detector."""
    corners = np.clip(_without_margin(quad.astype(np.float64)) / (width, height), 0.0, 1.0)
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _without_margin(quad: NDArray[np.float64]) -> NDArray[np.float64]:
    along, down = quad[1] - quad[0] + quad[2] - quad[3], quad[3] - quad[0] + quad[2] - quad[1]
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    if min(lengths) == 0:
        return quad
    inset = MARGIN * min(lengths) / 2
    right, below = along / lengths[0] * inset, down / lengths[1] * inset
    inward = np.stack([right + below, below - right, -right - below, right - below])
    return np.asarray(quad + inward)
