"""Sentence encoders and cross-encoders on transformers. Imports torch.

Use `passage_encoder.load` and `cross_encoder_reranker.load` to reach this module.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from sightline.server.models.model_files import FingerprintCache, first_line
from sightline.server.models.text.sentence_encoder_config import SentenceEncoderFolder
from sightline.server.models.torch_runtime import (
    DTYPES,
    MemoryAwareRunner,
    choose_device,
    choose_precision,
    unit_vectors,
)
from sightline.storage.errors import ConfigurationError
from sightline.storage.interfaces import EncoderIdentity, Vectors

logger = logging.getLogger(__name__)

_MAX_TOKENS = 8192


class SentenceEncoderModel:
    """A sentence encoder on its device. Not thread-safe: call it from one thread."""

    def __init__(
        self,
        folder: SentenceEncoderFolder,
        name: str,
        cache: FingerprintCache,
        *,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Load the weights of a validated folder; downloads nothing.

        Raises ConfigurationError if weights are missing or do not fit the architecture.
        """
        self._device = choose_device(device)
        self._config = folder.config
        self._tokenizer, self._model = _load_transformer(
            AutoModel,
            f"passage encoder {name!r}",
            folder.transformer,
            device=self._device,
            precision=precision,
            optional_prefix="pooler.",  # a head on the first token that is not used here
        )
        self._max_tokens = _max_tokens(self._tokenizer, self._model, [self._config.max_tokens])
        self._runner = MemoryAwareRunner("the passage encoder", self._device)
        self.identity = EncoderIdentity(
            name=name,
            weights=folder.fingerprint(cache),
            preprocessing=folder.config.fingerprint,
            dimension=self.encode_passages(["warm up"]).shape[1],
        )
        logger.info("loaded passage encoder %s on %s", self.identity, self._device)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of (truncated) passages, float32 of shape (n, dimension)."""
        return self._encode([self._config.passage_prompt + text for text in texts])

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of queries, float32 of shape (n, dimension)."""
        return self._encode([self._config.query_prompt + text for text in texts])

    def _encode(self, texts: Sequence[str]) -> Vectors:
        if self._config.lower_case:
            texts = [text.lower() for text in texts]
        return self._runner.run(self._forward, texts)

    def _forward(self, texts: Sequence[str]) -> Vectors:
        batch = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(self._device)
        tokens = self._model(**batch).last_hidden_state.float()
        return unit_vectors(self._pool(tokens, batch["attention_mask"]))

    def _pool(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool tokens (n, length, dimension) with a mask (n, length) of 0 and 1."""
        present = mask.unsqueeze(-1).float()
        match self._config.pooling:
            case "mean":
                return (tokens * present).sum(1) / present.sum(1).clamp(min=1e-9)
            case "max":
                return tokens.masked_fill(present == 0, -torch.inf).amax(1)
            case "cls":
                index = mask.int().argmax(1)  # works for padding on either side
            case "lasttoken":
                index = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
        return tokens[torch.arange(len(tokens), device=tokens.device), index]


class CrossEncoderModel:
    """A cross-encoder on its device. Not thread-safe: call it from one thread."""

    def __init__(
        self, folder: Path, name: str, *, device: str = "auto", precision: str = "auto"
    ) -> None:
        """Load the weights of a folder; downloads nothing.

        Raises ConfigurationError if weights are missing or it has more than one output.
        """
        self._device = choose_device(device)
        what = f"reranker {name!r}"
        self._tokenizer, self._model = _load_transformer(
            AutoModelForSequenceClassification,
            what,
            folder,
            device=self._device,
            precision=precision,
        )
        if (labels := self._model.config.num_labels) != 1:
            raise ConfigurationError(
                f"The {what} is a classifier with {labels} classes. A cross-encoder has 1 output."
            )
        self._max_tokens = _max_tokens(self._tokenizer, self._model)
        self._runner = MemoryAwareRunner("the reranker", self._device)
        logger.info("loaded %s on %s", what, self._device)

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the relevance of each (query, text) pair, float32 of shape (n,).

        If a pair is too long, the longer of the two texts is truncated.
        """
        return self._runner.run(self._forward, pairs)

    def _forward(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        batch = self._tokenizer(
            [query for query, _ in pairs],
            [text for _, text in pairs],
            padding=True,
            truncation="longest_first",
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(self._device)
        scores: Vectors = self._model(**batch).logits[:, 0].float().cpu().numpy()
        return scores


def _load_transformer(
    auto_class: Any,
    what: str,
    folder: Path,
    *,
    device: torch.device,
    precision: str,
    optional_prefix: str | None = None,
) -> tuple[Any, Any]:
    """Load tokenizer and model of a folder; downloads nothing.

    Weights whose names begin with ``optional_prefix`` may be missing. Raises ConfigurationError,
    which names ``what``, if other weights are missing or do not fit the architecture.
    """
    transformers_logging.disable_progress_bar()
    dtype = DTYPES[choose_precision(precision, device)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries, about their own internals
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            model, loading = auto_class.from_pretrained(
                str(folder), local_files_only=True, dtype=dtype, output_loading_info=True
            )
    except Exception as error:
        raise ConfigurationError(f"The {what} cannot be loaded: {first_line(error)}") from error
    missing = [
        key
        for key in loading["missing_keys"]
        if optional_prefix is None or not key.startswith(optional_prefix)
    ]
    invalid = sorted(missing or map(str, loading["mismatched_keys"]))
    if invalid:
        raise ConfigurationError(
            f"The {what} has no weights that fit {invalid[0]!r} and {len(invalid) - 1} others. "
            "Sightline never runs with random weights."
        )
    return tokenizer, model.to(device).eval()


def _max_tokens(tokenizer: Any, model: Any, configured: Sequence[int | None] = ()) -> int:
    """Return the smallest limit of configuration, tokenizer and position embeddings."""
    positions = getattr(model.config, "max_position_embeddings", None)
    limits = (*configured, tokenizer.model_max_length, positions)
    return min(_MAX_TOKENS, *(int(limit) for limit in limits if limit))
