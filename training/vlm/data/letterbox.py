"""Letterboxing: pad an image to a square, then resize it.

The image is centered on a gray square (as in LLaVA-1.5) and resized to ``EDGE`` pixels by the
client, so that resizing or cropping in a server cannot shift a box. Boxes in the text of the model
are relative (0 to 1) to that square.
"""

from __future__ import annotations

from typing import Final

from PIL import Image

#: (x0, y0, x1, y1); image pixels or relative to the square, depending on the function.
Box = tuple[float, float, float, float]

EDGE: Final = 160
#: Gray value that the processor normalizes to 0.
_GRAY: Final = (127, 127, 127)


def letterbox(image: Image.Image, edge: int = EDGE) -> Image.Image:
    """Center the image on a gray square and resize it to ``edge`` pixels."""
    image = image.convert("RGB")
    side = max(image.size)
    if image.width != image.height:
        square = Image.new("RGB", (side, side), _GRAY)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        image = square
    if side == edge:
        return image
    return image.resize((edge, edge), Image.Resampling.BICUBIC)


def to_square(box: Box, size: tuple[int, int]) -> Box:
    """Convert a box from image pixels to square coordinates (0 to 1)."""
    side = max(size)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    x0, y0, x1, y1 = box
    return (x0 + left) / side, (y0 + top) / side, (x1 + left) / side, (y1 + top) / side


def from_square(box: Box, size: tuple[int, int]) -> Box:
    """Convert a box from square coordinates to image pixels, clipped."""
    side = max(size)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    x0, y0, x1, y1 = box
    return (
        min(max(x0 * side - left, 0.0), size[0]),
        min(max(y0 * side - top, 0.0), size[1]),
        min(max(x1 * side - left, 0.0), size[0]),
        min(max(y1 * side - top, 0.0), size[1]),
    )


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes; 0 if both are empty."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0
