"""A detector whose boxes are listed by phrase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from sightline.storage.interfaces import Detection, Pixels
from sightline.storage.types import Box


def _preprocess(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


class ListedDetector:
    """Returns the listed boxes of a phrase on every image, or none. It counts its calls."""

    def __init__(
        self, boxes: Mapping[str, Sequence[tuple[Box, float]]], name: str = "listed"
    ) -> None:
        self._boxes = boxes
        self.name = name
        self.asked: list[str] = []

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        return _preprocess

    async def detect(
        self, images: Sequence[Pixels], phrases: Sequence[str], threshold: float | None = None
    ) -> list[list[Detection]]:
        self.asked += phrases
        found = [
            Detection(phrase, box, score)
            for phrase in phrases
            for box, score in self._boxes.get(phrase, ())
        ]
        ordered = sorted(found, key=lambda each: -each.score)
        return [ordered for _ in images]
