"""Find out whether a picture and a question are like those that a model knows.

The built-in models know synthetic scenes only. Their results on other pictures mean nothing,
however sure they are.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.errors import ModelError
from sightline.storage.interfaces import ImageEncoder, NoveltyMeasure
from sightline.tools.answers.text_matching import normalize

#: A picture is unlike the known ones beyond one of these: the distance of its vector, in the radius
#: of known pictures; the distance of its texture, in standard deviations; the weighted sum of both;
#: and the number of lines of text. 97% of the pictures of the validation split are within all.
_MAX_NOVELTY: Final = 1.3
#: A picture whose vector is inside the radius is known, whatever its texture.
_WELL_KNOWN: Final = 1.0
_MAX_TEXTURE_DISTANCE: Final = 4.2
_MAX_SUM: Final = 1.75
_SUM_WEIGHTS: Final = (1 / 1.25, 1 / 4)
_MAX_LINES: Final = 20
#: The texture is measured on a picture of this size.
_TEXTURE_EDGE_PIXELS: Final = 160
_FLAT_STEP: Final = 3
_SMALL_STEP: Final = 25
_COLOR_STEP: Final = 12
_MIN_COLOR_SHARE: Final = 0.0005
_TEXTURES: Final = "known_textures.json"
#: Names and numbers say nothing about the form of a question.
_NAME: Final = re.compile(r"[A-Z0-9][\w.-]*|[\w.$-]*\d[\w.%-]*", re.ASCII)
_WORD: Final = re.compile(r"[a-z]{2,}|[\u4e00-\u9fff]")
_BUILT_IN: Final = "builtin"

Array = NDArray[np.float64]


def is_built_in(model: str) -> bool:
    """Return whether a model is built in, and knows synthetic scenes only."""
    return model.startswith(_BUILT_IN)


@dataclass(frozen=True, slots=True)
class KnownTextures:
    """The textures of known pictures: ``mean`` (5,) and ``precision`` (5, 5)."""

    mean: Array
    precision: Array

    @classmethod
    def fit(cls, images: Iterable[Image.Image]) -> KnownTextures:
        """Return the distribution of the textures of images."""
        table = np.array([texture_of(each) for each in images])
        ridge = 1e-4 * np.eye(table.shape[1])
        precision = np.asarray(np.linalg.inv(np.cov(table.T) + ridge), dtype=np.float64)
        return cls(table.mean(axis=0), precision)

    @classmethod
    def parse(cls, text: str) -> KnownTextures:
        """Return the distribution of a JSON file."""
        data = json.loads(text)
        return cls(np.array(data["mean"]), np.array(data["precision"]))

    def dump(self) -> str:
        """Return the JSON file."""
        data = {
            "mean": self.mean.round(5).tolist(),
            "precision": self.precision.round(4).tolist(),
        }
        return json.dumps(data, indent=2) + "\n"

    def distance(self, image: Image.Image) -> float:
        """Return the Mahalanobis distance of the texture of an RGB image."""
        offset = texture_of(image) - self.mean
        return float(np.sqrt(offset @ self.precision @ offset))


@cache
def known_textures() -> KnownTextures:
    """Load the textures of the pictures that the built-in models know."""
    path = files("sightline.tools.answers") / "checks" / _TEXTURES
    return KnownTextures.parse(path.read_text(encoding="utf-8"))


def texture_of(image: Image.Image) -> Array:
    """Return what drawn pictures have in common, float (5,).

    The shares of flat and of slightly rough places, the entropy and the number of colors, and the
    share of the most frequent color. Drawings are flat and have few colors, photographs are not.
    """
    small = image.convert("RGB")
    small.thumbnail((_TEXTURE_EDGE_PIXELS, _TEXTURE_EDGE_PIXELS), Image.Resampling.BILINEAR)
    pixels = np.asarray(small, dtype=np.float64)
    across = np.abs(np.diff(pixels, axis=1)).max(axis=2)[:-1]
    down = np.abs(np.diff(pixels, axis=0)).max(axis=2)[:, :-1]
    flat = (across <= _FLAT_STEP) & (down <= _FLAT_STEP)
    rough = [(steps > _FLAT_STEP) & (steps < _SMALL_STEP) for steps in (across, down)]
    cells = (pixels // _COLOR_STEP).astype(int).reshape(-1, 3)
    _, counts = np.unique(cells, axis=0, return_counts=True)
    shares = counts / counts.sum()
    entropy = -(shares * np.log(shares)).sum()
    colors = np.sqrt((shares > _MIN_COLOR_SHARE).sum())
    return np.array([flat.mean(), (rough[0] | rough[1]).mean(), entropy, colors, shares.max()])


async def is_unlike(
    encoder: ImageEncoder | None, image: Image.Image, line_count: int
) -> bool | None:
    """Return whether a picture is unlike those that the built-in models know.

    None if it may be, because no encoder knows its pictures.
    """
    if line_count > _MAX_LINES:
        return True
    novelty = await measure_novelty(encoder, image)
    if novelty is not None and novelty < _WELL_KNOWN:
        return False
    # A smaller picture is no smaller drawing: it has fewer flat places.
    is_measurable = max(image.size) >= _TEXTURE_EDGE_PIXELS
    distance = (
        await asyncio.to_thread(lambda: known_textures().distance(image)) if is_measurable else 0.0
    )
    if distance > _MAX_TEXTURE_DISTANCE:
        return True
    if novelty is None:
        return None
    weighted = novelty * _SUM_WEIGHTS[0] + distance * _SUM_WEIGHTS[1]
    return novelty > _MAX_NOVELTY or weighted > _MAX_SUM


async def measure_novelty(encoder: ImageEncoder | None, image: Image.Image) -> float | None:
    """Return the distance of a picture from known ones, in their radius.

    None without an encoder that knows its pictures.
    """
    if not isinstance(encoder, NoveltyMeasure):
        return None
    try:
        pixels = await asyncio.to_thread(encoder.preprocess, image)
        vectors = await encoder.encode_images([pixels])
    except ModelError:
        return None  # a failed check must not block the answer
    found = encoder.novelty(vectors)
    return None if found is None else float(found[0])


def names_of(phrase: str) -> list[str]:
    """Return the names and numbers in a phrase: "South" of "bar for South"."""
    return _NAME.findall(phrase)


def unknown_words(question: str, known: frozenset[str]) -> list[str]:
    """Return the unknown words of a question, without names and numbers.

    Chinese has no spaces between words: pairs of neighboring characters count as words.
    """
    words = question_words(question)
    return [] if not known else sorted(words - known)


def question_words(question: str) -> set[str]:
    """Return the words of a question without names and numbers."""
    first, space, rest = question.partition(" ")
    # The first word of a sentence is capitalized and no name.
    kept = first.lower() + space + _NAME.sub(" ", rest) if first.isascii() else question
    found = _WORD.findall(normalize(_NAME.sub(" ", kept)))
    pairs = {a + b for a, b in itertools.pairwise(found) if not (a + b).isascii() and len(a) == 1}
    return {each for each in found if each.isascii()} | pairs
