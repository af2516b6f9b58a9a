"""Reading the text in pictures with RapidOCR: Chinese and English models that its wheel carries."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import ReadLine

_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
_LEAST_CONFIDENCE = 0.5
_LONGEST_EDGE = 2000
_DETECTION_EDGE = 1536
_GLANCE_EDGE = 640
_LEAST_EDGE = 16
#: What the detector leaves around the letters for reading them, of a line's height on each side.
#: The value fits the quads that people drew on scanned receipts best, and those of drawn pictures.
_MARGIN = 0.14


def load_reader() -> RapidReader:
    """The reader, cheap: its models are loaded by the first picture, in the process that reads.

    Raises ConfigurationError where RapidOCR or one of its models is not installed.
    """
    folder = _model_folder()
    missing = [name for name in _MODELS.values() if not (folder / name).is_file()]
    if missing:
        raise ConfigurationError(
            f"RapidOCR at {folder} lacks {', '.join(missing)}; install rapidocr 3.10, whose wheel "
            "carries them, or set SIGHTLINE_OCR=off"
        )
    sizes = "".join(f"{name}{(folder / name).stat().st_size}" for name in _MODELS.values())
    models = hashlib.sha256(sizes.encode()).hexdigest()[:8]
    version = metadata.version("rapidocr")
    # All that changes what is read is in the name: pictures read under another are read again.
    return RapidReader(f"rapidocr {version} PP-OCRv6-small {models} margin {_MARGIN}")


@dataclass(slots=True)
class RapidReader:
    """A `TextReader`. Pickled without its models; one thread, for workers share the cores."""

    name: str
    _engine: Any = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """The name alone."""
        return {"name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As it was made."""
        self.name = state["name"]
        self._engine = None

    def has_text(self, image: Image.Image) -> bool:
        """Whether a look at a small copy finds a line: a tenth of the cost of reading."""
        small = image.copy()
        small.thumbnail((_GLANCE_EDGE, _GLANCE_EDGE), Image.Resampling.BILINEAR)
        if min(small.size) < _LEAST_EDGE:
            return False
        found = self._models().load_detector(_GLANCE_EDGE)(_bgr(small))
        return found.boxes is not None and len(found.boxes) > 0

    def read(self, image: Image.Image) -> list[ReadLine]:
        """Lines in reading order, those above a confidence of 0.5; ``image`` is upright RGB."""
        if min(image.size) < _LEAST_EDGE:
            return []
        image = image.copy()
        image.thumbnail((_LONGEST_EDGE, _LONGEST_EDGE), Image.Resampling.BICUBIC)
        result = self._models().read(_bgr(image))
        if getattr(result, "txts", None) is None or result.boxes is None:
            return []
        width, height = image.size
        return [
            ReadLine(text.strip(), _box(quad, width, height), min(1.0, float(score)))
            for quad, text, score in zip(result.boxes, result.txts, result.scores, strict=True)
            if text.strip()
        ]

    def _models(self) -> _Models:
        if self._engine is None:
            self._engine = _Models()
        models: _Models = self._engine
        return models


class _Models:
    """RapidOCR with the models of its wheel by their paths, so that none is ever fetched."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        folder = _model_folder()
        threads = "EngineConfig.onnxruntime"
        self.read = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.text_score": _LEAST_CONFIDENCE,
                f"{threads}.intra_op_num_threads": 1,
                f"{threads}.inter_op_num_threads": 1,
                # Pictures come upright, and on real receipts the classifier turned more lines over
                # than it put right: without it an eighth less time and two words in a hundred more.
                "Global.use_cls": False,
                # Lines are found on a copy no longer than this and read from the picture itself;
                # enlarging small ones, as RapidOCR would, found no more on receipts and screens.
                "Det.limit_type": "max",
                "Det.limit_side_len": _DETECTION_EDGE,
                **{f"{part}.model_path": str(folder / name) for part, name in _MODELS.items()},
            }
        )

    def load_detector(self, longest_edge: int) -> _Glance:
        """The detector of lines, told to work on small pictures as they are."""
        return _Glance(self.read._load_det_model(), longest_edge)  # noqa: SLF001 - it has no other


@dataclass(frozen=True, slots=True)
class _Glance:
    detector: Any
    longest_edge: int

    def __call__(self, pixels: np.ndarray) -> Any:
        usual = self.detector.limit_side_len, self.detector.limit_type
        self.detector.limit_side_len, self.detector.limit_type = self.longest_edge, "max"
        try:
            return self.detector(pixels)
        finally:
            self.detector.limit_side_len, self.detector.limit_type = usual


def _bgr(image: Image.Image) -> np.ndarray:
    """uint8 of shape (height, width, 3), blue first, as OpenCV has it."""
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _box(
    quad: Sequence[Sequence[float]], width: int, height: int
) -> tuple[float, float, float, float]:
    """The upright box around what four corners in pixels enclose without its margin, 0 to 1."""
    corners = np.clip(_without_margin(np.asarray(quad, np.float64)) / (width, height), 0.0, 1.0)
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _without_margin(quad: np.ndarray) -> np.ndarray:
    """(4, 2) corners, clockwise from the top left of a line that may lie aslant."""
    along, down = quad[1] - quad[0] + quad[2] - quad[3], quad[3] - quad[0] + quad[2] - quad[1]
    lengths = np.linalg.norm(along), np.linalg.norm(down)
    if min(lengths) == 0:
        return quad
    inset = _MARGIN * min(lengths) / 2
    right, below = along / lengths[0] * inset, down / lengths[1] * inset
    inwards = np.stack([right + below, below - right, -right - below, right - below])
    return np.asarray(quad + inwards)


@cache
def _model_folder() -> Path:
    found = util.find_spec("rapidocr")
    if found is None or found.origin is None:
        raise ConfigurationError(
            "RapidOCR is not installed; install rapidocr, or set SIGHTLINE_OCR=off"
        )
    return Path(found.origin).parent / "models"
