"""The cross-encoder reranker, loaded by name.

``local-dir:PATH`` is a folder that transformers wrote, ``OWNER/MODEL`` a model on the Hugging Face
hub. It scores text only. Only `load` imports torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.batcher import BatchedModel, Batcher, BatchObserver
from sightline.server.models.model_files import download_snapshot, local_folder, require_torch
from sightline.storage.errors import ConfigurationError
from sightline.storage.import_lock import import_lock

if TYPE_CHECKING:
    from sightline.server.models.text.transformer_models import CrossEncoderModel
    from sightline.storage.retrieval.ranking.reranker import RerankCandidate

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_DOWNLOAD_PATTERNS = ["*.json", "*.txt", "*.model", "model.safetensors"]


class CrossEncoderReranker(BatchedModel):
    """A `RerankModel` over a cross-encoder. Concurrent searches share batches."""

    uses_images = False

    def __init__(
        self,
        model: CrossEncoderModel,
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
    model: str, settings: EncoderSettings, observer: BatchObserver | None = None
) -> CrossEncoderReranker:
    """Load and warm up the cross-encoder ``model``. Blocks for seconds.

    It uses device, precision and batch size of the encoder. Raises ConfigurationError if it is
    missing, cannot be downloaded or does not fit. There is no fallback to another reranker.
    """
    folder, name = local_folder(model) or (
        download_snapshot("reranker", model, _DOWNLOAD_PATTERNS),
        model,
    )
    has_weights = any((folder / each).is_file() for each in _WEIGHTS)
    if not has_weights or not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"{str(folder)!r} is not a cross-encoder: it needs config.json and one of "
            f"{', '.join(_WEIGHTS)}. Sightline never reranks with random weights."
        )
    require_torch(f"The reranker {name!r}")
    with import_lock:
        from sightline.server.models.text.transformer_models import CrossEncoderModel

    scorer = CrossEncoderModel(folder, name, device=settings.device, precision=settings.precision)
    scorer.score([("warm", "up")])
    return CrossEncoderReranker(
        scorer, name, max_batch_items=settings.batch_size, observer=observer
    )
