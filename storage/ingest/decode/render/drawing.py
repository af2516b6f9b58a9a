"""Draw labeled boxes on an image. The time is linear in the number of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from PIL import Image

from sightline.storage.ingest.decode.render.labels import label_writer, place_labels
from sightline.storage.types import Box

Style = Literal["box", "corners", "shade"]

#: Distinguishable with every kind of color vision, and dark enough for white text.
PALETTE = ("#C44E00", "#0072B2", "#00785A", "#AA4499", "#882255", "#332288", "#6B6B00")
#: Longer labels are cut.
LABEL_CHARS: Final = 60
#: Spreading labels compares each with all others, a hundred times.
_MAX_SPREAD: Final = 50


class BoxOverlay(NamedTuple):
    """A normalized box to draw, with its label."""

    box: Box
    label: str


def draw(
    image: Image.Image, overlays: Sequence[BoxOverlay], *, style: Style = "box"
) -> Image.Image:
    """Return a copy of the RGB image with the boxes, one color per label.

    Line width and font size grow with the image, so they stay readable when it is reduced. Labels
    of up to 50 boxes are moved apart.
    """
    copy = image.convert("RGB")
    if not overlays:
        return copy
    # Imported here: supervision imports OpenCV and matplotlib.
    import supervision as sv

    labels = [" ".join(overlay.label.split())[:LABEL_CHARS] for overlay in overlays]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    scale = np.array([copy.width, copy.height] * 2, dtype=np.float32)
    edge = max(copy.size)
    palette = sv.ColorPalette.from_hex(list(PALETTE))
    thickness = max(2, round(edge / 300))
    corners = np.array([overlay.box for overlay in overlays], dtype=np.float32) * scale
    if style != "shade":
        # Draw around the content of the box: a line of text is only a few pixels high.
        corners += np.array([-1, -1, 1, 1], dtype=np.float32) * (thickness / 2 + 1)
    classes = np.array([numbers[label] for label in labels])
    annotator = {
        "box": sv.BoxAnnotator(color=palette, thickness=thickness),
        "corners": sv.BoxCornerAnnotator(color=palette, thickness=thickness),
        "shade": sv.ColorAnnotator(color=palette, opacity=0.35),
    }[style]
    detections = sv.Detections(xyxy=corners, class_id=classes)
    scene: Image.Image = annotator.annotate(scene=copy, detections=detections)
    # A label hides the image below it, so it is no larger than necessary.
    font_size = max(12, round(edge / 60))
    with label_writer(labels, font_size) as writer:
        lines = [writer.lines(label, copy.width) for label in labels]
        sizes = np.array([writer.size(each) for each in lines], dtype=np.float32)
        spread = len(overlays) <= _MAX_SPREAD
        boxes = place_labels(corners, sizes, copy.size, spread=spread)
        for each, box, number in zip(lines, boxes, classes, strict=True):
            if each:
                writer.draw(scene, each, box, PALETTE[number % len(PALETTE)])
    return scene
