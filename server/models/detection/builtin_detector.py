"""The built-in detector: two ONNX graphs of ``training.detector``, without torch.

The graph of images gives a box and a vector for each patch, the graph of phrases a vector for each
phrase. Their product is the logit that the patch shows what the phrase names; a calibration turns
it into the probability that the box is right.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.clip_tokenizer import ClipTokenizer
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.model_files import load_json
from sightline.server.models.onnx_runtime import open_session
from sightline.storage.boxes.suppression import suppress
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import Detection, Pixels

_CONFIG: Final = "detector_config.json"
_WEIGHTS: Final = "detector.safetensors"
_IMAGE_GRAPH, _PHRASE_GRAPH = "image_model.onnx", "phrase_model.onnx"
_OUTPUTS: Final = ["vectors", "scale", "shift", "boxes"]
#: Less likely boxes are not reported, whatever the threshold.
_MIN_SCORE: Final = 0.01
#: Two boxes with a larger IoU show one thing. Neighboring patches often give a second, less exact
#: box: of 57 counts on validation pictures 22 were exact with 0.5, and 41 with 0.35.
_MAX_OVERLAP: Final = 0.35
_MAX_CACHED_PHRASES: Final = 4096

Floats = npt.NDArray[np.float32]


class BuiltinDetector:
    """Boxes for phrases on ONNX Runtime. Not thread-safe: call it from one thread."""

    def __init__(self, folder: Path, *, device: str = "auto", threads: int = 0) -> None:
        """Load and warm up. Raises ConfigurationError, or UnknownNameError for the device."""
        config = load_json(folder / _CONFIG)
        if not isinstance(config, dict) or "calibration" not in config:
            raise ConfigurationError(f"{str(folder)!r} is no folder of training.detector.")
        self.name = folder.name
        self._preprocess = Preprocess.from_open_clip(config["preprocess_cfg"])
        text = {"model_cfg": {"text_cfg": {"context_length": config["context_length"]}}}
        self._tokenize = ClipTokenizer.from_open_clip(
            OpenClipFolder(folder, text, folder / _WEIGHTS)
        )
        self._images = open_session(folder / _IMAGE_GRAPH, device=device, threads=threads)
        self._texts = open_session(folder / _PHRASE_GRAPH, device=device, threads=threads)
        self._slope, self._offset = (config["calibration"][key] for key in ("slope", "offset"))
        self._phrases: OrderedDict[str, Floats] = OrderedDict()
        blank = np.zeros((self._preprocess.height, self._preprocess.width, 3), np.uint8)
        self.detect([(blank, ("anything",))])

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        """Return a picklable function: image to uint8 (height, width, 3)."""
        return self._preprocess

    def detect(self, pictures: Sequence[tuple[Pixels, tuple[str, ...]]]) -> list[list[Detection]]:
        """Return the detections of each picture for its phrases."""
        pixels = self._normalize([picture for picture, _ in pictures])
        vectors, scale, shift, boxes = self._images.run(_OUTPUTS, {"pixel_values": pixels})
        return [
            self._detections(vectors[row], scale[row], shift[row], boxes[row], phrases)
            for row, (_, phrases) in enumerate(pictures)
        ]

    def _detections(
        self, vectors: Floats, scale: Floats, shift: Floats, boxes: Floats, phrases: Sequence[str]
    ) -> list[Detection]:
        """Return the detections of one picture.

        ``vectors`` (patches, dim), ``scale`` and ``shift`` (patches, 1), ``boxes`` (patches, 4).
        """
        logits = vectors @ self._phrase_vectors(phrases).T * scale + shift
        scores = 1 / (1 + np.exp(-(self._slope * logits + self._offset)))
        boxes = np.clip(boxes, 0.0, 1.0)
        is_flat = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
        found: list[Detection] = []
        for column, phrase in enumerate(phrases):
            rows = np.flatnonzero((scores[:, column] >= _MIN_SCORE) & ~is_flat)
            for row in rows[suppress(boxes[rows], scores[rows, column], _MAX_OVERLAP)]:
                x0, y0, x1, y1 = (float(each) for each in boxes[row])
                found.append(Detection(phrase, (x0, y0, x1, y1), float(scores[row, column])))
        return found

    def _phrase_vectors(self, phrases: Sequence[str]) -> Floats:
        """Return (phrases, dim)."""
        missing = [each for each in phrases if each not in self._phrases]
        if missing:
            ids, _ = self._tokenize.pad(self._tokenize(missing))
            (vectors,) = self._texts.run(["vectors"], {"input_ids": ids})
            for phrase, vector in zip(missing, vectors, strict=True):
                self._phrases[phrase] = vector.copy()
        found = []
        for phrase in phrases:
            self._phrases.move_to_end(phrase)
            found.append(self._phrases[phrase])
        while len(self._phrases) > _MAX_CACHED_PHRASES:
            self._phrases.popitem(last=False)
        return np.stack(found)

    def _normalize(self, pixels: Sequence[Pixels]) -> npt.NDArray[Any]:
        """Return float32 of shape (n, 3, height, width)."""
        mean = np.array(self._preprocess.mean, np.float32)
        std = np.array(self._preprocess.std, np.float32)
        scaled = (np.stack(pixels).astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
