"""The models of RapidOCR: a detector of lines and recognizers of their text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.server.models.ocr.ocr_models import OcrModels

#: uint8 of shape (height, width, 3), as OpenCV uses it.
BgrImage = NDArray[np.uint8]
#: float32 of shape (n, 4, 2) in pixels, clockwise from the corner where a line starts.
Quads = NDArray[np.float32]

#: A space is written where its probability is at least this between two characters. The best
#: value alone (0.5) leaves 8% of the spaces of receipts out; this one 2.5%, with one wrong space in
#: 2,600 places.
SPACE_PROBABILITY = 0.1
_SPACE_IN_NUMBER = 0.5
_SURE = 0.9  # confidence with which a line is not read by other recognizers
_BATCH = 6
_HEIGHT, _MIN_WIDTH = 48, 320  # of the recognizers' input
_MAX_ASPECT = 80  # a longer line is squeezed
_MAX_DETECTION_ASPECT = 8
# Scripts written without spaces: Han, kana and their punctuation.
_SPACELESS = ((0x2E80, 0xA4CF), (0xF900, 0xFAFF), (0xFE30, 0xFE4F), (0xFF00, 0xFF9F))
_NO_SPACE_BEFORE = frozenset(",.;!?)]}%'’")


class DetectedLines(NamedTuple):
    """``quads`` of lines, and ``scores`` 0 to 1 of shape (n,)."""

    quads: Quads
    scores: NDArray[np.float32]

    @classmethod
    def none(cls) -> DetectedLines:
        return cls(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))


class RecognizedText(NamedTuple):
    """The text of one line; ``confidence`` is 0 to 1, and 0 without text."""

    text: str
    confidence: float


class TextModels:
    """The detector and the recognizers, one thread each. They load on first use."""

    def __init__(self, models: OcrModels) -> None:
        from rapidocr import RapidOCR

        # With the files of its wheel RapidOCR never downloads any.
        self._rapid = RapidOCR(
            params={
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.limit_type": "max",
                "Det.model_path": str(models.detector),
            }
        )
        self._paths = models.recognizers
        self._recognizers: dict[Path, _Recognizer] = {}

    def detect(self, image: BgrImage, max_edge: int) -> DetectedLines:
        """Detect lines on a copy whose longer side has at most ``max_edge`` pixels."""
        height, width = image.shape[:2]
        # The detector sees no line in a narrow strip, nor at its very edge.
        room = max(height, width) // _MAX_DETECTION_ASPECT
        down, across = max(0, (room - height) // 2), max(0, (room - width) // 2)
        if down or across:
            border = (down, down, across, across)
            image = np.asarray(cv2.copyMakeBorder(image, *border, cv2.BORDER_REPLICATE), np.uint8)
        detector = self._rapid._load_det_model()  # noqa: SLF001 - there is no public method
        detector.limit_side_len = max_edge
        found = detector(image)
        if found.boxes is None or not len(found.boxes):
            return DetectedLines.none()
        quads = np.asarray(found.boxes, np.float32) - np.array([across, down], np.float32)
        np.clip(quads, 0, [width, height], out=quads)
        return DetectedLines(quads, np.asarray(found.scores, np.float32))

    def recognize(self, crops: Sequence[BgrImage]) -> list[RecognizedText]:
        """Return the text of upright lines.

        Lines of which the first recognizer is not sure are read by the others too.
        """
        first, *others = self._paths
        texts = self._recognizer(first).recognize(crops)
        for path in others:
            unsure = [index for index, each in enumerate(texts) if each.confidence < _SURE]
            again = self._recognizer(path).recognize([crops[index] for index in unsure])
            for index, text in zip(unsure, again, strict=True):
                texts[index] = max(texts[index], text, key=lambda each: each.confidence)
        return texts

    def _recognizer(self, path: Path) -> _Recognizer:
        if path not in self._recognizers:
            self._recognizers[path] = _Recognizer(path)
        return self._recognizers[path]


@cache
def text_models(models: OcrModels) -> TextModels:
    """Return the models of this process."""
    return TextModels(models)


class _Recognizer:
    """One recognizer: an image of a line becomes characters (CTC)."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        characters = self._session.get_modelmeta().custom_metadata_map["character"]
        # The first class is none, the last a space.
        self._characters = ["", *characters.splitlines(), " "]
        self._is_reversed = path.name.startswith("arabic")

    def recognize(self, crops: Sequence[BgrImage]) -> list[RecognizedText]:
        texts = [RecognizedText("", 0.0)] * len(crops)
        aspects = np.array([crop.shape[1] / crop.shape[0] for crop in crops])
        order = np.argsort(aspects)  # lines of a batch have the same width
        for start in range(0, len(crops), _BATCH):
            batch = order[start : start + _BATCH]
            aspect = min(_MAX_ASPECT, max(_MIN_WIDTH / _HEIGHT, float(aspects[batch].max())))
            pixels = np.stack([_normalized(crops[index], aspect) for index in batch])
            (classes,) = self._session.run(None, {self._input: pixels})
            for index, each in zip(batch, classes, strict=True):
                texts[index] = self._decode(each)
        return texts

    def _decode(self, classes: NDArray[np.float32]) -> RecognizedText:
        """Return the text of class probabilities of shape (steps, characters)."""
        best = classes.argmax(axis=1)
        is_new = best != 0
        is_new[1:] &= best[1:] != best[:-1]
        steps = np.flatnonzero(is_new)
        if not len(steps):
            return RecognizedText("", 0.0)
        confidence = float(classes[steps, best[steps]].mean())
        spaces = classes[:, len(self._characters) - 1]
        text, last = "", 0
        for step in steps.tolist():
            character = self._characters[best[step]]
            if text and _may_be_apart(text[-1], character):
                is_number = text[-1].isdigit() and character.isdigit()
                least = _SPACE_IN_NUMBER if is_number else SPACE_PROBABILITY
                text += " " if spaces[last:step].max() >= least else ""
            text += character
            last = step
        text = " ".join(text.split())
        if not text:
            return RecognizedText("", 0.0)
        return RecognizedText(_reversed(text) if self._is_reversed else text, confidence)


def _may_be_apart(left: str, right: str) -> bool:
    """Return whether a space may be missing between two characters."""
    is_space = " " in (left, right)
    return not (
        is_space or right in _NO_SPACE_BEFORE or _is_spaceless(left) or _is_spaceless(right)
    )


def _is_spaceless(character: str) -> bool:
    return any(first <= ord(character[0]) <= last for first, last in _SPACELESS)


def _reversed(text: str) -> str:
    """Return a line from right to left, with numbers and Latin words unchanged."""
    runs: list[str] = []
    for character in text:
        is_latin = character.isascii() and (character.isalnum() or character in ":*./%+-")
        if is_latin and runs and runs[-1][-1].isascii() and runs[-1] != " ":
            runs[-1] += character
        else:
            runs.append(character)
    return "".join(reversed(runs))


def _normalized(crop: BgrImage, aspect: float) -> NDArray[np.float32]:
    """Return float32 of shape (3, 48, width), -1 to 1, padded with 0 on the right."""
    height, width = crop.shape[:2]
    full = int(_HEIGHT * aspect)
    used = max(1, min(full, -(-_HEIGHT * width // height)))
    # Averages where a large line is reduced: INTER_LINEAR would take single pixels.
    method = cv2.INTER_AREA if height > 2 * _HEIGHT else cv2.INTER_LINEAR
    resized = cv2.resize(crop, (used, _HEIGHT), interpolation=method)
    padded = np.zeros((3, _HEIGHT, full), np.float32)
    padded[:, :, :used] = resized.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    return padded
