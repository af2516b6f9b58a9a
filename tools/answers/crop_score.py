"""Whether a box shows what its claim says: the crop, by the encoder, against the rest.

A phrase is near to every picture that it is about, so a similarity by itself says little. What
counts is whether the crop is nearer to the phrase than other places of the same size, and than
the whole picture, are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import anyio.to_thread
import numpy as np
from PIL import Image

from sightline.storage.interfaces import ImageEncoder, Pixels
from sightline.tools.boxes.geometry import Box, iou
from sightline.tools.shared import images

#: Context around a thing helps an encoder that was trained on whole pictures.
_MARGIN: Final = 0.1
#: Other places share at most this much of their union with the box.
_ELSEWHERE: Final = 0.2
#: A box over more of the picture than this leaves nothing to compare it with.
_MOST: Final = 0.6
#: Crops with a shorter side, in pixels, show an encoder nothing.
_SHORTEST_PIXELS: Final = 8


@dataclass(frozen=True, slots=True)
class CropSupport:
    """Cosine similarities to the phrase: of the crop, of the whole picture, of other places."""

    crop: float
    whole: float
    others: tuple[float, ...]

    @property
    def rank(self) -> float:
        """0 to 1: the share of the other places, the whole among them, that the crop beats."""
        rivals = (self.whole, *self.others)
        return sum(self.crop > each for each in rivals) / len(rivals)

    @property
    def gain(self) -> float:
        """How much nearer to the phrase the crop is than other places are on average."""
        return self.crop - sum(self.others) / len(self.others)


async def crop_support(
    encoder: ImageEncoder, image: Image.Image, box: Box, phrase: str
) -> CropSupport | None:
    """How far the ``box`` (0 to 1 of the upright ``image``) supports ``phrase``.

    ``None`` where nothing can be compared: no words, a crop too small to see anything in, or one
    that is most of the picture. Raises ModelError where the encoder cannot be used.
    """
    x0, y0, x1, y1 = box
    shortest = min((x1 - x0) * image.width, (y1 - y0) * image.height)
    elsewhere = list(other_places(box))
    if not phrase.strip() or shortest < _SHORTEST_PIXELS or not elsewhere:
        return None
    if (x1 - x0) * (y1 - y0) > _MOST:
        return None

    def prepare() -> list[Pixels]:
        crops = [images.crop(image, widened(place)) for place in (box, *elsewhere)]
        return [encoder.preprocess(each) for each in (image, *crops)]

    pixels = await anyio.to_thread.run_sync(prepare)
    vectors = await encoder.encode_images(pixels)
    (words,) = await encoder.encode_texts([phrase])
    whole, crop, *others = (float(each) for each in np.asarray(vectors @ words))
    return CropSupport(crop, whole, tuple(others))


def other_places(box: Box) -> Iterator[Box]:
    """Boxes of the same size spread over the picture, apart from this one."""
    width, height = box[2] - box[0], box[3] - box[1]
    for y in (0.0, 0.5, 1.0):
        for x in (0.0, 0.5, 1.0):
            left, top = x * (1 - width), y * (1 - height)
            place = (left, top, left + width, top + height)
            if iou(place, box) <= _ELSEWHERE:
                yield place


def widened(box: Box) -> Box:
    """The box with a margin around it, within the picture."""
    x0, y0, x1, y1 = box
    across, down = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
    return max(x0 - across, 0.0), max(y0 - down, 0.0), min(x1 + across, 1.0), min(y1 + down, 1.0)
