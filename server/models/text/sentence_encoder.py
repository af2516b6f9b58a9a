"""Sentence encoders, loaded with transformers. Imports torch: reach it through `passages`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from transformers import AutoModel

from sightline.server.models.image_text.checkpoint import FingerprintCache
from sightline.server.models.image_text.open_clip_model import choose_device, unit
from sightline.server.models.text import transformer_loader
from sightline.server.models.text.sentence_encoder_config import SentenceFolder
from sightline.storage.interfaces import EncoderIdentity, Vectors

logger = logging.getLogger(__name__)


class SentenceModel:
    """A loaded model on its device. Not thread-safe: one thread calls it (see `batcher`)."""

    def __init__(
        self,
        folder: SentenceFolder,
        name: str,
        cache: FingerprintCache,
        *,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Load the weights of a checked folder, from this machine alone.

        Raises ConfigurationError where they do not fit the architecture or parts of it have none.
        """
        self._device = choose_device(device)
        self._recipe = folder.recipe
        self._tokenizer, self._model = transformer_loader.load(
            AutoModel,
            f"passage encoder {name!r}",
            folder.transformer,
            device=self._device,
            precision=precision,
            unused="pooler.",  # it stands on the first token for another task
        )
        self._most_tokens = transformer_loader.most_tokens(
            self._tokenizer, self._model, [self._recipe.most_tokens]
        )
        self.identity = EncoderIdentity(
            name=name,
            weights=folder.fingerprint(cache),
            preprocessing=folder.recipe.fingerprint,
            dimension=self.encode_passages(["a first pass gives the dimension"]).shape[1],
        )
        logger.info("passage encoder %s on %s", self.identity, self._device)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of what is stored, float32 of shape (n, dimension); long texts are cut."""
        return self._encode([self._recipe.passage + text for text in texts])

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of what is asked, float32 of shape (n, dimension)."""
        return self._encode([self._recipe.query + text for text in texts])

    @torch.inference_mode()
    def _encode(self, texts: Sequence[str]) -> Vectors:
        if self._recipe.lower_case:
            texts = [text.lower() for text in texts]
        batch = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._most_tokens,
            return_tensors="pt",
        ).to(self._device)
        tokens = self._model(**batch).last_hidden_state.float()
        return unit(self._pooled(tokens, batch["attention_mask"]))

    def _pooled(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """One vector a text: ``tokens`` are (n, length, dimension), ``mask`` (n, length) 0 or 1."""
        present = mask.unsqueeze(-1).float()
        match self._recipe.pooling:
            case "mean":
                return (tokens * present).sum(1) / present.sum(1).clamp(min=1e-9)
            case "max":
                return tokens.masked_fill(present == 0, -torch.inf).amax(1)
            case "cls":
                place = mask.int().argmax(1)  # the first that is there, whichever side is padded
            case "lasttoken":
                place = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
        return tokens[torch.arange(len(tokens), device=tokens.device), place]
