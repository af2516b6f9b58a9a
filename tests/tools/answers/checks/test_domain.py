"""Questions and pictures that a model does not know are told from those that it knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors
from sightline.tools.answers.checks.domain import (
    KnownTextures,
    is_unlike,
    question_words,
    unknown_words,
)
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import draw

KNOWN = frozenset({"what", "colour", "is", "the", "van", "how", "many", "面包", "包车", "有几"})


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("What colour is the van?", []),
        ("What hue is the lorry?", ["hue", "lorry"]),
        # Names and numbers are no words of the question.
        ("What is the TH-8254?", []),
        ("How many is the 12?", []),
        ("有几面包车", ["几面"]),
    ],
)
def test_words_that_the_training_lacked(question: str, unknown: list[str]) -> None:
    assert unknown_words(question, KNOWN) == unknown


def test_without_a_list_of_words_all_are_known() -> None:
    assert unknown_words("What hue is the lorry?", frozenset()) == []


def test_the_first_word_of_a_question_is_no_name() -> None:
    assert question_words("Where is Oslo?") == {"where", "is"}


def drawing() -> Image.Image:
    """Return a picture like those of the built-in models: few colors, some noise."""
    return draw("shapes", seed_of("validation", 5), "validation").image.convert("RGB")


def photo_like() -> Image.Image:
    """Return a picture of many colors without flat places."""
    noise = np.random.default_rng(1).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1.5))


async def test_a_picture_without_flat_places_is_unlike_drawings() -> None:
    assert await is_unlike(None, photo_like(), 0) is True
    # A thumbnail has no texture to compare.
    assert await is_unlike(None, photo_like().resize((96, 64)), 0) is None
    # Without an encoder that knows its pictures, the texture alone does not make it known.
    assert await is_unlike(None, drawing(), 0) is None


async def test_a_picture_full_of_text_is_unlike_drawings() -> None:
    assert await is_unlike(None, drawing(), 40) is True


def test_the_textures_are_read_as_they_were_written() -> None:
    images = [draw("shapes", seed_of("train", n), "train").image for n in range(12)]
    fitted = KnownTextures.fit(images)
    read = KnownTextures.parse(fitted.dump())
    assert read.distance(drawing()) == pytest.approx(fitted.distance(drawing()), rel=0.01)
    assert read.distance(photo_like()) > 3 * read.distance(drawing())


class MeasuringEncoder:
    """An encoder whose pictures all have the same distance from the known ones."""

    def __init__(self, distance: float) -> None:
        self.identity = EncoderIdentity("measuring", "1", "1", 4)
        self._distance = distance

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        return np.asarray

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        return np.ones((len(pixels), 4), np.float32)

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return np.ones((len(texts), 4), np.float32)

    def novelty(self, vectors: Vectors) -> Vectors | None:
        return np.full(len(vectors), self._distance, np.float32)


async def test_the_encoder_and_the_texture_decide_together() -> None:
    # Near the known pictures the texture says nothing.
    assert await is_unlike(MeasuringEncoder(0.8), photo_like(), 0) is False
    assert await is_unlike(MeasuringEncoder(1.1), photo_like(), 0) is True
    assert await is_unlike(MeasuringEncoder(1.1), drawing(), 0) is False
    assert await is_unlike(MeasuringEncoder(1.5), drawing(), 0) is True
