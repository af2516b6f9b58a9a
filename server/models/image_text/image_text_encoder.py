"""The image and text encoder, loaded by name.

``builtin`` is the small model in the repository, ``local-dir:PATH`` a folder in open_clip's layout,
``ARCH/PRETRAINED`` and ``hf-hub:OWNER/MODEL`` are open_clip's names. Only `load` imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.batcher import BatchedModel, Batcher, BatchObserver
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.model_files import FingerprintCache, local_folder
from sightline.server.models.text_cache import TextVectorCache
from sightline.storage.errors import InvalidArgumentError
from sightline.storage.import_lock import import_lock
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors

BUILTIN = "builtin"
BUILTIN_NAME = "builtin-clip"


class ImageTextModel(Protocol):
    """A dual encoder in memory, called by one thread at a time."""

    @property
    def identity(self) -> EncoderIdentity:
        """Identify the embedding space of the vectors."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """Return the preprocessing of the images."""
        ...

    def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return unit vectors, float32 of shape (n, dimension)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, float32 of shape (n, dimension)."""
        ...


class ImageTextEncoder(BatchedModel):
    """An `ImageEncoder` that batches concurrent calls and caches text vectors."""

    def __init__(
        self,
        model: ImageTextModel,
        *,
        max_batch_items: int,
        max_cached_texts: int = 0,
        observer: BatchObserver | None = None,
    ) -> None:
        self._model = model
        self._batcher = Batcher(
            {"image": model.encode_images, "text": model.encode_texts},
            max_batch_items=max_batch_items,
            name=f"encoder {model.identity.name}",
            observer=observer,
        )
        self._texts = TextVectorCache(
            self._batcher, "text", model.identity.dimension, max_cached_texts
        )

    @property
    def identity(self) -> EncoderIdentity:
        """Identify the embedding space of the vectors."""
        return self._model.identity

    @property
    def preprocess(self) -> Preprocess:
        """Return the function from image to uint8 of shape (height, width, 3)."""
        return self._model.preprocess

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

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, float32 of shape (n, dimension).

        Raises ModelOverloadedError if the queue is full.
        """
        return await self._texts.encode(texts)


def load(
    settings: EncoderSettings, data_dir: Path, observer: BatchObserver | None = None
) -> ImageTextEncoder:
    """Load and warm up the configured encoder. Blocks for seconds.

    Raises ConfigurationError if it is missing, cannot be downloaded or does not fit. There is no
    fallback to another encoder.
    """
    if settings.model == BUILTIN:
        local: tuple[Path, str] | None = (builtin_folder(), BUILTIN_NAME)
    else:
        local = local_folder(settings.model)
    folder = OpenClipFolder.open(local[0]) if local is not None else None
    cache = FingerprintCache.in_data_dir(data_dir)

    # torch reads this at import. Spinning threads would starve the workers of an ingest.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with import_lock:  # takes seconds, so not before the folder is validated
        from sightline.server.models.image_text.open_clip_model import ModelSource, OpenClipModel

    if folder is not None and local is not None:
        source = ModelSource.from_folder(folder, local[1], cache)
    else:
        source = ModelSource.from_name(settings.model, cache)
    model = OpenClipModel(
        source,
        device=settings.device,
        precision=settings.precision,
        cpu_threads=settings.threads,
    )
    return ImageTextEncoder(
        model,
        max_batch_items=settings.batch_size,
        max_cached_texts=settings.max_cached_texts,
        observer=observer,
    )


def builtin_folder() -> Path:
    """Return the folder of the built-in model."""
    return Path(str(files("sightline.server.models"))) / "weights" / BUILTIN_NAME
