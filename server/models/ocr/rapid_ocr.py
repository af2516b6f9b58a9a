"""OCR with RapidOCR: the engine, which is cheap to import and to send to workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from PIL import Image

from sightline.server.models.ocr.ocr_models import OcrModels, find_models
from sightline.storage.interfaces import OcrReading

#: Changes with every change of the code of this package that changes results.
_VERSION = 2
_MIN_EDGE = 16
_MAX_SECONDS = 40.0


def load_ocr_engine(folder: Path | None = None) -> RapidOcrEngine:
    """Return the OCR engine. It loads its models on first use, in the worker process.

    ``folder`` has recognizers of more languages. Raises ConfigurationError if RapidOCR or one of
    its models is not installed.
    """
    return RapidOcrEngine(find_models(), folder)


@dataclass(frozen=True, slots=True)
class RapidOcrEngine:
    """An `OcrEngine`. Each process loads the models on first use, and uses one thread."""

    models: OcrModels
    folder: Path | None = None

    @property
    def name(self) -> str:
        """Return a name of all that changes results: a new name repeats the OCR."""
        version = f"rapidocr {metadata.version('rapidocr')} reading {_VERSION}"
        names = " ".join(path.stem for path in (self.models.detector, *self.models.recognizers))
        return f"{version} {names} {self.models.fingerprint}"

    def for_languages(self, languages: Sequence[str]) -> RapidOcrEngine:
        """Return the engine that also reads these languages. Raises ConfigurationError."""
        return RapidOcrEngine(find_models(languages, self.folder), self.folder)

    def has_text(self, image: Image.Image) -> bool:
        """Detect lines on small copies, at a tenth of the cost of `read`."""
        if min(image.size) < _MIN_EDGE:
            return False
        from sightline.server.models.ocr.picture_reader import has_text

        return has_text(self.models, image)

    def read(self, image: Image.Image, max_seconds: float = _MAX_SECONDS) -> OcrReading:
        """Return the lines of an RGB image, whatever its direction and size."""
        if min(image.size) < _MIN_EDGE:
            return OcrReading([])
        from sightline.server.models.ocr.picture_reader import read_picture

        return read_picture(self.models, image, max_seconds)
