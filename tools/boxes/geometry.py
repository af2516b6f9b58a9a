"""Pure functions on boxes.

Three coordinate frames: *normalized* (0 to 1 of the upright original, the canonical frame),
*pixels* of the upright original, and *sent* (pixels of the resized and padded image that a model
gets).
"""

from __future__ import annotations

from dataclasses import dataclass

from sightline.storage.types import Box

#: (width, height) in pixels.
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the original is in the sent image: ``content``, in pixels."""

    original: Size
    sent: Size
    content: Box

    def to_sent(self, box: Box) -> Box:
        """Convert a normalized box to the sent frame."""
        left, top, right, bottom = self.content
        width, height = right - left, bottom - top
        x0, y0, x1, y1 = box
        return left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height

    def to_original(self, box: Box) -> Box:
        """Convert a box in the sent frame to a normalized box, which may exceed 0..1."""
        left, top, right, bottom = self.content
        width, height = right - left, bottom - top
        x0, y0, x1, y1 = box
        return (x0 - left) / width, (y0 - top) / height, (x1 - left) / width, (y1 - top) / height


def sort_corners(box: Box) -> Box:
    """Return the box with its top left corner first."""
    x0, y0, x1, y1 = box
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def clip(box: Box) -> Box:
    """Clip a normalized box to the image."""
    x0, y0, x1, y1 = (min(max(value, 0.0), 1.0) for value in box)
    return x0, y0, x1, y1


def area(box: Box) -> float:
    """Return the area of a box, 0 if its corners are in the wrong order."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def to_pixels(box: Box, size: Size) -> tuple[int, int, int, int]:
    """Convert a normalized box to whole pixels, at least one wide and high.

    Right and lower edges are exclusive, as in ``Image.crop``.
    """
    width, height = size
    x0, y0, x1, y1 = clip(sort_corners(box))
    left, top = min(round(x0 * width), width - 1), min(round(y0 * height), height - 1)
    return left, top, max(round(x1 * width), left + 1), max(round(y1 * height), top + 1)


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, 0 if both are empty.

    >>> iou((0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 1.0, 1.0))
    0.5
    """
    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = area(a) + area(b) - shared
    return shared / union if union > 0 else 0.0


def centers_overlap(a: Box, b: Box) -> bool:
    """Return whether the center of one box is in the other."""
    return any(
        x0 <= (other[0] + other[2]) / 2 <= x1 and y0 <= (other[1] + other[3]) / 2 <= y1
        for (x0, y0, x1, y1), other in ((a, b), (b, a))
    )
