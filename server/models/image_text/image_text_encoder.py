"""The image and text encoder, loaded by name.

``builtin`` is the small model in the repository, ``local-dir:PATH`` a folder in open_clip's layout,
``ARCH/PRETRAINED`` and ``hf-hub:OWNER/MODEL`` are open_clip's names. A folder with ONNX graphs runs
on ONNX Runtime; everything else runs on open_clip, and only that imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.batcher import Batcher, BatchObserver, CachedTextEncoder
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.model_files import FingerprintCache, local_folder, require_torch
from sightline.storage.errors import ConfigurationError, InvalidArgumentError
from sightline.storage.import_lock import import_lock
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors
from sightline.storage.picture_reference import PictureReference

_BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).parents[1] / "weights" / "builtin-clip"


class ImageTextModel(Protocol):
    """Both towers on some engine; called from one thread."""

    identity: EncoderIdentity
    preprocess: Preprocess

    def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return unit vectors of preprocessed images, float32 of shape (n, dimension)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of texts, float32 of shape (n, dimension)."""
        ...


class ImageTextEncoder(CachedTextEncoder):
    """An `ImageEncoder` that batches concurrent calls and caches text vectors."""

    def __init__(
        self,
        model: ImageTextModel,
        *,
        max_batch_items: int,
        max_cached_texts: int = 0,
        observer: BatchObserver | None = None,
        known_pictures: PictureReference | None = None,
    ) -> None:
        batcher = Batcher(
            {"image": model.encode_images, "text": model.encode_texts},
            max_batch_items=max_batch_items,
            name=f"encoder {model.identity.name}",
            observer=observer,
        )
        super().__init__(batcher, "text", model.identity, max_cached_texts)
        #: Converts an image to uint8 of shape (height, width, 3).
        self.preprocess = model.preprocess
        self._known_pictures = known_pictures

    @property
    def queued_items(self) -> int:
        """Return the number of images and texts that wait for the model."""
        return self._batcher.queued_items

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return unit vectors of preprocessed images, float32 of shape (n, dimension).

        Raises InvalidArgumentError for a wrong shape or dtype, ModelOverloadedError if the queue
        is full.
        """
        expected = (self.preprocess.height, self.preprocess.width, 3)
        for each in pixels:
            if each.shape != expected or each.dtype != np.uint8:
                msg = f"expected uint8 of shape {expected}, got {each.dtype} of {each.shape}"
                raise InvalidArgumentError(msg)
        if not pixels:
            return np.empty((0, self.identity.dimension), np.float32)
        return await self._batcher.submit("image", pixels)

    def familiarity(self, vectors: Vectors) -> float | None:
        """Return 0 to 1: how much pictures are like those of the training.

        ``vectors`` are float32 of shape (n, dimension). None if the model has no reference.
        """
        return None if self._known_pictures is None else self._known_pictures.familiarity(vectors)


def load(
    settings: EncoderSettings, data_dir: Path, observer: BatchObserver | None = None
) -> ImageTextEncoder:
    """Load and warm up the configured encoder. Blocks for seconds.

    Raises ConfigurationError if it is missing, cannot be downloaded or does not fit. There is no
    fallback to another encoder.
    """
    local = local_folder(settings.model)
    if settings.model == _BUILTIN:
        local = BUILTIN_FOLDER, BUILTIN_FOLDER.name
    folder = None if local is None else OpenClipFolder.open(local[0])
    model = load_model(settings, data_dir, folder, settings.model if local is None else local[1])
    return ImageTextEncoder(
        model,
        max_batch_items=settings.batch_size,
        max_cached_texts=settings.max_cached_texts,
        observer=observer,
        known_pictures=None if folder is None else folder.picture_reference(),
    )


def load_model(
    settings: EncoderSettings, data_dir: Path, folder: OpenClipFolder | None, name: str
) -> ImageTextModel:
    """Load a folder, or a model that open_clip knows by name, on the chosen engine.

    Raises ConfigurationError, or UnknownNameError.
    """
    cache = FingerprintCache(data_dir)
    graphs = None if folder is None else folder.graphs
    if folder is not None and graphs is not None and _uses_onnx(settings):
        with import_lock:
            from sightline.server.models.image_text.onnx_model import OnnxModel

        return OnnxModel(
            folder, graphs, name, cache, device=settings.device, threads=settings.threads
        )
    if settings.engine == "onnx":
        raise ConfigurationError(
            f"encoder.engine is onnx, but {settings.model!r} has no ONNX graphs. "
            "Set encoder.engine to auto or open_clip."
        )
    require_torch(f"The encoder {settings.model!r}")
    # torch reads this at import. Spinning threads would starve the workers of an ingest.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with import_lock:  # takes seconds, so not before the folder is validated
        from sightline.server.models.image_text.open_clip_model import ModelSource, OpenClipModel

    if folder is not None:
        source = ModelSource.from_folder(folder, name, cache)
    else:
        source = ModelSource.from_name(name, cache)
    return OpenClipModel(
        source,
        device=settings.device,
        precision=settings.precision,
        cpu_threads=settings.threads,
    )


def _uses_onnx(settings: EncoderSettings) -> bool:
    """Return whether a folder with graphs runs on ONNX Runtime."""
    if settings.engine != "auto":
        return settings.engine == "onnx"
    with import_lock:
        from sightline.server.models.onnx_runtime import has_device

    return settings.precision in ("auto", "fp32") and has_device(settings.device)
