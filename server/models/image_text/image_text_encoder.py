"""Encoders by name: what the rest of Sightline loads and calls.

``builtin`` is the small model in the repository, ``local-dir:PATH`` a folder in open_clip's layout,
``ARCH/PRETRAINED`` and ``hf-hub:OWNER/MODEL`` are open_clip's own names. torch and open_clip are
imported by `load` and by nothing before it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from sightline.server import import_lock
from sightline.server.config.settings import Settings
from sightline.server.models.batcher import Batcher, BatchObserver
from sightline.server.models.image_text.checkpoint import FingerprintCache, ModelFolder
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.text_cache import Texts
from sightline.storage.errors import InvalidArgumentError
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors

BUILTIN = "builtin"
BUILTIN_NAME = "builtin-clip"
_LOCAL_DIR = "local-dir:"


class Model(Protocol):
    """A model in memory, called by one thread at a time."""

    @property
    def identity(self) -> EncoderIdentity:
        """The space of its vectors."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """What its pictures go through first."""
        ...

    def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Unit vectors, float32 of shape (n, dimension)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, float32 of shape (n, dimension)."""
        ...


class Encoder:
    """An `ImageEncoder` over a model: concurrent calls share batches, texts are remembered.

    Use it as a context manager, or call `close`: it owns a thread.
    """

    def __init__(
        self,
        model: Model,
        *,
        batch_items: int,
        queue_items: int,
        stuck_seconds: float = 300.0,
        text_cache_entries: int = 0,
        observer: BatchObserver | None = None,
    ) -> None:
        self._model = model
        self._batcher = Batcher(
            {"image": model.encode_images, "text": model.encode_texts},
            batch_items=batch_items,
            queue_items=queue_items,
            name=f"encoder {model.identity.name}",
            stuck_seconds=stuck_seconds,
            observer=observer,
        )
        self._texts = Texts(self._batcher, "text", model.identity.dimension, text_cache_entries)

    @property
    def identity(self) -> EncoderIdentity:
        """The space of the vectors."""
        return self._model.identity

    @property
    def preprocess(self) -> Preprocess:
        """Picture to uint8 of shape (height, width, 3); picklable, torch-free."""
        return self._model.preprocess

    @property
    def queued_items(self) -> int:
        """Pictures and texts that wait for the model."""
        return self._batcher.queued_items

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Unit vectors, float32 of shape (n, dimension), of what `preprocess` returned.

        Raises InvalidArgumentError for another shape or type, ModelOverloadedError when the queue
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
        """Unit vectors, float32 of shape (n, dimension); equal texts are encoded once.

        Raises ModelOverloadedError when the queue is full.
        """
        return await self._texts.encode(texts)

    def close(self) -> None:
        """Stop the thread once its batch has ended; what waits fails with ModelUnavailableError."""
        self._batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(settings: Settings, observer: BatchObserver | None = None) -> Encoder:
    """The encoder that the settings name, loaded and warm. Blocks for seconds.

    Raises ConfigurationError when it is not there, cannot be fetched or does not fit; it is never
    replaced by another.
    """
    cache = FingerprintCache(settings.data_dir / "cache" / "fingerprints.json")
    found: tuple[ModelFolder, str] | None = None
    if settings.encoder == BUILTIN:
        found = ModelFolder.open(builtin_folder()), BUILTIN_NAME
    elif settings.encoder.startswith(_LOCAL_DIR):
        path = Path(settings.encoder.removeprefix(_LOCAL_DIR)).expanduser().absolute()
        found = ModelFolder.open(path), f"{_LOCAL_DIR}{path.name}"

    # Read when torch is first imported. Threads that spin while they wait for each other starve
    # whatever else runs on the cores (the workers of an ingest, a busy machine), and then the
    # encoder itself.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with import_lock.alone:
        from sightline.server.models.image_text import (
            open_clip_model,  # costs seconds, so not for a wrong name
        )

    if found is not None:
        source = open_clip_model.in_folder(*found, cache)
    else:
        source = open_clip_model.find(settings.encoder, cache)
    model = open_clip_model.OpenClipModel(
        source,
        device=settings.device,
        precision=settings.precision,
        cpu_threads=settings.encoder_threads,
    )
    return Encoder(
        model,
        batch_items=settings.encoder_batch_items,
        queue_items=settings.encoder_queue_items,
        stuck_seconds=settings.encoder_stuck_seconds,
        text_cache_entries=settings.text_cache_entries,
        observer=observer,
    )


def builtin_folder() -> Path:
    """Where the built-in model stands, beside this module."""
    return Path(str(files("sightline.server.models"))) / "weights" / BUILTIN_NAME
