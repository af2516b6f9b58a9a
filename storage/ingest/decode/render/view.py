"""Decode the needed part of an image at the needed size, and encode it as JPEG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.render.drawing import draw
from sightline.storage.ingest.decode.render.overlays import BoxOverlay, Style
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
#: JPEG qualities, tried in order until the image fits. Then its size is reduced.
_QUALITIES = (88, 80, 70, 60)
_MIN_EDGE_PIXELS = 16
#: More only makes pixels visible.
MAX_ENLARGEMENT = 8
_MARGIN = 0.1
_MIN_MARGIN_PIXELS = 4
#: Of the corners of a crop, so that it is the same in a result, in a URI and in the picture.
_CROP_DECIMALS = 4
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
        )
        for (left, top, right, bottom), label in overlays
        if left < x1 and right > x0 and top < y1 and bottom > y0
    ]
    return draw(image, inside, style=style)


def encode_jpeg(
    image: Image.Image, *, max_edge: int, max_bytes: int
) -> tuple[bytes, tuple[int, int]]:
    """Return a JPEG without metadata within the limits, and its size."""
    image = image if image.mode == "RGB" else image.convert("RGB")
    edge = min(max_edge, max(image.size))
    while True:
        resized = image
        if edge < max(image.size):
            resized = image.copy()
            resized.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            resized.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= max_bytes:
                return buffer.getvalue(), resized.size
        if edge <= _MIN_EDGE_PIXELS:
            raise MediaError(
                "result_too_large", f"The picture does not fit in {max_bytes:,} bytes."
            )
        edge = edge * 3 // 4


def _fit(size: tuple[int, int], max_edge: int | None, min_edge: int) -> tuple[int, int]:
    scale = view_edge(max(size), max_edge, min_edge) / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
