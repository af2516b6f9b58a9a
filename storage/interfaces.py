"""Protocols of the models; ``server.models`` implements them. Imports no numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from PIL import Image

from sightline.storage.types import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "NDArray[np.float32]"
Pixels: TypeAlias = "NDArray[np.uint8]"


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Identity of an encoder. Only vectors with equal identities can be compared.

    ``weights`` and ``preprocessing`` are fingerprints (hexadecimal SHA-256 prefixes).
    """

    name: str
    weights: str
    preprocessing: str
    dimension: int

    def __str__(self) -> str:
        return f"{self.name} (weights {self.weights[:8]}, preprocessing {self.preprocessing[:8]})"


class TextEncoder(Protocol):
    """Encodes text into vectors."""

    @property
    def identity(self) -> EncoderIdentity:
        """Return the identity. Raises ModelUnavailableError while the model is loading."""
        ...

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, float32 of shape (len(texts), dimension).

        A text outside of the encoder's vocabulary has the zero vector: it cannot be compared.
        Raises ModelUnavailableError while loading, ModelOverloadedError if the queue is full.
        """
        ...


class ImageEncoder(TextEncoder, Protocol):
    """Encodes images and text into vectors of one embedding space."""

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        """Return a picklable, torch-free function: image to uint8 (height, width, 3).

        It runs in worker processes. It applies the EXIF rotation, flattens alpha and resizes.
        """
        ...

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return unit vectors, float32 (len(pixels), dimension), of preprocessed images."""
        ...


@runtime_checkable
class FamiliarityMeasure(Protocol):
    """An `ImageEncoder` that can say how familiar pictures are to it."""

    def familiarity(self, vectors: Vectors) -> float | None:
        """Return 0 to 1 for vectors of images, float32 (n, dimension); None if unknown."""
        ...


@runtime_checkable
class NoveltyMeasure(ImageEncoder, Protocol):
    """An `ImageEncoder` that can say how far pictures are from those that it knows."""

    def novelty(self, vectors: Vectors) -> Vectors | None:
        """Return the distance of each vector, float32 (n,); most known ones are below 1.

        None if the encoder does not know its pictures.
        """
        ...


@dataclass(frozen=True, slots=True)
class Detection:
    """A place that a phrase names.

    ``score`` is 0 to 1: the probability that the box is right, if the detector is calibrated.
    """

    phrase: str
    box: Box
    score: float


class Detector(Protocol):
    """Finds the objects that phrases name: an open-vocabulary detector."""

    @property
    def name(self) -> str:
        """Return the name of the model; it is stored with its boxes."""
        ...

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        """Return a picklable, torch-free function: image to uint8 (height, width, 3).

        It runs in worker processes. It applies the EXIF rotation, flattens alpha and resizes.
        """
        ...

    async def detect(
        self, images: Sequence[Pixels], phrases: Sequence[str], threshold: float | None = None
    ) -> list[list[Detection]]:
        """Return the detections of each preprocessed image, best first.

        Each phrase is looked for independently of the others, and may have several boxes or none.
        Detections with a score below ``threshold`` (None: as configured) are left out. Raises
        ModelUnavailableError while loading, ModelOverloadedError if the queue is full.
        """
        ...


@dataclass(frozen=True, slots=True)
class OcrLine:
    """A recognized line of text.

    ``box`` is in the frame of the picture, however it is turned. ``confidence`` is 0 to 1.
    ``starts_row`` is false for a line beside the line before it; None: the boxes say.
    """

    text: str
    box: Box
    confidence: float
    starts_row: bool | None = None


OcrProblem = Literal["small print", "unknown script", "cut short"]
"""Why print was not read: too small, of no known script, or not in time."""


@dataclass(frozen=True, slots=True)
class OcrReading:
    """The lines of a picture in order, and why most of its print is missing."""

    lines: list[OcrLine]
    problem: OcrProblem | None = None


SPEECH_RATE = 16_000
"""Samples per second of sound that a transcriber gets."""
MAX_SPEECH_SECONDS = 30
"""Of sound that a transcriber gets at once: the window of Whisper."""


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """What was said from ``start`` to ``end``, in seconds from the start of the sound."""

    start: float
    end: float
    text: str


class Transcriber(Protocol):
    """Turns speech into text."""

    @property
    def name(self) -> str:
        """Return the name of the model; it is stored with the transcribed sources."""
        ...

    async def transcribe(self, samples: NDArray[np.int16]) -> list[SpeechSegment]:
        """Return what is said in mono sound.

        It has `SPEECH_RATE` samples per second and at most `MAX_SPEECH_SECONDS`. Raises
        ModelUnavailableError if the next sound would fail too, and ModelError.
        """
        ...


class OcrEngine(Protocol):
    """Recognizes text in images (OCR). Runs in worker processes: must be picklable."""

    @property
    def name(self) -> str:
        """Return the name of engine and models; it is stored with the recognized text."""
        ...

    def for_languages(self, languages: Sequence[str]) -> OcrEngine:
        """Return an engine that also reads these languages.

        Raises ConfigurationError, with the known languages, if one has no model.
        """
        ...

    def has_text(self, image: Image.Image) -> bool:
        """Return whether a fast check of an RGB image finds text."""
        ...

    def read(self, image: Image.Image, max_seconds: float) -> OcrReading:
        """Read an RGB image, which may be turned. Stops after ``max_seconds``."""
        ...
