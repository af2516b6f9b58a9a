"""OWLv2, OWL-ViT and Grounding DINO of transformers, on torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from sightline.server.models.image_text.preprocess import upright_rgb
from sightline.server.models.model_files import first_line
from sightline.server.models.torch_runtime import choose_device
from sightline.storage.boxes.suppression import suppress
from sightline.storage.errors import ConfigurationError, ModelError
from sightline.storage.interfaces import Detection, Pixels

logger = logging.getLogger(__name__)

#: By ``model_type`` of ``config.json``.
_CLASSES: Final = {
    "owlv2": "Owlv2ForObjectDetection",
    "owlvit": "OwlViTForObjectDetection",
    "grounding-dino": "GroundingDinoForObjectDetection",
}
#: Long edge of the pictures that reach the model; its processor makes its own size of them.
_MAX_EDGE_PIXELS: Final = 1280
#: Less likely boxes are not reported, whatever the threshold.
_MIN_SCORE: Final = 0.05


def reduced(image: Image.Image, max_edge: int) -> Pixels:
    """Return the upright image as uint8 RGB (height, width, 3), its long edge limited."""
    upright = upright_rgb(image)
    scale = max_edge / max(upright.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in upright.size)
        upright = upright.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(upright, dtype=np.uint8)


class TransformersDetector:
    """A detector of transformers. Not thread-safe: call it from one thread.

    The scores are those of the model: they rank boxes, and are no probabilities.
    """

    def __init__(self, folder: Path, name: str, *, device: str = "auto") -> None:
        """Load. Raises ConfigurationError for another kind and for unreadable files."""
        import transformers

        self.name = name
        self._device = choose_device(device)
        self._half = self._device.type == "cuda"
        try:
            config: Any = transformers.AutoConfig.from_pretrained(str(folder))
            class_name = _CLASSES.get(config.model_type)
            if class_name is None:
                raise ConfigurationError(
                    f"The detector {name!r} is a {config.model_type!r} model. Use one of: "
                    f"{', '.join(_CLASSES)}."
                )
            dtype = torch.float16 if self._half else torch.float32
            loader: Any = getattr(transformers, class_name)
            model = loader.from_pretrained(str(folder), local_files_only=True, dtype=dtype)
            self._processor: Any = transformers.AutoProcessor.from_pretrained(
                str(folder), local_files_only=True
            )
        except ConfigurationError:
            raise
        except Exception as error:  # of the libraries that read the files, of many types
            raise ConfigurationError(
                f"The detector {name!r} cannot be loaded: {first_line(error)}"
            ) from error
        self._model: Any = model.to(self._device).eval()
        self._kind: str = config.model_type
        logger.info("loaded detector %s on %s", name, self._device)

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        """Return a picklable function: image to uint8 (height, width, 3)."""
        return partial(reduced, max_edge=_MAX_EDGE_PIXELS)

    def detect(self, pictures: Sequence[tuple[Pixels, tuple[str, ...]]]) -> list[list[Detection]]:
        """Return the detections of each picture for its phrases. Raises ModelError."""
        try:
            return [self._detect(pixels, phrases) for pixels, phrases in pictures]
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the detector failed: {first_line(error)}") from error

    @torch.inference_mode()
    def _detect(self, pixels: Pixels, phrases: Sequence[str]) -> list[Detection]:
        if self._kind != "grounding-dino":
            return self._look_for_all(pixels, phrases)
        # Each phrase alone: in one text, the words of one phrase change the boxes of another.
        found: list[Detection] = []
        for phrase in phrases:
            found += self._look_for(pixels, phrase)
        return found

    def _look_for_all(self, pixels: Pixels, phrases: Sequence[str]) -> list[Detection]:
        """Run OWL-ViT or OWLv2, which score each box for each phrase."""
        outputs = self._run(pixels, [list(phrases)])
        scores = outputs.logits[0].float().sigmoid().cpu().numpy()
        center, half = np.split(outputs.pred_boxes[0].float().cpu().numpy(), [2], axis=1)
        corners = np.concatenate([center - half / 2, center + half / 2], axis=1)
        if self._kind == "owlv2":  # its pictures are padded to a square, at the right or below
            height, width = pixels.shape[:2]
            corners = corners * max(height, width) / [width, height, width, height]
        return [
            each
            for number, phrase in enumerate(phrases)
            for each in _best(corners, scores[:, number], phrase)
        ]

    def _look_for(self, pixels: Pixels, phrase: str) -> list[Detection]:
        """Run Grounding DINO: the score of a box is that of its best token."""
        outputs = self._run(pixels, f"{phrase.lower().strip().rstrip('.')}.")
        scores = outputs.logits[0].float().sigmoid().amax(-1).cpu().numpy()
        center, half = np.split(outputs.pred_boxes[0].float().cpu().numpy(), [2], axis=1)
        corners = np.concatenate([center - half / 2, center + half / 2], axis=1)
        return _best(corners, scores, phrase)

    def _run(self, pixels: Pixels, text: Any) -> Any:
        inputs = self._processor(
            text=text, images=Image.fromarray(pixels), return_tensors="pt", truncation=True
        ).to(self._device)
        if self._half:
            inputs["pixel_values"] = inputs["pixel_values"].half()
        return self._model(**inputs)


def _best(boxes: Any, scores: Any, phrase: str) -> list[Detection]:
    """Return the boxes of a phrase that overlap no better one; corners in fractions."""
    boxes = np.clip(boxes, 0, 1)
    rows = np.flatnonzero((scores >= _MIN_SCORE) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    found: list[Detection] = []
    for row in rows[suppress(boxes[rows], scores[rows])]:
        x0, y0, x1, y1 = (float(each) for each in boxes[row])
        found.append(Detection(phrase, (x0, y0, x1, y1), float(scores[row])))
    return found
