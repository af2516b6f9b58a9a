"""A box supports a claim if it is the best match in the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from sightline.storage.interfaces import Vectors
from sightline.tools.answers.checks.crop_score import other_boxes, score_crop
from tests.support.encoders import ColorHistogramEncoder

COLOURS = {"red": (220, 20, 20), "blue": (20, 40, 200), "white": (245, 245, 245)}


class NamesColours(ColorHistogramEncoder):
    """Encodes the name of a color like an image of it."""

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        sheets = [Image.new("RGB", (8, 8), COLOURS[text]) for text in texts]
        return await self.encode_images([self.preprocess(sheet) for sheet in sheets])


@pytest.fixture
def image() -> Image.Image:
    """A red square on blue."""
    drawn = Image.new("RGB", (200, 200), COLOURS["blue"])
    drawn.paste(COLOURS["red"], (20, 20, 60, 60))
    return drawn


async def test_the_right_box_beats_every_other_place_and_a_wrong_one_does_not(
    image: Image.Image,
) -> None:
    right = await score_crop(NamesColours(), image, (0.1, 0.1, 0.3, 0.3), "red")
    wrong = await score_crop(NamesColours(), image, (0.6, 0.6, 0.8, 0.8), "red")
    assert right is not None
    assert wrong is not None
    assert right.rank == 1
    assert wrong.rank < 0.5
    assert right.gain > 0.5 > wrong.gain


async def test_there_is_nothing_to_compare_with_a_box_of_everything_or_of_nothing(
    image: Image.Image,
) -> None:
    for box in [(0.0, 0.0, 1.0, 0.9), (0.5, 0.5, 0.51, 0.51)]:
        assert await score_crop(NamesColours(), image, box, "red") is None
    assert await score_crop(NamesColours(), image, (0.1, 0.1, 0.3, 0.3), " ") is None


@pytest.mark.parametrize("box", [(0, 0, 0.3, 0.3), (0.4, 0.4, 0.6, 0.6), (0.2, 0, 0.9, 0.2)])
def test_other_boxes_have_the_same_size_and_lie_inside_the_image(
    box: tuple[float, float, float, float],
) -> None:
    places = list(other_boxes(box))
    assert len(places) >= 3
    for place in places:
        assert np.allclose(
            (place[2] - place[0], place[3] - place[1]), (box[2] - box[0], box[3] - box[1])
        )
        assert min(place) >= 0
        assert max(place) <= 1
