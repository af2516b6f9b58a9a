"""Cross-encoders, loaded with transformers. Imports torch: reach it through `rerankers`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from sightline.server.models.image_text.open_clip_model import choose_device
from sightline.server.models.text import transformer_loader
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import Vectors

logger = logging.getLogger(__name__)


class CrossEncoder:
    """A loaded model on its device. Not thread-safe: one thread calls it (see `batcher`)."""

    def __init__(
        self, folder: Path, name: str, *, device: str = "auto", precision: str = "auto"
    ) -> None:
        """Load the weights of a folder, from this machine alone.

        Raises ConfigurationError where weights are missing, or it gives more than one score.
        """
        self._device = choose_device(device)
        what = f"reranker {name!r}"
        self._tokenizer, self._model = transformer_loader.load(
            AutoModelForSequenceClassification,
            what,
            folder,
            device=self._device,
            precision=precision,
        )
        if (labels := self._model.config.num_labels) != 1:
            raise ConfigurationError(
                f"{what} tells {labels} classes apart; a cross-encoder gives one score"
            )
        self._most_tokens = transformer_loader.most_tokens(self._tokenizer, self._model)
        logger.info("%s on %s", what, self._device)

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """How well each text answers its query, float32 of shape (n,), higher is better.

        Pairs are (query, text); of what is too long, the longer of the two is cut.
        """
        batch = self._tokenizer(
            [query for query, _ in pairs],
            [text for _, text in pairs],
            padding=True,
            truncation="longest_first",
            max_length=self._most_tokens,
            return_tensors="pt",
        ).to(self._device)
        scores: Vectors = self._model(**batch).logits[:, 0].float().cpu().numpy()
        return scores
