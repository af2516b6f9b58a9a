"""The cross-encoder reranker, loaded by name.

``local-dir:PATH`` is a folder that transformers wrote, a name of the catalog or ``OWNER/MODEL`` a
pulled model. It scores text only. A folder with an ONNX graph runs on ONNX Runtime; for others,
`load` imports torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.batcher import BatchedModel, Batcher, BatchObserver
from sightline.server.models.model_files import cached_snapshot, require_torch
from sightline.server.models.onnx_files import find_graphs, uses_onnx
from sightline.server.models.store.model_store import missing_model, resolve_model
from sightline.storage.errors import ConfigurationError
from sightline.storage.import_lock import import_lock
from sightline.storage.interfaces import Vectors

if TYPE_CHECKING:
    from sightline.storage.retrieval.ranking.reranker import RerankCandidate

_ROLE = "reranker"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_CACHED_FILES = ["*.json", "*.txt", "*.model", "model.safetensors"]


class CrossEncoder(Protocol):
    """A cross-encoder on some engine; called from one thread."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the relevance of each (query, text) pair, float32 of shape (n,)."""
        ...


class CrossEncoderReranker(BatchedModel):
    """A `RerankModel` over a cross-encoder. Concurrent searches share batches."""

    uses_images = False

    def __init__(
        self,
        model: CrossEncoder,
        name: str,
        *,
        max_batch_items: int,
        observer: BatchObserver | None = None,
    ) -> None:
        self.name = name
        self._batcher = Batcher(
            {"pair": model.score},
            max_batch_items=max_batch_items,
            name=f"reranker {name}",
            observer=observer,
        )

    async def score(
        self, query: str, candidates: Sequence[RerankCandidate]
    ) -> Sequence[float | None]:
        """Return a score per candidate, ``None`` for candidates without text.

        Raises ModelOverloadedError if the queue is full.
        """
        with_text = [index for index, each in enumerate(candidates) if each.text.strip()]
        scores: list[float | None] = [None] * len(candidates)
        if with_text:
            pairs = [(query, candidates[index].text) for index in with_text]
            rows = await self._batcher.submit("pair", pairs)
            for index, score in zip(with_text, rows, strict=True):
                scores[index] = float(score)
        return scores


def load(
    model: str, settings: EncoderSettings, data_dir: Path, observer: BatchObserver | None = None
) -> CrossEncoderReranker:
    """Load and warm up the cross-encoder ``model``. Blocks for seconds.

    It uses device, precision and batch size of the encoder. Raises ConfigurationError if it is not
    on this machine or does not fit. There is no fallback to another reranker.
    """
    if (found := resolve_model(_ROLE, model, data_dir)) is not None:
        folder, name = found
    elif (cached := cached_snapshot(model, _CACHED_FILES)) is not None:
        folder, name = cached, model
    else:
        raise missing_model(_ROLE, model)
    scorer = load_model(folder, name, settings)
    scorer.score([("warm", "up")])
    return CrossEncoderReranker(
        scorer, name, max_batch_items=settings.batch_size, observer=observer
    )


def load_model(folder: Path, name: str, settings: EncoderSettings) -> CrossEncoder:
    """Load a folder on the chosen engine.

    Raises ConfigurationError, and UnknownNameError for the device.
    """
    has_weights = any((folder / each).is_file() for each in WEIGHTS)
    graphs = find_graphs(folder, ["model"], has_weights=has_weights)
    if not (has_weights or graphs) or not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"{str(folder)!r} is not a cross-encoder: it needs config.json and one of "
            f"{', '.join(WEIGHTS)}, model.onnx. Sightline never reranks with random weights."
        )
    if graphs and uses_onnx(settings, has_weights=has_weights):
        with import_lock:
            from sightline.server.models.text.onnx_text_models import OnnxCrossEncoder

        return OnnxCrossEncoder(
            graphs[0], folder, name, device=settings.device, threads=settings.threads
        )
    require_torch(f"The reranker {name!r}")
    with import_lock:
        from sightline.server.models.text.transformer_models import CrossEncoderModel

    return CrossEncoderModel(folder, name, device=settings.device, precision=settings.precision)
