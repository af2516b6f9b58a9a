"""Decode the needed part of an image at the needed size, and draw boxes on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

from sightline.storage.ingest.decode.render.drawing import draw
from sightline.storage.ingest.decode.render.overlays import BoxOverlay, Style
from sightline.storage.ingest.decode.render.view_geometry import crop_pixels, view_edge
from sightline.storage.ingest.decode.worker.pictures.open_picture import (
    open_image,
    truncated_allowed,
)
from sightline.storage.ingest.decode.worker.pictures.rgb_picture import (
    flatten,
    orientation_of,
    turned,
)
from sightline.storage.types import Box

_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
#: Boxes end this far outside a crop, as a share of its side, where their lines are not seen.
_OUTSIDE = 0.1


def load_view(
    data: bytes,
    max_pixels: int,
    *,
    name: str = "",
    crop: Box | None = None,
    max_edge: int | None = None,
    min_edge: int = 0,
) -> tuple[Image.Image, tuple[int, int]]:
    """Return the part inside ``crop`` and the size of the whole image.

    With ``max_edge`` the longer side of the part is reduced to that, and a JPEG is then decoded at
    a fraction of its size. A part shorter than ``min_edge`` is enlarged, see `view_edge`. ``name``
    is that of the file. Raises MediaError; on broken files decoders raise other errors too.
    """
    image = open_image(data, max_pixels, name)
    orientation = orientation_of(image)
    size = turned(image.size, orientation)
    box = crop or _WHOLE
    left, top, right, bottom = crop_pixels(size, box)
    target = _fit((right - left, bottom - top), max_edge, min_edge)
    # Twice the target is enough for a sharp result.
    scale = min(1.0, 2 * max(target) / max(right - left, bottom - top))
    bound = tuple(math.ceil(side * scale) for side in image.size)
    if scale < 1:
        image.draft("RGB", (bound[0], bound[1]))
    with truncated_allowed():
        upright = flatten(image, orientation, (bound[0], bound[1]))
    if crop is not None:
        upright = upright.crop(crop_pixels(upright.size, box))
    if upright.size != target and (max_edge is not None or min_edge):
        upright = upright.resize(target, Image.Resampling.LANCZOS)
    return upright, size


def draw_in_crop(
    image: Image.Image, crop: Box | None, overlays: Sequence[BoxOverlay], style: Style
) -> Image.Image:
    """Draw boxes of the whole image on its part inside ``crop``."""
    x0, y0, x1, y1 = crop or _WHOLE
    width, height = x1 - x0, y1 - y0
    inside = [
        BoxOverlay(
            (
                max((left - x0) / width, -_OUTSIDE),
                max((top - y0) / height, -_OUTSIDE),
                min((right - x0) / width, 1 + _OUTSIDE),
                min((bottom - y0) / height, 1 + _OUTSIDE),
            ),
            label,
            legend,
        )
        for (left, top, right, bottom), label, legend in overlays
        if left < x1 and right > x0 and top < y1 and bottom > y0
    ]
    return draw(image, inside, style=style)


def _fit(size: tuple[int, int], max_edge: int | None, min_edge: int) -> tuple[int, int]:
    scale = view_edge(max(size), max_edge, min_edge) / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
