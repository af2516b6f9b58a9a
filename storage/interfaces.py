"""What storage and tools ask of the models; `sightline.server.models` implements it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Vectors = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """What makes two vectors comparable: same name, weights, preprocessing and dimension.

    ``weights`` and ``preprocessing`` are fingerprints (hexadecimal SHA-256 prefixes).
    """

    name: str
    weights: str
    preprocessing: str
    dimension: int

    def __str__(self) -> str:
        return f"{self.name} (weights {self.weights[:8]}, preprocessing {self.preprocessing[:8]})"


class TextEncoder(Protocol):
    """Turns text into vectors."""

    @property
    def identity(self) -> EncoderIdentity:
        """The space that the vectors live in; raises ModelUnavailableError while loading."""
        ...

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, float32 of shape (len(texts), dimension).

        Raises ModelUnavailableError while loading, ModelOverloadedError when the queue is full.
        """
        ...


class ImageEncoder(TextEncoder, Protocol):
    """Turns pictures and text into vectors of one space."""

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        """A picklable, torch-free function: picture to uint8 of shape (height, width, 3).

        It runs in worker processes. EXIF rotation is applied, alpha flattened, size the model's.
        """
        ...

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Unit vectors, float32 of shape (len(pixels), dimension), of preprocessed pictures."""
        ...


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line of text that was read in a picture.

    ``box`` is (x0, y0, x1, y1), 0 to 1 of the upright picture; ``confidence`` is 0 to 1.
    """

    text: str
    box: tuple[float, float, float, float]
    confidence: float


class TextReader(Protocol):
    """Reads the text in pictures (OCR)."""

    @property
    def name(self) -> str:
        """Engine and models, recorded with what it read."""
        ...

    def has_text(self, image: Image.Image) -> bool:
        """Whether a quick look at an upright RGB picture finds any text worth reading."""
        ...

    def read(self, image: Image.Image) -> list[ReadLine]:
        """Lines in reading order. Runs in worker processes: the reader must be picklable."""
        ...
