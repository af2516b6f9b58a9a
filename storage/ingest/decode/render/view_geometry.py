"""Sizes and corners of views: which part of an image is shown, and how large."""

from __future__ import annotations

import math

from sightline.storage.types import Box

#: More only makes pixels visible.
MAX_ENLARGEMENT = 8
_MARGIN = 0.1
_MIN_MARGIN_PIXELS = 4
#: Of the corners of a crop, so that it is the same in a result, in a URI and in the picture.
_CROP_DECIMALS = 4


def view_edge(edge: int, max_edge: int | None, min_edge: int = 0) -> int:
    """Return the longer side at which a part with the side ``edge`` is shown.

    A part shorter than ``min_edge`` is enlarged to that, at most eight times.
    """
    shown = min(max(edge, min_edge), MAX_ENLARGEMENT * edge)
    return shown if max_edge is None else min(shown, max_edge)


def widen_crop(crop: Box, size: tuple[int, int]) -> Box:
    """Return the box with a margin, inside an image of ``size`` pixels.

    OCR and detectors give tight boxes. A margin is a tenth of the box, and at least four pixels.
    """
    x0, y0, x1, y1 = crop
    across = max(_MARGIN * (x1 - x0), _MIN_MARGIN_PIXELS / size[0])
    down = max(_MARGIN * (y1 - y0), _MIN_MARGIN_PIXELS / size[1])
    wide = (max(0.0, x0 - across), max(0.0, y0 - down), min(1.0, x1 + across), min(1.0, y1 + down))
    unit = 10**_CROP_DECIMALS
    return (
        math.floor(wide[0] * unit) / unit,
        math.floor(wide[1] * unit) / unit,
        math.ceil(wide[2] * unit) / unit,
        math.ceil(wide[3] * unit) / unit,
    )


def crop_pixels(size: tuple[int, int], box: Box) -> tuple[int, int, int, int]:
    """Return the pixels of a normalized box, at least one, inside the image."""
    width, height = size
    x0, y0, x1, y1 = box
    left, top = int(x0 * width), int(y0 * height)
    right, bottom = max(left + 1, round(x1 * width)), max(top + 1, round(y1 * height))
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, min(right, width), min(bottom, height)
