"""A detector that finds areas of a plain color: it implements `Detector` without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageColor

from sightline.storage.errors import ModelError
from sightline.storage.interfaces import Detection, Pixels

_EDGE = 64
_TOLERANCE = 60


def small_square(image: Image.Image) -> Pixels:
    """Return uint8 of shape (64, 64, 3)."""
    return np.asarray(image.convert("RGB").resize((_EDGE, _EDGE), Image.Resampling.BOX))


class ColorDetector:
    """Finds the box around all pixels of a color: "the red square" means red.

    The score is the share of the box that has the color. It is its own provider.
    """

    def __init__(self, name: str = "test-colors", broken: str | None = None) -> None:
        self.name = name
        self.broken = broken
        self.searched: list[tuple[int, tuple[str, ...]]] = []
        """The number of pictures, and the phrases, of each call."""

    async def get(self) -> ColorDetector:
        return self

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        return small_square

    async def detect(
        self, images: Sequence[Pixels], phrases: Sequence[str], threshold: float | None = None
    ) -> list[list[Detection]]:
        if self.broken is not None:
            raise ModelError(self.broken)
        self.searched.append((len(images), tuple(phrases)))
        return [[box for each in phrases for box in _find(image, each)] for image in images]


def _find(image: Pixels, phrase: str) -> list[Detection]:
    wanted = next((w for w in phrase.split() if w in ImageColor.colormap), None)
    if wanted is None:
        return []
    difference = image.astype(int) - np.array(ImageColor.getrgb(wanted)[:3])
    is_near = np.abs(difference).max(axis=-1) < _TOLERANCE
    if not is_near.any():
        return []
    down, across = (np.flatnonzero(is_near.any(axis=axis)) for axis in (1, 0))
    box = (
        across[0] / _EDGE,
        down[0] / _EDGE,
        (across[-1] + 1) / _EDGE,
        (down[-1] + 1) / _EDGE,
    )
    score = is_near.sum() / ((across[-1] + 1 - across[0]) * (down[-1] + 1 - down[0]))
    return [Detection(phrase, tuple(map(float, box)), float(score))]  # type: ignore[arg-type]
