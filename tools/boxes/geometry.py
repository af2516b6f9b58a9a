"""Boxes and the frames they live in; pure functions, no pictures.

Three frames: *shares* (0 to 1 of the upright original, the canonical form), *pixels* of the upright
original, and *sent* (pixels of the picture as a model got it, resized and padded).
"""

from __future__ import annotations

from dataclasses import dataclass

#: (x0, y0, x1, y1) from the top left; in shares or pixels, as the function says.
Box = tuple[float, float, float, float]
#: (width, height) in pixels.
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an upright original lies in the picture that was sent.

    ``content`` is its rectangle in pixels of the sent picture; around it may be padding.
    """

    original: Size
    sent: Size
    content: Box

    def to_sent(self, box: Box) -> Box:
        """Shares of the original to pixels of the sent picture."""
        left, top, right, bottom = self.content
        width, height = right - left, bottom - top
        x0, y0, x1, y1 = box
        return left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height

    def to_original(self, box: Box) -> Box:
        """Pixels of the sent picture to shares of the original, which may be below 0 or above 1."""
        left, top, right, bottom = self.content
        width, height = right - left, bottom - top
        x0, y0, x1, y1 = box
        return (x0 - left) / width, (y0 - top) / height, (x1 - left) / width, (y1 - top) / height


def whole(size: Size) -> Placement:
    """The placement of a picture that is sent as it is."""
    return Placement(size, size, (0.0, 0.0, float(size[0]), float(size[1])))


def ordered(box: Box) -> Box:
    """The same corners, the first one top left."""
    x0, y0, x1, y1 = box
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def clipped(box: Box) -> Box:
    """Shares cut to the picture."""
    x0, y0, x1, y1 = (min(max(value, 0.0), 1.0) for value in box)
    return x0, y0, x1, y1


def area(box: Box) -> float:
    """Width times height; 0 for corners in the wrong order."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def in_pixels(box: Box, size: Size) -> tuple[int, int, int, int]:
    """Shares of a picture of ``size`` as whole pixels, at least one wide and high.

    The right and lower edges are exclusive, as in ``Image.crop``.
    """
    width, height = size
    x0, y0, x1, y1 = clipped(ordered(box))
    left, top = min(round(x0 * width), width - 1), min(round(y0 * height), height - 1)
    return left, top, max(round(x1 * width), left + 1), max(round(y1 * height), top + 1)


def in_shares(box: Box, size: Size) -> Box:
    """Pixels of a picture of ``size`` as shares of it."""
    width, height = size
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes of one frame; 0 where both are empty.

    >>> iou((0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 1.0, 1.0))
    0.5
    """
    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = area(a) + area(b) - shared
    return shared / union if union > 0 else 0.0
