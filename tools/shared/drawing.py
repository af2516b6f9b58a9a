"""Draw labeled boxes on an image, and encode them in a resource URI."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.types import Box
from sightline.tools.fonts import label_font
from sightline.tools.shared import images

Style = Literal["box", "corners", "shade"]

#: Distinguishable with every kind of color vision, and dark enough for white text.
PALETTE = ("#C44E00", "#0072B2", "#00785A", "#AA4499", "#882255", "#332288", "#6B6B00")
#: Longer labels are cut.
LABEL_CHARS = 60
#: Decimals of a normalized coordinate in a URI: less than one displayed pixel.
_DECIMALS: Final = 4
_MAX_CODE_CHARS: Final = 50_000
_CODE: Final = TypeAdapter(tuple[Style, list[tuple[float, float, float, float, str]]])


@dataclass(frozen=True, slots=True)
class BoxOverlay:
    """A normalized box to draw, with its label."""

    box: Box
    label: str


def draw(
    image: Image.Image, overlays: Sequence[BoxOverlay], *, style: Style = "box"
) -> Image.Image:
    """Return a copy of the RGB image with the boxes, one color per label.

    Line width and font size grow with the image, so they stay readable when it is reduced.
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
    detections = sv.Detections(
        xyxy=corners, class_id=np.array([numbers[label] for label in labels])
    )
    annotator = {
        "box": sv.BoxAnnotator(color=palette, thickness=thickness),
        "corners": sv.BoxCornerAnnotator(color=palette, thickness=thickness),
        "shade": sv.ColorAnnotator(color=palette, opacity=0.35),
    }[style]
    scene = annotator.annotate(scene=copy, detections=detections)
    # A label hides the image below it, so it is no larger than necessary.
    font_size = max(12, round(edge / 60))
    with label_font() as font:
        label_annotator = sv.RichLabelAnnotator(
            color=palette,
            text_color=sv.Color.WHITE,
            font_path=str(font),
            font_size=font_size,
            text_padding=max(2, font_size // 5),
            smart_position=True,
        )
        labeled: Image.Image = label_annotator.annotate(
            scene=scene, detections=detections, labels=labels
        )
    return labeled


def draw_resized(
    image: Image.Image,
    overlays: Sequence[BoxOverlay],
    *,
    style: Style = "box",
    max_edge: int,
    max_bytes: int,
) -> images.EncodedImage:
    """Encode with the boxes drawn at the final size, so that lines stay sharp."""
    resized = image.copy()
    resized.thumbnail((max_edge, max_edge))
    drawn = draw(resized, overlays, style=style)
    return images.encode(drawn, max_edge=max_edge, max_bytes=max_bytes)


def overlay_uri(asset: str, overlays: Sequence[BoxOverlay], style: Style) -> str | None:
    """Return the URI of the asset with these boxes, None if it is too long."""
    boxes = [
        [*(round(value, _DECIMALS) for value in overlay.box), overlay.label[:LABEL_CHARS]]
        for overlay in overlays
    ]
    text = json.dumps([style, boxes], ensure_ascii=False, separators=(",", ":"))
    code = base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")
    return f"sightline://asset/{asset}/drawn/{code}" if len(code) <= _MAX_CODE_CHARS else None


def decode_overlays(code: str) -> tuple[list[BoxOverlay], Style]:
    """Decode the last part of an `overlay_uri`. Raises InvalidArgumentError."""
    try:
        if len(code) > _MAX_CODE_CHARS:
            raise ValueError("too long")
        text = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
        style, boxes = _CODE.validate_json(text)
    except (ValueError, ValidationError) as error:
        raise InvalidArgumentError(
            "The URI contains no valid boxes. Use a `uri` from a result of annotate_image."
        ) from error
    return [BoxOverlay(images.parse_box(box[:4]), box[4]) for box in boxes], style
