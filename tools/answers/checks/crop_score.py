"""Compare a claim's box with the rest of the image by an image-text encoder.

A phrase is similar to every image of its subject, so one similarity says little. The score is
relative: the crop against other boxes of the same size and against the whole image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import anyio.to_thread
import numpy as np
from PIL import Image

from sightline.storage.interfaces import ImageEncoder, Pixels
from sightline.storage.types import Box
from sightline.tools.boxes.geometry import area, iou
from sightline.tools.shared import images

#: Context helps an encoder that was trained on whole images.
_MARGIN: Final = 0.1
#: Maximum IoU of another box with the claim's box.
_MAX_OVERLAP: Final = 0.2
#: A larger box leaves nothing to compare with.
_MAX_AREA: Final = 0.6
_MIN_EDGE_PIXELS: Final = 8


@dataclass(frozen=True, slots=True)
class CropScore:
    """Cosine similarities to the phrase: the crop, the whole image, and other boxes."""

    crop: float
    whole: float
    others: tuple[float, ...]

    @property
    def rank(self) -> float:
        """Return the share of the other boxes and the whole image that the crop beats."""
        rivals = (self.whole, *self.others)
        return sum(self.crop > each for each in rivals) / len(rivals)

    @property
    def gain(self) -> float:
        """Return the similarity of the crop minus the mean of the other boxes."""
        return self.crop - sum(self.others) / len(self.others)


async def score_crop(
    encoder: ImageEncoder, image: Image.Image, box: Box, phrase: str
) -> CropScore | None:
    """Score how well the box (normalized) of the upright image matches the phrase.

    None if there is nothing to compare: no words, a tiny crop, or nearly the whole image. Raises
    ModelError if the encoder is not available.
    """
    x0, y0, x1, y1 = box
    min_edge = min((x1 - x0) * image.width, (y1 - y0) * image.height)
    others = list(other_boxes(box))
    if not phrase.strip() or min_edge < _MIN_EDGE_PIXELS or not others or area(box) > _MAX_AREA:
        return None

    def preprocess() -> list[Pixels]:
        crops = [images.crop(image, add_margin(each)) for each in (box, *others)]
        return [encoder.preprocess(each) for each in (image, *crops)]

    pixels = await anyio.to_thread.run_sync(preprocess)
    vectors = await encoder.encode_images(pixels)
    (text_vector,) = await encoder.encode_texts([phrase])
    whole, crop, *rest = (float(each) for each in np.asarray(vectors @ text_vector))
    return CropScore(crop, whole, tuple(rest))


def other_boxes(box: Box) -> Iterator[Box]:
    """Yield boxes of the same size across the image that hardly overlap the box."""
    width, height = box[2] - box[0], box[3] - box[1]
    for y, x in product((0.0, 0.5, 1.0), repeat=2):
        left, top = x * (1 - width), y * (1 - height)
        other = (left, top, left + width, top + height)
        if iou(other, box) <= _MAX_OVERLAP:
            yield other


def add_margin(box: Box) -> Box:
    """Return the box with a margin, clipped to the image."""
    x0, y0, x1, y1 = box
    dx, dy = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
    return max(x0 - dx, 0.0), max(y0 - dy, 0.0), min(x1 + dx, 1.0), min(y1 + dy, 1.0)
