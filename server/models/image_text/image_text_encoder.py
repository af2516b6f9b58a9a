"""The image and text encoder, loaded by name.

``builtin`` is the small model in the repository, a name of the catalog or ``OWNER/MODEL`` a pulled
model, ``local-dir:PATH`` a folder in the layout of open_clip or transformers. Other names are those
of open_clip: ``ARCH/PRETRAINED`` and ``hf-hub:OWNER/MODEL``. A folder with ONNX graphs runs on ONNX
Runtime; everything else runs on open_clip, and only that imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.batcher import Batcher, BatchObserver, CachedTextEncoder
from sightline.server.models.image_text.checkpoint import CONFIG_FILE, OpenClipFolder
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.server.models.image_text.transformers_folder import TransformersFolder
from sightline.server.models.model_files import FingerprintCache, require_torch
from sightline.server.models.onnx_files import uses_onnx
from sightline.server.models.store.model_record import kept_identity
from sightline.server.models.store.model_store import resolve_model
from sightline.storage.errors import ConfigurationError, InvalidArgumentError
from sightline.storage.import_lock import import_lock
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors
from sightline.storage.picture_reference import PictureReference

EncoderFolder = OpenClipFolder | TransformersFolder

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

    def novelty(self, vectors: Vectors) -> Vectors | None:
        """Return distances from known pictures in their radius, float32 (n,)."""
        known = self._known_pictures
        return None if known is None else known.distances(vectors) / np.float32(known.radius)


def load(
    settings: EncoderSettings, data_dir: Path, observer: BatchObserver | None = None
) -> ImageTextEncoder:
    """Load and warm up the configured encoder. Blocks for seconds.

    Raises ConfigurationError if it is missing, cannot be downloaded or does not fit. There is no
    fallback to another encoder.
    """
    folder, name = find_folder(settings.model, data_dir)
    model = load_model(settings, data_dir, folder, name)
    reference = folder.picture_reference() if isinstance(folder, OpenClipFolder) else None
    return ImageTextEncoder(
        model,
        max_batch_items=settings.batch_size,
        max_cached_texts=settings.max_cached_texts,
        observer=observer,
        known_pictures=reference,
    )


def find_folder(model: str, data_dir: Path) -> tuple[EncoderFolder | None, str]:
    """Return the folder and the display name of an encoder.

    The folder is None for a name that only open_clip knows. Raises ConfigurationError if the model
    is not on this machine, and UnknownNameError for a name that is none.
    """
    if model == _BUILTIN:
        return OpenClipFolder.open(BUILTIN_FOLDER), BUILTIN_FOLDER.name
    found = resolve_model("encoder", model, data_dir)
    return (None, model) if found is None else (open_folder(found[0]), found[1])


def open_folder(path: Path) -> EncoderFolder:
    """Validate a folder of either layout. Raises ConfigurationError."""
    is_open_clip = (path / CONFIG_FILE).is_file() or not TransformersFolder.matches(path)
    return OpenClipFolder.open(path) if is_open_clip else TransformersFolder.open(path)


def load_model(
    settings: EncoderSettings, data_dir: Path, folder: EncoderFolder | None, name: str
) -> ImageTextModel:
    """Load a folder, or a model that open_clip knows by name, on the chosen engine.

    Raises ConfigurationError, or UnknownNameError.
    """
    cache = FingerprintCache(data_dir)
    graphs = None if folder is None else folder.graphs
    has_weights = isinstance(folder, OpenClipFolder) and folder.weights is not None
    if folder is not None and graphs is not None and uses_onnx(settings, has_weights=has_weights):
        with import_lock:
            from sightline.server.models.image_text.onnx_model import OnnxModel

        model = OnnxModel(
            folder, graphs, name, cache, device=settings.device, threads=settings.threads
        )
        model.identity = kept_identity(folder.path, model.identity, cache)
        return model
    if settings.engine == "onnx":
        raise ConfigurationError(
            f"encoder.engine is onnx, but {settings.model!r} has no ONNX graphs. "
            "Set encoder.engine to auto or open_clip, or run: sightline models export FOLDER"
        )
    if isinstance(folder, TransformersFolder) or (folder is not None and folder.weights is None):
        raise ConfigurationError(
            f"{settings.model!r} has ONNX graphs only. Set encoder.engine to auto, and "
            f"encoder.precision to auto or fp32."
        )
    what = f"The encoder {settings.model!r}"
    if folder is None:
        what += " is no pulled model (`sightline models list`). As a model of open_clip it"
    require_torch(what)
    # torch reads this at import. Spinning threads would starve the workers of an ingest.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # So does the library of the hub. Models are downloaded by command, not while a server starts.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
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
