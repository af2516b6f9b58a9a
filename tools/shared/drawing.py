"""Boxes with labels drawn on a picture, by `supervision`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from sightline.tools.fonts import label_font

Box = tuple[float, float, float, float]
Style = Literal["box", "corners", "shade"]

#: Told apart by people of every kind of colour vision, and dark enough for white letters.
PALETTE = ("#C44E00", "#0072B2", "#00785A", "#AA4499", "#882255", "#332288", "#6B6B00")

#: Longer labels are cut.
LABEL_CHARS = 60


@dataclass(frozen=True, slots=True)
class Marked:
    """One box to draw: corners 0 to 1 of the picture, and what is written beside it."""

    box: Box
    label: str


def draw(image: Image.Image, marks: Sequence[Marked], *, style: Style = "box") -> Image.Image:
    """A copy of the upright RGB ``image`` with every box, one colour for each label.

    Line width and letters grow with the picture, so that they can be read when it is made small.
    """
    picture = image.convert("RGB")
    if not marks:
        return picture
    # Imported here: supervision brings OpenCV and matplotlib, which nothing else needs.
    import supervision as sv

    labels = [" ".join(mark.label.split())[:LABEL_CHARS] for mark in marks]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    scale = np.array([picture.width, picture.height] * 2, dtype=np.float32)
    edge = max(picture.size)
    palette = sv.ColorPalette.from_hex(list(PALETTE))
    thickness = max(2, round(edge / 300))
    corners = np.array([mark.box for mark in marks], dtype=np.float32) * scale
    if style != "shade":
        # Around what is in the box: a line of text is no higher than a few of these.
        corners += np.array([-1, -1, 1, 1], dtype=np.float32) * (thickness / 2 + 1)
    detections = sv.Detections(
        xyxy=corners, class_id=np.array([numbers[label] for label in labels])
    )
    outline = {
        "box": sv.BoxAnnotator(color=palette, thickness=thickness),
        "corners": sv.BoxCornerAnnotator(color=palette, thickness=thickness),
        "shade": sv.ColorAnnotator(color=palette, opacity=0.35),
    }[style]
    scene = outline.annotate(scene=picture, detections=detections)
    # A label hides what is under it: no larger than can be read at this size.
    letters = max(12, round(edge / 60))
    with label_font() as font:
        writer = sv.RichLabelAnnotator(
            color=palette,
            text_color=sv.Color.WHITE,
            font_path=str(font),
            font_size=letters,
            text_padding=max(2, letters // 5),
            smart_position=True,
        )
        drawn: Image.Image = writer.annotate(scene=scene, detections=detections, labels=labels)
    return drawn
