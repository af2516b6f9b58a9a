"""The frame in which the built-in LLaVA sees a picture: padded to a square, then reduced.

The picture is centred on a grey square (as LLaVA-1.5 does) and resized to ``EDGE`` pixels, on the
client's side, so that no server's own resizing or cropping can shift a box. Boxes in the model's
text are shares (0 to 1) of that square.
"""

from __future__ import annotations

from typing import Final

from PIL import Image

#: (x0, y0, x1, y1); pixels of the picture or shares of the square, as the function says.
Box = tuple[float, float, float, float]

EDGE: Final = 160
#: The grey that becomes 0 when the processor has taken the mean of 0.5 away.
_GREY: Final = (127, 127, 127)


def as_square(image: Image.Image, edge: int = EDGE) -> Image.Image:
    """``image`` centred on a grey square and resized to ``edge`` by ``edge`` pixels, RGB."""
    image = image.convert("RGB")
    side = max(image.size)
    if image.width != image.height:
        square = Image.new("RGB", (side, side), _GREY)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        image = square
    if side == edge:
        return image
    return image.resize((edge, edge), Image.Resampling.BICUBIC)


def to_square(box: Box, size: tuple[int, int]) -> Box:
    """A box in pixels of a picture of ``size`` (width, height), as shares of its square."""
    side = max(size)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    x0, y0, x1, y1 = box
    return (x0 + left) / side, (y0 + top) / side, (x1 + left) / side, (y1 + top) / side


def from_square(box: Box, size: tuple[int, int]) -> Box:
    """The inverse of ``to_square``, clipped to the picture."""
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
    """Intersection over union of two boxes in one frame; 0 where both are empty."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0
