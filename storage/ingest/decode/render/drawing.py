"""Draw labeled boxes on an image. The time is linear in the number of boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from sightline.storage.ingest.decode.render.labels import label_writer, place_labels
from sightline.storage.ingest.decode.render.overlays import (
    LABEL_CHARS,
    LEGEND_CHARS,
    BoxOverlay,
    Style,
)

#: Distinguishable with every kind of color vision, and dark enough for white text.
PALETTE = ("#C44E00", "#0072B2", "#00785A", "#AA4499", "#882255", "#332288", "#6B6B00")
#: Spreading labels compares many places of each with all others.
_MAX_SPREAD: Final = 50
_SHADE_OPACITY: Final = 0.35
_LEGEND_GAP_PIXELS: Final = 2
_CORNER_PIXELS: Final = 15
#: A line of a corner in thicknesses, if that is longer: visible in a large picture too.
_CORNER_THICKNESSES: Final = 5

_Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom pixel, all inside."""


def draw(
    image: Image.Image, overlays: Sequence[BoxOverlay], *, style: Style = "box"
) -> Image.Image:
    """Return a copy of the RGB image with the boxes, one color per label.

    Line width and font size grow with the image, so they stay readable when it is reduced. Labels
    of up to 50 boxes are moved apart. Legends are written below the image, in the color of their
    label.
    """
    scene = image.convert("RGB")
    if not overlays:
        return scene
    labels = [" ".join(overlay.label.split())[:LABEL_CHARS] for overlay in overlays]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    colors = [PALETTE[numbers[label] % len(PALETTE)] for label in labels]
    edge = max(scene.size)
    thickness = max(2, round(edge / 240))
    scale = np.array([scene.width, scene.height] * 2, dtype=np.float32)
    corners = np.array([overlay.box for overlay in overlays], dtype=np.float32) * scale
    if style != "shade":
        # Draw around the content of the box: a line of text is only a few pixels high.
        corners += np.array([-1, -1, 1, 1], dtype=np.float32) * (thickness + 1)
    rectangles = [_rectangle(each) for each in corners.tolist()]
    if style == "shade":
        scene = _shaded(scene, rectangles, colors)
    else:
        canvas = ImageDraw.Draw(scene)
        for rectangle, color in zip(rectangles, colors, strict=True):
            if style == "box":
                canvas.rectangle(rectangle, outline=color, width=thickness)
            else:
                for line in _corner_lines(rectangle, thickness):
                    canvas.rectangle(line, fill=color)
    # A label hides the image below it, so it is no larger than necessary.
    font_size = max(12, round(edge / 60))
    with label_writer(labels, font_size) as writer:
        lines = [writer.lines(label, scene.width) for label in labels]
        sizes = np.array([writer.size(each) for each in lines], dtype=np.float32)
        spread = len(overlays) <= _MAX_SPREAD
        boxes = place_labels(corners, sizes, scene.size, spread=spread)
        for each, box, color in zip(lines, boxes, colors, strict=True):
            if each:
                writer.draw(scene, each, box, color)
    legends = {
        " ".join(overlay.legend.split())[:LEGEND_CHARS]: color
        for overlay, color in zip(overlays, colors, strict=True)
    }
    legends.pop("", None)
    return _with_legends(scene, legends, font_size) if legends else scene


def _with_legends(image: Image.Image, legends: Mapping[str, str], font_size: int) -> Image.Image:
    """Return the image with a row below it for each text, in its color."""
    with label_writer(list(legends), font_size) as writer:
        rows = [(writer.lines(text, image.width), color) for text, color in legends.items()]
        heights = [writer.size(lines)[1] + _LEGEND_GAP_PIXELS for lines, _ in rows]
        height = image.height + sum(heights)
        extended = Image.new("RGB", (image.width, height), "white")
        extended.paste(image, (0, 0))
        top = image.height + _LEGEND_GAP_PIXELS
        for (lines, color), row_height in zip(rows, heights, strict=True):
            bottom = top + row_height - _LEGEND_GAP_PIXELS - 1
            box = np.array([0, top, image.width - 1, bottom], dtype=np.float32)
            writer.draw(extended, lines, box, color)
            top += row_height
    return extended


def _rectangle(corners: Sequence[float]) -> _Rectangle:
    """Return the pixels between two corners, at least one."""
    x0, y0, x1, y1 = (round(each) for each in corners)
    return x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)


def _shaded(
    image: Image.Image, rectangles: Sequence[_Rectangle], colors: Sequence[str]
) -> Image.Image:
    filled = image.copy()
    canvas = ImageDraw.Draw(filled)
    for rectangle, color in zip(rectangles, colors, strict=True):
        canvas.rectangle(rectangle, fill=color)
    return Image.blend(image, filled, _SHADE_OPACITY)


def _corner_lines(rectangle: _Rectangle, thickness: int) -> list[_Rectangle]:
    """Return two lines at each corner, at most a third of a side long."""
    x0, y0, x1, y1 = rectangle
    length = max(_CORNER_PIXELS, _CORNER_THICKNESSES * thickness)
    across = max(thickness, min(length, (x1 - x0 + 1) // 3)) - 1
    down = max(thickness, min(length, (y1 - y0 + 1) // 3)) - 1
    width = thickness - 1
    lines: list[_Rectangle] = []
    for dx, dy in ((across, width), (width, down)):
        lefts, tops = (x0, x1 - dx), (y0, y1 - dy)
        lines += [(left, top, left + dx, top + dy) for left in lefts for top in tops]
    return lines
