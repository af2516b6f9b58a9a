"""The detector, loaded by name.

``builtin`` is the small model in the repository. ``local-dir:PATH`` is a folder that transformers
wrote, ``OWNER/MODEL`` a model on the Hugging Face hub: OWLv2, OWL-ViT or Grounding DINO. Only these
import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from PIL import Image

from sightline.server.config.model_settings import DetectorSettings
from sightline.server.models.batcher import BatchedModel, Batcher, BatchObserver
from sightline.server.models.model_files import (
    LOCAL_DIR,
    TOKENIZER_FILES,
    cached_snapshot,
    local_folder,
    require_torch,
)
from sightline.storage.errors import ConfigurationError
from sightline.storage.import_lock import import_lock
from sightline.storage.interfaces import Detection, Pixels, Vectors

_BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).parents[1] / "weights" / "builtin-detector"
_CACHED_FILES = ["*.json", "*.txt", "model.safetensors", *TOKENIZER_FILES]
#: Pictures in one forward pass. More are not faster on a CPU.
_BATCH_ITEMS = 8


class DetectionModel(Protocol):
    """A detector on some engine; called from one thread."""

    name: str

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        """Return a picklable function: image to uint8 (height, width, 3)."""
        ...

    def detect(self, pictures: Sequence[tuple[Pixels, tuple[str, ...]]]) -> list[list[Detection]]:
        """Return the detections of each picture for its phrases, with any score."""
        ...


class PhraseDetector(BatchedModel):
    """A `Detector` that batches concurrent calls."""

    def __init__(
        self,
        model: DetectionModel,
        *,
        threshold: float,
        observer: BatchObserver | None = None,
    ) -> None:
        self.name = model.name
        #: Converts an image to uint8 of shape (height, width, 3).
        self.preprocess = model.preprocess
        self._threshold = threshold
        self._batcher = Batcher(
            {"detection": _as_rows(model)},
            max_batch_items=_BATCH_ITEMS,
            name=f"detector {model.name}",
            observer=observer,
        )

    async def detect(
        self, images: Sequence[Pixels], phrases: Sequence[str], threshold: float | None = None
    ) -> list[list[Detection]]:
        """Return the detections of each image, best first, from the threshold on.

        Raises ModelOverloadedError if the queue is full.
        """
        wanted = tuple(dict.fromkeys(phrase for phrase in phrases if phrase.strip()))
        if not images or not wanted:
            return [[] for _ in images]
        least = self._threshold if threshold is None else threshold
        rows = await self._batcher.submit("detection", [(each, wanted) for each in images])
        return [
            sorted(
                (each for each in row if each.score >= least),
                key=lambda each: -each.score,
            )
            for row in rows
        ]


def _as_rows(model: DetectionModel) -> Any:
    """Return a function that gives the batcher one row for each picture."""

    def run(items: Sequence[Any]) -> Vectors:
        rows = np.empty(len(items), object)  # an element is a list of detections
        for row, found in enumerate(model.detect(items)):
            rows[row] = found
        return cast("Vectors", rows)

    return run


def load(settings: DetectorSettings, observer: BatchObserver | None = None) -> PhraseDetector:
    """Load and warm up the configured detector. Blocks for seconds.

    Raises ConfigurationError if it is not on this machine or does not fit. Nothing is downloaded,
    and there is no fallback to another detector.
    """
    return PhraseDetector(
        load_model(settings.model, settings.device),
        threshold=settings.threshold,
        observer=observer,
    )


def load_model(model: str, device: str) -> DetectionModel:
    """Load a detector on the engine that it needs. Raises ConfigurationError."""
    if model == _BUILTIN:
        with import_lock:
            from sightline.server.models.detection.builtin_detector import BuiltinDetector

        return BuiltinDetector(BUILTIN_FOLDER, device=device)
    local = local_folder(model)
    require_torch(f"The detector {model!r}")
    folder = cached_snapshot(model, _CACHED_FILES) if local is None else local[0]
    if folder is None:
        raise ConfigurationError(
            f"The detector {model!r} is not on this machine. Download it once with "
            f"'hf download {model}', or name a folder: {LOCAL_DIR}PATH."
        )
    if not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"{str(folder)!r} is no detector folder: it has no config.json of transformers."
        )
    with import_lock:  # takes seconds, so not before the folder is validated
        from sightline.server.models.detection.transformers_detector import TransformersDetector

    return TransformersDetector(folder, model if local is None else local[1], device=device)
